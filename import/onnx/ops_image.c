/* ops_image.c - operators on images that are made of others: deformed convolution, images of columns, crops,
 * grids. */
#include <inttypes.h>
#include <string.h>

#include "import/onnx/lowerings.h"

static void *room(const wh_datum *d) { return (void *)(uintptr_t)d->data; }

/* ---- crops ---- */

/* The middle of what is larger; in the middle of zeros what is smaller. */
void ox_lower_center_crop_pad(ox *o) {
  wh_datum *x = ox_in(o, 0), *shape = ox_in(o, 1);
  const int64_t *want = ox_ints(o, shape);
  size_t n;
  const int64_t *axes = ox_attr_ints(o, "axes", &n);
  int64_t pads[2 * WH_MAX_RANK] = {0};
  if (!axes) n = (size_t)x->rank;
  if (shape->n != n) OX_FAIL(o, ERR_CORRUPT, "it has %zu sizes for %zu axes", shape->n, n);
  for (size_t i = 0; want && i < n && o->st == WH_OK; i++) {
    const int axis = axes ? ox_axis(o, axes[i], x->rank) : (int)i;
    const int64_t have = x->dims[axis];
    if (want[i] < 0) OX_FAIL(o, ERR_CORRUPT, "a size is negative");
    if (want[i] < have) x = ox_part(o, x, axis, (have - want[i]) / 2, want[i]);
    if (want[i] <= have) continue;
    pads[axis] = (want[i] - have) / 2;
    pads[x->rank + axis] = want[i] - have - pads[axis];
  }
  ox_give(o, 0, ox_pad(o, x, pads, 0, NULL));
}

/* ---- grids ---- */

/* Where a place of n lies in -1..1. */
static double grid_place(int64_t i, int64_t n, bool aligned) {
  if (aligned) return n > 1 ? -1 + 2 * (double)i / (double)(n - 1) : -1;
  return (2 * (double)i + 1) / (double)n - 1;
}

/* The places of an image, last axis first, and a 1: [n, axes + 1] */
static wh_datum *homogeneous_places(ox *o, int axes, const int64_t *size, bool aligned) {
  int64_t dims[] = {1, axes + 1};
  for (int i = 0; i < axes; i++)
    if (size[i] < 1 || __builtin_mul_overflow(dims[0], size[i], &dims[0]))
      OX_FAIL(o, ERR_CORRUPT, "its size is none");
  wh_datum *d = o->st == WH_OK ? ox_new(o, WH_DTYPE_F32, 2, dims) : &o->nothing;
  float *to = room(d);
  for (int64_t i = 0; o->st == WH_OK && i < dims[0]; i++) {
    int64_t rest = i;
    for (int axis = axes - 1; axis >= 0; axis--) {
      *to++ = (float)grid_place(rest % size[axis], size[axis], aligned);
      rest /= size[axis];
    }
    *to++ = 1;
  }
  return d;
}

/* theta[n, axes, axes + 1] times the places of an image of the size [n, c, space ..] */
void ox_lower_affine_grid(ox *o) {
  static const int64_t swap[] = {0, 2, 1};
  wh_datum *theta = ox_in(o, 0), *size_in = ox_in(o, 1);
  const int64_t *size = ox_ints(o, size_in);
  const int axes = (int)size_in->n - 2;
  if (axes < 2 || axes > 3 || theta->rank != 3 || theta->dims[1] != axes || theta->dims[2] != axes + 1)
    OX_FAIL(o, ERR_CORRUPT, "its matrices and its size do not go together");
  if (o->st != WH_OK) return;
  wh_datum *at = homogeneous_places(o, axes, size + 2, ox_attr_i(o, "align_corners", 0) != 0);
  wh_datum *y = ox_matmul(o, at, ox_transpose(o, ox_f32(o, theta), swap));
  int64_t dims[WH_MAX_RANK] = {theta->dims[0]};
  for (int i = 0; i < axes; i++) dims[1 + i] = size[2 + i];
  dims[1 + axes] = axes;
  ox_give(o, 0, ox_cast(o, ox_reshape(o, y, axes + 2, dims), theta->dtype));
}

/* ---- columns ---- */

typedef struct windows {
  int n; /* axes of space */
  int64_t image[WH_MAX_RANK], kernel[WH_MAX_RANK], strides[WH_MAX_RANK], dilations[WH_MAX_RANK],
      pads[2 * WH_MAX_RANK], padded[WH_MAX_RANK], count[WH_MAX_RANK]; /* of windows along each axis */
  int64_t taps, blocks, room;                                         /* products of kernel, count, padded */
} windows;

static void read_list(ox *o, const char *name, size_t n, int64_t fallback, int64_t *out) {
  size_t count;
  const int64_t *v = ox_attr_ints(o, name, &count);
  if (v && count != n) OX_FAIL(o, ERR_CORRUPT, "%s has %zu entries where %zu are needed", name, count, n);
  for (size_t i = 0; i < n && o->st == WH_OK; i++) {
    out[i] = v ? v[i] : fallback;
    if (out[i] < fallback || out[i] > INT32_MAX) OX_FAIL(o, ERR_CORRUPT, "%s is out of range", name);
  }
}

/* image and kernel are there. */
static void read_windows(ox *o, windows *w) {
  const size_t n = (size_t)w->n;
  read_list(o, "strides", n, 1, w->strides);
  read_list(o, "dilations", n, 1, w->dilations);
  read_list(o, "pads", 2 * n, 0, w->pads);
  w->taps = w->blocks = w->room = 1;
  for (int i = 0; i < w->n && o->st == WH_OK; i++) {
    if (w->image[i] < 1 || w->kernel[i] < 1 || w->image[i] > INT32_MAX || w->kernel[i] > INT32_MAX)
      OX_FAIL(o, ERR_CORRUPT, "an image or a window has no size");
    w->padded[i] = w->image[i] + w->pads[i] + w->pads[w->n + i];
    const int64_t free = w->padded[i] - ((w->kernel[i] - 1) * w->dilations[i] + 1);
    w->count[i] = free < 0 ? 0 : free / w->strides[i] + 1;
    if (free < 0 || __builtin_mul_overflow(w->taps, w->kernel[i], &w->taps) ||
        __builtin_mul_overflow(w->blocks, w->count[i], &w->blocks) ||
        __builtin_mul_overflow(w->room, w->padded[i], &w->room))
      OX_FAIL(o, ERR_CORRUPT, "its windows do not fit its image");
  }
}

/* Where tap t of window b lies in the padded image. */
static int64_t place_of(const windows *w, int64_t t, int64_t b) {
  int64_t at = 0, step = 1;
  for (int i = w->n - 1; i >= 0; i--) {
    at += (b % w->count[i] * w->strides[i] + t % w->kernel[i] * w->dilations[i]) * step;
    t /= w->kernel[i];
    b /= w->count[i];
    step *= w->padded[i];
  }
  return at;
}

/* x[n, c * taps, windows]: each tap is added to the image where it was taken from */
void ox_lower_col2im(ox *o) {
  wh_datum *x = ox_in(o, 0), *image = ox_in(o, 1), *block = ox_in(o, 2);
  const int64_t *sizes = ox_ints(o, image), *kernel = ox_ints(o, block);
  windows w = {.n = (int)image->n};
  if (image->n < 1 || image->n > WH_MAX_RANK - 2 || block->n != image->n || x->rank != 3)
    OX_FAIL(o, ERR_CORRUPT, "its columns, image and block do not go together");
  if (o->st != WH_OK) return;
  for (int i = 0; i < w.n; i++) {
    w.image[i] = sizes[i];
    w.kernel[i] = kernel[i];
  }
  read_windows(o, &w);
  if (o->st == WH_OK && (x->dims[1] % w.taps || x->dims[2] != w.blocks))
    OX_FAIL(o, ERR_CORRUPT, "its columns are not those of such an image");
  if (o->st != WH_OK) return;
  const int64_t n = w.taps * w.blocks, columns[] = {x->dims[0], x->dims[1] / w.taps, n},
                rows[] = {columns[0], columns[1], w.room};
  wh_datum *at = ox_new(o, WH_DTYPE_I64, 1, &n);
  for (int64_t i = 0; i < n && o->st == WH_OK; i++)
    ((int64_t *)room(at))[i] = place_of(&w, i / w.blocks, i % w.blocks);
  if (o->st != WH_OK) return;
  wh_datum *in[] = {ox_expand(o, ox_num(o, x, 0), 3, rows),
                    ox_expand(o, ox_per_channel(o, at, 3, 2), 3, columns), ox_reshape(o, x, 3, columns)};
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, 2), ox_a_i(WH_ATTR_REDUCTION, 1)};
  wh_datum *y = ox_node1(o, WH_OP_SCATTER_ELEMENTS, in, 3, attrs, 2);
  int64_t dims[WH_MAX_RANK] = {columns[0], columns[1]};
  memcpy(dims + 2, w.padded, (size_t)w.n * sizeof *dims);
  y = ox_reshape(o, y, w.n + 2, dims);
  for (int i = 0; i < w.n; i++) y = ox_part(o, y, 2 + i, w.pads[i], w.image[i]);
  ox_give(o, 0, y);
}

/* ---- deformed convolution: windows whose taps are moved by offsets ---- */

/* Where the taps lie without offsets, along axis 0 (y) or 1 (x): f32[1, taps, oh, ow] */
static wh_datum *straight_places(ox *o, const windows *w, int axis) {
  const int64_t dims[] = {1, w->taps, w->count[0], w->count[1]};
  wh_datum *d = ox_new(o, WH_DTYPE_F32, 4, dims);
  float *to = room(d);
  for (int64_t t = 0; o->st == WH_OK && t < w->taps; t++)
    for (int64_t b = 0; b < w->blocks; b++) {
      const int64_t tap = axis ? t % w->kernel[1] : t / w->kernel[1],
                    at = axis ? b % w->count[1] : b / w->count[1];
      *to++ = (float)(at * w->strides[axis] + tap * w->dilations[axis] - w->pads[axis]);
    }
  return d;
}

/* Zeros behind the image until its sides are powers of two, by which a place is divided exactly. */
static wh_datum *to_powers_of_2(ox *o, wh_datum *x) {
  int64_t pads[8] = {0};
  for (int axis = 2; axis < 4; axis++) {
    int64_t size = 1;
    while (size < x->dims[axis]) size *= 2;
    pads[4 + axis] = size - x->dims[axis];
  }
  return ox_pad(o, x, pads, 0, NULL);
}

/* The taps of the channels of one offset group: [n, c, taps, oh * ow] */
static wh_datum *sampled(ox *o, const windows *w, wh_datum *x, wh_datum *offset, wh_datum *mask,
                         int64_t group) {
  const int64_t n = x->dims[0], oh = w->count[0], ow = w->count[1], pairs[] = {n, w->taps, 2, oh * ow},
                rows[] = {n, w->taps * oh, ow, 1}, columns[] = {n, x->dims[1], w->taps, oh * ow},
                masks[] = {n, 1, w->taps, oh * ow};
  wh_datum *own = ox_reshape(o, ox_part(o, offset, 1, group * 2 * w->taps, 2 * w->taps), 4, pairs), *g[2];
  for (int axis = 0; axis < 2 && o->st == WH_OK; axis++) { /* as grid_sample has it without aligned corners */
    const int64_t four[] = {n, w->taps, oh, ow};
    wh_datum *p = ox_add(o, ox_reshape(o, ox_part(o, own, 2, axis, 1), 4, four), straight_places(o, w, axis));
    const double size = (double)x->dims[2 + axis];
    p = ox_sub(o, ox_div(o, ox_add(o, ox_mul(o, p, ox_num(o, p, 2)), ox_num(o, p, 1)), ox_num(o, p, size)),
               ox_num(o, p, 1));
    g[1 - axis] = ox_reshape(o, p, 4, rows);
  }
  if (o->st != WH_OK) return &o->nothing;
  wh_datum *in[] = {x, ox_concat(o, 3, g, 2)};
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_MODE, 1), ox_a_i(WH_ATTR_PADDING, 0),
                           ox_a_i(WH_ATTR_ALIGN_CORNERS, 0)};
  wh_datum *y = ox_reshape(o, ox_node1(o, WH_OP_GRID_SAMPLE, in, 2, attrs, 3), 4, columns);
  return mask ? ox_mul(o, y, ox_reshape(o, ox_part(o, mask, 1, group * w->taps, w->taps), 4, masks)) : y;
}

void ox_lower_deform_conv(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *x = ox_f32(o, x0), *weight = ox_f32(o, ox_in(o, 1)),
           *offset = ox_f32(o, ox_in(o, 2)), *mask = ox_has(o, 4) ? ox_f32(o, ox_in(o, 4)) : NULL;
  const int64_t group = ox_attr_i(o, "group", 1), groups = ox_attr_i(o, "offset_group", 1);
  windows w = {.n = 2};
  if (x->rank != 4 || weight->rank != 4 || offset->rank != 4 || (mask && mask->rank != 4))
    OX_FAIL(o, ERR_UNSUPPORTED, "its input has rank %d: 4 is computed", x->rank);
  if (o->st != WH_OK) return;
  for (int i = 0; i < 2; i++) {
    w.image[i] = x->dims[2 + i];
    w.kernel[i] = weight->dims[2 + i];
  }
  read_windows(o, &w);
  const int64_t c = x->dims[1], m = weight->dims[0];
  if (o->st == WH_OK &&
      (group < 1 || groups < 1 || c % group || c % groups || m % group || weight->dims[1] * group != c ||
       offset->dims[0] != x->dims[0] || offset->dims[1] != groups * w.taps * 2 ||
       offset->dims[2] != w.count[0] || offset->dims[3] != w.count[1]))
    OX_FAIL(o, ERR_CORRUPT, "its input, weights and offsets do not go together");
  wh_datum **parts = o->st == WH_OK ? ox_array(o, (size_t)groups, sizeof *parts) : NULL;
  if (parts) x = to_powers_of_2(o, x);
  for (int64_t i = 0; parts && i < groups; i++)
    parts[i] = sampled(o, &w, ox_part(o, x, 1, i * (c / groups), c / groups), offset, mask, i);
  if (!parts || o->st != WH_OK) return;
  const int64_t columns[] = {x->dims[0], group, c / group * w.taps, w.blocks},
                kernels[] = {group, m / group, c / group * w.taps},
                dims[] = {x->dims[0], m, w.count[0], w.count[1]};
  wh_datum *y = ox_matmul(o, ox_reshape(o, weight, 3, kernels),
                          ox_reshape(o, ox_concat(o, 1, parts, (size_t)groups), 4, columns));
  y = ox_reshape(o, y, 4, dims);
  if (ox_has(o, 3)) y = ox_add(o, y, ox_per_channel(o, ox_f32(o, ox_in(o, 3)), 4, 1));
  ox_give(o, 0, ox_cast(o, y, x0->dtype));
}
