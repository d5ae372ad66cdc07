/* weights.c - weights of the file as constants of the graph. Nothing is copied but small vectors that must
 * become f32. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/exact_math.h"
#include "import/families/builder.h"

static wh_status find(const wh_builder *b, const char *name, const wh_weight_view **out) {
  const wh_weight_view *w = wh_builder_find_weight(b, name);
  if (!w) return WH_FAIL(ERR_CORRUPT, "tensor '%s' is missing", name);
  *out = w;
  return WH_OK;
}

static bool is_product_type(wh_dtype d) {
  return d == WH_DTYPE_F32 || d == WH_DTYPE_F16 || d == WH_DTYPE_BF16 || wh_dtype_is_quantised(d);
}

static wh_status check_type(const wh_weight_view *w, const char *name) {
  if (!is_product_type(w->dtype))
    return WH_FAIL(ERR_UNSUPPORTED, "tensor '%s' is %s, want f32, f16, bf16 or a quantised type", name,
                   wh_dtype_name(w->dtype));
  return WH_OK;
}

static wh_status check_matrix(const wh_weight_view *w, const char *name, int64_t n_out, int64_t n_in) {
  WH_TRY(check_type(w, name));
  if (w->rank != 2) return WH_FAIL(ERR_CORRUPT, "tensor '%s' has %d dimensions, want 2", name, w->rank);
  if (w->dims[0] != n_out || w->dims[1] != n_in)
    return WH_FAIL(ERR_CORRUPT,
                   "tensor '%s' has %" PRId64 " rows of %" PRId64 ", the hyperparameters give %" PRId64
                   " rows of %" PRId64,
                   name, w->dims[0], w->dims[1], n_out, n_in);
  return WH_OK;
}

static wh_status add_rows(wh_builder *b, const char *tensor, const char *constant, int64_t n_rows,
                          int64_t first, int64_t n_out, int64_t n_in, wh_value *out) {
  const wh_weight_view *w;
  WH_TRY(find(b, tensor, &w));
  WH_TRY(check_matrix(w, tensor, n_rows, n_in));
  wh_shape shape = {.dtype = w->dtype, .rank = 2};
  WH_TRY(wh_dim_const(&b->g->dims, n_out, &shape.dims[0]));
  WH_TRY(wh_dim_const(&b->g->dims, n_in, &shape.dims[1]));
  size_t row = w->n_bytes / (size_t)n_rows; /* the reader made n_bytes from the dims: exact */
  const char *data = (const char *)w->data + row * (size_t)first;
  return wh_graph_add_const(b->g, constant, &shape, data, row * (size_t)n_out, w, out);
}

wh_value wh_builder_matrix(wh_builder *b, const char *name, int64_t n_out, int64_t n_in) {
  char tensor[WH_BUILDER_NAME_BYTES];
  wh_value v = 0;
  if (b->status != WH_OK) return 0;
  wh_builder_name(b, name, ".weight", tensor);
  wh_builder_check(b, add_rows(b, tensor, tensor, n_out, 0, n_out, n_in, &v));
  return v;
}

wh_value wh_builder_matrix_rows(wh_builder *b, const char *name, const char *part, int64_t n_rows,
                                int64_t first, int64_t n_out, int64_t n_in) {
  char tensor[WH_BUILDER_NAME_BYTES], constant[WH_BUILDER_NAME_BYTES + 16];
  wh_value v = 0;
  if (b->status != WH_OK) return 0;
  wh_builder_name(b, name, ".weight", tensor);
  (void)snprintf(constant, sizeof constant, "%s[%s]", tensor, part);
  wh_builder_check(b, add_rows(b, tensor, constant, n_rows, first, n_out, n_in, &v));
  return v;
}

static wh_status add_matrices(wh_builder *b, const char *tensor, int64_t n_experts, int64_t n_out,
                              int64_t n_in, wh_value *out) {
  const wh_weight_view *w;
  WH_TRY(find(b, tensor, &w));
  WH_TRY(check_type(w, tensor));
  if (w->rank != 3 || w->dims[0] != n_experts || w->dims[1] != n_out || w->dims[2] != n_in)
    return WH_FAIL(ERR_CORRUPT,
                   "tensor '%s' has rank %d and %" PRId64 " matrices of %" PRId64 " rows of %" PRId64
                   ", the hyperparameters give %" PRId64 " of %" PRId64 " rows of %" PRId64,
                   tensor, w->rank, w->dims[0], w->rank > 1 ? w->dims[1] : (int64_t)1,
                   w->rank > 2 ? w->dims[2] : (int64_t)1, n_experts, n_out, n_in);
  wh_shape shape = {.dtype = w->dtype, .rank = 3};
  for (int i = 0; i < 3; i++) WH_TRY(wh_dim_const(&b->g->dims, w->dims[i], &shape.dims[i]));
  return wh_graph_add_const(b->g, tensor, &shape, w->data, w->n_bytes, w, out);
}

wh_value wh_builder_matrices(wh_builder *b, const char *name, int64_t n_experts, int64_t n_out,
                             int64_t n_in) {
  char tensor[WH_BUILDER_NAME_BYTES];
  wh_value v = 0;
  if (b->status != WH_OK) return 0;
  wh_builder_name(b, name, ".weight", tensor);
  wh_builder_check(b, add_matrices(b, tensor, n_experts, n_out, n_in, &v));
  return v;
}

static wh_status check_vector(const wh_weight_view *w, const char *name, int64_t n) {
  if (w->dtype != WH_DTYPE_F32 && w->dtype != WH_DTYPE_F16 && w->dtype != WH_DTYPE_BF16)
    return WH_FAIL(ERR_UNSUPPORTED, "tensor '%s' is %s, want f32, f16 or bf16", name,
                   wh_dtype_name(w->dtype));
  if (w->rank != 1 || w->dims[0] != n)
    return WH_FAIL(ERR_CORRUPT,
                   "tensor '%s' has rank %d and %" PRId64
                   " elements in its first dimension, want "
                   "a vector of %" PRId64,
                   name, w->rank, w->rank > 0 ? w->dims[0] : (int64_t)1, n);
  return WH_OK;
}

static wh_status copy_floats(wh_builder *b, const wh_weight_view *w, const char *name, int64_t n,
                             float **out) {
  WH_TRY(check_vector(w, name, n));
  float *x = wh_arena_array(&b->g->arena, (size_t)n, sizeof *x);
  if (!x) return WH_OOM("a vector of weights");
  if (w->dtype == WH_DTYPE_F32) memcpy(x, w->data, (size_t)n * sizeof *x);
  for (size_t i = 0; w->dtype != WH_DTYPE_F32 && i < (size_t)n; i++) {
    uint16_t half;
    memcpy(&half, (const char *)w->data + i * sizeof half, sizeof half);
    x[i] = w->dtype == WH_DTYPE_F16 ? wh_f32_from_f16(half) : wh_f32_from_bf16(half);
  }
  *out = x;
  return WH_OK;
}

/* Elements [first, first + n) of a vector of n_all. */
static wh_status add_vector(wh_builder *b, const char *tensor, const char *constant, int64_t n_all,
                            int64_t first, int64_t n, wh_value *out) {
  const wh_weight_view *w;
  WH_TRY(find(b, tensor, &w));
  WH_TRY(check_vector(w, tensor, n_all));
  const float *data = w->data;
  const void *origin = w;
  if (w->dtype != WH_DTYPE_F32) {
    float *copy;
    WH_TRY(copy_floats(b, w, tensor, n_all, &copy));
    data = copy;
    origin = NULL;
  }
  wh_shape shape = {.dtype = WH_DTYPE_F32, .rank = 1};
  WH_TRY(wh_dim_const(&b->g->dims, n, &shape.dims[0]));
  return wh_graph_add_const(b->g, constant, &shape, data + first, (size_t)n * sizeof(float), origin, out);
}

wh_value wh_builder_vector(wh_builder *b, const char *name, const char *suffix, int64_t n) {
  char tensor[WH_BUILDER_NAME_BYTES];
  wh_value v = 0;
  if (b->status != WH_OK) return 0;
  wh_builder_name(b, name, suffix, tensor);
  wh_builder_check(b, add_vector(b, tensor, tensor, n, 0, n, &v));
  return v;
}

wh_value wh_builder_bias_rows(wh_builder *b, const char *name, const char *part, int64_t n_all, int64_t first,
                              int64_t n) {
  char tensor[WH_BUILDER_NAME_BYTES], constant[WH_BUILDER_NAME_BYTES + 16];
  wh_value v = 0;
  wh_builder_name(b, name, ".bias", tensor);
  if (b->status != WH_OK || !wh_model_file_find_weight(b->file, tensor)) return 0;
  (void)snprintf(constant, sizeof constant, "%s[%s]", tensor, part);
  wh_builder_check(b, add_vector(b, tensor, constant, n_all, first, n, &v));
  return v;
}

static wh_status add_row(wh_builder *b, const char *name, int64_t n_in, wh_value *out) {
  const wh_weight_view *w;
  WH_TRY(find(b, name, &w));
  WH_TRY(check_vector(w, name, n_in));
  wh_shape shape = {.dtype = w->dtype, .rank = 2};
  WH_TRY(wh_dim_const(&b->g->dims, 1, &shape.dims[0]));
  WH_TRY(wh_dim_const(&b->g->dims, n_in, &shape.dims[1]));
  return wh_graph_add_const(b->g, name, &shape, w->data, w->n_bytes, w, out);
}

wh_value wh_builder_row(wh_builder *b, const char *name, int64_t n_in) {
  char tensor[WH_BUILDER_NAME_BYTES];
  wh_value v = 0;
  if (b->status != WH_OK) return 0;
  wh_builder_check(b, add_row(b, wh_builder_name(b, name, ".weight", tensor), n_in, &v));
  return v;
}

wh_value wh_builder_vector_if_present(wh_builder *b, const char *name, const char *suffix, int64_t n) {
  char tensor[WH_BUILDER_NAME_BYTES];
  if (!wh_model_file_find_weight(b->file, wh_builder_name(b, name, suffix, tensor))) return 0;
  return wh_builder_vector(b, name, suffix, n);
}

const float *wh_builder_floats(wh_builder *b, const char *tensor, int64_t n) {
  const wh_weight_view *w = wh_builder_find_weight(b, tensor);
  float *x = NULL;
  if (w && b->status == WH_OK) wh_builder_check(b, copy_floats(b, w, tensor, n, &x));
  return x;
}
