/* linear_q.h - products of quantised activations (q8a) with quantised weights: packing and kernels.
 * Arithmetic: docs/NUMERICS.md, "linear, quantised weights". */
#ifndef WH_CPU_LINEAR_Q_H
#define WH_CPU_LINEAR_Q_H

#include "backends/cpu/features.h"
#include "backends/cpu/prefetch.h"
#include "backends/cpu/q8a.h"
#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/team.h"

/* How a weight matrix w[n][k] of `dtype` is laid out for a feature mask. Panels of `panel_cols` outputs; the
 * last is padded. `id` 0 means "as in the file" (the reference kernel reads the file's blocks). */
typedef struct wh_linear_layout wh_linear_layout;
/* Packs one panel of the file's bytes `src` (all n rows) to `dst`, which has wh_linear_panel_room bytes.
 * Pure; false when a scale, minimum or 16-bit weight is not finite. */
typedef bool (*wh_linear_pack_panel_fn)(const wh_linear_layout *layout, const void *src, int64_t panel,
                                        void *dst);
struct wh_linear_layout {
  uint32_t id;
  wh_dtype dtype;
  int64_t n, k;
  int64_t panel_cols, n_panels;
  int64_t taps;                       /* of convolutions of codes: each has k channels */
  size_t panel_bytes, n_bytes;        /* n_bytes = n_panels * panel_bytes (+ tail slack) */
  wh_linear_pack_panel_fn pack_panel; /* the mask's; NULL for id 0 and float weights */
};

/* ERR_UNSUPPORTED for a dtype without kernels or a k that is not whole blocks. */
WH_NODISCARD wh_status wh_linear_q_layout(uint64_t features, wh_dtype dtype, int64_t n, int64_t k,
                                          wh_linear_layout *out);

/* Packs panels [panel_begin, panel_end) of the file's bytes `src` (all n rows) into `dst` (the whole packed
 * matrix, 64-byte aligned). Pure; ranges may be packed by different threads. Returns false when a scale or
 * minimum is not finite (the pack is still complete). */
bool wh_linear_q_pack(const wh_linear_layout *layout, const void *src, void *dst, int64_t panel_begin,
                      int64_t panel_end);

static inline size_t wh_linear_panel_room(const wh_linear_layout *l) {
  return (l->panel_bytes + WH_ALIGN_SIMD - 1) / WH_ALIGN_SIMD * WH_ALIGN_SIMD;
}

/* Row `row` of packed weights (layout->id not 0) as fp32: y[k], the bits that wh_dequantize_row gives. */
void wh_linear_q_unpack_row(const wh_linear_layout *layout, const void *packed, int64_t row, float *y);

typedef struct wh_linear_q_args {
  const wh_linear_layout *layout;
  const void *w; /* packed (or the file's bytes when layout->id is 0) */
  void *x;       /* q8a, m rows of layout->k */
  int64_t m;     /* rows */
  float *y;      /* [m][ldy], n columns */
  int64_t ldy;
  const float *bias;     /* [n] or NULL */
  const float *residual; /* [m][ldr] or NULL; may equal y */
  int64_t ldr;
  uint32_t step;      /* for what workers claim; grows along a program */
  wh_cpu_fetch fetch; /* how weights that are read once are asked for */
  /* NULL, or memory of this worker for one packed panel (wh_linear_panel_room): `w` is the file's bytes, and
   * panels are packed as they are needed. *not_finite is set as packing says. */
  void *panel;
  bool *not_finite;
  void *scratch; /* wh_linear_q_scratch_bytes or wh_linear_h_scratch_bytes, 64-byte aligned, shared by the
                    team */
} wh_linear_q_args;

/* So many panels may be computed side by side for a few rows, each from another part of the weights: as many
 * streams, asked for so many bytes ahead, within a page of the processor's own prefetching. */
#define WH_LINEAR_TOGETHER_MAX 4
#define WH_LINEAR_TOGETHER_AHEAD 3072

/* A panel's bytes: packed before, or here and now. */
static inline const uint8_t *wh_linear_panel_at(const wh_linear_q_args *a, int64_t index) {
  if (!a->panel) return (const uint8_t *)a->w + (size_t)index * a->layout->panel_bytes;
  if (!a->layout->pack_panel(a->layout, a->w, index, a->panel)) *a->not_finite = true;
  return (const uint8_t *)a->panel;
}

typedef void (*wh_linear_q_fn)(const wh_linear_q_args *args, const wh_worker *worker);

/* What kernels for up to m_max rows need as scratch; 0 at most levels. m_max and k are below 2^31. */
size_t wh_linear_q_scratch_bytes(uint64_t features, const wh_linear_layout *layout, int64_t m_max);

/* The kernel for a mask and a type; never NULL for a layout that wh_linear_q_layout gave. `name` (may be
 * NULL) receives the kernel's name for `inspect --kernels`. */
wh_linear_q_fn wh_linear_q_select(uint64_t features, wh_dtype dtype, const char **name);

#endif
