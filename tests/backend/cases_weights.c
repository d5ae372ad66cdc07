/* cases_weights.c - shapes for gathers, products, key and value states, attention and experts. */
#include "tests/backend/suite.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define D(...) ((const int64_t[]){__VA_ARGS__})

/* Every type that weights come in, by WH_DTYPE_LIST. */
static bool is_weight(wh_dtype d) {
  return wh_dtype_is_quantised(d) || d == WH_DTYPE_F32 || d == WH_DTYPE_F16 || d == WH_DTYPE_BF16;
}
#define FOR_EACH_WEIGHT_DTYPE(d)                         \
  for (wh_dtype d = WH_DTYPE_F32; d < WH_DTYPE_Q8A; d++) \
    if (wh_dtype_get(d) && is_weight(d))

/* About `k` columns: whole blocks. */
static int64_t columns(wh_dtype d, int64_t k) {
  const int64_t block = wh_dtype_is_quantised(d) ? wh_dtype_get(d)->block_elems : 1;
  return (k + block - 1) / block * block;
}

/* ---- rows by index ---- */

SUITE_CASES(gather_rows) {
  static const int64_t sizes[][3] = {{0, 5, 40}, {1, 1, 1}, {3, 7, 33}, {40, 100, 300}}; /* ids, table */
  FOR_EACH_WEIGHT_DTYPE(d)
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (int kind = 0; kind < 3; kind++) { /* in range; beyond it; the table is computed, too */
      const int64_t n_ids = sizes[i][0], table[2] = {sizes[i][1], columns(d, sizes[i][2])};
      if (kind == 2 && d != WH_DTYPE_F32) continue;
      suite_case *c = case_begin(s, n_ids, "%s of %s [%lld, %lld]%s", wh_op_get(op)->name, wh_dtype_name(d),
                                 (long long)table[0], (long long)table[1], kind == 1 ? ", ids outside" : "");
      wh_value in[2];
      in[0] = kind == 2 ? case_input(c, d, 2, table, FILL_PLAIN) : case_const(c, d, 2, table);
      in[1] = case_indices(c, 1, D(ROWS), 0, table[0]);
      if (kind == 1 && n_ids) {
        int32_t *ids = c->data[in[1]];
        ids[n_ids / 2] = (int32_t)table[0];
        ids[n_ids - 1] = n_ids % 2 ? -1 : INT32_MAX;
        c->outside = true;
      }
      (void)case_node(c, op, in, 2, NULL, 0);
      case_run(c);
    }
}

SUITE_CASES(select_rows) {
  static const int64_t sizes[][3] = {{0, 4, 8}, {1, 1, 1}, {5, 9, 31}, {70, 3, 130}};
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (int outside = 0; outside < 2; outside++) {
      suite_case *c = case_begin(s, sizes[i][0], "%s of [%lld, %lld]", wh_op_get(op)->name,
                                 (long long)sizes[i][1], (long long)sizes[i][2]);
      wh_value in[2] = {case_input(c, WH_DTYPE_F32, 2, &sizes[i][1], FILL_WILD), 0};
      in[1] = case_indices(c, 1, D(ROWS), 0, sizes[i][1]);
      if (outside && sizes[i][0]) {
        ((int32_t *)c->data[in[1]])[0] = INT32_MIN;
        c->outside = true;
      }
      (void)case_node(c, op, in, 2, NULL, 0);
      case_run(c);
    }
}

/* ---- products ---- */

static wh_value activations(suite_case *c, wh_dtype weights, int rank, const int64_t *dims) {
  const wh_value x = case_input(c, WH_DTYPE_F32, rank, dims, FILL_PLAIN);
  if (weights == WH_DTYPE_F32) return x;
  const wh_op quantize = wh_dtype_is_quantised(weights) ? WH_OP_QUANTIZE_ACT : WH_OP_QUANTIZE_WIDE;
  return case_node(c, quantize, &x, 1, NULL, 0);
}

/* The largest integers that codes can give, up to 63 * 32 * 127 * 8 * 8 in the minima of Q4_K and 128 *
 * 4095^2 of 16-bit weights. */
static void extreme_products(suite *s, wh_op op) {
  static const int64_t n_rows[] = {1, 5, 66};
  FOR_EACH_WEIGHT_DTYPE(d)
  for (size_t n = 0; n < COUNT(n_rows); n++) {
    if (d == WH_DTYPE_F32) continue;
    suite_case *c = case_begin(s, n_rows[n], "%s of %s: extremes", wh_op_get(op)->name, wh_dtype_name(d));
    const wh_value x = activations(c, d, 2, D(ROWS, 512));
    float *values = c->data[c->g->nodes[0].inputs[0]];
    for (int64_t i = 0; i < n_rows[n] * 512; i++) values[i] = i / 512 % 2 ? -2.0f : 2.0f;
    const wh_value in[2] = {x, case_extreme_const(c, d, 2, D(67, 512))};
    (void)case_node(c, op, in, 2, NULL, 0);
    case_run(c);
  }
}

/* Products of one x, as queries, keys and values are, which a backend may compute together; the last has
 * weights of another type. */
static void products_of_one_x(suite *s, wh_op op, const int64_t *n_rows, size_t n) {
  static const int64_t outputs[] = {40, 16, 7, 130, 1};
  FOR_EACH_WEIGHT_DTYPE(d)
  for (size_t i = 0; i < n; i++) {
    const wh_dtype other = d == WH_DTYPE_Q4_0 ? WH_DTYPE_Q6_K : d == WH_DTYPE_F16 ? WH_DTYPE_BF16 : d;
    const int64_t k = columns(other, columns(d, 300));
    suite_case *c =
        case_begin(s, n_rows[i], "%s of %s: several of one x", wh_op_get(op)->name, wh_dtype_name(d));
    const wh_value x = activations(c, d, 2, D(ROWS, k));
    wh_value in[COUNT(outputs)][4] = {{0}};
    for (size_t p = 0; p < COUNT(outputs); p++) { /* what they take stands before the first of them */
      in[p][0] = x;
      in[p][1] = case_const(c, p + 1 == COUNT(outputs) ? other : d, 2, D(outputs[p], k));
      if (p % 2) in[p][2] = case_const(c, WH_DTYPE_F32, 1, &outputs[p]);
      if (p / 2) in[p][3] = case_input(c, WH_DTYPE_F32, 2, D(ROWS, outputs[p]), FILL_PLAIN);
    }
    for (size_t p = 0; p < COUNT(outputs); p++) (void)case_node(c, op, in[p], 4, NULL, 0);
    case_run(c);
  }
}

SUITE_CASES(linear) {
  extreme_products(s, op);
  products_of_one_x(s, op, D(1, 6, 20), 3);
  static const int64_t sizes[][3] = {{1, 1, 1},      {1, 33, 64},     {1, 130, 600}, {0, 8, 32},
                                     {2, 7, 96},     {5, 100, 7},     {17, 16, 513}, {67, 37, 288},
                                     {130, 9, 256},  {20, 150, 1600}, {3, 5, 16900}, {9, 20, 550},
                                     {32, 40, 4400}, {33, 17, 300},   {1, 5, 16900}}; /* rows, n, k */
  FOR_EACH_WEIGHT_DTYPE(d)
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (int epilogue = 0; epilogue < 4; epilogue++) {
      if (sizes[i][2] > 1000 && epilogue != 3) continue; /* the reference is slow */
      if (i + 1 == COUNT(sizes) && !wh_dtype_is_quantised(d))
        continue; /* GPUs have kernels of one row of these */
      const int64_t n = sizes[i][1], k = columns(d, sizes[i][2]);
      suite_case *c =
          case_begin(s, sizes[i][0], "%s of %s: %lld rows, [%lld, %lld], epilogue %d", wh_op_get(op)->name,
                     wh_dtype_name(d), (long long)sizes[i][0], (long long)n, (long long)k, epilogue);
      wh_value in[4] = {activations(c, d, 2, D(ROWS, k)), case_const(c, d, 2, D(n, k)), 0, 0};
      if (epilogue & 1) in[2] = case_const(c, WH_DTYPE_F32, 1, &n);
      if (epilogue & 2) in[3] = case_input(c, WH_DTYPE_F32, 2, D(ROWS, n), FILL_PLAIN);
      (void)case_node(c, op, in, 4, NULL, 0);
      const bool wide =
          d == WH_DTYPE_F16 || d == WH_DTYPE_BF16; /* a table of these is read as the model has it */
      if (epilogue == 0 && !wide) { /* a table that a product shares: the gather reads the product's form */
        const wh_value gather[2] = {in[1], case_indices(c, 1, D(ROWS), 0, n)};
        (void)case_node(c, WH_OP_GATHER_ROWS, gather, 2, NULL, 0);
      }
      case_run(c);
    }
}

/* For kernels of many rows: several blocks of outputs, groups of K and tiles of rows. A ring of stages goes
 * round every four groups. */
void cases_products_of_many_rows(suite *s) {
  products_of_one_x(s, WH_OP_LINEAR, D(50, 70), 2);
  /* K shared out; blocks of 128 outputs for all; more rows */
  static const int64_t sizes[][3] = {{64, 140, 1300}, {64, 270, 550}, {66, 140, 1300}}; /* rows, n, k */
  FOR_EACH_WEIGHT_DTYPE(d)
  for (size_t i = 0; i < COUNT(sizes); i++) {
    const int64_t n = sizes[i][1], k = columns(d, sizes[i][2]);
    suite_case *c = case_begin(s, sizes[i][0], "linear of %s: %lld rows, [%lld, %lld]", wh_dtype_name(d),
                               (long long)sizes[i][0], (long long)n, (long long)k);
    const wh_value in[2] = {activations(c, d, 2, D(ROWS, k)), case_const(c, d, 2, D(n, k))};
    (void)case_node(c, WH_OP_LINEAR, in, 2, NULL, 0);
    case_run(c);
  }
}

/* ---- keys, values, attention ---- */

typedef struct cache_case {
  int64_t rows, slots, context, kv_heads, heads, dim, value_dim, window;
  float softcap;
} cache_case;

static const cache_case caches[] = {
    {0, 1, 8, 1, 1, 32, 32, 0, 0.0f},
    {1, 1, 1, 1, 1, 32, 32, 0, 0.0f},
    {1, 3, 70, 2, 8, 64, 64, 0, 0.0f},
    {150, 1, 150, 3, 9, 64, 64, 0, 0.0f},
    {150, 2, 90, 1, 4, 96, 32, 0, 0.0f},
    {140, 1, 200, 2, 2, 32, 64, 7, 0.0f},
    {140, 1, 200, 2, 4, 64, 64, 70, 20.0f},
    {66, 3, 70, 1, 8, 128, 128, 0, 30.0f},
    {1100, 1, 1100, 1, 2, 32, 32, 0, 0.0f},
    {1090, 1, 1090, 1, 1, 32, 32, 1050, 0.0f}, /* two spans */
    {40, 3, 14, 4, 28, 33, 40, 0, 0.0f},
    {9, 2, 70, 1, 2, 260, 300, 0, 0.0f},    /* heads of any length */
    {130, 1, 130, 8, 32, 32, 32, 90, 0.0f}, /* many heads */
    {70, 1, 70, 32, 128, 8, 24, 0, 0.0f},
    {40, 3, 30, 43, 172, 16, 8, 9, 20.0f}, /* and rows: tiles of them */
    {1030, 1, 1030, 8, 8, 8, 8, 0, 0.0f},
    {20, 1, 20, 64, 256, 16, 104, 0, 0.0f},
};

static int64_t table_of(const cache_case *k) { return (k->context + 63) / 64; }
static int64_t pages_of(const cache_case *k) { return k->slots * table_of(k) + 2; }

/* Row i is of sequence i mod slots; positions ascend, or descend (`order` 1), or leave the table (2), or
 * their pages the state (3). */
static void fill_rows(suite_case *c, const cache_case *k, int order, const wh_value places[3]) {
  int32_t *p = c->data[places[0]], *q = c->data[places[1]], *pages = c->data[places[2]];
  const int64_t n = k->slots * table_of(k);
  for (int64_t i = 0; i < n; i++) /* any order; two are not used; what no row needs may be no page */
    pages[i] = i % table_of(k) * 64 * k->slots < k->rows ? (int32_t)((i + 1) * 2 % (n | 1)) : -1;
  for (int64_t i = 0; i < k->rows; i++) {
    const int64_t at = order == 1 ? k->rows - 1 - i : i;
    p[i] = (int32_t)(at / k->slots);
    q[i] = (int32_t)(at % k->slots);
  }
  if (order == 3 && k->rows > 0) {
    pages[n - 1] = (int32_t)pages_of(k);
    pages[0] = k->rows % 4 == 2 ? INT32_MIN : -1;
    c->outside = true;
  }
  if (order != 2 || k->rows < 1) return;
  p[k->rows / 2] = (int32_t)(64 * table_of(k));
  if (k->rows > 3) q[0] = -1, p[k->rows - 1] = INT32_MIN;
  c->outside = true;
}

static const char *const orders[] = {"ascending", "descending", "some outside", "some on pages outside"};

static wh_value append_value(suite_case *c, const cache_case *k, wh_dtype d, int key, wh_value x,
                             const wh_value places[3]) {
  const wh_attr attr = {.key = WH_ATTR_KEY, .i = key};
  const int64_t dim = key ? k->dim : k->value_dim;
  const wh_value in[] = {case_state(c, d, 4, D(pages_of(k), k->kv_heads, 64, dim)), x, places[0], places[1],
                         places[2]};
  return case_node(c, WH_OP_KV_APPEND, in, 5, &attr, 1);
}

static wh_value append(suite_case *c, const cache_case *k, wh_dtype d, int key, const wh_value places[3]) {
  const int64_t dim = key ? k->dim : k->value_dim;
  const wh_value x = case_input(c, WH_DTYPE_F32, 3, D(ROWS, k->kv_heads, dim), FILL_PLAIN);
  return append_value(c, k, d, key, x, places);
}

/* What a product behind attention takes; of some sizes GPUs make it of heads that they have just joined. */
static void quantise_heads(suite_case *c, const cache_case *k, int order, wh_value y) {
  const int64_t n = k->heads * k->value_dim;
  const wh_attr flat = {.key = WH_ATTR_SHAPE, .rank = 2, .dims = {c->rows, case_dim(c, n)}};
  if (n % 32) return;
  if (order != 1 || k->value_dim % 32) /* else row by row of heads, which has another form */
    y = case_node(c, WH_OP_RESHAPE, &y, 1, &flat, 1);
  (void)case_node(c, WH_OP_QUANTIZE_ACT, &y, 1, NULL, 0);
}

/* With an op of none: appends alone. */
static void cache_cases(suite *s, wh_op op, bool attend) {
  static const wh_dtype dtypes[] = {WH_DTYPE_F32, WH_DTYPE_F16, WH_DTYPE_Q8_0};
  for (size_t i = 0; i < COUNT(caches); i++)
    for (size_t d = 0; d < COUNT(dtypes); d++)
      for (int order = 0; order < 4; order++) {
        const cache_case *k = &caches[i];
        if (k->rows > 1000 &&
            (k->kv_heads > 4 ? dtypes[d] != WH_DTYPE_F16 : order != (int)d || dtypes[d] == WH_DTYPE_F16))
          continue; /* the reference is slow */
        if (dtypes[d] == WH_DTYPE_Q8_0 && (k->dim % 32 || k->value_dim % 32)) continue;
        if (k->kv_heads > 8 && dtypes[d] != WH_DTYPE_F16) continue; /* of prompts, over f16 */
        if (k->kv_heads > 4 && (k->kv_heads == 32 ? order % 2 : order)) continue;
        suite_case *c = case_begin(s, k->rows, "%s of %s, cache %zu, positions %s", wh_op_get(op)->name,
                                   wh_dtype_name(dtypes[d]), i, orders[order]);
        wh_value in[6] = {0,
                          0,
                          0,
                          case_indices(c, 1, D(ROWS), 0, 1),
                          case_indices(c, 1, D(ROWS), 0, 1),
                          case_indices(c, 2, D(k->slots, table_of(k)), 0, 1)};
        fill_rows(c, k, order, in + 3);
        if (attend) in[0] = case_input(c, WH_DTYPE_F32, 3, D(ROWS, k->heads, k->dim), FILL_PLAIN);
        in[1] = append(c, k, dtypes[d], 1, in + 3);
        in[2] = append(c, k, dtypes[d], 0, in + 3);
        const wh_attr attrs[] = {{.key = WH_ATTR_SCALE, .f = 0.125f},
                                 {.key = WH_ATTR_SOFTCAP, .f = k->softcap},
                                 {.key = WH_ATTR_WINDOW, .i = k->window}};
        if (attend) quantise_heads(c, k, order, case_node(c, op, in, 6, attrs, 3));
        case_run(c);
      }
}

/* Keys that are values, too: one turned value, two states. */
static void shared_heads(suite *s, wh_op op, wh_dtype d) {
  static const cache_case k = {9, 1, 20, 2, 2, 64, 64, 0, 0.0f};
  suite_case *c =
      case_begin(s, k.rows, "%s of %s, one rope's for two states", wh_op_get(op)->name, wh_dtype_name(d));
  const wh_value places[] = {case_indices(c, 1, D(ROWS), 0, 1), case_indices(c, 1, D(ROWS), 0, 1),
                             case_indices(c, 2, D(k.slots, table_of(&k)), 0, 1)};
  fill_rows(c, &k, 0, places);
  const wh_attr neox = {.key = WH_ATTR_NEOX, .i = 1};
  const wh_value in[] = {case_input(c, WH_DTYPE_F32, 3, D(ROWS, k.kv_heads, k.dim), FILL_PLAIN),
                         case_input(c, WH_DTYPE_F32, 3, D(ROWS, 2, k.dim / 2), FILL_PLAIN)};
  const wh_value turned = case_node(c, WH_OP_ROPE, in, 2, &neox, 1);
  for (int key = 0; key < 2; key++) (void)append_value(c, &k, d, key, turned, places);
  case_run(c);
}

SUITE_CASES(kv_append) {
  cache_cases(s, op, false);
  shared_heads(s, op, WH_DTYPE_F16);
  shared_heads(s, op, WH_DTYPE_Q8_0);
}
SUITE_CASES(attention) { cache_cases(s, op, true); }

/* ---- experts ---- */

static const int64_t choices[][3] = {{0, 4, 2},  {12, 4, 4},  {1, 8, 2}, {5, 33, 8},
                                     {70, 4, 4}, {170, 2, 1}, {1, 1, 1}}; /* rows, e, used */

static wh_value select_experts(suite_case *c, wh_value scores, int64_t used) {
  const wh_attr attr = {.key = WH_ATTR_USED, .i = used};
  return case_node(c, WH_OP_EXPERT_SELECT, &scores, 1, &attr, 1);
}

SUITE_CASES(expert_select) {
  for (size_t i = 0; i < COUNT(choices); i++)
    for (int kind = 0; kind < 3; kind++) {
      suite_case *c = case_begin(s, choices[i][0], "%s of %lld, kind %d", wh_op_get(op)->name,
                                 (long long)choices[i][1], kind);
      const wh_value x = case_input(c, WH_DTYPE_F32, 2, D(ROWS, choices[i][1]), FILL_WILD);
      float *scores = c->data[x];
      for (size_t k = 0; kind == 1 && k < c->n_bytes[x] / 4; k++) scores[k] = (float)(k % 3); /* equal ones */
      for (size_t k = 0; kind == 2 && k < c->n_bytes[x] / 4; k += 2) scores[k] = NAN;
      (void)select_experts(c, x, choices[i][2]);
      case_run(c);
    }
}

SUITE_CASES(expert_weights) {
  for (size_t i = 0; i < COUNT(choices); i++)
    for (int normalise = 0; normalise < 2; normalise++) {
      suite_case *c =
          case_begin(s, choices[i][0], "%s of %lld", wh_op_get(op)->name, (long long)choices[i][1]);
      wh_value in[2] = {case_input(c, WH_DTYPE_F32, 2, D(ROWS, choices[i][1]), FILL_PLAIN), 0};
      in[1] = select_experts(c, in[0], choices[i][2]);
      const wh_attr attrs[] = {{.key = WH_ATTR_NORMALISE, .i = normalise},
                               {.key = WH_ATTR_SCALE, .f = normalise ? 2.5f : 1.0f}};
      (void)case_node(c, op, in, 2, attrs, 2);
      case_run(c);
    }
}

SUITE_CASES(expert_linear) {
  static const int64_t sizes[][2] = {{1, 32}, {33, 96}, {100, 300}}; /* n, k */
  FOR_EACH_WEIGHT_DTYPE(d)
  for (size_t i = 0; i < COUNT(choices); i++)
    for (int per_slot = 0; per_slot < 2; per_slot++) {
      const int64_t n = sizes[i % COUNT(sizes)][0], k = columns(d, sizes[i % COUNT(sizes)][1]);
      const int64_t rows = choices[i][0], e = choices[i][1], used = choices[i][2];
      suite_case *c =
          case_begin(s, rows, "%s of %s: %lld rows, %lld of %lld, [%lld, %lld]%s", wh_op_get(op)->name,
                     wh_dtype_name(d), (long long)rows, (long long)used, (long long)e, (long long)n,
                     (long long)k, per_slot ? ", a row per slot" : "");
      const wh_value scores = case_input(c, WH_DTYPE_F32, 2, D(ROWS, e), FILL_PLAIN);
      wh_value in[3] = {per_slot ? activations(c, d, 3, D(ROWS, used, k)) : activations(c, d, 2, D(ROWS, k)),
                        0, 0};
      in[1] = case_const(c, d, 3, D(e, n, k));
      in[2] = select_experts(c, scores, used);
      (void)case_node(c, op, in, 3, NULL, 0);
      if (i % 2) { /* gates, and beside them what they are for */
        in[1] = case_const(c, d, 3, D(e, n + 9, k));
        (void)case_node(c, op, in, 3, NULL, 0);
      }
      case_run(c);
    }
}

SUITE_CASES(expert_sum) {
  for (size_t i = 0; i < COUNT(choices); i++)
    for (int residual = 0; residual < 2; residual++) {
      const int64_t slots = choices[i][2], n = 31 + 40 * (int64_t)i;
      suite_case *c = case_begin(s, choices[i][0], "%s of %lld slots", wh_op_get(op)->name, (long long)slots);
      wh_value in[3] = {case_input(c, WH_DTYPE_F32, 3, D(ROWS, slots, n), FILL_WILD), 0, 0};
      in[1] = case_input(c, WH_DTYPE_F32, 2, D(ROWS, slots), FILL_PLAIN);
      if (residual) in[2] = case_input(c, WH_DTYPE_F32, 2, D(ROWS, n), FILL_PLAIN);
      (void)case_node(c, op, in, 3, NULL, 0);
      case_run(c);
    }
}
