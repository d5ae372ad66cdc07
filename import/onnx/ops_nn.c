/* ops_nn.c - operators that look at neighbours: convolutions, pools, norms of images, resampling. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/base/resample.h"
#include "import/onnx/lowerings.h"

/* ---- windows ---- */

#define MOST_SPACE 3
#define MOST_STEP ((int64_t)1 << 22) /* of windows: times any size still an int64 */

typedef struct window {
  int n; /* axes of space */
  int64_t kernel[MOST_SPACE], strides[MOST_SPACE], dilations[MOST_SPACE], pads[2 * MOST_SPACE];
} window;

static void read_list(ox *o, const char *name, int n, int64_t *out) {
  size_t count;
  const int64_t *v = ox_attr_ints(o, name, &count);
  if (v && count != (size_t)n)
    OX_FAIL(o, ERR_CORRUPT, "%s has %zu entries where %d are needed", name, count, n);
  for (int i = 0; v && o->st == WH_OK && i < n; i++) out[i] = v[i];
}

static void read_window(ox *o, const wh_datum *x, const int64_t *kernel, window *w) {
  *w = (window){.n = x->rank - 2};
  if (w->n < 1 || w->n > MOST_SPACE)
    OX_FAIL(o, ERR_UNSUPPORTED, "its input has rank %d: 3 to 5 are computed", x->rank);
  if (o->st != WH_OK) {
    w->n = 0;
    return;
  }
  for (int i = 0; i < w->n; i++) w->kernel[i] = w->strides[i] = w->dilations[i] = 1;
  if (kernel) memcpy(w->kernel, kernel, (size_t)w->n * sizeof *kernel);
  read_list(o, "kernel_shape", w->n, w->kernel);
  read_list(o, "strides", w->n, w->strides);
  read_list(o, "dilations", w->n, w->dilations);
  read_list(o, "pads", 2 * w->n, w->pads);
  for (int i = 0; i < w->n; i++)
    if (w->kernel[i] < 1 || w->strides[i] < 1 || w->dilations[i] < 1 || w->kernel[i] > MOST_STEP ||
        w->strides[i] > MOST_STEP || w->dilations[i] > MOST_STEP)
      OX_FAIL(o, ERR_CORRUPT, "a kernel, stride or dilation is out of range");
}

static int64_t reach(const window *w, int i) { return (w->kernel[i] - 1) * w->dilations[i] + 1; }

/* SAME_UPPER and SAME_LOWER: as many outputs as strides begin in the input. */
static void auto_pad(ox *o, const wh_datum *x, window *w) {
  const wh_str mode = ox_attr_s(o, "auto_pad", "NOTSET");
  const bool upper = wh_str_is(mode, "SAME_UPPER"), lower = wh_str_is(mode, "SAME_LOWER");
  if (wh_str_is(mode, "VALID")) memset(w->pads, 0, sizeof w->pads);
  for (int i = 0; i < w->n && (upper || lower) && o->st == WH_OK; i++) {
    const bool open = ox_is_open(o, x->dims[2 + i]); /* as any other with steps of one */
    if (open && w->strides[i] != 1) OX_FAIL(o, ERR_UNSUPPORTED, "padding depends on an open dim");
    const int64_t size = open ? 1 : x->dims[2 + i], out = (size + w->strides[i] - 1) / w->strides[i];
    int64_t total = (out - 1) * w->strides[i] + reach(w, i) - size;
    if (total < 0) total = 0;
    w->pads[i] = upper ? total / 2 : total - total / 2;
    w->pads[w->n + i] = total - w->pads[i];
  }
}

static size_t window_attrs(const window *w, wh_attr *out) {
  const size_t n = (size_t)w->n;
  out[0] = ox_a_ints(WH_ATTR_STRIDES, w->strides, n);
  out[1] = ox_a_ints(WH_ATTR_DILATIONS, w->dilations, n);
  out[2] = ox_a_ints(WH_ATTR_PADS, w->pads, 2 * n);
  return 3;
}

wh_datum *ox_conv(ox *o, wh_op op, wh_datum *const *in, size_t n_in) {
  window w;
  wh_attr attrs[4];
  read_window(o, in[0], in[1]->dims + 2, &w);
  if (in[1]->rank != in[0]->rank)
    OX_FAIL(o, ERR_CORRUPT, "its weights have rank %d for an input of rank %d", in[1]->rank, in[0]->rank);
  auto_pad(o, in[0], &w);
  if (o->st != WH_OK) return &o->nothing;
  size_t n = window_attrs(&w, attrs);
  attrs[n++] = ox_a_i(WH_ATTR_GROUP, ox_attr_i(o, "group", 1));
  return ox_node1(o, op, in, n_in, attrs, n);
}

wh_datum *ox_plain_conv(ox *o, wh_datum *const *in, size_t n_in, int64_t group) {
  const int64_t ones[] = {1, 1, 1}, none[2 * MOST_SPACE] = {0};
  const size_t n = (size_t)in[0]->rank - 2;
  if (in[0]->rank < 3 || in[0]->rank > 2 + MOST_SPACE || in[1]->rank != in[0]->rank)
    OX_FAIL(o, ERR_CORRUPT, "its input and weights have rank %d and %d", in[0]->rank, in[1]->rank);
  if (o->st != WH_OK) return &o->nothing;
  const wh_attr attrs[] = {ox_a_ints(WH_ATTR_STRIDES, ones, n), ox_a_ints(WH_ATTR_DILATIONS, ones, n),
                           ox_a_ints(WH_ATTR_PADS, none, 2 * n), ox_a_i(WH_ATTR_GROUP, group)};
  return ox_node1(o, WH_OP_CONV, in, n_in, attrs, 4);
}

void ox_lower_conv(ox *o) {
  wh_datum *x = ox_in(o, 0), *of_codes = ox_conv_of_codes(o, x, ox_in(o, 1), ox_maybe(o, 2));
  if (of_codes) {
    ox_give(o, 0, of_codes);
    return;
  }
  wh_datum *in[] = {ox_wide(o, x), ox_wide(o, ox_in(o, 1)), ox_has(o, 2) ? ox_wide(o, ox_in(o, 2)) : NULL};
  ox_give(o, 0, ox_cast(o, ox_conv(o, WH_OP_CONV, in, in[2] ? 3 : 2), x->dtype));
}

void ox_lower_conv_transpose(ox *o) {
  wh_datum *x = ox_in(o, 0),
           *in[] = {ox_wide(o, x), ox_wide(o, ox_in(o, 1)), ox_has(o, 2) ? ox_wide(o, ox_in(o, 2)) : NULL};
  window w;
  int64_t more[MOST_SPACE] = {0}, space[MOST_SPACE], before[MOST_SPACE];
  const wh_str mode = ox_attr_s(o, "auto_pad", "NOTSET");
  read_window(o, x, in[1]->dims + 2, &w);
  read_list(o, "output_padding", w.n, more);
  size_t n_shape;
  const int64_t *given = ox_attr_ints(o, "output_shape", &n_shape);
  if (given && n_shape == (size_t)w.n + 2)
    given += 2;
  else if (given && n_shape != (size_t)w.n)
    OX_FAIL(o, ERR_CORRUPT, "output_shape has %zu entries", n_shape);
  const bool upper = wh_str_is(mode, "SAME_UPPER"), same = upper || wh_str_is(mode, "SAME_LOWER");
  for (int i = 0; i < w.n && o->st == WH_OK; i++) {
    if (ox_is_open(o, x->dims[2 + i])) {
      const int64_t more_than = more[i] + reach(&w, i) - w.strides[i] - w.pads[i] - w.pads[w.n + i];
      if (given || same) OX_FAIL(o, ERR_UNSUPPORTED, "padding depends on an open dim");
      if (o->st != WH_OK) return;
      before[i] = w.pads[i];
      space[i] = ox_dim_binary(o, WH_DIM_MUL, x->dims[2 + i], w.strides[i]);
      space[i] = ox_dim_binary(o, more_than < 0 ? WH_DIM_SUB : WH_DIM_ADD, space[i],
                               more_than < 0 ? -more_than : more_than);
      continue;
    }
    const int64_t full = w.strides[i] * (x->dims[2 + i] - 1) + more[i] + reach(&w, i);
    before[i] = w.pads[i];
    space[i] = full - w.pads[i] - w.pads[w.n + i];
    if (given || same) {
      space[i] = given ? given[i] : x->dims[2 + i] * w.strides[i];
      const int64_t total = full - space[i] > 0 ? full - space[i] : 0;
      before[i] = upper ? total / 2 : total - total / 2;
    }
    if (space[i] < 0 || before[i] < 0)
      OX_FAIL(o, ERR_CORRUPT, "its output would have %" PRId64 " places along axis %d", space[i], 2 + i);
  }
  if (o->st != WH_OK) return;
  const size_t n = (size_t)w.n;
  const wh_attr attrs[] = {ox_a_ints(WH_ATTR_STRIDES, w.strides, n),
                           ox_a_ints(WH_ATTR_DILATIONS, w.dilations, n), ox_a_ints(WH_ATTR_PADS, before, n),
                           ox_a_i(WH_ATTR_GROUP, ox_attr_i(o, "group", 1)),
                           ox_a_dims(o, WH_ATTR_SHAPE, w.n, space)};
  ox_give(o, 0, ox_cast(o, ox_node1(o, WH_OP_CONV_TRANSPOSE, in, in[2] ? 3 : 2, attrs, 5), x->dtype));
}

/* Whether every window has an element of the image in it, which then is what it gives. */
static bool meets_image(const window *w) {
  for (int i = 0; i < w->n; i++) {
    const bool padded = w->pads[i] || w->pads[w->n + i];
    if (padded && (w->dilations[i] != 1 || w->pads[i] >= w->kernel[i] || w->pads[w->n + i] >= w->kernel[i]))
      return false;
  }
  return true;
}

void ox_lower_pool(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *x = ox_wide(o, x0);
  const ox_codes *codes = ox_arg(o) == WH_OP_MAX_POOL && !ox_wants(o, 1) ? ox_codes_in_order(o, x0) : NULL;
  window w;
  wh_attr attrs[8];
  read_window(o, x, NULL, &w);
  auto_pad(o, x, &w);
  if (o->st != WH_OK) return;
  size_t n = window_attrs(&w, attrs);
  attrs[n++] = ox_a_ints(WH_ATTR_KERNEL, w.kernel, (size_t)w.n);
  attrs[n++] = ox_a_i(WH_ATTR_CEIL, ox_attr_i(o, "ceil_mode", 0) != 0);
  const size_t common = n;
  if (ox_arg(o) == WH_OP_AVERAGE_POOL)
    attrs[n++] = ox_a_i(WH_ATTR_COUNT_INCLUDE_PAD, ox_attr_i(o, "count_include_pad", 0) != 0);
  if (ox_arg(o) == WH_OP_LP_POOL) attrs[n++] = ox_a_i(WH_ATTR_P, ox_attr_i(o, "p", 2));
  if (codes && meets_image(&w)) { /* the largest code stands for the largest number */
    x = codes->x;
    ox_give(o, 0,
            ox_dequantize(o, ox_node1(o, WH_OP_MAX_POOL, &x, 1, attrs, n), codes->scale, codes->zero, 0, 0));
    return;
  }
  ox_give(o, 0, ox_cast(o, ox_node1(o, (wh_op)ox_arg(o), &x, 1, attrs, n), x0->dtype));
  if (ox_arg(o) != WH_OP_MAX_POOL || !ox_wants(o, 1)) return;
  attrs[common] = ox_a_i(WH_ATTR_COLUMN_MAJOR, ox_attr_i(o, "storage_order", 0) != 0);
  ox_give(o, 1, ox_node1(o, WH_OP_MAX_POOL_INDEX, &x, 1, attrs, common + 1));
}

static unsigned space_axes(const wh_datum *x) { return ((1u << x->rank) - 1) & ~3u; }

void ox_lower_global_pool(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const unsigned over = space_axes(x);
  ox_give(o, 0, ox_arg(o) ? ox_reduce(o, WH_OP_REDUCE_MAX, x, over, true) : ox_mean(o, x, over, true));
}

/* A convolution of each channel along the last axis, which sees no later element; what it saw last goes on.
 */
void ox_lower_causal_conv_with_state(ox *o) {
  wh_datum *x = ox_in(o, 0), *w = ox_in(o, 1), *padded = x;
  const wh_str activation = ox_attr_s(o, "activation", "none");
  const bool silu = wh_str_is(activation, "silu") || wh_str_is(activation, "swish");
  if (!silu && !wh_str_is(activation, "none")) OX_FAIL(o, ERR_UNSUPPORTED, "its activation is not known");
  if (x->rank != 3 || w->rank != 3 || w->dims[2] < 1)
    OX_FAIL(o, ERR_CORRUPT, "its input and weights have rank %d and %d", x->rank, w->rank);
  if (o->st != WH_OK) return;
  const int64_t before = w->dims[2] - 1, pads[] = {0, 0, before, 0, 0, 0};
  if (ox_has(o, 3)) {
    wh_datum *parts[] = {ox_in(o, 3), x};
    padded = ox_concat(o, 2, parts, 2);
  } else {
    padded = ox_pad(o, x, pads, 0, NULL);
  }
  wh_datum *in[] = {ox_wide(o, padded), ox_wide(o, w), ox_has(o, 2) ? ox_wide(o, ox_in(o, 2)) : NULL};
  wh_datum *y = ox_plain_conv(o, in, in[2] ? 3 : 2, x->dims[1]);
  if (silu) y = ox_mul(o, y, ox_unary(o, WH_OP_SIGMOID, y));
  ox_give(o, 0, ox_cast(o, y, x->dtype));
  if (o->st == WH_OK) ox_give(o, 1, ox_part(o, padded, 2, padded->dims[2] - before, before));
}

/* Where each element came from, as places in the output as one row. */
void ox_lower_max_unpool(ox *o) {
  wh_datum *x = ox_in(o, 0), *at = ox_in(o, 1);
  window w;
  int64_t dims[WH_MAX_RANK], total = 1, count = (int64_t)x->n;
  read_window(o, x, NULL, &w);
  if (o->st != WH_OK) return;
  dims[0] = x->dims[0];
  dims[1] = x->dims[1];
  for (int i = 0; i < w.n; i++)
    dims[2 + i] = (x->dims[2 + i] - 1) * w.strides[i] - w.pads[i] - w.pads[w.n + i] + w.kernel[i];
  for (int i = 0; i < x->rank; i++)
    if (dims[i] < 0 || __builtin_mul_overflow(total, dims[i], &total))
      OX_FAIL(o, ERR_CORRUPT, "its output has no size");
  wh_datum *zeros = ox_expand(o, ox_reshape(o, ox_num(o, x, 0), 1, (const int64_t[]){1}), 1, &total);
  wh_datum *in[] = {zeros, ox_reshape(o, at, 1, &count), ox_reshape(o, x, 1, &count)};
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, 0), ox_a_i(WH_ATTR_REDUCTION, 0)};
  wh_datum *y = ox_reshape(o, ox_node1(o, WH_OP_SCATTER_ELEMENTS, in, 3, attrs, 2), x->rank, dims);
  if (ox_has(o, 2)) { /* a larger output: more behind each axis */
    const int64_t *want = ox_ints(o, ox_in(o, 2));
    int64_t pads[2 * WH_MAX_RANK] = {0};
    if (!want || ox_in(o, 2)->n != (size_t)x->rank) OX_FAIL(o, ERR_CORRUPT, "output_shape does not fit");
    for (int i = 0; i < x->rank && o->st == WH_OK; i++) {
      pads[x->rank + i] = want[i] - dims[i];
      if (want[i] < dims[i]) OX_FAIL(o, ERR_CORRUPT, "output_shape is smaller than what its windows cover");
    }
    y = ox_pad(o, y, pads, 0, NULL);
  }
  ox_give(o, 0, y);
}

/* ---- norms of images ---- */

void ox_lower_batch_normalization(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *x = ox_wide(o, x0), *w = ox_wide(o, ox_in(o, 1)), *b = ox_wide(o, ox_in(o, 2));
  wh_datum *mean = ox_wide(o, ox_in(o, 3)), *variance = ox_wide(o, ox_in(o, 4));
  const float eps = ox_attr_f(o, "epsilon", 1e-5f), momentum = ox_attr_f(o, "momentum", 0.9f);
  if (x->rank < 2 && o->st == WH_OK) x = ox_insert_axes(o, x, 2, 2);
  const bool trains = ox_opset(o) >= 14 ? ox_attr_i(o, "training_mode", 0) != 0
                                        : ox_opset(o) < 7 && !ox_attr_i(o, "is_test", 0) && ox_wants(o, 1);
  if (trains) {
    const unsigned over = ((1u << x->rank) - 1) & ~2u;
    wh_datum *now = ox_mean(o, x, over, true), *d = ox_sub(o, x, now),
             *spread = ox_mean(o, ox_mul(o, d, d), over, true);
    wh_datum *keep = ox_num(o, x, momentum), *take = ox_num(o, x, 1.0f - momentum);
    now = ox_reshape(o, now, 1, &x->dims[1]);
    spread = ox_reshape(o, spread, 1, &x->dims[1]);
    ox_give(o, 1, ox_cast(o, ox_add(o, ox_mul(o, mean, keep), ox_mul(o, now, take)), ox_in(o, 3)->dtype));
    ox_give(o, 2,
            ox_cast(o, ox_add(o, ox_mul(o, variance, keep), ox_mul(o, spread, take)), ox_in(o, 4)->dtype));
    mean = now;
    variance = spread;
  }
  w = ox_div(o, w, ox_unary(o, WH_OP_SQRT, ox_add(o, variance, ox_num(o, variance, eps))));
  b = ox_sub(o, b, ox_mul(o, mean, w));
  wh_datum *y = ox_add(o, ox_mul(o, x, ox_per_channel(o, w, x->rank, 1)), ox_per_channel(o, b, x->rank, 1));
  ox_give(o, 0, ox_cast(o, o->st == WH_OK ? ox_reshape(o, y, x0->rank, x0->dims) : y, x0->dtype));
}

void ox_lower_instance_normalization(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *x = ox_wide(o, x0), *mean, *inverse;
  wh_datum *y = ox_standardise(o, x, space_axes(x), ox_attr_f(o, "epsilon", 1e-5f), &mean, &inverse);
  y = ox_mul(o, y, ox_per_channel(o, ox_wide(o, ox_in(o, 1)), x->rank, 1));
  ox_give(o, 0, ox_cast(o, ox_add(o, y, ox_per_channel(o, ox_wide(o, ox_in(o, 2)), x->rank, 1)), x0->dtype));
}

void ox_lower_group_normalization(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *x = ox_wide(o, x0), *w = ox_wide(o, ox_in(o, 1)), *b = ox_wide(o, ox_in(o, 2)),
           *mean, *inverse;
  const int64_t groups = ox_attr_i(o, "num_groups", 1);
  if (x->rank < 2 || groups < 1 || x->dims[1] % groups)
    OX_FAIL(o, ERR_CORRUPT, "its channels do not divide into %" PRId64 " groups", groups);
  if (o->st != WH_OK) return;
  const int64_t by[] = {x->dims[0], groups},
                three[] = {x->dims[0], groups, x->n ? ox_dim_quotient(o, x->dims, x->rank, by, 2) : 0};
  if (three[2] == -1) OX_FAIL(o, ERR_UNSUPPORTED, "its groups are of open dims");
  if (o->st != WH_OK) return;
  wh_datum *y =
      ox_standardise(o, ox_reshape(o, x, 3, three), 4, ox_attr_f(o, "epsilon", 1e-5f), &mean, &inverse);
  const bool per_group = w->n == (size_t)groups && w->dims[0] != x->dims[1];
  if (per_group) y = ox_add(o, ox_mul(o, y, ox_per_channel(o, w, 3, 1)), ox_per_channel(o, b, 3, 1));
  y = ox_reshape(o, y, x->rank, x->dims);
  if (!per_group)
    y = ox_add(o, ox_mul(o, y, ox_per_channel(o, w, x->rank, 1)), ox_per_channel(o, b, x->rank, 1));
  ox_give(o, 0, ox_cast(o, y, x0->dtype));
}

void ox_lower_lrn(ox *o) {
  wh_datum *x = ox_wide(o, ox_in(o, 0));
  const wh_attr attrs[] = {
      ox_a_i(WH_ATTR_SIZE, ox_attr_i(o, "size", 1)), ox_a_f(WH_ATTR_ALPHA, ox_attr_f(o, "alpha", 1e-4f)),
      ox_a_f(WH_ATTR_BETA, ox_attr_f(o, "beta", 0.75f)), ox_a_f(WH_ATTR_EPS, ox_attr_f(o, "bias", 1))};
  ox_give(o, 0, ox_cast(o, ox_node1(o, WH_OP_LRN, &x, 1, attrs, 4), ox_in(o, 0)->dtype));
}

void ox_lower_det(ox *o) {
  wh_datum *x = ox_in(o, 0);
  ox_give(o, 0, ox_node1(o, WH_OP_DET, &x, 1, NULL, 0));
}

/* ---- resampling ---- */

static int one_of(ox *o, wh_str s, const char *const *names, int n, const char *what) {
  for (int i = 0; i < n; i++)
    if (wh_str_is(s, names[i])) return i;
  OX_FAIL(o, ERR_UNSUPPORTED, "its %s '" WH_STR_FMT "' is not known", what, WH_STR_ARG(s));
  return 0;
}

static wh_datum *resample_axis(ox *o, wh_datum *x, int axis, const wh_resample_spec *spec, float outside) {
  int64_t taps;
  ox_try(o, wh_resample_taps(spec, &taps));
  if (o->st != WH_OK) return x;
  const int64_t dims[] = {spec->n_out, taps};
  wh_datum *index = ox_new(o, WH_DTYPE_I32, 2, dims), *weight = ox_new(o, WH_DTYPE_F32, 2, dims);
  if (o->st != WH_OK) return x;
  wh_resample_tables(spec, (int32_t *)(uintptr_t)index->data, (float *)(uintptr_t)weight->data);
  if (spec->mode == WH_RESAMPLE_NEAREST && spec->place != WH_RESAMPLE_CROP && taps == 1)
    return ox_gather(o, x, ox_reshape(o, index, 1, dims), axis); /* elements of any type */
  wh_datum *in[] = {x, index, weight};
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, axis), ox_a_f(WH_ATTR_ALPHA, outside)};
  return ox_node1(o, WH_OP_RESAMPLE, in, 3, attrs, 2);
}

/* How many times each element comes when that is all that resizing an axis does, else 0. */
static int64_t repeats_of(const wh_resample_spec *spec) {
  const double scale = spec->scale;
  const bool plain =
      (spec->place == WH_RESAMPLE_ASYMMETRIC && spec->nearest == WH_RESAMPLE_FLOOR) ||
      (spec->place == WH_RESAMPLE_HALF_PIXEL && spec->nearest == WH_RESAMPLE_ROUND_PREFER_FLOOR);
  if (spec->mode != WH_RESAMPLE_NEAREST || !plain || spec->antialias || !(scale >= 1 && scale <= 1024) ||
      scale != floor(scale))
    return 0;
  return (int64_t)scale;
}

/* Elements so many times along each axis, in one pass. */
static wh_datum *repeat_axes(ox *o, wh_datum *x, const int64_t *times) {
  int64_t one[WH_MAX_RANK], more[WH_MAX_RANK], dims[WH_MAX_RANK];
  int rank = 0;
  for (int i = 0; i < x->rank; i++) {
    one[rank] = more[rank] = dims[i] = x->dims[i];
    rank++;
    if (times[i] == 1) continue;
    one[rank] = 1;
    more[rank++] = times[i];
    dims[i] = ox_dim_binary(o, WH_DIM_MUL, dims[i], times[i]);
  }
  return ox_reshape(o, ox_expand(o, ox_reshape(o, x, rank, one), rank, more), x->rank, dims);
}

/* Sizes of all axes, entry[axis] of those that change (others: -1): from scales, or from sizes under a policy
 * for their ratio. */
static void resized(ox *o, const wh_datum *x, const int *entry, const double *scales, const int64_t *sizes,
                    double *scale, int64_t *out) {
  const wh_str policy = ox_attr_s(o, "keep_aspect_ratio_policy", "stretch");
  const bool larger = wh_str_is(policy, "not_smaller"), keeps = larger || wh_str_is(policy, "not_larger");
  double common = 0;
  for (int i = 0; i < x->rank && sizes && keeps; i++) {
    if (entry[i] < 0) continue;
    if (ox_has_open_dims(o, x)) OX_FAIL(o, ERR_UNSUPPORTED, "sizes depend on open dims");
    const double s = (double)sizes[entry[i]] / (double)x->dims[i];
    if (common == 0 || (larger ? s > common : s < common)) common = s;
  }
  for (int i = 0; i < x->rank; i++) {
    scale[i] = 1;
    out[i] = x->dims[i];
    if (entry[i] < 0) continue;
    if (ox_is_open(o, x->dims[i])) { /* repeat_axis finds its size */
      if (!sizes) scale[i] = scales[entry[i]];
      if (sizes && sizes[entry[i]] != x->dims[i]) OX_FAIL(o, ERR_UNSUPPORTED, "sizes depend on open dims");
      continue;
    }
    if (sizes) {
      out[i] = keeps ? (int64_t)floor(common * (double)x->dims[i] + 0.5) : sizes[entry[i]];
      scale[i] = keeps ? common : (double)out[i] / (double)x->dims[i];
    } else {
      scale[i] = scales[entry[i]];
      const double n = floor(scale[i] * (double)x->dims[i]);
      out[i] = n >= 0 && n < 0x1p40 ? (int64_t)n : -1;
    }
    if (out[i] < 0 || !(scale[i] > 0)) OX_FAIL(o, ERR_CORRUPT, "axis %d would be resized to no size", i);
  }
}

void ox_lower_resize(ox *o) {
  static const char *const modes[] = {"nearest", "linear", "cubic", "bilinear"};
  static const char *const places[] = {"half_pixel",        "half_pixel_symmetric", "pytorch_half_pixel",
                                       "align_corners",     "asymmetric",           "tf_half_pixel_for_nn",
                                       "tf_crop_and_resize"};
  static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  wh_datum *x0 = ox_in(o, 0), *x = x0;
  const bool upsample = ox_arg(o), old = upsample || ox_opset(o) < 11;
  const double *scales = NULL, *roi = NULL;
  const int64_t *sizes = NULL;
  size_t n_axes;
  const int64_t *list = ox_attr_ints(o, "axes", &n_axes);
  int entry[WH_MAX_RANK];
  for (int i = 0; i < x->rank; i++) entry[i] = list ? -1 : i;
  for (size_t i = 0; i < n_axes && o->st == WH_OK; i++) entry[ox_axis(o, list[i], x->rank)] = (int)i;
  if (!list) n_axes = (size_t)x->rank;
  if (upsample && ox_opset(o) < 9) {
    size_t n;
    const float *v = ox_attr_floats(o, "scales", &n);
    double *d = ox_array(o, n, sizeof *d);
    if (!v || n != n_axes) OX_FAIL(o, ERR_CORRUPT, "its scales do not fit its input");
    for (size_t i = 0; d && o->st == WH_OK && i < n; i++) d[i] = v[i];
    scales = d;
  } else {
    const size_t at = old ? 1 : 2;
    if (!old && ox_has(o, 1) && ox_in(o, 1)->n == 2 * n_axes) roi = ox_doubles(o, ox_in(o, 1));
    if (ox_has(o, 3) && ox_in(o, 3)->n) {
      sizes = ox_dims(o, ox_in(o, 3));
      if (ox_in(o, 3)->n != n_axes) OX_FAIL(o, ERR_CORRUPT, "its sizes do not fit its input");
    } else {
      scales = ox_doubles(o, ox_in(o, at));
      if (ox_in(o, at)->n != n_axes) OX_FAIL(o, ERR_CORRUPT, "its scales do not fit its input");
    }
  }
  double scale[WH_MAX_RANK];
  int64_t out[WH_MAX_RANK];
  wh_resample_spec spec = {
      .mode = (wh_resample_mode)(one_of(o, ox_attr_s(o, "mode", "nearest"), modes, 4, "mode") % 3)};
  if (wh_str_is(ox_attr_s(o, "mode", ""), "bilinear")) spec.mode = WH_RESAMPLE_LINEAR;
  spec.place = (wh_resample_place)one_of(
      o, ox_attr_s(o, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel"), places, 7,
      "coordinate_transformation_mode");
  spec.nearest = (wh_resample_nearest)one_of(
      o, ox_attr_s(o, "nearest_mode", old ? "floor" : "round_prefer_floor"), roundings, 4, "nearest_mode");
  spec.cubic_a = ox_attr_f(o, "cubic_coeff_a", -0.75f);
  spec.exclude_outside = ox_attr_i(o, "exclude_outside", 0) != 0;
  spec.antialias = ox_attr_i(o, "antialias", 0) != 0;
  if (o->st != WH_OK) return;
  resized(o, x, entry, scales, sizes, scale, out);
  const bool moves = spec.mode == WH_RESAMPLE_NEAREST && spec.place != WH_RESAMPLE_CROP;
  if (!moves) x = ox_f32(o, x);
  int64_t times[WH_MAX_RANK];
  int repeated = 0;
  for (int i = 0; i < x->rank; i++) times[i] = 1;
  for (int i = 0; i < x->rank && o->st == WH_OK; i++) {
    if (entry[i] < 0) continue;
    spec.n_in = x->dims[i];
    spec.n_out = out[i];
    spec.scale = scale[i];
    spec.begin = roi ? roi[entry[i]] : 0;
    spec.end = roi ? roi[(size_t)entry[i] + n_axes] : 1;
    if (out[i] == x->dims[i] && scale[i] == 1 && spec.place != WH_RESAMPLE_CROP) continue;
    const int64_t n = repeats_of(&spec);
    const bool open = ox_is_open(o, x->dims[i]);
    if (n && x->rank + repeated < WH_MAX_RANK && (open || (out[i] > 0 && out[i] == n * x->dims[i]))) {
      times[i] = n;
      repeated++;
      continue;
    }
    if (open) OX_FAIL(o, ERR_UNSUPPORTED, "it is resized along an open dim");
    if (x->dims[i] == 0 || out[i] == 0) {
      int64_t dims[WH_MAX_RANK];
      memcpy(dims, out, sizeof dims);
      x = ox_new(o, x0->dtype, x0->rank, dims);
      repeated = 0;
      break;
    }
    x = resample_axis(o, x, i, &spec, ox_attr_f(o, "extrapolation_value", 0));
  }
  if (repeated && o->st == WH_OK) x = repeat_axes(o, x, times);
  ox_give(o, 0, ox_cast(o, x, x0->dtype));
}

void ox_lower_grid_sample(ox *o) {
  static const char *const modes[] = {"nearest", "linear", "cubic", "bilinear", "bicubic"};
  static const char *const paddings[] = {"zeros", "border", "reflection"};
  const int mode = one_of(o, ox_attr_s(o, "mode", "bilinear"), modes, 5, "mode");
  wh_datum *in[] = {ox_f32(o, ox_in(o, 0)), ox_f32(o, ox_in(o, 1))};
  const wh_attr attrs[] = {
      ox_a_i(WH_ATTR_MODE, mode > 2 ? mode - 2 : mode),
      ox_a_i(WH_ATTR_PADDING, one_of(o, ox_attr_s(o, "padding_mode", "zeros"), paddings, 3, "padding_mode")),
      ox_a_i(WH_ATTR_ALIGN_CORNERS, ox_attr_i(o, "align_corners", 0) != 0)};
  ox_give(o, 0, ox_cast(o, ox_node1(o, WH_OP_GRID_SAMPLE, in, 2, attrs, 3), ox_in(o, 0)->dtype));
}

void ox_lower_roi_align(ox *o) {
  wh_datum *in[] = {ox_in(o, 0), ox_in(o, 1), ox_in(o, 2)};
  const int64_t kernel[] = {ox_attr_i(o, "output_height", 1), ox_attr_i(o, "output_width", 1)};
  const bool half = ox_opset(o) >= 16 &&
                    wh_str_is(ox_attr_s(o, "coordinate_transformation_mode", "half_pixel"), "half_pixel");
  const wh_attr attrs[] = {
      ox_a_ints(WH_ATTR_KERNEL, kernel, 2), ox_a_i(WH_ATTR_SAMPLING, ox_attr_i(o, "sampling_ratio", 0)),
      ox_a_f(WH_ATTR_SCALE, ox_attr_f(o, "spatial_scale", 1)),
      ox_a_i(WH_ATTR_MODE, wh_str_is(ox_attr_s(o, "mode", "avg"), "max")), ox_a_i(WH_ATTR_HALF_PIXEL, half)};
  ox_give(o, 0, ox_node1(o, WH_OP_ROI_ALIGN, in, 3, attrs, 5));
}
