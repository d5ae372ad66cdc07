/* weights.h - the packed form of a product's weights (kernels/linear_format.h), by type and size. */
#ifndef WH_GPU_WEIGHTS_H
#define WH_GPU_WEIGHTS_H

#include "backends/gpu/kernels/linear_format.h"
#include "core/base/quant_blocks.h"
#include "core/ir/graph.h"

#define GPU_LAYOUT_MODEL 0u /* as the model has it */
#define GPU_LAYOUT_TILES 1u

/* [n_experts][n][k]; a matrix is one of one expert. */
typedef struct gpu_weights {
  wh_dtype dtype;
  const wh_quant_format *quant; /* NULL: float weights */
  int64_t n_experts, n, k;
  gpu_matrix matrix; /* not of F32 */
  int64_t n_tiles;   /* of an expert */
  uint64_t expert_bytes, n_bytes;
} gpu_weights;

/* ERR_UNSUPPORTED with a sentence where there are no kernels for such weights. */
WH_NODISCARD wh_status gpu_weights_of(const wh_graph *g, const wh_shape *w, gpu_weights *out);
/* How kernels read single rows of them. */
gpu_packed_form gpu_packed_form_of(const gpu_weights *w);

#endif
