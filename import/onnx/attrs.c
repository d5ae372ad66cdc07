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

/* In a function an attribute may name one of the call's. */
static const wh_onnx_attr *resolve(ox *o, const wh_onnx_attr *a, const ox_scope *s, size_t *index) {
  for (int depth = 0; a && a->ref.len && s && depth < 64; depth++) {
    const ox_node *call = s->call;
    const wh_onnx_attr *found = NULL;
    if (!call) break;
    for (size_t i = 0; i < call->src->n_attrs && !found; i++)
      if (wh_str_equal(call->src->attrs[i].name, a->ref)) {
        found = &call->src->attrs[i];
        *index = i;
      }
    const wh_onnx_function *fn = call->function ? call->function->source : NULL;
    for (size_t i = 0; fn && i < fn->n_defaults && !found; i++)
      if (wh_str_equal(fn->defaults[i].name, a->ref)) found = &fn->defaults[i];
    a = found;
    s = s->call_scope;
  }
  (void)o;
  return a && a->ref.len ? NULL : a;
}

const wh_onnx_attr *ox_attr(ox *o, const char *name) {
  const wh_onnx_node *src = o->node->src;
  size_t index;
  for (size_t i = 0; i < src->n_attrs; i++)
    if (wh_str_is(src->attrs[i].name, name)) return resolve(o, &src->attrs[i], o->scope, &index);
  return NULL;
}

static const wh_onnx_attr *typed(ox *o, const char *name, wh_onnx_attr_type type) {
  const wh_onnx_attr *a = ox_attr(o, name);
  if (a && a->type != type) {
    OX_FAIL(o, ERR_CORRUPT, "attribute '%s' is of another type than the operator wants", name);
    return NULL;
  }
  return a;
}

int64_t ox_attr_i(ox *o, const char *name, int64_t fallback) {
  const wh_onnx_attr *a = typed(o, name, WH_ONNX_ATTR_INT);
  return a ? a->i : fallback;
}

float ox_attr_f(ox *o, const char *name, float fallback) {
  const wh_onnx_attr *a = typed(o, name, WH_ONNX_ATTR_FLOAT);
  return a ? a->f : fallback;
}

wh_str ox_attr_s(ox *o, const char *name, const char *fallback) {
  const wh_onnx_attr *a = typed(o, name, WH_ONNX_ATTR_STRING);
  return a ? a->s : wh_str_from(fallback);
}

const int64_t *ox_attr_ints(ox *o, const char *name, size_t *n) {
  const wh_onnx_attr *a = typed(o, name, WH_ONNX_ATTR_INTS);
  *n = a ? a->n : 0;
  return a ? a->ints : NULL;
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
  const wh_onnx_attr *a = typed(o, name, WH_ONNX_ATTR_TENSOR);
  wh_datum *d = a ? ox_array(o, 1, sizeof *d) : NULL;
  if (!d) return NULL;
  ox_try(o, ox_weight_of(a->tensors, &o->arena, d));
  return d;
}

const ox_graph *ox_attr_graph(ox *o, const char *name) {
  const wh_onnx_node *src = o->node->src;
  for (size_t i = 0; i < src->n_attrs; i++) {
    if (!wh_str_is(src->attrs[i].name, name)) continue;
    if (o->node->graphs[i]) return o->node->graphs[i];
    size_t index = SIZE_MAX;
    (void)resolve(o, &src->attrs[i], o->scope, &index);
    const ox_node *call = o->scope ? o->scope->call : NULL;
    if (call && index < call->src->n_attrs && call->graphs[index]) return call->graphs[index];
  }
  OX_FAIL(o, ERR_CORRUPT, "attribute '%s' is no graph", name);
  return NULL;
}

wh_dtype ox_attr_dtype(ox *o, const char *name, wh_dtype fallback) {
  static const wh_dtype of[] = {
      WH_DTYPE_FORCE_32, WH_DTYPE_F32,      WH_DTYPE_U8,         WH_DTYPE_I8,     WH_DTYPE_U16,
      WH_DTYPE_I16,      WH_DTYPE_I32,      WH_DTYPE_I64,        WH_DTYPE_STRING, WH_DTYPE_BOOL,
      WH_DTYPE_F16,      WH_DTYPE_F64,      WH_DTYPE_U32,        WH_DTYPE_U64,    WH_DTYPE_C64,
      WH_DTYPE_C128,     WH_DTYPE_BF16,     WH_DTYPE_F8E4M3FN,   WH_DTYPE_F8E4M3FNUZ, WH_DTYPE_F8E5M2,
      WH_DTYPE_F8E5M2FNUZ, WH_DTYPE_U4,     WH_DTYPE_I4};
  const wh_onnx_attr *a = ox_attr(o, name);
  if (!a) return fallback;
  if (a->type == WH_ONNX_ATTR_STRING) { /* opset 1 to 5 */
    static const struct {
      const char *text;
      wh_dtype dtype;
    } texts[] = {{"FLOAT", WH_DTYPE_F32},   {"UINT8", WH_DTYPE_U8},   {"INT8", WH_DTYPE_I8},
                 {"UINT16", WH_DTYPE_U16},  {"INT16", WH_DTYPE_I16},  {"INT32", WH_DTYPE_I32},
                 {"INT64", WH_DTYPE_I64},   {"BOOL", WH_DTYPE_BOOL},  {"FLOAT16", WH_DTYPE_F16},
                 {"DOUBLE", WH_DTYPE_F64},  {"UINT32", WH_DTYPE_U32}, {"UINT64", WH_DTYPE_U64},
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
