/* family_map.c - elementwise. */
#include "backends/gpu/gpu_internal.h"

const gpu_op gpu_ops_map[] = {{.emit = NULL}};
