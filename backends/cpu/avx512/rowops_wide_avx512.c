/* avx512/rowops_wide_avx512.c - quantize_wide, in the instructions of its level. */
#include "backends/cpu/rowops_wide.h"

WH_QUANTIZE_WIDE(avx512)
