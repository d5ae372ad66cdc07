/* expert_linear.h - products in which every row has a weight matrix of its own: w[e][n][k] is a stack of e
 * matrices, and a token's row meets those of the experts that it chose. Arithmetic: that of the plain product
 * with the expert's matrix, whose kernels these are (linear_q.h, linear_f.h). */
#ifndef WH_CPU_EXPERT_LINEAR_H
#define WH_CPU_EXPERT_LINEAR_H

#include "backends/cpu/linear_f.h"
#include "backends/cpu/linear_h.h"
#include "backends/cpu/linear_q.h"

typedef struct wh_expert_layout {
  wh_linear_layout matrix; /* of one expert */
  int64_t n_experts;
  size_t expert_bytes, n_bytes; /* from one expert to the next; of all of them */
} wh_expert_layout;

/* ERR_UNSUPPORTED and ERR_LIMIT as wh_linear_q_layout. */
WH_NODISCARD wh_status wh_expert_linear_layout(uint64_t features, wh_dtype dtype, int64_t n_experts,
                                               int64_t n, int64_t k, wh_expert_layout *out);

/* As wh_linear_q_pack, over the panels of all experts in order: n_experts * matrix.n_panels of them. */
bool wh_expert_linear_pack(const wh_expert_layout *layout, const void *src, void *dst, int64_t panel_begin,
                           int64_t panel_end);

typedef struct wh_expert_linear_args {
  const wh_expert_layout *layout;
  wh_linear_q_fn linear_q; /* the matrix's kernel: one of the two */
  wh_linear_f_fn linear_f;
  uint64_t features;  /* as in wh_linear_f_args */
  wh_cpu_fetch fetch; /* as in wh_linear_q_args */
  const void *w;      /* packed (or the file's bytes when matrix.id is 0) */
  void *x;            /* q8a, q13a or f32 rows of matrix.k: one per token, or one per token and slot */
  bool per_slot;
  int64_t tokens, slots;
  const int32_t *selected; /* [tokens][slots], each 0 <= selected < n_experts */
  float *y;                /* [tokens][slots][matrix.n] */
  uint32_t step;           /* for wh_team_next */
  void *scratch;           /* scratch_bytes per worker, 64-byte aligned, worker i at i * that */
  size_t scratch_bytes;
} wh_expert_linear_args;

/* This worker's share. */
void wh_expert_linear(const wh_expert_linear_args *args, const wh_worker *worker);
/* Scratch of one worker for up to `rows_max` rows (tokens times slots); false on overflow. */
bool wh_expert_linear_scratch_bytes(uint64_t features, const wh_expert_layout *layout, int64_t rows_max,
                                    size_t *out);

#endif
