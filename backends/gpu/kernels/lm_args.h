/* lm_args.h - the parameters of the kernels of family_lm.c and family_attention.c. For hosts and kernels. Row
 * counts and lengths are below 2^31; addresses of what is absent are 0. */
#ifndef WH_GPU_LM_ARGS_H
#define WH_GPU_LM_ARGS_H

#include "backends/gpu/kernels/activations.h"
#include "backends/gpu/kernels/linear_format.h"

/* A block per row. `staged`: the row goes through dynamic shared memory, n floats. */
typedef struct gpu_norm_args {
  uint64_t x, w, b, y; /* y: f32 [rows][n], or q8a as `form` says */
  gpu_q8a form;
  uint32_t n, staged;
  float eps;
} gpu_norm_args;

/* act(x) * u, or x alone where u is 0; to f32, q8a or q13a. A warp per piece of a row: 256 elements, of q13a
 * 128. */
typedef struct gpu_rows_args {
  uint64_t x, u, y;
  union {
    gpu_q8a q8a;
    gpu_q13a q13a;
  } form;
  uint32_t rows, n, pieces; /* of a row */
} gpu_rows_args;

typedef struct gpu_gated_args {
  uint64_t x, u, y, n;
} gpu_gated_args;

/* y [rows][2][n]: cosines, then sines. */
typedef struct gpu_rope_table_args {
  uint64_t positions, frequencies, y;
  uint32_t rows, n;
  uint32_t stride; /* of frequencies from row to row; 0: one row serves all */
  float mscale;
} gpu_rope_table_args;

/* A warp per 256 elements of a row of y; the last block looks for ids outside. */
typedef struct gpu_gather_args {
  uint64_t table, ids, y, fault;
  uint64_t row_bytes;
  uint32_t n_ids, table_rows, n, pieces; /* of a row */
  uint32_t dtype, node;
} gpu_gather_args;

/* The same out of a product's packed weights (linear_format.h). */
typedef struct gpu_gather_tiles_args {
  gpu_gather_args rows;
  gpu_packed_form form;
} gpu_gather_tiles_args;

typedef struct gpu_expert_select_args {
  uint64_t scores, selected;
  uint32_t rows, n, used;
} gpu_expert_select_args;

typedef struct gpu_expert_weights_args {
  uint64_t p, selected, y;
  uint32_t rows, n, used, normalise;
  float scale;
} gpu_expert_weights_args;

/* x [rows][slots][n] */
typedef struct gpu_expert_sum_args {
  uint64_t x, weights, residual, y;
  uint32_t rows, slots, n;
} gpu_expert_sum_args;

/* ---- keys and values ---- */

/* Where rows stand: kv_append needs the page of each, attention those of all positions that it sees. */
typedef struct gpu_places {
  uint64_t positions, sequences, page_table;
  uint32_t rows, slots, table, pages;
  uint32_t attends, window; /* window 0: none */
} gpu_places;

/* Heads [rows][heads][dim] that turn where there is a table, into y, and go into a state where there is a
 * cache. */
typedef struct gpu_heads_value {
  uint64_t x, y, table, cache;
  uint32_t heads, dim, n; /* n: pairs that turn */
  uint32_t neox, is_key;
  uint32_t first; /* heads of a row of the values before it; of a value that is not there GPU_NO_HEAD */
} gpu_heads_value;
#define GPU_HEADS_VALUES 3 /* of a launch */
#define GPU_NO_HEAD UINT32_MAX

/* A warp per row and head; where one appends, the last block looks for rows outside. */
typedef struct gpu_heads_args {
  gpu_places places;
  uint64_t fault;
  uint32_t rows, heads; /* of a row, of all values */
  uint32_t appends, node;
  gpu_heads_value values[GPU_HEADS_VALUES];
} gpu_heads_args;

/* Query vectors are the (row, head of the KV head's group) in that order. blockIdx.x: vectors; y: KV head and
 * slice of the value's dims; z: unit, which is `unit` chunks; unit 0: a block takes all chunks and writes y.
 * Partial states, by (row, head, unit): o [value_dim], and m, l behind all of those. */
typedef struct gpu_attention_args {
  gpu_places places;
  uint64_t q, keys, values, y, partial, fault;
  uint32_t heads, kv_heads, dim, value_dim;
  uint32_t unit, n_units, node;
  float scale, softcap; /* softcap 0: none */
} gpu_attention_args;

/* What joins the partial states. A block has so many heads of a row, with 128 threads each; with `codes`
 * these are a group of 256 elements, whose q8a goes there as well. */
typedef struct gpu_combine_args {
  gpu_attention_args attention;
  uint64_t codes;
  gpu_q8a form;
  uint32_t heads;
} gpu_combine_args;
#define GPU_COMBINE_THREADS 128u
#define GPU_COMBINE_HEADS 4u /* at most */

#endif
