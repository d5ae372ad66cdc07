/* neon/rowops_wide_neon.c - quantize_wide, in the instructions of its level. */
#include "backends/cpu/rowops_wide.h"

WH_QUANTIZE_WIDE(neon)
