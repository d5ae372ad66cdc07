/* attrs.c - operands and attributes of the node at work. */
#include <inttypes.h>

#include "import/onnx/importer.h"

wh_datum *ox_any(ox *o, size_t i) {
  if (ox_has(o, i)) return o->in[i];
  OX_FAIL(o, ERR_CORRUPT, "input %zu is missing", i);
  return &o->nothing;
}

static wh_datum *tensor(ox *o, size_t i, wh_datum *d) {
  if (d->kind == WH_DATUM_OPTIONAL && d->n_items == 1) return tensor(o, i, d->items[0]);
  if (d->kind == WH_DATUM_TENSOR || d->kind == WH_DATUM_BUILT) return d;
  OX_FAIL(o, ERR_CORRUPT, "input %zu is a %s, not a tensor", i,
          d->kind == WH_DATUM_SEQUENCE ? "sequence" : "optional without a value");
  return &o->nothing;
}

wh_datum *ox_in(ox *o, size_t i) { return tensor(o, i, ox_any(o, i)); }
wh_datum *ox_maybe(ox *o, size_t i) { return ox_has(o, i) ? tensor(o, i, o->in[i]) : NULL; }

void ox_give(ox *o, size_t i, wh_datum *d) {
  if (o->st == WH_OK && i < o->node->n_out) o->out[i] = d;
}

/* Where an attribute's value is: in a function it may name one of the call's. */
typedef struct attr_place {
  const wh_onnx_attr *attr; /* NULL: absent */
  const ox_node *node;      /* whose it is; NULL: a function's default */
  size_t index;
} attr_place;

static attr_place place_in(const ox_node *node, wh_str name) {
  for (size_t i = 0; i < node->src->n_attrs; i++)
    if (wh_str_equal(node->src->attrs[i].name, name)) return (attr_place){&node->src->attrs[i], node, i};
  return (attr_place){NULL, NULL, 0};
}

static attr_place find_attr(const ox *o, const char *name) {
  attr_place p = place_in(o->node, wh_str_from(name));
  for (const ox_scope *s = o->scope; p.attr && p.attr->ref.len; s = s->call_scope) {
    if (!s || !s->call) return (attr_place){NULL, NULL, 0};
    const wh_str ref = p.attr->ref;
    p = place_in(s->call, ref);
    const wh_onnx_function *fn = s->call->function->source;
    for (size_t i = 0; !p.attr && i < fn->n_defaults; i++)
      if (wh_str_equal(fn->defaults[i].name, ref)) p.attr = &fn->defaults[i];
  }
  return p;
}

const wh_onnx_attr *ox_attr(ox *o, const char *name) { return find_attr(o, name).attr; }

static const wh_onnx_attr *typed(ox *o, const char *name, wh_onnx_attr_type type) {
  const wh_onnx_attr *a = ox_attr(o, name);
  if (a && a->type != type) {
    OX_FAIL(o, ERR_CORRUPT, "attribute '%s' is of another type than the operator wants", name);
    return NULL;
  }
  return a;
}

int64_t ox_attr_long(ox *o, const char *name, int64_t fallback) {
  const wh_onnx_attr *a = typed(o, name, WH_ONNX_ATTR_INT);
  return a ? a->i : fallback;
}

int64_t ox_attr_i(ox *o, const char *name, int64_t fallback) {
  const int64_t v = ox_attr_long(o, name, fallback);
  return ox_is_size(o, v, name) ? v : fallback;
}

float ox_attr_f(ox *o, const char *name, float fallback) {
  const wh_onnx_attr *a = typed(o, name, WH_ONNX_ATTR_FLOAT);
  return a ? a->f : fallback;
}

wh_str ox_attr_s(ox *o, const char *name, const char *fallback) {
  const wh_onnx_attr *a = typed(o, name, WH_ONNX_ATTR_STRING);
  return a ? a->s : wh_str_from(fallback);
}

const int64_t *ox_attr_longs(ox *o, const char *name, size_t *n) {
  const wh_onnx_attr *a = typed(o, name, WH_ONNX_ATTR_INTS);
  *n = a ? a->n : 0;
  return a ? a->ints : NULL;
}

const int64_t *ox_attr_ints(ox *o, const char *name, size_t *n) {
  const int64_t *v = ox_attr_longs(o, name, n);
  for (size_t i = 0; i < *n; i++)
    if (!ox_is_size(o, v[i], name)) *n = 0;
  return *n ? v : NULL;
}

const float *ox_attr_floats(ox *o, const char *name, size_t *n) {
  const wh_onnx_attr *a = typed(o, name, WH_ONNX_ATTR_FLOATS);
  *n = a ? a->n : 0;
  return a ? a->floats : NULL;
}

const wh_str *ox_attr_strings(ox *o, const char *name, size_t *n) {
  const wh_onnx_attr *a = typed(o, name, WH_ONNX_ATTR_STRINGS);
  *n = a ? a->n : 0;
  return a ? a->strings : NULL;
}

wh_datum *ox_attr_tensor(ox *o, const char *name) {
  const attr_place p = find_attr(o, name);
  if (!p.attr) return NULL;
  if (p.node && (p.attr->type == WH_ONNX_ATTR_TENSOR || p.attr->type == WH_ONNX_ATTR_SPARSE))
    return ox_copy(o, &p.node->tensors[p.index]);
  OX_FAIL(o, ERR_CORRUPT, "attribute '%s' is no tensor of a node", name);
  return &o->nothing;
}

const ox_graph *ox_attr_graph(ox *o, const char *name) {
  const attr_place p = find_attr(o, name);
  if (p.node && p.node->graphs[p.index]) return p.node->graphs[p.index];
  OX_FAIL(o, ERR_CORRUPT, "attribute '%s' is no graph", name);
  return NULL;
}

wh_dtype ox_attr_dtype(ox *o, const char *name, wh_dtype fallback) {
  static const wh_dtype of[] = {WH_DTYPE_FORCE_32,   WH_DTYPE_F32,      WH_DTYPE_U8,         WH_DTYPE_I8,
                                WH_DTYPE_U16,        WH_DTYPE_I16,      WH_DTYPE_I32,        WH_DTYPE_I64,
                                WH_DTYPE_STRING,     WH_DTYPE_BOOL,     WH_DTYPE_F16,        WH_DTYPE_F64,
                                WH_DTYPE_U32,        WH_DTYPE_U64,      WH_DTYPE_C64,        WH_DTYPE_C128,
                                WH_DTYPE_BF16,       WH_DTYPE_F8E4M3FN, WH_DTYPE_F8E4M3FNUZ, WH_DTYPE_F8E5M2,
                                WH_DTYPE_F8E5M2FNUZ, WH_DTYPE_U4,       WH_DTYPE_I4,         WH_DTYPE_F4E2M1,
                                WH_DTYPE_F8E8M0,     WH_DTYPE_U2,       WH_DTYPE_I2};
  const wh_onnx_attr *a = ox_attr(o, name);
  if (!a) return fallback;
  if (a->type == WH_ONNX_ATTR_STRING) { /* opset 1 to 5 */
    static const struct {
      const char *text;
      wh_dtype dtype;
    } texts[] = {{"FLOAT", WH_DTYPE_F32},    {"UINT8", WH_DTYPE_U8},   {"INT8", WH_DTYPE_I8},
                 {"UINT16", WH_DTYPE_U16},   {"INT16", WH_DTYPE_I16},  {"INT32", WH_DTYPE_I32},
                 {"INT64", WH_DTYPE_I64},    {"BOOL", WH_DTYPE_BOOL},  {"FLOAT16", WH_DTYPE_F16},
                 {"DOUBLE", WH_DTYPE_F64},   {"UINT32", WH_DTYPE_U32}, {"UINT64", WH_DTYPE_U64},
                 {"STRING", WH_DTYPE_STRING}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
      if (wh_str_is(a->s, texts[i].text)) return texts[i].dtype;
  }
  if (a->type == WH_ONNX_ATTR_INT && a->i > 0 && (uint64_t)a->i < sizeof of / sizeof of[0]) return of[a->i];
  OX_FAIL(o, ERR_UNSUPPORTED, "attribute '%s' is no data type that is known", name);
  return WH_DTYPE_F32;
}

int ox_axis(ox *o, int64_t axis, int rank) {
  const int64_t a = axis < 0 ? axis + rank : axis;
  if (a >= 0 && a < rank) return (int)a;
  OX_FAIL(o, ERR_CORRUPT, "axis %" PRId64 " of %d does not exist", axis, rank);
  return 0;
}

unsigned ox_axes(ox *o, const int64_t *axes, size_t n, int rank) {
  unsigned bits = 0;
  for (size_t i = 0; i < n && o->st == WH_OK; i++) bits |= 1u << ox_axis(o, axes[i], rank);
  return n ? bits : (1u << rank) - 1;
}
