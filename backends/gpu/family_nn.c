/* family_nn.c - convolutions, pools, recurrent layers. */
#include "backends/gpu/gpu_internal.h"

const gpu_op gpu_ops_nn[] = {{.emit = NULL}};
