/* linear_f_kernels.h - what the kernels for float weights share: the panel format, their entry points, and
 * the steps that an instruction set gives to the common driver (linear_f_run.c).
 *
 * Panel format (layout id 1): 32 outputs, [k][32]; the last panel is [k][16] when
 * that is enough for the outputs left. Missing outputs are zeros. */
#ifndef WH_CPU_LINEAR_F_KERNELS_H
#define WH_CPU_LINEAR_F_KERNELS_H

#include "backends/cpu/linear_f.h"

#define WH_LINEAR_F_FILE 0 /* layout ids */
#define WH_LINEAR_F_PANELS 1
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

/* out[r] = x[r] . w over some of a chunk's k: any number of rows of x, w [k][width]. The arrays without a
 * stride are [r][32]. */
typedef struct wh_linear_f_tile {
  int64_t rows, width, k;
  const float *x;
  int64_t ldx;
  const float *w;
  const float *begun;           /* the chunk's chains so far; NULL: they begin here */
  bool ends;                    /* so do they; if not, out gets the chains so far */
  const float *sums;            /* of the chunks before, where the chains end; NULL: none */
  const float *bias, *residual; /* or NULL; for whole panels where the last chunk ends */
  int64_t ldr;
  wh_product_ops end; /* where the chains end: its ops write the outputs */
  float *out;
  int64_t ldo;
  bool scattered;    /* rows of out lie too far apart for the processor to foresee */
  bool tall;         /* whether half a panel may take tall tiles */
  const char *ahead; /* ahead_bytes that are asked for meanwhile; NULL: none */
  int64_t ahead_bytes;
} wh_linear_f_tile;

/* y = c (+ bias) (residual +) over rows x cols. */
typedef struct wh_linear_f_finish {
  int64_t rows, cols, ldy, ldr;
  const float *c; /* row stride 32 */
  float *y;
  const float *bias, *residual; /* or NULL */
} wh_linear_f_finish;

typedef struct wh_linear_f_isa {
  int64_t wide_rows; /* most rows that read a panel in one pass */
  int64_t tile_k;    /* steps of k that a call of tile takes best */
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
