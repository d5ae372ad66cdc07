/* ref/rowops_wide_ref.c - docs/NUMERICS.md, "quantize_wide", in plain C. */
#include "backends/cpu/rowops_wide.h"

WH_QUANTIZE_WIDE(ref)
