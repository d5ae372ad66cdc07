/* neon/rowops_neon.c - row ops, NEON. */
#include "backends/cpu/neon/vec_neon.h"

#define KERNEL(op) wh_k_##op##__neon
#include "backends/cpu/rowops_vec.h"
