/* ref/matmul_ref.c - products that read both operands where they lie, level ref. */
#define LEVEL ref
#include "backends/cpu/matmul_loops.h"
