/* matmul_blocks.h - products with weights of 2, 4 or 8 bits in blocks, which are decoded as they are read.
 * Arithmetic: docs/NUMERICS.md, "matmul_blocks". Weights lie in panels of 32 outputs: words of codes that
 * follow each other along k, and a scale and a zero point for each block. In a word, codes lie in turns in
 * the lower and the upper half, so that a shift and a mask give the pairs that products of 16-bit numbers
 * take. */
#ifndef WH_CPU_MATMUL_BLOCKS_H
#define WH_CPU_MATMUL_BLOCKS_H

#include "backends/cpu/features.h"
#include "backends/cpu/q13a.h"
#include "core/base/team.h"

#define WH_BLOCKS_COLS 32 /* of a panel */
#define WH_BLOCKS_ROWS 4  /* most rows of a tile */

/* Rows of x with one panel. */
typedef struct wh_blocks_tile {
  int64_t rows, cols, k, block; /* cols: of the panel's, that are outputs */
  int bits;
  const uint32_t *codes; /* [ceil(k / block) * block * bits / 32][32] */
  const float *scales;   /* [ceil(k / block)][32] */
  const uint8_t *zeros;  /* likewise */
  const float *x;        /* or NULL */
  int64_t ldx;
  const wh_q13a_tile *wide; /* where there is no x: its rows */
  float *y;                 /* decoded: a panel of linear_f_kernels.h, of all its columns */
  int64_t ldy;
} wh_blocks_tile;

typedef struct wh_blocks_isa {
  void (*rows)(const wh_blocks_tile *t);   /* y[rows][cols] */
  void (*decode)(const wh_blocks_tile *t); /* the weights */
  const char *name;
} wh_blocks_isa;

typedef void (*wh_blocks_wide_fn)(const wh_blocks_tile *t);

/* Bits to shift for code i of a word. */
static inline int wh_blocks_shift(int64_t i, int bits) { return (int)(i / 2) * bits + (int)(i % 2) * 16; }
/* Values that share a weight's scale and one of the activations'. */
static inline int64_t wh_blocks_piece(int64_t block) { return block < WH_Q13A_BLOCK ? block : WH_Q13A_BLOCK; }

const wh_blocks_isa *wh_blocks_isa_select(uint64_t features);
/* Of q13a. */
wh_blocks_wide_fn wh_blocks_wide_select(uint64_t features, const char **name);

typedef struct wh_matmul_blocks {
  const wh_blocks_isa *isa;
  uint64_t features;
  wh_blocks_wide_fn wide; /* NULL: x is f32 */
  void *q13a;
  int64_t m, n;
  wh_blocks_tile first; /* of the first rows and panel */
  char *scratch;
  size_t worker_scratch;
} wh_matmul_blocks;

void wh_matmul_blocks_run(const wh_matmul_blocks *p, const wh_worker *worker);
/* Of one worker; SIZE_MAX on overflow. */
size_t wh_matmul_blocks_scratch(uint64_t features, int64_t m, int64_t k);

#define WH_MATMUL_BLOCKS_KERNEL(isa, needs)                     \
  void wh_k_matmul_blocks_rows__##isa(const wh_blocks_tile *t); \
  void wh_k_matmul_blocks_decode__##isa(const wh_blocks_tile *t);
#define WH_MATMUL_BLOCKS_WIDE_KERNEL(isa, needs) void wh_k_matmul_blocks_wide__##isa(const wh_blocks_tile *t);
#include "backends/cpu/kernels_matmul_blocks.def"

#endif
