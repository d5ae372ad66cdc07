/* quantize_onnx.c - an ONNX model's weights as codes, in operators that other runtimes have, too. What does
 * not change is carried over byte for byte. */
#include "api/quantize_onnx.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_internal.h"
#include "core/base/file.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/wire.h"
#include "formats/onnx/write.h"
#include "formats/quantize/codes.h"

#define ELEMENTS_MIN 1024 /* of a weight: smaller ones save nothing */
#define BLOCK WH_CODES_4BIT_BLOCK
#define CHANNELS_SINCE 13 /* opset: DequantizeLinear has an axis */
#define SHARED_MAX 64     /* inputs whose codes are remembered, for the next product with the same */

typedef enum form {
  KEEP,
  DEQUANTIZE, /* a DequantizeLinear makes the weight of its codes; who reads it does not change */
  DYNAMIC,    /* MatMul and Gemm become MatMulInteger of both operands' codes */
  BITS,       /* ... com.microsoft's MatMulNBits */
  TABLE       /* Gather gathers codes, and a scale for each row */
} form;

typedef struct weight {
  wh_str name;
  const wh_onnx_tensor *t;
  uint32_t n_product, n_conv, n_table, n_other; /* nodes that read it, by what they do with it */
  bool is_transposed;                           /* by its products */
  bool is_output;
  form form;
  int axis; /* DEQUANTIZE: of the channels */
  wh_str codes, scales;
} weight;

typedef struct rewriting {
  const wh_quantize_options *o;
  const wh_allocator *alloc;
  wh_onnx_file *file;
  wh_arena arena;
  weight *weights;  /* the main graph's initializers, in their order; then what its Constants give */
  weight **by_name; /* the same, sorted */
  size_t n_weights;
  int64_t opset;
  char prefix[16]; /* no name of the main graph begins with it */
  uint32_t n_names;
  wh_onnx_message graph, model;
  struct {
    wh_str input;
    uint32_t number;
  } shared[SHARED_MAX];
  size_t n_shared;
} rewriting;

/* ---- who reads which weight ---- */

static int compare(wh_str a, wh_str b) {
  const size_t n = a.len < b.len ? a.len : b.len;
  const int c = n ? memcmp(a.data, b.data, n) : 0;
  return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int compare_weights(const void *a, const void *b) {
  const weight *const *x = a, *const *y = b;
  return compare((*x)->name, (*y)->name);
}

static weight *find(const rewriting *w, wh_str name) {
  size_t low = 0, high = w->n_weights;
  while (name.len && low < high) {
    const size_t middle = low + (high - low) / 2;
    const int c = compare(w->by_name[middle]->name, name);
    if (c == 0) return w->by_name[middle];
    if (c < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

static const wh_onnx_attr *attr(const wh_onnx_node *n, const char *name) {
  for (size_t i = 0; i < n->n_attrs; i++)
    if (wh_str_is(n->attrs[i].name, name)) return &n->attrs[i];
  return NULL;
}

static int64_t attr_i(const wh_onnx_node *n, const char *name) {
  const wh_onnx_attr *a = attr(n, name);
  return a ? a->i : 0;
}

static bool is_constant(const wh_onnx_node *n) {
  return n->domain.len == 0 && wh_str_is(n->op, "Constant") && n->n_outputs == 1 && n->n_attrs == 1 &&
         wh_str_is(n->attrs[0].name, "value") && n->attrs[0].type == WH_ONNX_ATTR_TENSOR &&
         n->attrs[0].n == 1;
}

/* A Gemm that is a product and a sum. */
static bool is_plain_gemm(const wh_onnx_node *n) {
  const wh_onnx_attr *alpha = attr(n, "alpha"), *beta = attr(n, "beta");
  return wh_str_is(n->op, "Gemm") && (!alpha || alpha->f == 1) && (!beta || beta->f == 1) &&
         !attr_i(n, "transA");
}

static bool is_product(const wh_onnx_node *n) {
  return n->domain.len == 0 && n->n_inputs >= 2 && n->n_outputs == 1 &&
         (wh_str_is(n->op, "MatMul") || is_plain_gemm(n));
}

static void count_use(weight *x, const wh_onnx_node *n, size_t input) {
  const bool ours = n->domain.len == 0;
  if (is_product(n) && input == 1) {
    const bool transposed = wh_str_is(n->op, "Gemm") && attr_i(n, "transB");
    if (x->n_product && x->is_transposed != transposed) x->n_other++;
    x->is_transposed = transposed;
    x->n_product++;
  } else if (ours && wh_str_is(n->op, "Conv") && input == 1) {
    x->n_conv++;
  } else if (ours && wh_str_is(n->op, "Gather") && input == 0 && attr_i(n, "axis") == 0) {
    x->n_table++;
  } else {
    x->n_other++;
  }
}

static bool is_external(const rewriting *w, const wh_onnx_tensor *t) {
  const uintptr_t begin = (uintptr_t)w->file->bytes.data, at = (uintptr_t)t->raw.data;
  return t->raw.len && (at < begin || at - begin >= w->file->bytes.len);
}

/* Nodes of the main graph, or of graphs within; there, a weight is read as it is. */
static wh_status count_uses(const rewriting *w, const wh_onnx_graph *g, bool inner) {
  for (size_t i = 0; i < g->n_nodes; i++) {
    const wh_onnx_node *n = &g->nodes[i];
    for (size_t k = 0; k < n->n_inputs; k++) {
      weight *x = find(w, n->inputs[k]);
      if (x && inner) x->n_other++;
      if (x && !inner) count_use(x, n, k);
    }
    for (size_t k = 0; k < n->n_attrs; k++) {
      const wh_onnx_attr *a = &n->attrs[k];
      const bool tensors = a->type == WH_ONNX_ATTR_TENSOR || a->type == WH_ONNX_ATTR_TENSORS;
      const bool graphs = a->type == WH_ONNX_ATTR_GRAPH || a->type == WH_ONNX_ATTR_GRAPHS;
      for (size_t j = 0; tensors && j < a->n; j++)
        if (is_external(w, &a->tensors[j]))
          return WH_FAIL(ERR_UNSUPPORTED, "node '" WH_STR_FMT "' has data outside the file: save it within",
                         WH_STR_ARG(n->name));
      for (size_t j = 0; graphs && j < a->n; j++) WH_TRY(count_uses(w, &a->graphs[j], true));
    }
  }
  for (size_t i = 0; i < g->n_outputs; i++) {
    weight *x = find(w, g->outputs[i].name);
    if (x) x->is_output = true;
  }
  return WH_OK;
}

/* ---- what becomes of it ---- */

static bool is_weights_only(const rewriting *w) { return w->o->dtype == WH_DTYPE_I8 && !w->o->dynamic; }

static form choose(const rewriting *w, weight *x) {
  const wh_onnx_tensor *t = x->t;
  const bool is_matrix = x->n_product && !x->n_conv && !x->n_table && !x->n_other;
  if (t->dtype != WH_DTYPE_F32 || t->n_elements < ELEMENTS_MIN || t->rank < 2 || x->is_output) return KEEP;
  if (t->rank == 2 && x->n_table && !x->n_product && !x->n_conv && !x->n_other) return TABLE;
  if (is_weights_only(w) && (x->n_product || x->n_conv)) {
    x->axis = x->n_conv || x->is_transposed ? 0 : t->rank - 1;
    return DEQUANTIZE;
  }
  if (!is_matrix || t->rank != 2) return KEEP;
  if (w->o->dtype == WH_DTYPE_I4) return BITS;
  return w->o->dynamic ? DYNAMIC : KEEP;
}

/* prefix, the weight's name, and what it is */
static wh_status make_name(rewriting *w, wh_str middle, const char *end, wh_str *out) {
  const size_t n = strlen(w->prefix), k = strlen(end);
  char *s = wh_arena_alloc(&w->arena, n + middle.len + k + 1);
  if (!s) return WH_OOM("names");
  memcpy(s, w->prefix, n);
  memcpy(s + n, middle.data, middle.len);
  memcpy(s + n + middle.len, end, k);
  *out = (wh_str){s, n + middle.len + k};
  return WH_OK;
}

/* dst[cols][rows] */
static void transpose(const float *x, int64_t rows, int64_t cols, float *dst) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c++) dst[c * rows + r] = x[r * cols + c];
}

static wh_status give_i8(rewriting *w, weight *x, const float *values, const int64_t *dims, int axis,
                         wh_code_error *e) {
  const int rank = x->t->rank;
  int64_t scale_dims[WH_MAX_RANK];
  const bool broadcast = x->form == TABLE || (x->form == DEQUANTIZE && w->opset < CHANNELS_SINCE);
  int64_t outer = 1, inner = 1;
  for (int d = 0; d < axis; d++) outer *= dims[d];
  for (int d = axis + 1; d < rank; d++) inner *= dims[d];
  for (int d = 0; d < rank; d++) scale_dims[d] = d == axis ? dims[d] : 1;
  int8_t *codes = wh_arena_alloc(&w->arena, x->t->n_elements);
  float *scales = wh_arena_array(&w->arena, (size_t)dims[axis], sizeof *scales);
  if (!codes || !scales) return WH_OOM("codes of a weight");
  wh_codes_i8(values, outer, dims[axis], inner, codes, scales, e);
  WH_TRY(wh_onnx_put_tensor(&w->graph, x->codes, WH_DTYPE_I8, rank, dims, codes));
  return wh_onnx_put_tensor(&w->graph, x->scales, WH_DTYPE_F32, broadcast ? rank : 1,
                            broadcast ? scale_dims : &dims[axis], scales);
}

/* rows[n][k] */
static wh_status give_bits(rewriting *w, weight *x, const float *rows, int64_t n, int64_t k,
                           wh_code_error *e) {
  const int64_t blocks = (k + BLOCK - 1) / BLOCK, dims[] = {n, blocks, BLOCK / 2}, n_scales = n * blocks;
  uint8_t *codes = wh_arena_alloc(&w->arena, (size_t)n_scales * (BLOCK / 2));
  float *scales = wh_arena_array(&w->arena, (size_t)n_scales, sizeof *scales);
  if (!codes || !scales) return WH_OOM("codes of a weight");
  for (int64_t r = 0; r < n; r++)
    wh_codes_4bit(rows + r * k, k, codes + r * blocks * (BLOCK / 2), scales + r * blocks, e);
  WH_TRY(wh_onnx_put_tensor(&w->graph, x->codes, WH_DTYPE_U8, 3, dims, codes));
  return wh_onnx_put_tensor(&w->graph, x->scales, WH_DTYPE_F32, 1, &n_scales, scales);
}

/* Values, and a room of as many. DYNAMIC wants [k][n], BITS [n][k]; a transposed product has [n][k]. */
static wh_status encode(rewriting *w, weight *x, const float *values, float *room, wh_code_error *e) {
  const int64_t *dims = x->t->dims, turned[] = {dims[1], dims[0]};
  const bool turn = (x->form == DYNAMIC && x->is_transposed) || (x->form == BITS && !x->is_transposed);
  WH_TRY(make_name(w, x->name, "_codes", &x->codes));
  WH_TRY(make_name(w, x->name, "_scales", &x->scales));
  if (turn) {
    transpose(values, dims[0], dims[1], room);
    values = room;
    dims = turned;
  }
  if (x->form == BITS) return give_bits(w, x, values, dims[0], dims[1], e);
  return give_i8(w, x, values, dims, x->form == DYNAMIC ? 1 : x->form == TABLE ? 0 : x->axis, e);
}

static wh_status report(const rewriting *w, const weight *x, const wh_code_error *e) {
  char name[256];
  const wh_onnx_tensor *t = x->t;
  if (!w->o->report) return WH_OK;
  (void)snprintf(name, sizeof name, WH_STR_FMT, WH_STR_ARG(x->name));
  wh_quantized_weight r = {.struct_size = sizeof r,
                           .rank = t->rank,
                           .name = name,
                           .from = t->dtype,
                           .to = x->form == KEEP   ? t->dtype
                                 : x->form == BITS ? WH_DTYPE_I4
                                                   : WH_DTYPE_I8,
                           .n_bytes = t->n_bytes,
                           .relative_error = e->square > 0 ? sqrt(e->error / e->square) : 0};
  memcpy(r.dims, t->dims, sizeof r.dims);
  if (x->form != KEEP) r.n_bytes = x->form == BITS ? t->n_elements / 2 : t->n_elements;
  if (w->o->report(w->o->report_ctx, &r)) return WH_FAIL(ERR_CANCELLED, "the report ended the call");
  return WH_OK;
}

static bool are_finite(const float *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!isfinite(x[i])) return false;
  return true;
}

static wh_status quantize_weight(rewriting *w, weight *x) {
  const size_t n = x->t->n_elements;
  wh_code_error e = {0};
  x->form = choose(w, x);
  if (x->form == KEEP) return report(w, x, &e);
  float *values = wh_alloc_array(w->alloc, n, 2 * sizeof *values);
  if (!values) return WH_OOM("a weight");
  wh_onnx_tensor_read(x->t, values);
  wh_status st = WH_OK;
  if (are_finite(values, n))
    st = encode(w, x, values, values + n, &e);
  else
    x->form = KEEP;
  wh_free(w->alloc, values);
  return st == WH_OK ? report(w, x, &e) : st;
}

/* ---- nodes ---- */

/* A value's name of its own. */
static wh_status new_value(rewriting *w, const char *what, wh_str *out) {
  char number[16];
  const int n = snprintf(number, sizeof number, "%" PRIu32, w->n_names++);
  return make_name(w, (wh_str){number, (size_t)n}, what, out);
}

static wh_status put_binary(rewriting *w, const char *op, wh_str a, wh_str b, wh_str y) {
  return wh_onnx_put_node(&w->graph, &(wh_onnx_new_node){.op = op, .inputs = {a, b}, .outputs = {y}});
}

static wh_status put_cast(rewriting *w, wh_str x, wh_str y) {
  enum { FLOAT = 1 };
  return wh_onnx_put_node(
      &w->graph, &(wh_onnx_new_node){.op = "Cast", .inputs = {x}, .outputs = {y}, .ints = {{"to", FLOAT}}});
}

/* Before its opset 13, DequantizeLinear has one scale for all. */
static wh_status put_dequantize(rewriting *w, const weight *x) {
  wh_str floats;
  if (w->opset >= CHANNELS_SINCE)
    return wh_onnx_put_node(&w->graph, &(wh_onnx_new_node){.op = "DequantizeLinear",
                                                           .inputs = {x->codes, x->scales},
                                                           .outputs = {x->name},
                                                           .ints = {{"axis", x->axis}}});
  WH_TRY(new_value(w, "_floats", &floats));
  WH_TRY(put_cast(w, x->codes, floats));
  return put_binary(w, "Mul", floats, x->scales, x->name);
}

/* The codes of a value, their scale and zero point: made once for the products that share it. */
static wh_status put_dynamic_codes(rewriting *w, wh_str input, wh_str out[3]) {
  static const char *const ends[] = {"_codes", "_scale", "_zero"};
  char number[24];
  size_t at = 0;
  while (at < w->n_shared && !wh_str_equal(w->shared[at].input, input)) at++;
  const bool is_new = at == w->n_shared;
  if (at == SHARED_MAX) at = w->n_shared = 0; /* forget them all */
  if (is_new) {
    w->shared[at].input = input;
    w->shared[at].number = w->n_names++;
    w->n_shared = at + 1;
  }
  const int n = snprintf(number, sizeof number, "%" PRIu32, w->shared[at].number);
  for (int i = 0; i < 3; i++) WH_TRY(make_name(w, (wh_str){number, (size_t)n}, ends[i], &out[i]));
  if (!is_new) return WH_OK;
  return wh_onnx_put_node(
      &w->graph, &(wh_onnx_new_node){
                     .op = "DynamicQuantizeLinear", .inputs = {input}, .outputs = {out[0], out[1], out[2]}});
}

static wh_status put_dynamic(rewriting *w, const weight *x, wh_str a, wh_str y) {
  wh_str codes[3], sums, floats, scale;
  WH_TRY(put_dynamic_codes(w, a, codes));
  WH_TRY(new_value(w, "_sums", &sums));
  WH_TRY(new_value(w, "_floats", &floats));
  WH_TRY(new_value(w, "_scales", &scale));
  WH_TRY(wh_onnx_put_node(
      &w->graph, &(wh_onnx_new_node){
                     .op = "MatMulInteger", .inputs = {codes[0], x->codes, codes[2]}, .outputs = {sums}}));
  WH_TRY(put_cast(w, sums, floats));
  WH_TRY(put_binary(w, "Mul", codes[1], x->scales, scale));
  return put_binary(w, "Mul", floats, scale, y);
}

static wh_status put_bits(rewriting *w, const weight *x, wh_str a, wh_str y) {
  const int64_t *d = x->t->dims;
  return wh_onnx_put_node(&w->graph, &(wh_onnx_new_node){.op = "MatMulNBits",
                                                         .domain = "com.microsoft",
                                                         .inputs = {a, x->codes, x->scales},
                                                         .outputs = {y},
                                                         .ints = {{"K", d[x->is_transposed ? 1 : 0]},
                                                                  {"N", d[x->is_transposed ? 0 : 1]},
                                                                  {"bits", 4},
                                                                  {"block_size", BLOCK}}});
}

static wh_status put_product(rewriting *w, const weight *x, const wh_onnx_node *n) {
  const bool has_sum = wh_str_is(n->op, "Gemm") && n->n_inputs > 2 && n->inputs[2].len;
  wh_str y = n->outputs[0];
  if (has_sum) WH_TRY(new_value(w, "_product", &y));
  WH_TRY(x->form == BITS ? put_bits(w, x, n->inputs[0], y) : put_dynamic(w, x, n->inputs[0], y));
  return has_sum ? put_binary(w, "Add", y, n->inputs[2], n->outputs[0]) : WH_OK;
}

static wh_status put_table(rewriting *w, const weight *x, const wh_onnx_node *n) {
  wh_str codes, floats, scales;
  WH_TRY(new_value(w, "_rows", &codes));
  WH_TRY(new_value(w, "_floats", &floats));
  WH_TRY(new_value(w, "_scales", &scales));
  WH_TRY(put_binary(w, "Gather", x->codes, n->inputs[1], codes));
  WH_TRY(put_binary(w, "Gather", x->scales, n->inputs[1], scales));
  WH_TRY(put_cast(w, codes, floats));
  return put_binary(w, "Mul", floats, scales, n->outputs[0]);
}

/* The weight that makes the node another; NULL: it stays. */
static const weight *reason(const rewriting *w, const wh_onnx_node *n) {
  const weight *x = n->n_inputs > 1 ? find(w, n->inputs[is_product(n) ? 1 : 0]) : NULL;
  if (!x || x->form == KEEP || x->form == DEQUANTIZE) return NULL;
  return x;
}

/* ---- the file ---- */

/* One field of the graph as it is, or what replaces it; *number is its place among those of its kind. */
static wh_status put_graph_field(rewriting *w, const wh_wire_field *f, wh_str whole, const size_t *number) {
  const wh_onnx_graph *g = &w->file->graph;
  const weight *x = NULL;
  switch (f->number) {
    case WH_ONNX_GRAPH_INITIALIZER:
      x = &w->weights[*number];
      if (x->form != KEEP) return WH_OK;
      if (is_external(w, x->t))
        return wh_onnx_put_tensor(&w->graph, x->t->name, x->t->dtype, x->t->rank, x->t->dims, x->t->raw.data);
      break;
    case WH_ONNX_GRAPH_INPUT: /* old files list weights among them */
      x = find(w, g->inputs[*number].name);
      if (x && x->form != KEEP) return WH_OK;
      break;
    case WH_ONNX_GRAPH_NODE:
      x = is_constant(&g->nodes[*number]) ? find(w, g->nodes[*number].outputs[0]) : NULL;
      if (x && x->form != KEEP) return WH_OK;
      x = reason(w, &g->nodes[*number]);
      if (x)
        return x->form == TABLE ? put_table(w, x, &g->nodes[*number]) : put_product(w, x, &g->nodes[*number]);
      break;
    default:
      break;
  }
  return wh_onnx_put(&w->graph, whole);
}

static wh_status put_graph(rewriting *w, wh_str bytes) {
  size_t n_nodes = 0, n_inputs = 0, n_initializers = 0, none = 0;
  wh_wire wire = wh_wire_of(bytes);
  for (size_t i = 0; i < w->n_weights; i++)
    if (w->weights[i].form == DEQUANTIZE) WH_TRY(put_dequantize(w, &w->weights[i]));
  for (;;) {
    wh_wire_field f;
    bool more;
    const char *begin = (const char *)wire.at;
    WH_TRY(wh_wire_next(&wire, &f, &more));
    if (!more) return WH_OK;
    size_t *number = f.number == WH_ONNX_GRAPH_NODE          ? &n_nodes
                     : f.number == WH_ONNX_GRAPH_INPUT       ? &n_inputs
                     : f.number == WH_ONNX_GRAPH_INITIALIZER ? &n_initializers
                                                             : &none;
    WH_TRY(put_graph_field(w, &f, (wh_str){begin, (size_t)((const char *)wire.at - begin)}, number));
    ++*number;
  }
}

/* What is around the graph; the last graph is the model's. */
static wh_status put_model(rewriting *w) {
  wh_wire wire = wh_wire_of(w->file->bytes);
  wh_str graph = {NULL, 0};
  bool has_microsoft = false;
  for (;;) {
    wh_wire_field f;
    bool more;
    const char *begin = (const char *)wire.at;
    WH_TRY(wh_wire_next(&wire, &f, &more));
    if (!more) break;
    if (f.number == WH_ONNX_MODEL_GRAPH)
      graph = f.bytes;
    else
      WH_TRY(wh_onnx_put(&w->model, (wh_str){begin, (size_t)((const char *)wire.at - begin)}));
  }
  for (size_t i = 0; i < w->file->n_opsets; i++)
    has_microsoft |= wh_str_is(w->file->opsets[i].domain, "com.microsoft");
  if (w->o->dtype == WH_DTYPE_I4 && !has_microsoft) WH_TRY(wh_onnx_put_opset(&w->model, "com.microsoft", 1));
  WH_TRY(put_graph(w, graph));
  return wh_onnx_put_graph(&w->model, &w->graph);
}

static wh_status check_opset(rewriting *w) {
  const int64_t need = w->o->dynamic ? 11 : 7;
  for (size_t i = 0; i < w->file->n_opsets; i++)
    if (w->file->opsets[i].domain.len == 0) w->opset = w->file->opsets[i].version;
  if (w->opset >= need) return WH_OK;
  return WH_FAIL(ERR_UNSUPPORTED,
                 "its opset is %" PRId64 "; what replaces its products needs %" PRId64
                 ": convert it by onnx.version_converter%s",
                 w->opset, need, w->o->dynamic ? ", or quantise its weights only" : "");
}

static bool has_prefix(wh_str s, const char *prefix) {
  const size_t n = strlen(prefix);
  return s.len >= n && memcmp(s.data, prefix, n) == 0;
}

static bool is_taken(const wh_onnx_graph *g, const char *prefix) {
  for (size_t i = 0; i < g->n_initializers; i++)
    if (has_prefix(g->initializers[i].name, prefix)) return true;
  for (size_t i = 0; i < g->n_inputs; i++)
    if (has_prefix(g->inputs[i].name, prefix)) return true;
  for (size_t i = 0; i < g->n_nodes; i++)
    for (size_t k = 0; k < g->nodes[i].n_outputs; k++)
      if (has_prefix(g->nodes[i].outputs[k], prefix)) return true;
  return false;
}

static wh_status find_prefix(rewriting *w) {
  for (int i = 0; i < 100; i++) {
    (void)snprintf(w->prefix, sizeof w->prefix, "q%d_", i);
    if (!is_taken(&w->file->graph, w->prefix)) return WH_OK;
  }
  return WH_FAIL(ERR_LIMIT, "its values have all names that begin with q0_ to q99_");
}

static wh_status list_weights(rewriting *w) {
  const wh_onnx_graph *g = &w->file->graph;
  size_t n = g->n_initializers;
  for (size_t i = 0; i < g->n_nodes; i++) n += is_constant(&g->nodes[i]);
  w->weights = wh_arena_array(&w->arena, n + 1, sizeof *w->weights);
  w->by_name = wh_arena_array(&w->arena, n + 1, sizeof *w->by_name);
  if (!w->weights || !w->by_name) return WH_OOM("weights");
  for (; w->n_weights < g->n_initializers; w->n_weights++) {
    const wh_onnx_tensor *t = &g->initializers[w->n_weights];
    w->weights[w->n_weights] = (weight){.name = t->name, .t = t};
  }
  for (size_t i = 0; i < g->n_nodes; i++)
    if (is_constant(&g->nodes[i]))
      w->weights[w->n_weights++] =
          (weight){.name = g->nodes[i].outputs[0], .t = g->nodes[i].attrs[0].tensors};
  for (size_t i = 0; i < n; i++) w->by_name[i] = &w->weights[i];
  qsort(w->by_name, n, sizeof(weight *), compare_weights);
  for (size_t i = 1; i < n; i++)
    if (compare_weights(&w->by_name[i - 1], &w->by_name[i]) == 0)
      return WH_FAIL(ERR_CORRUPT, "two weights are called '" WH_STR_FMT "'", WH_STR_ARG(w->by_name[i]->name));
  return WH_OK;
}

static wh_status quantize(rewriting *w) {
  size_t n_quantized = 0;
  WH_TRY(check_opset(w));
  WH_TRY(find_prefix(w));
  WH_TRY(list_weights(w));
  WH_TRY(count_uses(w, &w->file->graph, false));
  for (size_t i = 0; i < w->n_weights; i++) {
    WH_TRY(quantize_weight(w, &w->weights[i]));
    n_quantized += w->weights[i].form != KEEP;
  }
  if (!n_quantized)
    return WH_FAIL(ERR_UNSUPPORTED,
                   "it has no f32 weight of at least %d elements that only products%s or look-ups read%s",
                   ELEMENTS_MIN, is_weights_only(w) ? ", convolutions" : "",
                   is_weights_only(w) ? "" : "; int8 takes convolutions, too");
  return put_model(w);
}

wh_status wh_quantize_is_onnx(const char *path, const wh_allocator *alloc, bool *out) {
  wh_file *file;
  WH_TRY(wh_file_open(path, alloc, &file));
  *out = wh_onnx_looks_like(wh_file_data(file), wh_file_size(file));
  wh_file_close(file);
  return WH_OK;
}

wh_status wh_quantize_onnx(const char *from, const char *to, const wh_quantize_options *o) {
  rewriting w = {.o = o, .alloc = o->allocator};
  if (o->dtype != WH_DTYPE_I8 && (o->dtype != WH_DTYPE_I4 || o->dynamic))
    return WH_FAIL(ERR_UNSUPPORTED, "%.200s: ONNX models are quantised to i8 (dynamic or not) or i4, not %s",
                   from, wh_dtype_name(o->dtype));
  if (o->importance) return WH_FAIL(ERR_UNSUPPORTED, "%.200s: importance is for GGUF models", from);
  WH_TRY(wh_onnx_open(from, w.alloc, &w.file));
  wh_arena_init(&w.arena, w.alloc, 0);
  w.graph.arena = w.model.arena = &w.arena;
  wh_status st = quantize(&w);
  if (st != WH_OK && st != WH_ERR_CANCELLED) st = wh_fail_prefix("%.200s", from);
  if (st == WH_OK) st = wh_onnx_write(to, &w.model, w.alloc);
  wh_arena_deinit(&w.arena);
  wh_onnx_close(w.file);
  return st;
}
