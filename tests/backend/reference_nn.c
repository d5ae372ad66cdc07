/* reference_nn.c - windows: every output first collects what its window holds, then reduces that. */
#include "tests/backend/reference_nn.h"

#include <stdlib.h>

float ref_chain512(const float *x, const float *w, int64_t n) {
  float y = 0.0f, a = 0.0f;
  for (int64_t i = 0; i < n; i++) {
    a = fmaf(x[i], w[i], a);
    if (i % 512 == 511 || i == n - 1) {
      y = y + a;
      a = 0.0f;
    }
  }
  return y;
}

double ref_power(double x, double e) { return wh_exp_f64(e * wh_log_f64(x)); }

/* ---- windows ---- */

typedef struct element {
  int64_t at, column_at; /* in the plane, row-major and with the axes turned around; -1: outside */
  int64_t tap;
} element;

typedef struct collected {
  int64_t n, n_padded; /* taps; those within the padded plane */
  element *taps;
} collected;

static int64_t attr_int(const ref_node *n, wh_attr_key key, int64_t i) {
  return wh_node_attr(n->node, key)->ints[i];
}

static int64_t space(const ref_value *v) {
  int64_t n = 1;
  for (int i = 2; i < v->rank; i++) n *= v->dims[i];
  return n;
}

/* Recursion over the axes of space. */
static void collect(const ref_node *n, const int64_t *kernel, int64_t output, int axis, element e,
                    bool padded, collected *c) {
  const ref_value *x = &n->in[0];
  const int n_space = x->rank - 2;
  if (axis == n_space) {
    c->taps[c->n++] = e;
    c->n_padded += padded;
    return;
  }
  int64_t below = 1, column = 1;
  for (int i = axis + 1; i < n_space; i++) below *= n->out.dims[2 + i];
  for (int i = 0; i < axis; i++) column *= x->dims[2 + i];
  const int64_t place = output / below % n->out.dims[2 + axis], size = x->dims[2 + axis];
  for (int64_t k = 0; k < kernel[axis]; k++) {
    const int64_t p = place * attr_int(n, WH_ATTR_STRIDES, axis) + k * attr_int(n, WH_ATTR_DILATIONS, axis) -
                      attr_int(n, WH_ATTR_PADS, axis);
    const bool outside = e.at < 0 || p < 0 || p >= size;
    const element next = {.at = outside ? -1 : e.at * size + p,
                          .column_at = outside ? -1 : e.column_at + p * column,
                          .tap = e.tap * kernel[axis] + k};
    collect(n, kernel, output, axis + 1, next, padded && p < size + attr_int(n, WH_ATTR_PADS, n_space + axis),
            c);
  }
}

static collected window(const ref_node *n, const int64_t *kernel, int64_t output) {
  int64_t taps = 1;
  for (int i = 0; i < n->in[0].rank - 2; i++) taps *= kernel[i];
  collected c = {.taps = malloc((size_t)taps * sizeof *c.taps)};
  if (!c.taps) abort();
  collect(n, kernel, output, 0, (element){0}, true, &c);
  return c;
}

/* ---- convolutions ---- */

/* 3x3 kernels by minimal filtering: of which, and how an output comes about, read from NUMERICS.md anew. */
static bool is_winograd(const ref_node *n) {
  const ref_value *w = &n->in[1];
  if (w->rank != 4 || w->dims[2] != 3 || w->dims[3] != 3) return false;
  for (int i = 0; i < 2; i++)
    if (attr_int(n, WH_ATTR_STRIDES, i) != 1 || attr_int(n, WH_ATTR_DILATIONS, i) != 1) return false;
  return w->dims[1] >= 16 && w->dims[0] / wh_node_i(n->node, WH_ATTR_GROUP) >= 16;
}

typedef struct square {
  float at[4][4];
} square;

static square turned(square s) {
  square t;
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) t.at[i][j] = s.at[j][i];
  return t;
}

/* Rows become others, of which there are as many as the step gives. */
static square filtered_elements(square d) {
  square t;
  for (int j = 0; j < 4; j++) {
    t.at[0][j] = d.at[0][j] - d.at[2][j];
    t.at[1][j] = d.at[1][j] + d.at[2][j];
    t.at[2][j] = d.at[2][j] - d.at[1][j];
    t.at[3][j] = d.at[1][j] - d.at[3][j];
  }
  return t;
}

static square filtered_weights(square g) {
  square t;
  for (int j = 0; j < 4; j++) {
    const float s = g.at[0][j] + g.at[2][j], plus = s + g.at[1][j], minus = s - g.at[1][j];
    t.at[0][j] = g.at[0][j];
    t.at[1][j] = 0.5f * plus;
    t.at[2][j] = 0.5f * minus;
    t.at[3][j] = g.at[2][j];
  }
  return t;
}

static square filtered_sums(square m) {
  square t = {{{0}}};
  for (int j = 0; j < 4; j++) {
    t.at[0][j] = m.at[0][j] + m.at[1][j];
    t.at[0][j] = t.at[0][j] + m.at[2][j];
    t.at[1][j] = m.at[1][j] - m.at[2][j];
    t.at[1][j] = t.at[1][j] - m.at[3][j];
  }
  return t;
}

/* The sum of output (row, col): channels x of `plane` elements each, weights w[c][3][3]. */
static float winograd_output(const ref_node *n, const float *x, const float *w, int64_t row, int64_t col) {
  const int64_t c = n->in[1].dims[1], high = n->in[0].dims[2], wide = n->in[0].dims[3];
  const int64_t top = row / 2 * 2 - attr_int(n, WH_ATTR_PADS, 0),
                left = col / 2 * 2 - attr_int(n, WH_ATTR_PADS, 1);
  float *v = malloc((size_t)c * 16 * sizeof *v), *u = malloc((size_t)c * 16 * sizeof *u);
  if (!v || !u) abort();
  for (int64_t k = 0; k < c; k++) {
    square d = {{{0}}}, g = {{{0}}};
    for (int i = 0; i < 4; i++)
      for (int j = 0; j < 4; j++) {
        const int64_t y = top + i, z = left + j;
        if (y >= 0 && y < high && z >= 0 && z < wide) d.at[i][j] = x[(k * high + y) * wide + z];
        if (i < 3 && j < 3) g.at[i][j] = w[(k * 3 + i) * 3 + j];
      }
    d = turned(filtered_elements(turned(filtered_elements(d))));
    g = turned(filtered_weights(turned(filtered_weights(g))));
    for (int p = 0; p < 16; p++) {
      v[p * c + k] = d.at[p / 4][p % 4];
      u[p * c + k] = g.at[p / 4][p % 4];
    }
  }
  square m;
  for (int p = 0; p < 16; p++) m.at[p / 4][p % 4] = ref_chain512(v + p * c, u + p * c, c);
  free(v);
  free(u);
  m = turned(filtered_sums(turned(filtered_sums(m))));
  return m.at[row % 2][col % 2];
}

/* The sum of taps of an output in the planes from `plane` on, weights w[c][taps]; patch: room for as many. */
static float direct_output(const ref_node *n, int64_t plane, const float *w, int64_t output, float *patch) {
  const ref_value *x = &n->in[0];
  const int64_t c = n->in[1].dims[1], taps = space(&n->in[1]);
  const collected k = window(n, &n->in[1].dims[2], output);
  for (int64_t ch = 0; ch < c; ch++)
    for (int64_t t = 0; t < taps; t++)
      patch[ch * taps + t] =
          k.taps[t].at < 0 ? 0.0f : ((const float *)x->data)[(plane + ch) * space(x) + k.taps[t].at];
  free(k.taps);
  return ref_chain512(patch, w, c * taps);
}

void ref_conv(ref_node *n) {
  const ref_value *x = &n->in[0], *w = &n->in[1];
  const int64_t group = wh_node_i(n->node, WH_ATTR_GROUP), c = w->dims[1], m = w->dims[0], taps = space(w);
  const float *bias = n->in[2].data, *residual = n->in[3].data;
  const bool winograd = is_winograd(n);
  float *patch = malloc((size_t)(c * taps + 1) * sizeof *patch), *y = n->out.data;
  if (!patch) abort();
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const int64_t output = i % space(&n->out), row = i / space(&n->out) % m, image = i / space(&n->out) / m,
                  plane = image * x->dims[1] + row / (m / group) * c;
    const float *weights = (const float *)w->data + row * c * taps;
    y[i] = winograd ? winograd_output(n, (const float *)x->data + plane * space(x), weights,
                                      output / n->out.dims[3], output % n->out.dims[3])
                    : direct_output(n, plane, weights, output, patch);
    if (bias) y[i] = y[i] + bias[row];
    if (residual) y[i] = residual[i] + y[i];
  }
  free(patch);
}

static int32_t byte_of(const ref_value *v, int64_t i) {
  return v->dtype == WH_DTYPE_I8 ? (int32_t)((const int8_t *)v->data)[i]
                                 : (int32_t)((const uint8_t *)v->data)[i];
}

void ref_conv_integer(ref_node *n) {
  const ref_value *x = &n->in[0], *w = &n->in[1];
  const int64_t group = wh_node_i(n->node, WH_ATTR_GROUP), c = w->dims[1], m = w->dims[0], taps = space(w);
  const int32_t x_zero = n->in[2].data ? byte_of(&n->in[2], 0) : 0;
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const int64_t output = i % space(&n->out), row = i / space(&n->out) % m, image = i / space(&n->out) / m;
    const int64_t zero_at = ref_elements(&n->in[3]) > 1 ? row : 0;
    const int32_t w_zero = n->in[3].data ? byte_of(&n->in[3], zero_at) : 0;
    const collected k = window(n, &w->dims[2], output);
    int64_t sum = 0;
    for (int64_t ch = 0; ch < c; ch++)
      for (int64_t t = 0; t < taps; t++) {
        const int64_t plane = image * x->dims[1] + row / (m / group) * c + ch;
        if (k.taps[t].at >= 0)
          sum += (int64_t)(byte_of(x, plane * space(x) + k.taps[t].at) - x_zero) *
                 (byte_of(w, (row * c + ch) * taps + t) - w_zero);
      }
    ((int32_t *)n->out.data)[i] = (int32_t)(uint32_t)(uint64_t)sum;
    free(k.taps);
  }
}

/* Where output `o` is reached from by tap `tap`, axis by axis; -1: from nowhere. */
static int64_t source_of(const ref_node *n, int64_t o, int64_t tap) {
  const ref_value *x = &n->in[0], *w = &n->in[1];
  int64_t at = 0, scale = 1;
  for (int a = x->rank - 1; a >= 2; a--) {
    const int64_t place = o % n->out.dims[a], k = tap % w->dims[a];
    o /= n->out.dims[a];
    tap /= w->dims[a];
    int64_t from = -1;
    for (int64_t i = 0; i < x->dims[a]; i++)
      if (i * attr_int(n, WH_ATTR_STRIDES, a - 2) + k * attr_int(n, WH_ATTR_DILATIONS, a - 2) -
              attr_int(n, WH_ATTR_PADS, a - 2) ==
          place)
        from = i;
    if (from < 0) return -1;
    at += from * scale;
    scale *= x->dims[a];
  }
  return at;
}

void ref_conv_transpose(ref_node *n) {
  const ref_value *x = &n->in[0], *w = &n->in[1];
  const int64_t group = wh_node_i(n->node, WH_ATTR_GROUP), c = w->dims[0] / group, m = w->dims[1];
  const int64_t taps = space(w), out = space(&n->out);
  float *columns = malloc((size_t)(c + 1) * 2 * sizeof *columns), *y = n->out.data;
  const float *bias = n->in[2].data;
  if (!columns) abort();
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const int64_t row = i / out % (m * group), image = i / out / (m * group), g = row / m;
    y[i] = 0.0f;
    for (int64_t t = 0; t < taps; t++) {
      const int64_t from = source_of(n, i % out, t);
      if (from < 0) continue;
      for (int64_t ch = 0; ch < c; ch++) {
        columns[ch] = ((const float *)x->data)[((image * group + g) * c + ch) * space(x) + from];
        columns[c + ch] = ((const float *)w->data)[((g * c + ch) * m + row % m) * taps + t];
      }
      y[i] = y[i] + ref_chain512(columns, columns + c, c);
    }
    if (bias) y[i] = y[i] + bias[row];
  }
  free(columns);
}

/* ---- pools ---- */

static double element_of(const ref_value *x, int64_t i) {
  switch (x->dtype) {
    case WH_DTYPE_F64:
      return ((const double *)x->data)[i];
    case WH_DTYPE_I8:
    case WH_DTYPE_U8:
      return byte_of(x, i);
    default:
      return (double)((const float *)x->data)[i];
  }
}

static void put(ref_value *y, int64_t i, double v) {
  switch (y->dtype) {
    case WH_DTYPE_F64:
      ((double *)y->data)[i] = v;
      return;
    case WH_DTYPE_I8:
      ((int8_t *)y->data)[i] = v < -128.0 ? INT8_MIN : (int8_t)v;
      return;
    case WH_DTYPE_U8:
      ((uint8_t *)y->data)[i] = v < 0.0 ? 0 : (uint8_t)v;
      return;
    default:
      ((float *)y->data)[i] = (float)v;
  }
}

/* A NaN is above all, +0 above -0. */
static int rank_of(double v) { return isnan(v) ? 2 : v == 0.0 ? !signbit(v) : 0; }
static bool exceeds(double a, double b) {
  if (isnan(a) || isnan(b)) return rank_of(a) > rank_of(b);
  return a > b || (a == b && rank_of(a) > rank_of(b));
}

static void each_largest(ref_node *n, void (*give)(ref_node *n, int64_t i, double top, const element *e)) {
  const ref_value *x = &n->in[0];
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const collected c = window(n, wh_node_attr(n->node, WH_ATTR_KERNEL)->ints, i % space(&n->out));
    const int64_t plane = i / space(&n->out) * space(x);
    const element *best = NULL;
    double top = -INFINITY;
    for (int64_t t = 0; t < c.n; t++) {
      if (c.taps[t].at < 0) continue;
      const double v = element_of(x, plane + c.taps[t].at);
      if (best && !exceeds(v, top)) continue;
      best = &c.taps[t];
      top = v;
    }
    give(n, i, top, best);
    free(c.taps);
  }
}

static void give_value(ref_node *n, int64_t i, double top, const element *e) {
  (void)e;
  put(&n->out, i, top);
}
static void give_place(ref_node *n, int64_t i, double top, const element *e) {
  const bool column = wh_node_i(n->node, WH_ATTR_COLUMN_MAJOR) != 0;
  (void)top;
  ((int64_t *)n->out.data)[i] =
      e ? i / space(&n->out) * space(&n->in[0]) + (column ? e->column_at : e->at) : -1;
}
void ref_max_pool(ref_node *n) { each_largest(n, give_value); }
void ref_max_pool_index(ref_node *n) { each_largest(n, give_place); }

void ref_average_pool(ref_node *n) {
  const ref_value *x = &n->in[0];
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const collected c = window(n, wh_node_attr(n->node, WH_ATTR_KERNEL)->ints, i % space(&n->out));
    const float *plane = (const float *)x->data + i / space(&n->out) * space(x);
    float sum = 0.0f, count = 0.0f;
    for (int64_t t = 0; t < c.n; t++)
      if (c.taps[t].at >= 0) {
        sum = sum + plane[c.taps[t].at];
        count += 1.0f;
      }
    if (wh_node_i(n->node, WH_ATTR_COUNT_INCLUDE_PAD)) count = (float)c.n_padded;
    ((float *)n->out.data)[i] = sum / count;
    free(c.taps);
  }
}

void ref_lp_pool(ref_node *n) {
  const ref_value *x = &n->in[0];
  const int64_t p = wh_node_i(n->node, WH_ATTR_P);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const collected c = window(n, wh_node_attr(n->node, WH_ATTR_KERNEL)->ints, i % space(&n->out));
    const float *plane = (const float *)x->data + i / space(&n->out) * space(x);
    float sum = 0.0f;
    for (int64_t t = 0; t < c.n; t++) {
      if (c.taps[t].at < 0) continue;
      const float v = fabsf(plane[c.taps[t].at]);
      float power = v;
      for (int64_t k = 1; k < p; k++) power = power * v;
      sum = sum + power;
    }
    ((float *)n->out.data)[i] = p == 1        ? sum
                                : p == 2      ? sqrtf(sum)
                                : sum == 0.0f ? 0.0f
                                              : (float)ref_power((double)sum, 1.0 / (double)p);
    free(c.taps);
  }
}

/* ---- codes ---- */

/* Half bytes lie two to a byte, the low half first; a row ends with its last byte. */
static int64_t code_at(const ref_value *v, int64_t i) {
  const int64_t len = ref_length(v);
  switch (v->dtype) {
    case WH_DTYPE_I8:
    case WH_DTYPE_U8:
      return byte_of(v, i);
    case WH_DTYPE_I16:
      return ((const int16_t *)v->data)[i];
    case WH_DTYPE_U16:
      return ((const uint16_t *)v->data)[i];
    case WH_DTYPE_I32:
      return ((const int32_t *)v->data)[i];
    default: {
      const int byte = ((const uint8_t *)v->data)[i / len * ((len + 1) / 2) + i % len / 2];
      const int half = i % len % 2 ? byte / 16 : byte % 16;
      return v->dtype == WH_DTYPE_I4 && half >= 8 ? half - 16 : half;
    }
  }
}

static void put_code(ref_value *v, int64_t i, int64_t code) {
  const int64_t len = ref_length(v);
  switch (v->dtype) {
    case WH_DTYPE_I8:
    case WH_DTYPE_U8:
      ((uint8_t *)v->data)[i] = (uint8_t)code;
      return;
    case WH_DTYPE_I16:
    case WH_DTYPE_U16:
      ((uint16_t *)v->data)[i] = (uint16_t)code;
      return;
    default: {
      uint8_t *byte = (uint8_t *)v->data + i / len * ((len + 1) / 2) + i % len / 2;
      const unsigned half = (unsigned)code & 15u;
      *byte = (uint8_t)(i % len % 2 ? *byte % 16 + half * 16 : half);
    }
  }
}

/* The index of the scale of element i: by the coordinates. */
static int64_t scale_of(const ref_node *n, int64_t i) {
  const ref_value *x = &n->in[0], *s = &n->in[1];
  const int64_t block = wh_node_i(n->node, WH_ATTR_BLOCK), axis = wh_node_i(n->node, WH_ATTR_AXIS);
  if (!block && ref_elements(s) == 1) return 0;
  int64_t at = 0, step = 1;
  for (int a = x->rank - 1; a >= 0; a--) {
    const int64_t place = i % x->dims[a];
    i /= x->dims[a];
    if (!block && a == axis) return place;
    at += (a == axis ? place / block : place) * step;
    step *= block ? s->dims[a] : 0;
  }
  return at;
}

void ref_quantize_linear(ref_node *n) {
  static const struct {
    wh_dtype dtype;
    float low, high;
  } ranges[] = {{WH_DTYPE_I8, -128, 127}, {WH_DTYPE_U8, 0, 255}, {WH_DTYPE_I16, -32768, 32767},
                {WH_DTYPE_U16, 0, 65535}, {WH_DTYPE_I4, -8, 7},  {WH_DTYPE_U4, 0, 15}};
  size_t r = 0;
  while (ranges[r].dtype != n->out.dtype) r++;
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const int64_t s = scale_of(n, i);
    const float zero = n->in[2].data ? (float)code_at(&n->in[2], s) : 0.0f;
    float q = rintf(((const float *)n->in[0].data)[i] / ((const float *)n->in[1].data)[s]) + zero;
    if (isnan(q) || q < ranges[r].low) q = ranges[r].low;
    if (q > ranges[r].high) q = ranges[r].high;
    put_code(&n->out, i, (int64_t)q);
  }
}

void ref_dequantize_linear(ref_node *n) {
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const int64_t s = scale_of(n, i), zero = n->in[2].data ? code_at(&n->in[2], s) : 0;
    ((float *)n->out.data)[i] = (float)(code_at(&n->in[0], i) - zero) * ((const float *)n->in[1].data)[s];
  }
}
