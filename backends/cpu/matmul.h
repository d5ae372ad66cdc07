/* matmul.h - products of two activations, a[m, k] . b[k, n], by batches. Arithmetic: docs/NUMERICS.md,
 * "matmul".
 */
#ifndef WH_CPU_MATMUL_H
#define WH_CPU_MATMUL_H

#include "backends/cpu/features.h"
#include "backends/cpu/linear_f.h"
#include "core/base/dtype.h"
#include "core/base/nd.h"
#include "core/base/team.h"

/* Columns [0, n) of one product; rows of b and y are ldb and ldy apart, those of a k. */
typedef struct wh_matmul_part {
  int64_t m, n, k, lda, ldb, ldy;
  const void *a, *b;
  void *y;
  /* of integers: zero points, one or one for each row or column; NULL: 0 */
  const void *a_zero, *b_zero;
  int64_t a_zero_step, b_zero_step;
} wh_matmul_part;
typedef void (*wh_matmul_fn)(const wh_matmul_part *p);

/* Reads b where it lies: f32, f64. NULL: no such type. */
wh_matmul_fn wh_matmul_select(uint64_t features, wh_dtype dtype, const char **name);
/* Codes of 8 bits: by whether they are signed. */
wh_matmul_fn wh_matmul_integer_select(uint64_t features, bool a_signed, bool b_signed, const char **name);

/* Batches: operands 0 and 1 of the walk are a and b; strides in elements. */
typedef struct wh_matmul {
  wh_nd batches;
  wh_matmul_part part;              /* its pointers are those of the first batch */
  size_t a_bytes, b_bytes, y_bytes; /* of an element */
  wh_matmul_fn fn;
  const wh_product_end *end;      /* of f32; rows of all batches, one behind the other. Or NULL */
  bool codes, a_signed, b_signed; /* of 8 bits */
  /* f32 and codes in panels: scratch of each worker, 0: never */
  uint64_t features;
  char *scratch;
  size_t worker_scratch;
} wh_matmul;

void wh_matmul_run(const wh_matmul *p, const wh_worker *worker);
/* A constant b[k, n] of f32 in the panels of linear_f_kernels.h, for which linear_f.h has the product. Its id
 * is not that of a linear's weight w[n, k], whose panels hold other numbers. */
#define WH_MATMUL_PANELS 16u
/* False: this level has no panels, or the sizes are none that they hold. */
bool wh_matmul_layout(uint64_t features, int64_t n, int64_t k, wh_linear_layout *out);
/* As wh_linear_f_pack, from the rows of b. Values that are not finite are values. */
void wh_matmul_pack(const wh_linear_layout *layout, const void *src, void *dst, int64_t panel_begin,
                    int64_t panel_end);

/* dst[half][k][16] for panels [begin, end) of b, whose rows are ldb apart and lie anywhere. */
void wh_matmul_copy_panels(const wh_linear_layout *layout, const void *b, int64_t ldb, int64_t begin,
                           int64_t end, float *dst);

/* Panels that hold what was decoded or copied: not from a file. */
wh_linear_layout wh_matmul_panels(int64_t n, int64_t k);

/* Scratch of one worker for a product of f32, or of codes; 0 where none is used; SIZE_MAX on overflow. */
size_t wh_matmul_scratch(uint64_t features, bool codes, int64_t m, int64_t n, int64_t k);

#endif
