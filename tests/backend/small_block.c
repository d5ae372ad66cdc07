/* small_block.c - see small_block.h. */
#include "tests/backend/small_block.h"

#define D(...) ((const int64_t[]){__VA_ARGS__})
enum { WIDTH = 96, HEADS = 4, KV_HEADS = 2, HEAD = 32, TOKENS = 50, INNER = 160, FREQS = 12 };

static wh_value node(suite_case *c, wh_op op, wh_value a, wh_value b, wh_value d, wh_value e) {
  const wh_value in[] = {a, b, d, e};
  return case_node(c, op, in, 4, NULL, 0);
}

static wh_value norm(suite_case *c, wh_op op, wh_value x) {
  const wh_attr eps = {.key = WH_ATTR_EPS, .f = 1e-5f};
  const wh_value in[2] = {x, case_const(c, WH_DTYPE_F32, 1, D(WIDTH))};
  return case_node(c, op, in, 2, &eps, 1);
}

static wh_value heads_of(suite_case *c, wh_value x, int64_t heads) {
  const wh_attr shape = {
      .key = WH_ATTR_SHAPE, .rank = 3, .dims = {c->rows, case_dim(c, heads), case_dim(c, HEAD)}};
  return case_node(c, WH_OP_RESHAPE, &x, 1, &shape, 1);
}

static wh_value turned(suite_case *c, wh_value x, wh_value table) {
  const wh_attr neox = {.key = WH_ATTR_NEOX, .i = 1};
  const wh_value in[2] = {x, table};
  return case_node(c, WH_OP_ROPE, in, 2, &neox, 1);
}

static wh_value appended(const small_block *m, int key, wh_value x) {
  const wh_attr attr = {.key = WH_ATTR_KEY, .i = key};
  const wh_value in[5] = {case_state(m->c, WH_DTYPE_F16, 4, D(m->n_pages, KV_HEADS, 64, HEAD)), x,
                          m->positions, m->sequences, m->page_table};
  return case_node(m->c, WH_OP_KV_APPEND, in, 5, &attr, 1);
}

static wh_value attention(const small_block *m, wh_value x, wh_value table) {
  suite_case *c = m->c;
  const wh_value q = node(c, WH_OP_LINEAR, x, case_const(c, WH_DTYPE_Q4_0, 2, D(HEADS * HEAD, WIDTH)), 0, 0);
  const wh_value k =
      node(c, WH_OP_LINEAR, x, case_const(c, WH_DTYPE_Q8_0, 2, D(KV_HEADS * HEAD, WIDTH)), 0, 0);
  const wh_value v = node(c, WH_OP_LINEAR, x, case_const(c, WH_DTYPE_Q5_1, 2, D(KV_HEADS * HEAD, WIDTH)),
                          case_const(c, WH_DTYPE_F32, 1, D(KV_HEADS * HEAD)), 0);
  const wh_value in[6] = {turned(c, heads_of(c, q, HEADS), table),
                          appended(m, 1, turned(c, heads_of(c, k, KV_HEADS), table)),
                          appended(m, 0, heads_of(c, v, KV_HEADS)),
                          m->positions,
                          m->sequences,
                          m->page_table};
  const wh_attr attrs[] = {{.key = WH_ATTR_SCALE, .f = 0.176776695f},
                           {.key = WH_ATTR_SOFTCAP, .f = 0.0f},
                           {.key = WH_ATTR_WINDOW, .i = 40}};
  const wh_value y = case_node(c, WH_OP_ATTENTION, in, 6, attrs, 3);
  const wh_attr flat = {.key = WH_ATTR_SHAPE, .rank = 2, .dims = {c->rows, case_dim(c, HEADS * HEAD)}};
  return case_node(c, WH_OP_RESHAPE, &y, 1, &flat, 1);
}

small_block small_block_make(suite *s, int64_t n_rows, int64_t context) {
  small_block m = {.c = case_begin(s, n_rows, "a small block")};
  suite_case *c = m.c;
  m.ids = case_indices(c, 1, D(ROWS), 0, TOKENS);
  m.positions = case_indices(c, 1, D(ROWS), 0, 1);
  m.sequences = case_indices(c, 1, D(ROWS), 0, 1);
  const int64_t n_table = (context + 63) / 64;
  m.n_pages = 2 * n_table + 1;
  m.page_table = case_indices(c, 2, D(2, n_table), 0, 1);
  for (int64_t i = 0; i < 2 * n_table; i++) /* from the last one down */
    ((int32_t *)c->data[m.page_table])[i] = (int32_t)(2 * n_table - i);
  const wh_value embedding = case_const(c, WH_DTYPE_Q8_0, 2, D(TOKENS, WIDTH));
  const wh_value freqs = case_const(c, WH_DTYPE_F32, 1, D(FREQS));
  const wh_attr mscale = {.key = WH_ATTR_MSCALE, .f = 1.0f};
  const wh_value table =
      case_node(c, WH_OP_ROPE_TABLE, (const wh_value[]){m.positions, freqs}, 2, &mscale, 1);
  const wh_value x = node(c, WH_OP_GATHER_ROWS, embedding, m.ids, 0, 0);
  const wh_value attended = attention(&m, norm(c, WH_OP_RMS_NORM_QUANTIZE, x), table);
  const wh_value mid = node(c, WH_OP_LINEAR, case_node(c, WH_OP_QUANTIZE_WIDE, &attended, 1, NULL, 0),
                            case_const(c, WH_DTYPE_BF16, 2, D(WIDTH, HEADS * HEAD)), 0, x);
  const wh_value normed = norm(c, WH_OP_RMS_NORM_QUANTIZE, mid);
  const wh_value gate = node(c, WH_OP_LINEAR, normed, case_const(c, WH_DTYPE_Q5_0, 2, D(INNER, WIDTH)), 0, 0);
  const wh_value up = node(c, WH_OP_LINEAR, normed, case_const(c, WH_DTYPE_IQ4_NL, 2, D(INNER, WIDTH)), 0, 0);
  const wh_value gated = node(c, WH_OP_SWIGLU_QUANTIZE, gate, up, 0, 0);
  const wh_value last =
      node(c, WH_OP_LINEAR, gated, case_const(c, WH_DTYPE_Q4_1, 2, D(WIDTH, INNER)), 0, mid);
  m.logits = node(c, WH_OP_LINEAR, norm(c, WH_OP_RMS_NORM_QUANTIZE, last), embedding, 0, 0); /* tied */
  return m;
}

void small_block_inputs(small_block *m, int64_t position) {
  int32_t *ids = m->c->data[m->ids], *p = m->c->data[m->positions], *q = m->c->data[m->sequences];
  for (int64_t i = 0; i < m->c->n_rows; i++) {
    ids[i] = (int32_t)suite_random(m->c->s, TOKENS);
    p[i] = (int32_t)((position + i) / 2);
    q[i] = (int32_t)((position + i) % 2);
  }
}

wh_status small_block_write(const small_block *m, executor *x) {
  const wh_value inputs[] = {m->ids, m->positions, m->sequences, m->page_table};
  for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
    wh_status st = executor_write(x, inputs[i], m->c->data[inputs[i]], m->c->n_bytes[inputs[i]]);
    if (st != WH_OK) return st;
  }
  return WH_OK;
}
