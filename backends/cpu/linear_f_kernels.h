/* linear_f_kernels.h - what the kernels for float weights share: the panel format, their entry points, and
 * the steps that an instruction set gives to the common driver (linear_f_run.c).
 *
 * Panel format (layout id 1): 32 outputs in halves, [2][k][16]; the last panel is one half when
 * that is enough for the outputs left. Missing outputs are zeros. Convolutions have [k][32] and [k][16]. */
#ifndef WH_CPU_LINEAR_F_KERNELS_H
#define WH_CPU_LINEAR_F_KERNELS_H

#include "backends/cpu/linear_f.h"

#define WH_LINEAR_F_FILE 0 /* layout ids */
#define WH_LINEAR_F_PANELS 1
#define WH_LINEAR_F_WHOLE 2 /* [k][32] */
#define WH_LINEAR_F_COLS 32
#define WH_LINEAR_F_HALF 16
#define WH_LINEAR_F_CHUNK 512 /* of the contract */
/* Activations are copied into rows of this many floats: a fixed stride for the tiles' addressing, and one
 * that does not put every row into the same cache sets. */
#define WH_LINEAR_F_LDX (WH_LINEAR_F_CHUNK + 16)

/* Columns stored in panel `index`. */
static inline int64_t wh_linear_f_width(const wh_linear_layout *l, int64_t index) {
  return l->n - index * WH_LINEAR_F_COLS <= WH_LINEAR_F_HALF ? WH_LINEAR_F_HALF : WH_LINEAR_F_COLS;
}

/* out[r] = (sums[r] +) x[r] . w over a chunk's k: any number of rows of x and of halves, w [half][k][16]. */
typedef struct wh_linear_f_tile {
  int64_t rows, halves, k;
  const float *x;
  int64_t ldx;
  const float *w;
  int64_t half;      /* floats from half to half */
  const float *sums; /* of the chunks before, may be where out is; NULL: none */
  int64_t ld_sums;
  const float *bias, *residual; /* or NULL; for whole panels after the last chunk */
  int64_t ldr;
  wh_product_ops end; /* for the last chunk: its ops write the outputs */
  float *out;
  int64_t ldo;
  bool scattered;    /* rows of out lie too far apart for the processor to foresee */
  bool tall;         /* whether a last half may take tall tiles */
  const char *ahead; /* as much as w, as far apart, that is asked for meanwhile; NULL: nothing */
} wh_linear_f_tile;

/* y = c (+ bias) (residual +) over rows x cols. */
typedef struct wh_linear_f_finish {
  int64_t rows, cols, ldc, ldy, ldr;
  const float *c;
  float *y;
  const float *bias, *residual; /* or NULL */
} wh_linear_f_finish;

typedef struct wh_linear_f_isa {
  int64_t tile_rows, wide_rows; /* most rows that read half a panel at once; a whole one */
  void (*tile)(const wh_linear_f_tile *tile);
  void (*finish)(const wh_linear_f_finish *finish);
} wh_linear_f_isa;

/* The product over panels with the steps of one instruction set. */
void wh_linear_f_run(const wh_linear_f_args *args, const wh_worker *worker, const wh_linear_f_isa *isa);
/* Its scratch for one worker; false on overflow. */
bool wh_linear_f_run_scratch(const wh_linear_layout *layout, int64_t m_max, size_t *out);

/* The steps of the highest level that the mask holds; NULL: it has no vectors. */
const wh_linear_f_isa *wh_linear_f_steps(uint64_t features);

#define WH_LINEAR_F_KERNEL(isa, needs)                                             \
  void wh_k_linear_f_##isa(const wh_linear_f_args *args, const wh_worker *worker); \
  const wh_linear_f_isa *wh_k_linear_f_steps_##isa(void);
#include "backends/cpu/kernels_linear_f.def"
#undef WH_LINEAR_F_KERNEL

#endif
