/* avx2/rowops_wide_avx2.c - quantize_wide, in the instructions of its level. */
#include "backends/cpu/rowops_wide.h"

WH_QUANTIZE_WIDE(avx2)
