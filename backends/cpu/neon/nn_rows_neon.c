/* nn_rows_neon.c - pools, integer and transposed convolutions, by the compiler's vectors. */
#define NN_ISA neon
#include "backends/cpu/nn_rows.h"
