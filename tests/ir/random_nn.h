/* random_nn.h - operands and attributes for ops of neural networks, which chance would not find. */
#ifndef WH_TESTS_RANDOM_NN_H
#define WH_TESTS_RANDOM_NN_H

#include "tests/ir/graph_fixture.h"

/* What fits each op: shapes of its operands (-1: the dim t), as many as it can have. */
typedef struct random_nn_row {
  wh_op op;
  struct {
    wh_dtype dtype;
    int rank;
    int64_t dims[5];
  } in[6];
} random_nn_row;

#define IMAGE                        \
  {                                  \
    WH_DTYPE_F32, 4, { -1, 6, 9, 8 } \
  }
static const random_nn_row random_nn_rows[] = {
    {WH_OP_CONV, {IMAGE, {WH_DTYPE_F32, 4, {4, 3, 3, 2}}, {WH_DTYPE_F32, 1, {4}}}},
    {WH_OP_CONV_CHAIN, {IMAGE, {WH_DTYPE_F32, 4, {4, 3, 3, 2}}, {WH_DTYPE_F32, 1, {4}}}},
    {WH_OP_CONV_TRANSPOSE, {IMAGE, {WH_DTYPE_F32, 4, {6, 5, 3, 2}}, {WH_DTYPE_F32, 1, {10}}}},
    {WH_OP_CONV_INTEGER,
     {{WH_DTYPE_U8, 4, {-1, 6, 9, 8}},
      {WH_DTYPE_I8, 4, {4, 3, 3, 2}},
      {WH_DTYPE_U8, 0, {0}},
      {WH_DTYPE_I8, 1, {4}}}},
    {WH_OP_CONV_CODES,
     {{WH_DTYPE_U8, 4, {-1, 6, 9, 8}},
      {WH_DTYPE_I8, 4, {4, 3, 3, 2}},
      {WH_DTYPE_U8, 0, {0}},
      {WH_DTYPE_I8, 1, {4}}}},
    {WH_OP_MATMUL_CHAIN, {{WH_DTYPE_F32, 2, {-1, 6}}, {WH_DTYPE_F32, 2, {6, 4}}, {WH_DTYPE_F32, 1, {4}}}},
    {WH_OP_MATMUL_ATTENTION,
     {{WH_DTYPE_F32, 2, {-1, 6}},
      {WH_DTYPE_F32, 2, {6, 5}},
      {WH_DTYPE_F32, 2, {5, 4}},
      {WH_DTYPE_F32, 1, {5}}}},
    {WH_OP_MATMUL_CODES,
     {{WH_DTYPE_U8, 2, {-1, 6}}, {WH_DTYPE_I8, 2, {6, 4}}, {WH_DTYPE_U8, 0, {0}}, {WH_DTYPE_I8, 1, {4}}}},
    {WH_OP_MAX_POOL, {IMAGE}},
    {WH_OP_MAX_POOL_INDEX, {IMAGE}},
    {WH_OP_AVERAGE_POOL, {IMAGE}},
    {WH_OP_LP_POOL, {IMAGE}},
    {WH_OP_RESAMPLE, {IMAGE, {WH_DTYPE_I32, 2, {18, 2}}, {WH_DTYPE_F32, 2, {18, 2}}}},
    {WH_OP_GRID_SAMPLE, {IMAGE, {WH_DTYPE_F32, 4, {-1, 5, 7, 2}}}},
    {WH_OP_ROI_ALIGN, {IMAGE, {WH_DTYPE_F32, 2, {7, 4}}, {WH_DTYPE_I64, 1, {7}}}},
    {WH_OP_TREES,
     {{WH_DTYPE_F64, 2, {-1, 3}},
      {WH_DTYPE_I32, 2, {6, 5}},
      {WH_DTYPE_I32, 1, {2}},
      {WH_DTYPE_F64, 2, {4, 2}}}},
    {WH_OP_LRN, {IMAGE}},
    {WH_OP_DFT, {{WH_DTYPE_F32, 3, {-1, 5, 2}}, {WH_DTYPE_F32, 2, {5, 2}}}},
    {WH_OP_DET, {{WH_DTYPE_F32, 3, {-1, 3, 3}}}},
    {WH_OP_RNN,
     {{WH_DTYPE_F32, 3, {-1, 2, 5}},
      {WH_DTYPE_F32, 2, {5, 5}},
      {WH_DTYPE_F32, 2, {2, 5}},
      {WH_DTYPE_I32, 1, {2}}}},
    {WH_OP_GRU,
     {{WH_DTYPE_F32, 3, {-1, 2, 15}},
      {WH_DTYPE_F32, 2, {15, 5}},
      {WH_DTYPE_F32, 1, {15}},
      {WH_DTYPE_F32, 2, {2, 5}},
      {WH_DTYPE_I32, 1, {2}}}},
    {WH_OP_LSTM,
     {{WH_DTYPE_F32, 3, {-1, 2, 20}},
      {WH_DTYPE_F32, 2, {20, 5}},
      {WH_DTYPE_F32, 2, {2, 5}},
      {WH_DTYPE_F32, 2, {2, 5}},
      {WH_DTYPE_I32, 1, {2}},
      {WH_DTYPE_F32, 1, {15}}}},
    {WH_OP_QUANTIZE_LINEAR, {IMAGE, {WH_DTYPE_F32, 1, {6}}, {WH_DTYPE_U8, 1, {6}}}},
    {WH_OP_DEQUANTIZE_LINEAR,
     {{WH_DTYPE_I4, 4, {-1, 6, 9, 8}}, {WH_DTYPE_F32, 1, {6}}, {WH_DTYPE_I4, 1, {6}}}},
    {WH_OP_MATMUL_BLOCKS,
     {{WH_DTYPE_F32, 2, {-1, 40}},
      {WH_DTYPE_U32, 3, {1, 8, 32}},
      {WH_DTYPE_F32, 3, {1, 2, 32}},
      {WH_DTYPE_U8, 3, {1, 2, 32}}}},
};
#undef IMAGE

static inline wh_attr random_nn_attr(test_rng *r, wh_graph *g, wh_op op, wh_attr_key key) {
  static const int64_t some[] = {1, 2, 0, 1}, sizes[] = {3, 2}, gates[] = {0, 10, 1};
  static const int64_t orders[] = {0, 1, 0, 1, 0, 1, 0, 1};
  static const float factors[] = {0x1p-149f, -1.5f, 3.0f, 1.0f, 0.0f, 2.0f};
  wh_attr a = {.key = key, .f = 0.5f, .i = rng_below(r, 2)};
  const size_t n_gates = op == WH_OP_LSTM ? 3 : op == WH_OP_GRU ? 2 : 1;
  switch (key) {
    case WH_ATTR_STRIDES:
    case WH_ATTR_DILATIONS:
      a.n = 2;
      a.ints = some;
      break;
    case WH_ATTR_PADS:
      a.n = op == WH_OP_CONV_TRANSPOSE ? 2 : 4;
      a.ints = some;
      break;
    case WH_ATTR_KERNEL:
      a.n = 2;
      a.ints = sizes;
      break;
    case WH_ATTR_SHAPE:
      a.rank = 2;
      assert_ok(wh_dim_const(&g->dims, 11, &a.dims[0]));
      a.dims[1] = a.dims[0];
      break;
    case WH_ATTR_GROUP:
      a.i = 2;
      break;
    case WH_ATTR_FORMULA:
      a.text = "abs 0; relu 1";
      a.n = strlen(a.text);
      break;
    case WH_ATTR_PERM:
      a.n = 8;
      a.ints = orders;
      break;
    case WH_ATTR_P:
    case WH_ATTR_AXIS:
    case WH_ATTR_SIZE:
      a.i = 1;
      break;
    case WH_ATTR_BLOCK:
      a.i = op == WH_OP_MATMUL_BLOCKS ? 32 : 0;
      break;
    case WH_ATTR_TO:
      a.i = WH_DTYPE_U8;
      break;
    case WH_ATTR_ACTIVATIONS:
      a.n = n_gates;
      a.ints = gates;
      break;
    case WH_ATTR_FACTORS:
      a.n = 2 * n_gates;
      a.floats = factors;
      break;
    default:
      break;
  }
  return a;
}

/* A node with operands of its own, or none of these ops: false. */
static inline bool random_nn(test_rng *r, wh_graph *g, wh_op op, const char *name, wh_dim t, wh_value *last) {
  size_t row = 0;
  const size_t n_rows = sizeof random_nn_rows / sizeof random_nn_rows[0];
  while (row < n_rows && random_nn_rows[row].op != op) row++;
  if (row == n_rows) return false;
  const wh_op_info *info = wh_op_get(op);
  wh_value in[6] = {0}, outs[3];
  wh_attr attrs[8];
  size_t n_attrs = 0;
  for (uint32_t i = 0; i < info->max_inputs && i < 6; i++) {
    wh_shape shape = {.dtype = random_nn_rows[row].in[i].dtype, .rank = random_nn_rows[row].in[i].rank};
    if (i >= info->min_inputs && rng_below(r, 3) == 0) continue;
    if (shape.rank == 0 && i != 2) continue; /* conv's residual */
    for (int d = 0; d < shape.rank; d++) {
      shape.dims[d] = t;
      if (random_nn_rows[row].in[i].dims[d] >= 0)
        assert_ok(wh_dim_const(&g->dims, random_nn_rows[row].in[i].dims[d], &shape.dims[d]));
    }
    assert_ok(wh_graph_add_input(g, name, &shape, &in[i]));
  }
  for (int key = 0; key < WH_ATTR_COUNT; key++)
    if (info->attrs & (uint64_t)1 << key) attrs[n_attrs++] = random_nn_attr(r, g, op, (wh_attr_key)key);
  uint32_t n_in = info->max_inputs;
  while (n_in > info->min_inputs && (n_in > 6 || !in[n_in - 1])) n_in--;
  assert_ok(wh_graph_add_node(g, op, name, in, n_in, attrs, n_attrs, outs));
  *last = outs[rng_below(r, info->n_outputs)];
  return true;
}

#endif
