/* nn_rows_avx512.c - pools, integer convolutions, codes, by the compiler's vectors. */
#define NN_ISA avx512
#include "backends/cpu/nn_codes.h"
#include "backends/cpu/nn_rows.h"
