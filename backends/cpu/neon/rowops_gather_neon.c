/* neon/rowops_gather_neon.c - gather_rows, NEON. */
#include "backends/cpu/neon/vec_neon.h"

#define KERNEL(op) wh_k_##op##__neon
#include "backends/cpu/rowops_gather_vec.h"
