/* cases_nn.c - random geometries for ops of neural networks. */
#include <string.h>

#include "tests/backend/suite.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define D(...) ((const int64_t[]){__VA_ARGS__})
#define INT_ATTR(k, v) ((wh_attr){.key = WH_ATTR_##k, .i = (v)})
#define FLOAT_ATTR(k, v) ((wh_attr){.key = WH_ATTR_##k, .f = (v)})
#define INTS_ATTR(k, count, p) ((wh_attr){.key = WH_ATTR_##k, .n = (size_t)(count), .ints = (p)})

static int64_t between(suite *s, int64_t low, int64_t high) {
  return low + (int64_t)suite_random(s, (uint32_t)(high - low + 1));
}

/* ---- windows ---- */

typedef struct geometry {
  int n_space;
  int64_t rows; /* images */
  int64_t in[3], kernel[3], stride[3], dilation[3], pad[6];
  int64_t ceil;
} geometry;

static geometry random_geometry(suite *s, int n_space) {
  geometry g = {.n_space = n_space, .rows = between(s, 1, 3), .ceil = suite_random(s, 2)};
  for (int i = 0; i < n_space; i++) {
    g.kernel[i] = between(s, 1, n_space == 3 ? 3 : 5);
    g.stride[i] = between(s, 1, 3);
    g.dilation[i] = suite_random(s, 3) ? 1 : between(s, 2, 3);
    g.pad[i] = suite_random(s, 2) ? 0 : between(s, 0, 4);
    g.pad[n_space + i] = suite_random(s, 2) ? g.pad[i] : between(s, 0, 4);
    const int64_t reach = g.dilation[i] * (g.kernel[i] - 1) + 1 - g.pad[i] - g.pad[n_space + i];
    const int64_t least = reach > 1 ? reach : 1;
    g.in[i] = between(s, least, least + (n_space == 1 ? 70 : n_space == 2 ? 20 : 5));
  }
  return g;
}

static size_t window_attrs(const geometry *g, int n_pads, wh_attr *attrs) {
  attrs[0] = INTS_ATTR(STRIDES, g->n_space, g->stride);
  attrs[1] = INTS_ATTR(DILATIONS, g->n_space, g->dilation);
  attrs[2] = INTS_ATTR(PADS, n_pads, g->pad);
  return 3;
}

static wh_value image_input(suite_case *c, wh_dtype dtype, const geometry *g, int64_t channels) {
  int64_t dims[5] = {ROWS, channels};
  for (int i = 0; i < g->n_space; i++) dims[2 + i] = g->in[i];
  const wh_value x =
      case_input(c, dtype, 2 + g->n_space, dims, suite_random(c->s, 2) ? FILL_WILD : FILL_PLAIN);
  for (size_t i = 0; dtype != WH_DTYPE_F32 && dtype != WH_DTYPE_F64 && i < c->n_bytes[x]; i++)
    ((uint8_t *)c->data[x])[i] = (uint8_t)suite_random(c->s, 256);
  for (size_t i = 0; dtype == WH_DTYPE_F64 && i < c->n_bytes[x] / 8; i++)
    ((double *)c->data[x])[i] = (double)(int32_t)suite_random(c->s, 1000) * 0.1 - 50.0;
  return x;
}

/* Channels and outputs of `groups` groups; depthwise now and then, sums longer than a chunk too. */
static int64_t random_channels(suite *s, int round, int64_t *group, int64_t *outputs) {
  static const int64_t sums[] = {3, 70, 130, 1};
  *group = round % 3 ? 1 : between(s, 2, 3);
  const int64_t own = round % 4 == 1 ? sums[between(s, 0, 3)] : between(s, 1, 4);
  *outputs = *group * between(s, 1, round % 2 ? 3 : 20);
  return own;
}

static void conv_case(suite *s, wh_op op, int round) {
  const geometry g = random_geometry(s, 1 + round % 3);
  int64_t group, m, dims[5], own = random_channels(s, round, &group, &m);
  suite_case *c = case_begin(s, g.rows, "%s %d of %d axes, %lld groups, %lld to %lld", wh_op_get(op)->name,
                             round, g.n_space, (long long)group, (long long)own, (long long)m);
  wh_attr attrs[5];
  size_t n = window_attrs(&g, 2 * g.n_space, attrs);
  attrs[n++] = INT_ATTR(GROUP, group);
  wh_value in[4] = {image_input(c, WH_DTYPE_F32, &g, group * own)};
  dims[0] = m;
  dims[1] = own;
  for (int i = 0; i < g.n_space; i++) dims[2 + i] = g.kernel[i];
  in[1] = case_const(c, WH_DTYPE_F32, 2 + g.n_space, dims);
  if (suite_random(s, 2)) in[2] = case_const(c, WH_DTYPE_F32, 1, &m);
  const wh_value y = case_node(c, op, in, 4, attrs, n);
  if (round % 5 == 0) { /* what it gives is the next one's residual */
    in[3] = y;
    (void)case_node(c, op, in, 4, attrs, n);
  }
  case_run(c);
}

/* As networks have them: several tasks of places and of channels, sums of several chunks, patches, images
 * read in place whose lanes would reach behind them; few taps, which tiles take in fours. */
static void large_convs(suite *s, wh_op op) {
  static const struct {
    int64_t images, group, own, m, in[2], kernel[2], stride, pad;
  } all[] = {{1, 1, 3, 33, {61, 70}, {7, 7}, 2, 3},   {1, 1, 70, 100, {21, 33}, {3, 3}, 1, 1},
             {1, 1, 600, 130, {9, 31}, {1, 1}, 1, 0}, {2, 1, 520, 5, {1, 1}, {1, 1}, 1, 0},
             {3, 40, 1, 40, {13, 12}, {5, 5}, 2, 2},  {1, 70, 1, 70, {40, 41}, {3, 3}, 1, 1},
             {3, 5, 1, 10, {1, 1}, {1, 1}, 1, 0},     {1, 1, 3, 20, {33, 49}, {16, 16}, 16, 0},
             {1, 1, 4, 7, {9, 90}, {9, 40}, 1, 0},    {1, 1, 2, 3, {70, 2}, {40, 1}, 35, 0},
             {1, 3, 20, 39, {14, 14}, {1, 1}, 2, 0},  {2, 9, 1, 9, {14, 14}, {5, 5}, 1, 2},
             {1, 6, 1, 6, {30, 90}, {5, 5}, 1, 2},    {1, 1, 30, 18, {9, 24}, {3, 3}, 1, 1},
             {1, 1, 4, 20, {9, 1295}, {3, 3}, 2, 1},  {1, 1, 5, 17, {1, 2001}, {3, 3}, 2, 1},
             {1, 1, 5, 24, {20, 70}, {5, 5}, 3, 2},   {1, 1, 80, 20, {40, 64}, {3, 3}, 2, 1},
             {1, 1, 3, 20, {36, 44}, {5, 5}, 1, 0},   {1, 1, 1, 18, {9, 24}, {1, 2}, 1, 1},
             {1, 1, 1, 18, {9, 24}, {3, 1}, 1, 1},    {1, 1, 1, 18, {9, 25}, {1, 5}, 1, 1},
             {1, 1, 7, 18, {9, 24}, {1, 1}, 1, 0},    {1, 1, 1, 18, {9, 24}, {1, 1}, 1, 1},
             {1, 1, 203, 18, {5, 24}, {1, 1}, 1, 0},  {1, 1, 1, 18, {9, 25}, {1, 7}, 2, 3},
             {1, 1, 7, 256, {5, 25}, {1, 1}, 1, 0},   {1, 1, 170, 40, {22, 22}, {1, 1}, 1, 0},
             {1, 1, 20, 40, {40, 66}, {3, 3}, 2, 1}};
  for (size_t i = 0; i < COUNT(all); i++) {
    suite_case *c = case_begin(s, all[i].images, "%s, large %zu", wh_op_get(op)->name, i);
    const int64_t strides[] = {all[i].stride, all[i].stride}, ones[] = {1, 1},
                  pads[] = {all[i].pad, all[i].pad, all[i].pad, all[i].pad};
    const wh_attr attrs[] = {INTS_ATTR(STRIDES, 2, strides), INTS_ATTR(DILATIONS, 2, ones),
                             INTS_ATTR(PADS, 4, pads), INT_ATTR(GROUP, all[i].group)};
    wh_value in[3] = {case_input(c, WH_DTYPE_F32, 4,
                                 D(ROWS, all[i].group * all[i].own, all[i].in[0], all[i].in[1]), FILL_PLAIN)};
    in[1] = case_const(c, WH_DTYPE_F32, 4, D(all[i].m, all[i].own, all[i].kernel[0], all[i].kernel[1]));
    in[2] = case_const(c, WH_DTYPE_F32, 1, &all[i].m);
    (void)case_node(c, op, in, 3, attrs, COUNT(attrs));
    case_run(c);
  }
}

/* Groups of one channel: every kernel of theirs, and rows shorter and longer than what is taken at a time. */
static void depthwise_convs(suite *s, wh_op op) {
  static const int64_t widths[] = {1, 6, 7, 14, 19, 40, 56, 171}, kernels[] = {3, 5, 7, 4};
  for (int round = 0; round < 48; round++) {
    const int64_t kernel[] = {between(s, 1, 7), kernels[round % 4]},
                  strides[] = {between(s, 1, 3), between(s, 1, 2)}, ones[] = {1, 1},
                  pads[] = {between(s, 0, 3), between(s, 0, 3), between(s, 0, 3), between(s, 0, 3)},
                  in[] = {between(s, 7, 24), widths[round / 4 % 8] + kernel[1]};
    const int64_t group = between(s, 2, 20), m = group * (round % 5 ? 1 : 2);
    suite_case *c = case_begin(s, 1 + round % 2, "%s, depthwise %d", wh_op_get(op)->name, round);
    const wh_attr attrs[] = {INTS_ATTR(STRIDES, 2, strides), INTS_ATTR(DILATIONS, 2, ones),
                             INTS_ATTR(PADS, 4, pads), INT_ATTR(GROUP, group)};
    wh_value at[4] = {case_input(c, WH_DTYPE_F32, 4, D(ROWS, group, in[0], in[1]),
                                 suite_random(s, 2) ? FILL_WILD : FILL_PLAIN)};
    at[1] = case_const(c, WH_DTYPE_F32, 4, D(m, 1, kernel[0], kernel[1]));
    if (suite_random(s, 2)) at[2] = case_const(c, WH_DTYPE_F32, 1, &m);
    if (round % 7 == 0)
      at[3] = case_input(c, WH_DTYPE_F32, 4,
                         D(ROWS, m, (in[0] + pads[0] + pads[2] - kernel[0]) / strides[0] + 1,
                           (in[1] + pads[1] + pads[3] - kernel[1]) / strides[1] + 1),
                         FILL_PLAIN);
    (void)case_node(c, op, at, 4, attrs, COUNT(attrs));
    case_run(c);
  }
}

/* 3x3 kernels by minimal filtering: planes of odd sizes, uneven padding, groups, several chunks, tiles with
 * nothing but padding, rows of tiles that are cut, and both sides of the border to the other definition. */
static void winograd_convs(suite *s, wh_op op) {
  static const struct {
    int64_t images, group, own, m, in[2], pads[4];
    bool computed; /* weights */
  } all[] = {{1, 1, 16, 16, {5, 7}, {1, 1, 1, 1}, false},   {0, 1, 20, 24, {6, 9}, {0, 2, 1, 0}, false},
             {2, 2, 17, 50, {4, 19}, {1, 1, 1, 1}, false},  {1, 1, 530, 19, {3, 4}, {1, 1, 1, 1}, false},
             {1, 1, 16, 17, {3, 3}, {0, 0, 0, 0}, false},   {1, 1, 18, 16, {2, 2}, {4, 3, 3, 5}, false},
             {3, 1, 33, 70, {13, 12}, {1, 1, 1, 1}, false}, {2, 1, 16, 37, {4, 5}, {1, 1, 1, 1}, true},
             {1, 1, 15, 16, {5, 7}, {1, 1, 1, 1}, false},   {1, 1, 16, 15, {5, 7}, {1, 1, 1, 1}, false},
             {1, 1, 16, 18, {3, 301}, {1, 1, 1, 1}, false}, {1, 1, 19, 16, {5, 47}, {1, 1, 1, 1}, false},
             {2, 2, 140, 31, {5, 7}, {1, 1, 1, 1}, false},  {2, 1, 20, 48, {9, 40}, {1, 1, 1, 1}, true},
             {1, 1, 530, 48, {3, 4}, {1, 1, 1, 1}, false}};
  for (size_t i = 0; i < COUNT(all); i++) {
    suite_case *c = case_begin(s, all[i].images, "%s, minimal filtering %zu", wh_op_get(op)->name, i);
    const int64_t ones[] = {1, 1}, m = all[i].m * all[i].group;
    const wh_attr attrs[] = {INTS_ATTR(STRIDES, 2, ones), INTS_ATTR(DILATIONS, 2, ones),
                             INTS_ATTR(PADS, 4, all[i].pads), INT_ATTR(GROUP, all[i].group)};
    wh_value in[4] = {case_input(c, WH_DTYPE_F32, 4,
                                 D(ROWS, all[i].group * all[i].own, all[i].in[0], all[i].in[1]),
                                 i % 4 == 3 ? FILL_WILD : FILL_PLAIN)};
    const int64_t *w = D(m, all[i].own, 3, 3);
    in[1] =
        all[i].computed ? case_input(c, WH_DTYPE_F32, 4, w, FILL_PLAIN) : case_const(c, WH_DTYPE_F32, 4, w);
    if (i % 2) in[2] = case_const(c, WH_DTYPE_F32, 1, &m);
    if (i % 3 == 2)
      in[3] = case_input(c, WH_DTYPE_F32, 4,
                         D(ROWS, m, all[i].in[0] + all[i].pads[0] + all[i].pads[2] - 2,
                           all[i].in[1] + all[i].pads[1] + all[i].pads[3] - 2),
                         FILL_PLAIN);
    (void)case_node(c, op, in, 4, attrs, COUNT(attrs));
    case_run(c);
  }
}

static bool is_cpu(const suite *s) { return !strcmp(s->target->backend->name, "cpu"); }

/* So many channels that the processor copies places to blocks, from an image of which windows reach out at
 * all sides: rows as long as a vector, a little longer, and as several blocks. */
static void padded_convs(suite *s, wh_op op) {
  static const int64_t widths[] = {8, 9, 15, 24, 25, 50};
  for (int round = 0; round < (is_cpu(s) ? 36 : 6); round++) {
    const int64_t kernel[] = {between(s, 1, 5), between(s, 2, 5)},
                  strides[] = {between(s, 1, 3), 1 + round % 2},
                  dilations[] = {between(s, 1, 2), round % 9 == 8 ? 2 : 1},
                  pads[] = {between(s, 0, 6), between(s, 1, 6), between(s, 0, 6), between(s, 0, 6)};
    const int64_t own = round % 12 == 5 ? between(s, 30, 60) : between(s, 1, 12), m = between(s, 16, 40),
                  width = (widths[round / 2 % 6] - 1) * strides[1] + (kernel[1] - 1) * dilations[1] + 1 -
                          pads[1] - pads[3];
    const int64_t in[] = {between(s, 10, 14), width < 1 ? 1 : width};
    suite_case *c = case_begin(s, 1 + round % 2, "%s, padded %d", wh_op_get(op)->name, round);
    const wh_attr attrs[] = {INTS_ATTR(STRIDES, 2, strides), INTS_ATTR(DILATIONS, 2, dilations),
                             INTS_ATTR(PADS, 4, pads), INT_ATTR(GROUP, 1)};
    wh_value at[3] = {case_input(c, WH_DTYPE_F32, 4, D(ROWS, own, in[0], in[1]), FILL_WILD)};
    at[1] = case_const(c, WH_DTYPE_F32, 4, D(m, own, kernel[0], kernel[1]));
    if (suite_random(s, 2)) at[2] = case_const(c, WH_DTYPE_F32, 1, &m);
    (void)case_node(c, op, at, 3, attrs, COUNT(attrs));
    case_run(c);
  }
}

/* Three axes, rows of whole vectors, and tasks that have outputs of several planes. */
static void planes_convs(suite *s, wh_op op) {
  static const int64_t in[][3] = {{6, 9, 31}, {5, 40, 16}, {9, 4, 48}};
  for (size_t i = 0; i < COUNT(in); i++) {
    const int64_t m = 16 + 3 * (int64_t)i, ones[] = {1, 1, 1}, strides[] = {1 + (int64_t)i % 2, 2, 2},
                  pads[] = {1, 1, 1, 1, 1, 1};
    suite_case *c = case_begin(s, 1, "%s, planes %zu", wh_op_get(op)->name, i);
    const wh_attr attrs[] = {INTS_ATTR(STRIDES, 3, strides), INTS_ATTR(DILATIONS, 3, ones),
                             INTS_ATTR(PADS, 6, pads), INT_ATTR(GROUP, 1)};
    wh_value at[3] = {case_input(c, WH_DTYPE_F32, 5, D(ROWS, 7, in[i][0], in[i][1], in[i][2]), FILL_WILD)};
    at[1] = case_const(c, WH_DTYPE_F32, 5, D(m, 7, 3, 3, 3));
    (void)case_node(c, op, at, 3, attrs, COUNT(attrs));
    case_run(c);
  }
}

/* One element a channel and weights that are no constants, so that nothing packs them. */
static void computed_weights(suite *s, wh_op op) {
  suite_case *c = case_begin(s, 1, "%s, weights are an input", wh_op_get(op)->name);
  const int64_t ones[] = {1, 1}, pads[4] = {0};
  const wh_attr attrs[] = {INTS_ATTR(STRIDES, 2, ones), INTS_ATTR(DILATIONS, 2, ones),
                           INTS_ATTR(PADS, 4, pads), INT_ATTR(GROUP, 1)};
  const wh_value in[] = {case_input(c, WH_DTYPE_F32, 4, D(ROWS, 512, 1, 1), FILL_PLAIN),
                         case_input(c, WH_DTYPE_F32, 4, D(16, 512, 1, 1), FILL_PLAIN)};
  (void)case_node(c, op, in, 2, attrs, COUNT(attrs));
  case_run(c);
}

SUITE_CASES(conv) {
  computed_weights(s, op);
  for (int round = 0; round < 90; round++) conv_case(s, op, round);
  large_convs(s, op);
  padded_convs(s, op);
  planes_convs(s, op);
  depthwise_convs(s, op);
  winograd_convs(s, op);
}

/* Each input has outputs of its own; sums of several chunks; more outputs than are computed together. */
static void upsampling_transposes(suite *s, wh_op op) {
  static const struct {
    int64_t own, m, in[2], kernel, stride;
  } all[] = {{24, 5, {3, 33}, 2, 2}, {530, 2, {2, 9}, 2, 2}, {3, 7, {4, 70}, 2, 2},
             {2, 60, {1, 5}, 9, 9},  {5, 3, {2, 20}, 4, 4},  {4, 6, {5, 40}, 5, 3},
             {0, 4, {2, 9}, 2, 2},   {0, 3, {2, 9}, 3, 2},   {3, 0, {2, 9}, 2, 2}};
  for (size_t i = 0; i < COUNT(all); i++) {
    suite_case *c = case_begin(s, 1 + (int64_t)i % 2, "%s, upsampling %zu", wh_op_get(op)->name, i);
    const int64_t strides[] = {all[i].stride, all[i].stride}, ones[] = {1, 1}, pads[4] = {0};
    wh_attr shape = {.key = WH_ATTR_SHAPE, .rank = 2};
    for (int d = 0; d < 2; d++)
      shape.dims[d] = case_dim(c, (all[i].in[d] - 1) * all[i].stride + all[i].kernel);
    const wh_attr attrs[] = {INTS_ATTR(STRIDES, 2, strides), INTS_ATTR(DILATIONS, 2, ones),
                             INTS_ATTR(PADS, 2, pads), INT_ATTR(GROUP, 1), shape};
    wh_value in[3] = {
        case_input(c, WH_DTYPE_F32, 4, D(ROWS, all[i].own, all[i].in[0], all[i].in[1]), FILL_WILD)};
    in[1] = case_const(c, WH_DTYPE_F32, 4, D(all[i].own, all[i].m, all[i].kernel, all[i].kernel));
    if (i % 2) in[2] = case_const(c, WH_DTYPE_F32, 1, &all[i].m);
    (void)case_node(c, op, in, 3, attrs, COUNT(attrs));
    case_run(c);
  }
}

SUITE_CASES(conv_transpose) {
  for (int round = 0; round < 60; round++) {
    geometry g = random_geometry(s, 1 + round % 3);
    int64_t group, m, dims[5], own = random_channels(s, round, &group, &m);
    suite_case *c = case_begin(s, g.rows, "%s %d of %d axes", wh_op_get(op)->name, round, g.n_space);
    wh_attr attrs[6], shape = {.key = WH_ATTR_SHAPE, .rank = g.n_space};
    m /= group;
    dims[0] = group * own;
    dims[1] = m;
    for (int i = 0; i < g.n_space; i++) {
      const int64_t reach = g.dilation[i] * (g.kernel[i] - 1) + 1;
      const int64_t size = (g.in[i] - 1) * g.stride[i] + reach - g.pad[i] + between(s, -1, 1);
      shape.dims[i] = case_dim(c, size < 1 ? 1 : size);
      dims[2 + i] = g.kernel[i];
    }
    size_t n = window_attrs(&g, g.n_space, attrs);
    attrs[n++] = INT_ATTR(GROUP, group);
    attrs[n++] = shape;
    wh_value in[3] = {image_input(c, WH_DTYPE_F32, &g, group * own)};
    in[1] = case_const(c, WH_DTYPE_F32, 2 + g.n_space, dims);
    const int64_t outputs = m * group;
    if (suite_random(s, 2)) in[2] = case_const(c, WH_DTYPE_F32, 1, &outputs);
    (void)case_node(c, op, in, 3, attrs, n);
    case_run(c);
  }
  upsampling_transposes(s, op);
}

static wh_value codes_input(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims) {
  const wh_value v = case_input(c, dtype, rank, dims, FILL_PLAIN);
  for (size_t i = 0; i < c->n_bytes[v]; i++) ((uint8_t *)c->data[v])[i] = (uint8_t)suite_random(c->s, 256);
  return v;
}

/* Weights at both sides of what lets two products with 255 be summed in 16 bits. */
static void border_weights(suite_case *c, wh_value w, wh_dtype dtype) {
  static const int some[] = {64, 64, 64, 64, 64, -64, -64, -64, 63, 1, 0, 127, -127, 65, -65, 2};
  for (size_t i = 0; i < c->n_bytes[w]; i++) { /* the last ones in few places, so that most are narrow */
    const int v = some[suite_random(c->s, suite_random(c->s, 40) ? 11 : 16)];
    ((uint8_t *)c->data[w])[i] = (uint8_t)(dtype == WH_DTYPE_U8 ? v + 128 : v);
  }
}

/* Constant weights, which some levels pack: tiles, blocks of k and panels that are whole and that are not,
 * rows that tiles go across, strides and padding of every phase, several images, the largest codes. */
static void constant_codes(suite *s, wh_op op) {
  static const struct {
    int64_t images, c, m, in[2], kernel[2], stride[2], dilation[2], pads[4];
  } all[] = {{1, 64, 13, {7, 7}, {1, 1}, {1, 1}, {1, 1}, {0}},
             {1, 520, 40, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
             {2, 3, 7, {37, 41}, {7, 7}, {2, 2}, {1, 1}, {3, 3, 3, 3}},
             {1, 33, 6, {28, 28}, {1, 1}, {2, 2}, {1, 1}, {0}},
             {3, 5, 5, {9, 30}, {2, 3}, {3, 5}, {2, 3}, {1, 0, 0, 4}},
             {1, 1025, 96, {5, 5}, {1, 1}, {1, 1}, {1, 1}, {0}},
             {1, 2, 1, {1, 70}, {1, 5}, {1, 1}, {1, 1}, {0, 2, 0, 2}},
             {1, 7, 100, {50, 1}, {3, 1}, {2, 1}, {1, 1}, {1, 0, 1, 0}},
             {1, 9, 14, {40, 40}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
             {1, 1, 3, {4, 300}, {1, 70}, {1, 69}, {1, 1}, {0, 9, 0, 9}}};
  for (size_t i = 0; i < 4 * COUNT(all); i++) {
    const size_t k = i % COUNT(all), types = i / COUNT(all);
    const wh_dtype of_x = types & 1 ? WH_DTYPE_I8 : WH_DTYPE_U8, of_w = types & 2 ? WH_DTYPE_U8 : WH_DTYPE_I8;
    suite_case *c = case_begin(s, all[k].images, "%s of constants %zu", wh_op_get(op)->name, i);
    const wh_attr attrs[] = {{.key = WH_ATTR_STRIDES, .n = 2, .ints = all[k].stride},
                             {.key = WH_ATTR_DILATIONS, .n = 2, .ints = all[k].dilation},
                             {.key = WH_ATTR_PADS, .n = 4, .ints = all[k].pads},
                             {.key = WH_ATTR_GROUP, .i = 1}};
    wh_value in[4] = {codes_input(c, of_x, 4, D(ROWS, all[k].c, all[k].in[0], all[k].in[1]))};
    in[1] = case_const(c, of_w, 4, D(all[k].m, all[k].c, all[k].kernel[0], all[k].kernel[1]));
    if (i % 3) in[2] = codes_input(c, of_x, 0, NULL);
    if (types & 2) in[3] = codes_input(c, of_w, i % 2, &all[k].m);
    if (k == 1) /* the largest differences */
      for (int v = 0; v < 3; v++)
        if (in[v]) memset(c->data[in[v]], v == 2 ? 0x7f : 0x80, c->n_bytes[in[v]]);
    if (k == 0 || k >= 5) border_weights(c, in[1], of_w);
    if (k == 8) memset(c->data[in[0]], of_x == WH_DTYPE_I8 ? 0x7f : 0xff, c->n_bytes[in[0]]);
    (void)case_node(c, op, in, 4, attrs, COUNT(attrs));
    case_run(c);
  }
}

SUITE_CASES(conv_integer) {
  for (int round = 0; round < 40; round++) {
    const geometry g = random_geometry(s, 1 + round % 3);
    int64_t group, m, dims[5], own = random_channels(s, round, &group, &m);
    suite_case *c = case_begin(s, g.rows, "%s %d of %d axes", wh_op_get(op)->name, round, g.n_space);
    const wh_dtype of_x = round & 1 ? WH_DTYPE_I8 : WH_DTYPE_U8, of_w = round & 2 ? WH_DTYPE_I8 : WH_DTYPE_U8;
    wh_attr attrs[5];
    size_t n = window_attrs(&g, 2 * g.n_space, attrs);
    attrs[n++] = INT_ATTR(GROUP, group);
    wh_value in[4] = {image_input(c, of_x, &g, group * own)};
    dims[0] = m;
    dims[1] = own;
    for (int i = 0; i < g.n_space; i++) dims[2 + i] = g.kernel[i];
    in[1] = codes_input(c, of_w, 2 + g.n_space, dims);
    if (round & 4) in[2] = codes_input(c, of_x, 0, NULL);
    if (round & 8) in[3] = codes_input(c, of_w, round & 16 ? 1 : 0, &m);
    (void)case_node(c, op, in, 4, attrs, n);
    case_run(c);
  }
  if (is_cpu(s)) {
    constant_codes(s, op);
    cases_conv_codes_of_three(s, op);
  }
}

static void pool_cases(suite *s, wh_op op, const wh_dtype *types, size_t n_types, const wh_attr *extra,
                       size_t n_extra) {
  for (int round = 0; round < (is_cpu(s) ? 74 : 60); round++) { /* its kernels cut rows into blocks */
    geometry g = random_geometry(s, 1 + round % 3);
    if (round >= 60) { /* rows of several blocks, of each stride */
      g.stride[g.n_space - 1] = 1 + round / 3 % 3;
      if (round < 69) g.in[g.n_space - 1] += between(s, 800, 1000);
    }
    if (round >= 69) { /* windows that no block has room for */
      const int64_t room = 8192 / (int64_t)wh_dtype_get(types[(size_t)round % n_types])->block_bytes;
      g.dilation[g.n_space - 1] = 1;
      g.kernel[g.n_space - 1] = room + 1;
      g.in[g.n_space - 1] += room;
    }
    suite_case *c = case_begin(s, g.rows, "%s %d of %d axes", wh_op_get(op)->name, round, g.n_space);
    wh_attr attrs[8];
    size_t n = window_attrs(&g, 2 * g.n_space, attrs);
    attrs[n++] = INTS_ATTR(KERNEL, g.n_space, g.kernel);
    attrs[n++] = INT_ATTR(CEIL, g.ceil);
    if (n_extra) attrs[n++] = extra[(size_t)round % n_extra];
    const wh_value x = image_input(c, types[(size_t)round % n_types], &g, between(s, 1, 4));
    (void)case_node(c, op, &x, 1, attrs, n);
    case_run(c);
  }
}

static const wh_dtype ordered[] = {WH_DTYPE_F32, WH_DTYPE_F32, WH_DTYPE_F64, WH_DTYPE_I8, WH_DTYPE_U8};

SUITE_CASES(max_pool) { pool_cases(s, op, ordered, COUNT(ordered), NULL, 0); }
SUITE_CASES(max_pool_index) {
  const wh_attr column[] = {INT_ATTR(COLUMN_MAJOR, 0), INT_ATTR(COLUMN_MAJOR, 1)};
  pool_cases(s, op, ordered, COUNT(ordered), column, 2);
}
SUITE_CASES(average_pool) {
  const wh_attr count[] = {INT_ATTR(COUNT_INCLUDE_PAD, 0), INT_ATTR(COUNT_INCLUDE_PAD, 1)};
  pool_cases(s, op, ordered, 1, count, 2);
}
SUITE_CASES(lp_pool) {
  const wh_attr p[] = {INT_ATTR(P, 1), INT_ATTR(P, 2), INT_ATTR(P, 3), INT_ATTR(P, 7)};
  pool_cases(s, op, ordered, 1, p, 4);
}

/* ---- sampling ---- */

SUITE_CASES(resample) {
  for (int round = 0; round < 40; round++) {
    const int64_t axis = round % 4, m = between(s, 1, 40), taps = between(s, 1, 5), rows = between(s, 1, 3);
    int64_t dims[4] = {between(s, 1, 3), ROWS, between(s, 1, 20), between(s, 1, 40)};
    const int64_t size = axis == 1 ? rows : dims[axis], outside = round % 7 == 6 && axis != 1;
    suite_case *c = case_begin(s, rows, "%s %d along axis %lld", wh_op_get(op)->name, round, (long long)axis);
    const wh_attr attrs[] = {INT_ATTR(AXIS, axis), FLOAT_ATTR(ALPHA, 1.5f)};
    wh_value in[3] = {case_input(c, WH_DTYPE_F32, 4, dims, FILL_WILD), 0, 0};
    in[1] = case_indices(c, 2, D(m, taps), -1, size + 1);
    in[2] = case_input(c, WH_DTYPE_F32, 2, D(m, taps), FILL_PLAIN);
    if (outside) {
      ((int32_t *)c->data[in[1]])[suite_random(s, (uint32_t)(m * taps))] = round & 1 ? -2 : (int32_t)size;
      c->outside = true;
    }
    (void)case_node(c, op, in, 3, attrs, 2);
    case_run(c);
  }
}

SUITE_CASES(grid_sample) {
  for (int round = 0; round < 72; round++) {
    const int axes = round % 6 == 5 ? 3 : 2;
    int64_t dims[5] = {ROWS, between(s, 1, 3)}, grid[5] = {ROWS};
    for (int i = 0; i < axes; i++) {
      dims[2 + i] = between(s, 1, 9);
      grid[1 + i] = between(s, 1, 6);
    }
    grid[1 + axes] = axes;
    suite_case *c = case_begin(s, between(s, 1, 2), "%s %d of %d axes", wh_op_get(op)->name, round, axes);
    const wh_attr attrs[] = {INT_ATTR(MODE, round % 3), INT_ATTR(PADDING, round / 3 % 3),
                             INT_ATTR(ALIGN_CORNERS, round / 9 % 2)};
    const wh_value in[2] = {
        case_input(c, WH_DTYPE_F32, 2 + axes, dims, FILL_PLAIN),
        case_input(c, WH_DTYPE_F32, 2 + axes, grid, round % 8 == 7 ? FILL_WILD : FILL_PLAIN)};
    if (round % 8 == 7 && c->n_bytes[in[1]] >= 8) {
      ((float *)c->data[in[1]])[0] = NAN;
      ((float *)c->data[in[1]])[1] = -INFINITY;
    }
    (void)case_node(c, op, in, 2, attrs, 3);
    case_run(c);
  }
}

SUITE_CASES(roi_align) {
  for (int round = 0; round < 48; round++) {
    const int64_t rows = between(s, 1, 5), n = between(s, 1, 3),
                  out[2] = {between(s, 1, 4), between(s, 1, 4)};
    suite_case *c = case_begin(s, rows, "%s %d", wh_op_get(op)->name, round);
    const wh_attr attrs[] = {INTS_ATTR(KERNEL, 2, out), INT_ATTR(SAMPLING, round % 3),
                             FLOAT_ATTR(SCALE, 0.5f), INT_ATTR(MODE, round / 3 % 2),
                             INT_ATTR(HALF_PIXEL, round / 6 % 2)};
    wh_value in[3] = {
        case_input(c, WH_DTYPE_F32, 4, D(n, 2, between(s, 1, 12), between(s, 1, 12)), FILL_PLAIN)};
    in[1] = case_input(c, WH_DTYPE_F32, 2, D(ROWS, 4), FILL_PLAIN);
    for (int64_t i = 0; i < 4 * rows; i++) ((float *)c->data[in[1]])[i] *= i % 4 < 2 ? 4.0f : 12.0f;
    c->outside = round % 6 == 5;
    if (round & 1) {
      in[2] = case_input(c, WH_DTYPE_I64, 1, D(ROWS), FILL_PLAIN);
      for (int64_t i = 0; i < rows; i++)
        ((int64_t *)c->data[in[2]])[i] = c->outside ? (i & 1 ? -1 : n) : between(s, 0, n - 1);
    } else {
      in[2] = case_indices(c, 1, D(ROWS), 0, n);
    }
    (void)case_node(c, op, in, 3, attrs, COUNT(attrs));
    case_run(c);
  }
}

/* ---- trees ---- */

/* A tree's nodes lie behind each other; of 16 numbers one or two is none that may stand there. */
static int32_t child(suite *s, int64_t i, int64_t n_nodes, int64_t n_leaves, bool hostile) {
  if (hostile && suite_random(s, 16) == 0) {
    const int32_t wrong[] = {(int32_t)i, 0, (int32_t)n_nodes, ~(int32_t)n_leaves, INT32_MAX, INT32_MIN};
    return wrong[suite_random(s, COUNT(wrong))];
  }
  if (n_leaves == 0 || (i + 1 < n_nodes && suite_random(s, 4)))
    return (int32_t)between(s, i + 1, i + 5 < n_nodes ? i + 5 : n_nodes - (i + 1 < n_nodes));
  return ~(int32_t)suite_random(s, (uint32_t)n_leaves);
}

SUITE_CASES(trees) {
  static const int64_t n_trees[] = {0, 1, 7, 8, 9, 63, 64, 65, 130, 300};
  for (int round = 0; round < 60; round++) {
    const bool wide = round % 3 == 2, hostile = round % 4 == 3;
    const wh_dtype type = wide ? WH_DTYPE_F64 : WH_DTYPE_F32;
    const int64_t rows = round % 5 == 4 ? 19 : between(s, 1, 9), features = between(s, 1, 6),
                  n_nodes = round % 11 == 10 ? 0 : between(s, 1, 40), n_leaves = between(s, 1, 20),
                  trees = n_trees[(size_t)round % COUNT(n_trees)],
                  targets = round % 7 == 6 ? 37 : between(s, 1, 4), words = wide ? 5 : 4;
    suite_case *c = case_begin(s, rows, "%s %d: %lld", wh_op_get(op)->name, round, (long long)trees);
    const wh_attr mode = INT_ATTR(MODE, round / 2 % 3);
    const wh_value in[4] = {case_input(c, type, 2, D(ROWS, features), round & 1 ? FILL_WILD : FILL_PLAIN),
                            case_indices(c, 2, D(n_nodes, words), 0, 1), case_indices(c, 1, D(trees), 0, 1),
                            case_input(c, type, 2, D(n_leaves, targets), round & 1 ? FILL_WILD : FILL_PLAIN)};
    int32_t *node = c->data[in[1]], *root = c->data[in[2]];
    for (int64_t i = 0; i < n_nodes; i++, node += words) {
      const double x = (double)between(s, -4, 4) / 2.0;
      const float narrow = (float)x;
      const int32_t feature = hostile && suite_random(s, 16) == 0
                                  ? (int32_t)features
                                  : (int32_t)suite_random(s, (uint32_t)features);
      node[0] = suite_random(s, 2) ? ~feature : feature;
      node[1] = child(s, i, n_nodes, n_leaves, hostile);
      node[2] = child(s, i, n_nodes, n_leaves, hostile);
      if (wide)
        memcpy(node + 3, &x, sizeof x);
      else
        memcpy(node + 3, &narrow, sizeof narrow);
    }
    for (int64_t i = 0; i < trees; i++) root[i] = child(s, -1, n_nodes, n_leaves, hostile);
    for (int64_t i = 0; i < rows * features; i += 3) { /* at a threshold, or missing */
      const float at = i % 2 ? NAN : -1.0f;
      if (wide)
        ((double *)c->data[in[0]])[i] = (double)at;
      else
        ((float *)c->data[in[0]])[i] = at;
    }
    (void)case_node(c, op, in, 4, &mode, 1);
    case_run(c);
  }
}

/* ---- signals ---- */

SUITE_CASES(lrn) {
  for (int round = 0; round < 24; round++) {
    suite_case *c = case_begin(s, between(s, 1, 3), "%s %d", wh_op_get(op)->name, round);
    const wh_attr attrs[] = {INT_ATTR(SIZE, between(s, 1, 7)), FLOAT_ATTR(ALPHA, 0.3f),
                             FLOAT_ATTR(BETA, round & 1 ? 0.75f : 0.5f), FLOAT_ATTR(EPS, 1.25f)};
    const int64_t dims[] = {ROWS, between(s, 1, 9), between(s, 1, 7), between(s, 1, 30)};
    const wh_value x = case_input(c, WH_DTYPE_F32, 2 + round % 3, dims, FILL_PLAIN);
    (void)case_node(c, op, &x, 1, attrs, COUNT(attrs));
    case_run(c);
  }
}

SUITE_CASES(dft) {
  static const int64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 10, 12, 16, 17, 30, 49, 64, 100, 400};
  for (int round = 0; round < 2 * (int)COUNT(sizes); round++) {
    const int64_t n = sizes[(size_t)round % COUNT(sizes)], axis = round % 3;
    int64_t dims[4] = {between(s, 1, 3), between(s, 1, 3), between(s, 1, 3), 2};
    if (axis == 1)
      dims[0] = ROWS;
    else
      dims[1] = ROWS;
    dims[axis] = n;
    suite_case *c = case_begin(s, between(s, 1, 3), "%s of %lld", wh_op_get(op)->name, (long long)n);
    const wh_attr attrs[] = {INT_ATTR(AXIS, axis), INT_ATTR(INVERSE, round >= (int)COUNT(sizes))};
    const wh_value in[2] = {case_input(c, WH_DTYPE_F32, 4, dims, FILL_PLAIN),
                            case_const(c, WH_DTYPE_F32, 2, D(n, 2))};
    (void)case_node(c, op, in, 2, attrs, 2);
    case_run(c);
  }
}

SUITE_CASES(det) {
  for (int round = 0; round < 24; round++) {
    const int64_t n = round % 8, dims[] = {ROWS, between(s, 1, 3), n, n};
    suite_case *c =
        case_begin(s, between(s, 1, 4), "%s of %lld x %lld", wh_op_get(op)->name, (long long)n, (long long)n);
    const wh_value x = case_input(c, WH_DTYPE_F32, 4, dims, FILL_PLAIN);
    if (round >= 16 && n > 1) memset(c->data[x], 0, (size_t)n * sizeof(float)); /* singular */
    (void)case_node(c, op, &x, 1, NULL, 0);
    case_run(c);
  }
}

/* ---- recurrent layers ---- */

typedef struct recurrent_shape {
  int64_t t, b, h;
} recurrent_shape;

static const recurrent_shape recurrent_shapes[] = {
    {1, 1, 1}, {3, 1, 8}, {5, 2, 17}, {7, 3, 33}, {3, 9, 24}, {2, 5, 64}, {4, 1, 520}, {6, 4, 3}, {1, 2, 16}};

static void recurrent_case(suite *s, wh_op op, int round, int64_t gates, size_t n_acts) {
  const recurrent_shape k = recurrent_shapes[(size_t)round % COUNT(recurrent_shapes)];
  const bool longest = round % 2, by_batch = round % 3 == 0;
  suite_case *c = case_begin(s, by_batch ? k.b : k.t, "%s %d: %lld steps of %lld, %lld units",
                             wh_op_get(op)->name, round, (long long)k.t, (long long)k.b, (long long)k.h);
  const int64_t t = by_batch ? k.t : ROWS, b = by_batch ? ROWS : k.b;
  int64_t acts[3];
  float factors[6];
  for (size_t i = 0; i < n_acts; i++) {
    acts[i] = round < 8 ? (i ? 1 : 0) : suite_random(s, 11);
    factors[2 * i] = 0.5f;
    factors[2 * i + 1] = 0.25f;
  }
  wh_attr attrs[6] = {INT_ATTR(REVERSE, round / 2 % 2),
                      FLOAT_ATTR(CLIP, round % 5 == 4 ? 0.75f : 0.0f),
                      INTS_ATTR(ACTIVATIONS, n_acts, acts),
                      {.key = WH_ATTR_FACTORS, .n = 2 * n_acts, .floats = factors}};
  size_t n = 4, at = 2;
  if (op == WH_OP_GRU) attrs[n++] = INT_ATTR(RESET_AFTER, round % 2);
  if (op == WH_OP_LSTM) attrs[n++] = INT_ATTR(COUPLED, round % 3 == 1);
  wh_value in[6] = {case_input(c, WH_DTYPE_F32, 3, D(t, b, gates * k.h), FILL_PLAIN),
                    round % 7 == 3 ? case_input(c, WH_DTYPE_F32, 2, D(gates * k.h, k.h), FILL_PLAIN)
                                   : case_const(c, WH_DTYPE_F32, 2, D(gates * k.h, k.h))};
  if (op == WH_OP_GRU) in[at++] = round & 4 ? case_const(c, WH_DTYPE_F32, 1, D(gates * k.h)) : 0;
  in[at++] = round & 1 ? case_input(c, WH_DTYPE_F32, 2, D(b, k.h), FILL_PLAIN) : 0;
  if (op == WH_OP_LSTM) in[at++] = round & 2 ? case_input(c, WH_DTYPE_F32, 2, D(b, k.h), FILL_PLAIN) : 0;
  in[at++] = longest ? case_indices(c, 1, D(b), 0, k.t + 1) : 0;
  if (longest && round % 8 == 7) {
    ((int32_t *)c->data[in[at - 1]])[0] = round & 8 ? -3 : (int32_t)k.t + 1;
    c->outside = true;
  }
  if (op == WH_OP_LSTM) in[at++] = round & 4 ? case_const(c, WH_DTYPE_F32, 1, D(3 * k.h)) : 0;
  (void)case_node(c, op, in, at, attrs, n);
  case_run(c);
}

SUITE_CASES(rnn) {
  for (int round = 0; round < 32; round++) recurrent_case(s, op, round, 1, 1);
}
SUITE_CASES(gru) {
  for (int round = 0; round < 40; round++) recurrent_case(s, op, round, 3, 2);
}
SUITE_CASES(lstm) {
  for (int round = 0; round < 48; round++) recurrent_case(s, op, round, 4, 3);
}

/* ---- codes ---- */

/* Scales (and zero points) for x of these dims: one, per place of the axis, or per block of it. */
static size_t scale_dims(int how, const int64_t *dims, int64_t axis, int64_t block, int64_t *out) {
  if (how == 0) return 0;
  if (how == 1) {
    out[0] = dims[axis];
    return 1;
  }
  memcpy(out, dims, 3 * sizeof *out);
  out[axis] = (dims[axis] + block - 1) / block;
  return 3;
}

static const wh_dtype code_types[] = {WH_DTYPE_I8,  WH_DTYPE_U8, WH_DTYPE_I16,
                                      WH_DTYPE_U16, WH_DTYPE_I4, WH_DTYPE_U4};

static void codes_case(suite *s, wh_op op, int round) {
  const int how = round % 3;
  const bool to_codes = op == WH_OP_QUANTIZE_LINEAR;
  const int64_t axis = how == 2 ? 1 + round / 3 % 2 : 1, block = how == 2 ? between(s, 1, 5) : 0;
  const int64_t dims[] = {ROWS, between(s, 1, 9), between(s, 1, 40)};
  wh_dtype dtype = code_types[(size_t)round % COUNT(code_types)];
  if (!to_codes && round % 7 == 6) dtype = WH_DTYPE_I32;
  int64_t cells[3];
  const int rank = (int)scale_dims(how, dims, axis, block, cells);
  suite_case *c = case_begin(s, between(s, 1, 4), "%s %d of %s, scales of rank %d", wh_op_get(op)->name,
                             round, wh_dtype_name(dtype), rank);
  wh_attr attrs[4] = {INT_ATTR(AXIS, axis), INT_ATTR(BLOCK, block), INT_ATTR(TO, dtype),
                      INT_ATTR(SATURATE, 1)};
  wh_value in[3] = {to_codes ? case_input(c, WH_DTYPE_F32, 3, dims, FILL_WILD)
                             : codes_input(c, dtype, 3, dims)};
  in[1] = case_input(c, WH_DTYPE_F32, rank, cells, FILL_PLAIN);
  for (size_t i = 0; to_codes && i < c->n_bytes[in[1]] / 4; i++) /* some far too small */
    ((float *)c->data[in[1]])[i] *= suite_random(s, 4) ? 0.03f : 1e-30f;
  if (round & 1) in[2] = codes_input(c, dtype, rank, cells);
  if (to_codes) ((float *)c->data[in[0]])[0] = round & 1 ? NAN : 0.0f;
  (void)case_node(c, op, in, 3, attrs, to_codes ? 4 : 2);
  case_run(c);
}

SUITE_CASES(quantize_linear) {
  for (int round = 0; round < 54; round++) codes_case(s, op, round);
}
SUITE_CASES(dequantize_linear) {
  for (int round = 0; round < 54; round++) codes_case(s, op, round);
}
