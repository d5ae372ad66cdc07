/* nn_rows_neon.c - pools, integer convolutions, codes, by the compiler's vectors. */
#define NN_ISA neon
#include "backends/cpu/nn_codes.h"
#include "backends/cpu/nn_rows.h"
