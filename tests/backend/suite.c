/* suite.c - builds a case, computes it by the references, runs it on a backend and compares. */
#define _DEFAULT_SOURCE
#include "tests/backend/suite.h"
#include "tests/backend/reference_elements.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

static void ok(const suite_case *c, wh_status st) {
  if (st != WH_OK) fail_msg("%s: %s: %s", c->s->target->label, c->name, wh_last_error()->message);
}

static void *bytes(size_t n) {
  void *p = calloc(n + 1, 1);
  if (!p) abort();
  return p;
}

/* ---- random data ---- */

/* splitmix64 (Steele, Lea and Flood 2014) */
uint32_t suite_random(suite *s, uint32_t below) {
  uint64_t z = s->random += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (uint32_t)((z ^ z >> 31) >> 16) % below;
}

static float random_float(suite *s, suite_fill fill) {
  const float x = (float)(int32_t)suite_random(s, 1u << 24) * 0x1p-22f - 2.0f;
  if (fill == FILL_PLAIN) return x;
  switch (suite_random(s, 16)) {
    case 0:
      return x < 0 ? -0.0f : 0.0f;
    case 1:
      return x * 0x1p-130f; /* subnormal */
    case 2:
      return x * 0x1p-60f;
    case 3:
      return x * 0x1p20f;
    case 4:
      return x * 0x1p5f;
    default:
      return x;
  }
}

/* Where a block holds fp16 scales; Q8A and what is no block: none. */
static int f16_fields(wh_dtype d, int at[2]) {
  at[0] = d == WH_DTYPE_Q2_K ? 80 : d == WH_DTYPE_Q3_K ? 108 : d == WH_DTYPE_Q6_K ? 208 : 0;
  at[1] = at[0] + 2;
  if (d == WH_DTYPE_MXFP4) return 0;
  const bool two = d == WH_DTYPE_Q4_1 || d == WH_DTYPE_Q5_1 || d == WH_DTYPE_Q2_K || d == WH_DTYPE_Q4_K ||
                   d == WH_DTYPE_Q5_K;
  return two ? 2 : 1;
}

static void random_blocks(suite *s, wh_dtype dtype, uint8_t *p, size_t n_bytes, suite_fill fill) {
  static const uint8_t extremes[] = {0x00, 0xff, 0x80, 0x7f, 0x88, 0x77};
  const wh_dtype_info *t = wh_dtype_get(dtype);
  int at[2], n_fields = f16_fields(dtype, at);
  for (size_t b = 0; b + t->block_bytes <= n_bytes; b += t->block_bytes) {
    for (int i = 0; i < t->block_bytes; i++) p[b + (size_t)i] = (uint8_t)suite_random(s, 256);
    if (fill == FILL_EXTREME) memset(p + b, extremes[suite_random(s, sizeof extremes)], t->block_bytes);
    if (dtype == WH_DTYPE_MXFP4) p[b] = (uint8_t)(100 + suite_random(s, 56));
    for (int i = 0; i < n_fields; i++) {
      const uint16_t h = wh_f16_from_f32(random_float(s, FILL_PLAIN) * 0x1p-6f);
      memcpy(p + b + at[i], &h, sizeof h);
    }
  }
}

static void random_fill(suite *s, wh_dtype dtype, void *p, size_t n_bytes, suite_fill fill) {
  if (wh_dtype_is_quantised(dtype)) {
    random_blocks(s, dtype, p, n_bytes, fill);
    return;
  }
  for (size_t i = 0; dtype == WH_DTYPE_F32 && i < n_bytes / 4; i++) ((float *)p)[i] = random_float(s, fill);
  for (size_t i = 0; dtype == WH_DTYPE_F64 && i < n_bytes / 8; i++)
    ((double *)p)[i] = (double)random_float(s, fill) * (1.0 + 0x1p-40 * suite_random(s, 4096));
  for (size_t i = 0; (dtype == WH_DTYPE_F16 || dtype == WH_DTYPE_BF16) && i < n_bytes / 2; i++) {
    const float x = fill != FILL_EXTREME ? random_float(s, FILL_PLAIN) : i / 128 % 2 ? -2.0f : 2.0f;
    ((uint16_t *)p)[i] = dtype == WH_DTYPE_F16 ? wh_f16_from_f32(x) : (uint16_t)(wh_f32_bits(x) >> 16);
  }
  if (!wh_dtype_is_float(dtype) || wh_dtype_get(dtype)->block_bytes == 1)
    for (size_t i = 0; i < n_bytes; i++)
      ((uint8_t *)p)[i] = (uint8_t)(dtype == WH_DTYPE_BOOL ? suite_random(s, 2) : suite_random(s, 256));
}

/* ---- building ---- */

suite_case *case_begin(suite *s, int64_t n_rows, const char *about, ...) {
  suite_case *c = bytes(sizeof *c);
  va_list args;
  va_start(args, about);
  (void)vsnprintf(c->name, sizeof c->name, about, args);
  va_end(args);
  c->s = s;
  c->n_rows = n_rows;
  ok(c, wh_graph_create("case", NULL, &c->g));
  ok(c, wh_dim_symbol(&c->g->dims, "rows", 0, 4096, &c->rows));
  return c;
}

wh_dim case_dim(suite_case *c, int64_t size) {
  wh_dim d = c->rows;
  if (size != ROWS) ok(c, wh_dim_const(&c->g->dims, size, &d));
  return d;
}

static wh_shape shape_of(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims) {
  wh_shape shape = {.dtype = dtype, .rank = rank};
  for (int i = 0; i < rank; i++) shape.dims[i] = case_dim(c, dims[i]);
  return shape;
}

int64_t *case_dims(const suite_case *c, int64_t n_rows) {
  int64_t *dims = bytes(c->g->dims.n * sizeof *dims);
  for (wh_dim d = 0; d < c->g->dims.n; d++) dims[d] = wh_dim_eval(&c->g->dims, d, &n_rows);
  return dims;
}

static void hold(suite_case *c, wh_value v) {
  assert_true(v < SUITE_MAX_VALUES);
  int64_t *dims = case_dims(c, c->n_rows);
  if (!wh_value_row_major_bytes(c->g, v, dims, &c->n_bytes[v]))
    fail_msg("%s: value %u is too large", c->name, v);
  free(dims);
  c->data[v] = bytes(c->n_bytes[v]);
}

static const char *next_name(const suite_case *c, char name[16]) {
  (void)snprintf(name, 16, "v%zu", c->g->n_values);
  return name;
}

wh_value case_input(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims, suite_fill fill) {
  char name[16];
  const wh_shape shape = shape_of(c, dtype, rank, dims);
  wh_value v = 0;
  ok(c, wh_graph_add_input(c->g, next_name(c, name), &shape, &v));
  hold(c, v);
  random_fill(c->s, dtype, c->data[v], c->n_bytes[v], fill);
  return v;
}

wh_value case_indices(suite_case *c, int rank, const int64_t *dims, int64_t first, int64_t below) {
  char name[16];
  const wh_shape shape = shape_of(c, WH_DTYPE_I32, rank, dims);
  wh_value v = 0;
  ok(c, wh_graph_add_input(c->g, next_name(c, name), &shape, &v));
  hold(c, v);
  int32_t *ids = c->data[v];
  for (size_t i = 0; i < c->n_bytes[v] / 4; i++)
    ids[i] = (int32_t)(first + suite_random(c->s, (uint32_t)(below ? below : 1)));
  return v;
}

wh_value case_wide_indices(suite_case *c, int rank, const int64_t *dims, int64_t first, int64_t below,
                           bool wide) {
  if (!wide) return case_indices(c, rank, dims, first, below);
  const wh_value v = case_input(c, WH_DTYPE_I64, rank, dims, FILL_PLAIN);
  int64_t *ids = c->data[v];
  for (size_t i = 0; i < c->n_bytes[v] / 8; i++)
    ids[i] = first + suite_random(c->s, (uint32_t)(below ? below : 1));
  return v;
}

bool case_any_outside(const suite_case *c, wh_value indices, int64_t first, int64_t last) {
  const bool wide = c->g->values[indices].shape.dtype == WH_DTYPE_I64;
  for (size_t i = 0; i < c->n_bytes[indices] / (wide ? 8 : 4); i++) {
    const int64_t k = wide ? ((const int64_t *)c->data[indices])[i] : ((const int32_t *)c->data[indices])[i];
    if (k < first || k > last) return true;
  }
  return false;
}

static wh_value const_of(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims, suite_fill fill) {
  char name[16];
  const wh_shape shape = shape_of(c, dtype, rank, dims);
  const int64_t none = 0;
  size_t n = 0;
  wh_value v = 0;
  if (!wh_shape_bytes(c->g, &shape, &none, &n)) fail_msg("%s: a constant is too large", c->name);
  void *data = bytes(n);
  random_fill(c->s, dtype, data, n, fill);
  ok(c, wh_graph_add_const(c->g, next_name(c, name), &shape, data, n, NULL, &v));
  c->data[v] = data;
  c->n_bytes[v] = n;
  return v;
}

wh_value case_const(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims) {
  return const_of(c, dtype, rank, dims, FILL_PLAIN);
}

wh_value case_extreme_const(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims) {
  return const_of(c, dtype, rank, dims, FILL_EXTREME);
}

wh_value case_state(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims) {
  char name[16];
  const wh_shape shape = shape_of(c, dtype, rank, dims);
  wh_value v = 0;
  ok(c, wh_graph_add_state(c->g, next_name(c, name), &shape, &v));
  hold(c, v);
  return v;
}

wh_value case_node(suite_case *c, wh_op op, const wh_value *inputs, size_t n_inputs, const wh_attr *attrs,
                   size_t n_attrs) {
  char name[16];
  wh_value outs[REFERENCE_MAX_OUTPUTS] = {0};
  assert_true(wh_op_get(op)->n_outputs <= REFERENCE_MAX_OUTPUTS);
  ok(c, wh_graph_add_node(c->g, op, next_name(c, name), inputs, n_inputs, attrs, n_attrs, outs));
  if (wh_op_has(op, WH_TRAIT_VIEW | WH_TRAIT_WRITES)) { /* the same bytes */
    c->data[outs[0]] = c->data[inputs[0]];
    c->n_bytes[outs[0]] = c->n_bytes[inputs[0]];
  } else {
    for (unsigned i = 0; i < wh_op_get(op)->n_outputs; i++) hold(c, outs[i]);
  }
  return outs[0];
}

/* ---- references ---- */

static ref_value reference_value(const suite_case *c, wh_value v, const int64_t *dims) {
  const wh_shape *s = &c->g->values[v].shape;
  ref_value r = {.dtype = s->dtype, .rank = s->rank, .data = c->data[v], .n_bytes = c->n_bytes[v]};
  for (int i = 0; i < s->rank; i++) r.dims[i] = dims[s->dims[i]];
  return r;
}

wh_fault case_compute(suite_case *c) {
  wh_fault fault = {0};
  int64_t *dims = case_dims(c, c->n_rows);
  for (wh_node i = 0; i < c->g->n_nodes; i++) {
    const wh_node_info *node = &c->g->nodes[i];
    ref_node n = {.node = node};
    assert_true(node->n_inputs <= REFERENCE_MAX_INPUTS);
    for (unsigned k = 0; k < node->n_inputs; k++)
      if (node->inputs[k]) n.in[k] = reference_value(c, node->inputs[k], dims);
    assert_true(node->n_outputs <= REFERENCE_MAX_OUTPUTS);
    n.out = reference_value(c, wh_node_output(node, 0), dims);
    for (unsigned k = 1; k < node->n_outputs; k++)
      n.more[k - 1] = reference_value(c, wh_node_output(node, k), dims);
    reference_fn reference = reference_of(node->op);
    if (!reference) fail_msg("%s: op %s has no reference", c->name, wh_op_get(node->op)->name);
    reference(&n);
    if (n.has_fault && !fault.node_plus_1) fault = (wh_fault){i + 1, WH_FAULT_INDEX, n.offence};
  }
  free(dims);
  return fault;
}

void case_set_rows(suite_case *c, int64_t n_rows) {
  int64_t *dims = case_dims(c, n_rows);
  c->n_rows = n_rows;
  for (wh_value v = 1; v < c->g->n_values; v++)
    assert_true(wh_value_row_major_bytes(c->g, v, dims, &c->n_bytes[v]));
  free(dims);
}

/* ---- running ---- */

static bool is_number(wh_dtype d) { return wh_dtype_is_float(d) && wh_dtype_get(d)->block_elems == 1; }

/* Any NaN is as good as any other. */
static bool is_nan_at(wh_dtype dtype, const void *data, size_t i) {
  ref_value v = {.dtype = dtype};
  memcpy(&v.data, &data, sizeof data);
  return isnan(ref_float(&v, (int64_t)i));
}

/* The first byte of the first element that differs, or n_bytes. */
static size_t first_difference(wh_dtype dtype, const unsigned char *a, const unsigned char *b,
                               size_t n_bytes) {
  const size_t size = is_number(dtype) ? wh_dtype_get(dtype)->block_bytes : 1;
  if (memcmp(a, b, n_bytes) == 0) return n_bytes;
  for (size_t i = 0; i < n_bytes; i += size)
    if (memcmp(a + i, b + i, size) != 0 &&
        !(is_number(dtype) && is_nan_at(dtype, a, i / size) && is_nan_at(dtype, b, i / size)))
      return i;
  return n_bytes;
}

bool case_equal(const suite_case *c, executor *x, uint32_t layout, wh_value v, char message[512]) {
  const wh_node_info *node = &c->g->nodes[c->g->values[v].producer];
  unsigned char *got = bytes(c->n_bytes[v]), *want = c->data[v];
  memset(got, 0x5a, c->n_bytes[v]);
  ok(c, executor_read(x, v, got));
  const wh_dtype dtype = c->g->values[v].shape.dtype;
  const bool floats = dtype == WH_DTYPE_F32;
  const size_t at = first_difference(dtype, got, want, c->n_bytes[v]);
  const bool same = at == c->n_bytes[v];
  if (!same)
    (void)snprintf(message, 512,
                   "%s: %s: layout %u: node '%s' (%s): byte %zu of %zu: %g (%02x), not %g (%02x)",
                   c->s->target->label, c->name, layout, node->name, wh_op_get(node->op)->name, at,
                   c->n_bytes[v], floats ? (double)((float *)(void *)got)[at / 4] : 0, got[at],
                   floats ? (double)((float *)(void *)want)[at / 4] : 0, want[at]);
  free(got);
  return same;
}

void case_compare(const suite_case *c, executor *x, uint32_t layout, wh_value v) {
  char message[512];
  if (!case_equal(c, x, layout, v, message)) fail_msg("%s", message);
  size_t differing = 0; /* what holds one number says nothing about its order */
  for (size_t i = 1; i < c->n_bytes[v]; i++) differing += ((char *)c->data[v])[i] != ((char *)c->data[v])[0];
  c->s->n_varied += differing > 0;
  c->s->n_compared++;
}

/* Every comparison can fail: one bit of what is wanted is another one. */
static void check_control(suite_case *c, executor *x, wh_value v) {
  char message[512];
  if (!c->n_bytes[v]) return;
  size_t at = suite_random(c->s, (uint32_t)c->n_bytes[v]);
  const wh_dtype dtype = c->g->values[v].shape.dtype;
  if (is_number(dtype)) {
    const size_t size = wh_dtype_get(dtype)->block_bytes;
    at = at / size * size; /* the last place of a number */
    if (is_nan_at(dtype, c->data[v], at / size)) return;
  }
  unsigned char *byte = (unsigned char *)c->data[v] + at;
  *byte ^= 1;
  if (case_equal(c, x, 0, v, message)) fail_msg("%s: a wrong bit of value %u is not seen", c->name, v);
  *byte ^= 1;
}

static void run_layout(suite_case *c, const int64_t *dims, const int64_t *most, const wh_fault *want,
                       uint32_t layout, uint32_t *n_layouts) {
  const executor_options o = {.layout = layout};
  executor *x = NULL;
  ok(c, executor_create(c->s->target, c->g, most, &o, &x)); /* room for more rows than there are */
  ok(c, executor_bind(x, dims));
  *n_layouts = executor_n_layouts(x);
  for (wh_value v = 1; v < c->g->n_values; v++)
    if (c->g->values[v].kind == WH_VALUE_INPUT) ok(c, executor_write(x, v, c->data[v], c->n_bytes[v]));
  const size_t n = executor_n_steps(x), half = n / 2; /* in two parts */
  if (half) ok(c, executor_run(x, 0, half));
  ok(c, executor_run(x, half, n - half));
  wh_fault fault;
  bool intact = false;
  ok(c, executor_fault(x, &fault));
  ok(c, executor_check_gaps(x, &intact));
  if (!intact) fail_msg("%s: %s: writes outside its slots", c->s->target->label, c->name);
  if (memcmp(&fault, want, sizeof fault) != 0)
    fail_msg("%s: %s: the fault is node %u, code %u, value %lld and not node %u, code %u, value %lld",
             c->s->target->label, c->name, fault.node_plus_1, fault.code, (long long)fault.value,
             want->node_plus_1, want->code, (long long)want->value);
  for (wh_value v = 1; v < c->g->n_values; v++)
    if (c->g->values[v].kind == WH_VALUE_NODE) {
      case_compare(c, x, layout, v);
      check_control(c, x, v);
    }
  executor_destroy(x);
}

void case_free(suite_case *c) {
  for (wh_value v = 1; v < c->g->n_values; v++) {
    const wh_value_info *i = &c->g->values[v];
    if (i->kind != WH_VALUE_NODE || !wh_op_has(c->g->nodes[i->producer].op, WH_TRAIT_VIEW | WH_TRAIT_WRITES))
      free(c->data[v]);
  }
  wh_graph_destroy(c->g);
  free(c);
}

void case_run(suite_case *c) {
  ok(c, wh_graph_verify(c->g));
  int64_t *dims = case_dims(c, c->n_rows), *most = case_dims(c, c->n_rows + 3);
  const wh_fault fault = case_compute(c);
  assert_int_equal(fault.node_plus_1 != 0, c->outside);
  uint32_t n_layouts = 1;
  for (uint32_t layout = 0; layout < n_layouts || layout == 0; layout++)
    run_layout(c, dims, most, &fault, layout, &n_layouts);
  c->s->n_cases++;
  for (wh_node n = 0; n < c->g->n_nodes; n++) c->s->per_op[c->g->nodes[n].op]++;
  free(dims);
  free(most);
  case_free(c);
}
