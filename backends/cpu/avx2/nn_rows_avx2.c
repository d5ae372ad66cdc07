/* nn_rows_avx2.c - pools, integer convolutions, codes, by the compiler's vectors. */
#define NN_ISA avx2
#include "backends/cpu/nn_codes.h"
#include "backends/cpu/nn_rows.h"
