/* family_lm.c - norms, rope, attention, gates, rows by index. */
#include "backends/gpu/gpu_internal.h"

const gpu_op gpu_ops_lm[] = {{.emit = NULL}};
