/* family_move.c - structure, gather and scatter. */
#include "backends/gpu/gpu_internal.h"

const gpu_op gpu_ops_move[] = {{.emit = NULL}};
