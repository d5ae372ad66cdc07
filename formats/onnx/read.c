/* read.c - ModelProto and what is in it. A message is gone through twice: once to count, once to fill. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/onnx/onnx_internal.h"

/* Messages name nodes of the graph and of those within them; further in they would grow past their end. */
#define CONTEXT_DEPTH 2u

#define EACH_FIELD(bytes)        \
  wh_wire w = wh_wire_of(bytes); \
  wh_wire_field f;               \
  for (bool more; (st = wh_wire_next(&w, &f, &more)) == WH_OK && more;)

wh_status wh_onnx_count(wh_str message, uint32_t number, size_t *out) {
  wh_status st;
  size_t n = 0;
  EACH_FIELD(message) n += f.number == number;
  *out = n;
  return st;
}

wh_status wh_onnx_array(wh_onnx_reader *r, size_t n, size_t size, void *out_pointer) {
  void *p = wh_arena_array(&r->arena, n + 1, size);
  if (!p) return WH_OOM("ONNX model");
  memcpy(out_pointer, &p, sizeof p);
  return WH_OK;
}

wh_status wh_onnx_read_entry(wh_str bytes, wh_onnx_meta *out) {
  wh_status st;
  *out = (wh_onnx_meta){{"", 0}, {"", 0}};
  EACH_FIELD(bytes) {
    if (f.number == 1) out->key = f.bytes;
    if (f.number == 2) out->value = f.bytes;
  }
  return st;
}

/* Strings of the field `number`. */
static wh_status read_strings(wh_onnx_reader *r, wh_str bytes, uint32_t number, const wh_str **out,
                              size_t *n) {
  wh_status st;
  wh_str *s;
  size_t i = 0;
  WH_TRY(wh_onnx_count(bytes, number, n));
  WH_TRY(wh_onnx_array(r, *n, sizeof *s, &s));
  EACH_FIELD(bytes) if (f.number == number) s[i++] = f.type == WH_WIRE_BYTES ? f.bytes : (wh_str){"", 0};
  *out = s;
  return st;
}

/* ---- types ---- */

static wh_status read_shape(wh_str bytes, wh_onnx_type *t) {
  wh_status st;
  t->has_shape = true;
  EACH_FIELD(bytes) {
    if (f.number != 1) continue;
    if (t->rank == WH_MAX_RANK) return WH_FAIL(ERR_LIMIT, "it has more than %d dimensions", WH_MAX_RANK);
    wh_onnx_dim *d = &t->dims[t->rank++];
    *d = (wh_onnx_dim){-1, {"", 0}};
    wh_wire dim = wh_wire_of(f.bytes);
    wh_wire_field g;
    for (bool more_dims;;) {
      WH_TRY(wh_wire_next(&dim, &g, &more_dims));
      if (!more_dims) break;
      if (g.number == 1) d->value = (int64_t)g.bits < 0 ? -1 : (int64_t)g.bits;
      if (g.number == 2) d->param = g.bytes;
    }
  }
  return st;
}

static wh_status read_tensor_type(wh_str bytes, wh_onnx_type *t) {
  wh_status st;
  t->kind = WH_ONNX_TENSOR;
  t->dtype = WH_DTYPE_FORCE_32;
  EACH_FIELD(bytes) {
    if (f.number == 1) t->dtype = wh_onnx_dtype(f.bits);
    if (f.number == 2) WH_TRY(read_shape(f.bytes, t));
  }
  return st;
}

static wh_status read_type(wh_onnx_reader *r, wh_str bytes, wh_onnx_type *out) {
  wh_status st;
  if (r->depth == WH_ONNX_MAX_DEPTH)
    return WH_FAIL(ERR_LIMIT, "its type is nested more than %u deep", WH_ONNX_MAX_DEPTH);
  r->depth++;
  EACH_FIELD(bytes) {
    if (f.number == 1) {
      WH_TRY(read_tensor_type(f.bytes, out));
    } else if (f.number == 4 || f.number == 9) {
      wh_onnx_type *element;
      out->kind = f.number == 4 ? WH_ONNX_SEQUENCE : WH_ONNX_OPTIONAL;
      WH_TRY(wh_onnx_array(r, 1, sizeof *element, &element));
      wh_wire inner = wh_wire_of(f.bytes);
      wh_wire_field g;
      for (bool more_types;;) {
        WH_TRY(wh_wire_next(&inner, &g, &more_types));
        if (!more_types) break;
        if (g.number == 1) WH_TRY(read_type(r, g.bytes, element));
      }
      out->element = element;
    } else if (f.number == 5 || f.number == 7 || f.number == 8) {
      out->kind = WH_ONNX_OTHER_TYPE;
    }
  }
  r->depth--;
  return st;
}

static wh_status read_value_info(wh_onnx_reader *r, wh_str bytes, wh_onnx_value_info *out) {
  wh_status st;
  out->name = (wh_str){"", 0};
  EACH_FIELD(bytes) {
    if (f.number == 1) out->name = f.bytes;
    if (f.number == 2 && read_type(r, f.bytes, &out->type) != WH_OK)
      return wh_fail_prefix("value '" WH_STR_FMT "'", WH_STR_ARG(out->name));
  }
  return st;
}

/* ---- attributes ---- */

enum { A_NAME = 1, A_F, A_I, A_S, A_T, A_G, A_FLOATS, A_INTS, A_STRINGS, A_TENSORS, A_GRAPHS };
enum { A_TYPE = 20, A_REF, A_SPARSE };

static wh_status read_graph(wh_onnx_reader *r, wh_str bytes, wh_onnx_graph *g);

/* Numbers of a repeated field that may be packed: of varints, or of fixed32. */
static wh_status read_numbers(wh_onnx_reader *r, wh_str bytes, uint32_t number, bool is_float,
                              const void **out, size_t *n) {
  wh_status st;
  float *floats = NULL;
  int64_t *ints = NULL;
  for (int pass = 0; pass < 2; pass++) {
    size_t i = 0;
    EACH_FIELD(bytes) {
      if (f.number != number) continue;
      wh_wire list = wh_wire_of(f.bytes);
      if (f.type != WH_WIRE_BYTES) {
        const uint32_t low = (uint32_t)f.bits;
        if (pass && is_float) memcpy(&floats[i], &low, sizeof low);
        if (pass && !is_float) ints[i] = (int64_t)f.bits;
        i++;
      }
      while (f.type == WH_WIRE_BYTES && list.at < list.end) {
        uint64_t v = 0;
        if (is_float && list.end - list.at < 4) return WH_FAIL(ERR_CORRUPT, "its list ends within a number");
        if (!is_float && !wh_wire_varint(&list, &v))
          return WH_FAIL(ERR_CORRUPT, "its list ends within a number");
        if (is_float) {
          if (pass) memcpy(&floats[i], list.at, 4);
          list.at += 4;
        } else if (pass) {
          ints[i] = (int64_t)v;
        }
        i++;
      }
    }
    if (st != WH_OK) return st;
    if (!pass && is_float) WH_TRY(wh_onnx_array(r, i, sizeof *floats, &floats));
    if (!pass && !is_float) WH_TRY(wh_onnx_array(r, i, sizeof *ints, &ints));
    *n = i;
  }
  *out = is_float ? (const void *)floats : (const void *)ints;
  return WH_OK;
}

static wh_status read_tensors(wh_onnx_reader *r, wh_str bytes, uint32_t number, const wh_onnx_tensor **out,
                              size_t *n) {
  wh_status st;
  wh_onnx_tensor *t;
  size_t i = 0;
  WH_TRY(wh_onnx_count(bytes, number, n));
  WH_TRY(wh_onnx_array(r, *n, sizeof *t, &t));
  EACH_FIELD(bytes) if (f.number == number) WH_TRY(wh_onnx_read_tensor(r, f.bytes, &t[i++]));
  *out = t;
  return st;
}

static wh_status read_graphs(wh_onnx_reader *r, wh_str bytes, uint32_t number, const wh_onnx_graph **out,
                             size_t *n) {
  wh_status st;
  wh_onnx_graph *g;
  size_t i = 0;
  WH_TRY(wh_onnx_count(bytes, number, n));
  WH_TRY(wh_onnx_array(r, *n, sizeof *g, &g));
  EACH_FIELD(bytes) if (f.number == number) WH_TRY(read_graph(r, f.bytes, &g[i++]));
  *out = g;
  return st;
}

static wh_status read_sparses(wh_onnx_reader *r, wh_str bytes, uint32_t number, const wh_onnx_sparse **out,
                              size_t *n) {
  wh_status st;
  wh_onnx_sparse *s;
  size_t i = 0;
  WH_TRY(wh_onnx_count(bytes, number, n));
  WH_TRY(wh_onnx_array(r, *n, sizeof *s, &s));
  EACH_FIELD(bytes) if (f.number == number) WH_TRY(wh_onnx_read_sparse(r, f.bytes, &s[i++]));
  *out = s;
  return st;
}

/* Old files do not say the type: it is that of the field which is there. */
static wh_onnx_attr_type guess_type(uint32_t number) {
  static const wh_onnx_attr_type of[] = {
      [A_F] = WH_ONNX_ATTR_FLOAT,         [A_I] = WH_ONNX_ATTR_INT,
      [A_S] = WH_ONNX_ATTR_STRING,        [A_T] = WH_ONNX_ATTR_TENSOR,
      [A_G] = WH_ONNX_ATTR_GRAPH,         [A_FLOATS] = WH_ONNX_ATTR_FLOATS,
      [A_INTS] = WH_ONNX_ATTR_INTS,       [A_STRINGS] = WH_ONNX_ATTR_STRINGS,
      [A_TENSORS] = WH_ONNX_ATTR_TENSORS, [A_GRAPHS] = WH_ONNX_ATTR_GRAPHS,
      [A_SPARSE] = WH_ONNX_ATTR_SPARSE};
  return number < sizeof of / sizeof of[0] ? of[number] : WH_ONNX_ATTR_NONE;
}

static wh_status read_payload(wh_onnx_reader *r, wh_str bytes, wh_onnx_attr *a) {
  const void *list = NULL;
  size_t n = 0;
  switch (a->type) {
    case WH_ONNX_ATTR_TENSOR:
    case WH_ONNX_ATTR_TENSORS:
      return read_tensors(r, bytes, a->type == WH_ONNX_ATTR_TENSOR ? A_T : A_TENSORS, &a->tensors, &a->n);
    case WH_ONNX_ATTR_GRAPH:
    case WH_ONNX_ATTR_GRAPHS:
      return read_graphs(r, bytes, a->type == WH_ONNX_ATTR_GRAPH ? A_G : A_GRAPHS, &a->graphs, &a->n);
    case WH_ONNX_ATTR_SPARSE:
      return read_sparses(r, bytes, A_SPARSE, &a->sparse, &a->n);
    case WH_ONNX_ATTR_STRINGS:
      return read_strings(r, bytes, A_STRINGS, &a->strings, &a->n);
    case WH_ONNX_ATTR_FLOATS:
      WH_TRY(read_numbers(r, bytes, A_FLOATS, true, &list, &n));
      a->floats = list;
      break;
    case WH_ONNX_ATTR_INTS:
      WH_TRY(read_numbers(r, bytes, A_INTS, false, &list, &n));
      a->ints = list;
      break;
    default:
      break;
  }
  a->n = n;
  return WH_OK;
}

static wh_status read_attr_fields(wh_onnx_reader *r, wh_str bytes, wh_onnx_attr *a) {
  wh_status st;
  uint64_t type = 0;
  wh_onnx_attr_type guessed = WH_ONNX_ATTR_NONE;
  EACH_FIELD(bytes) {
    const uint32_t low = (uint32_t)f.bits;
    if (f.number == A_NAME) a->name = f.bytes;
    if (f.number == A_REF) a->ref = f.bytes;
    if (f.number == A_F) memcpy(&a->f, &low, sizeof low);
    if (f.number == A_I) a->i = (int64_t)f.bits;
    if (f.number == A_S) a->s = f.bytes;
    if (f.number == A_TYPE) type = f.bits;
    const wh_onnx_attr_type g = guess_type(f.number);
    if (g != WH_ONNX_ATTR_NONE) guessed = g;
  }
  WH_TRY(st);
  a->type = type == 0 ? guessed : type < WH_ONNX_ATTR_OTHER ? (wh_onnx_attr_type)type : WH_ONNX_ATTR_OTHER;
  WH_TRY(read_payload(r, bytes, a));
  const bool one =
      a->type == WH_ONNX_ATTR_TENSOR || a->type == WH_ONNX_ATTR_GRAPH || a->type == WH_ONNX_ATTR_SPARSE;
  if (one && a->n != 1 && a->ref.len == 0) return WH_FAIL(ERR_CORRUPT, "it has %zu values", a->n);
  return WH_OK;
}

static wh_status read_attr(wh_onnx_reader *r, wh_str bytes, wh_onnx_attr *a) {
  a->name = a->ref = a->s = (wh_str){"", 0};
  const bool is_outer = r->depth <= CONTEXT_DEPTH;
  wh_status st = read_attr_fields(r, bytes, a);
  if (st != WH_OK && is_outer) return wh_fail_prefix("attribute '" WH_STR_FMT "'", WH_STR_ARG(a->name));
  return st;
}

static wh_status read_attrs(wh_onnx_reader *r, wh_str bytes, uint32_t number, const wh_onnx_attr **out,
                            size_t *n) {
  wh_status st;
  wh_onnx_attr *a;
  size_t i = 0;
  WH_TRY(wh_onnx_count(bytes, number, n));
  WH_TRY(wh_onnx_array(r, *n, sizeof *a, &a));
  EACH_FIELD(bytes) if (f.number == number) WH_TRY(read_attr(r, f.bytes, &a[i++]));
  *out = a;
  return st;
}

/* ---- nodes and graphs ---- */

static wh_status read_node_fields(wh_onnx_reader *r, wh_str bytes, wh_onnx_node *n) {
  wh_status st;
  EACH_FIELD(bytes) {
    if (f.number == 3) n->name = f.bytes;
    if (f.number == 4) n->op = f.bytes;
    if (f.number == 7) n->domain = f.bytes;
  }
  WH_TRY(st);
  if (wh_str_is(n->domain, "ai.onnx")) n->domain = (wh_str){"", 0};
  WH_TRY(read_strings(r, bytes, 1, &n->inputs, &n->n_inputs));
  WH_TRY(read_strings(r, bytes, 2, &n->outputs, &n->n_outputs));
  return read_attrs(r, bytes, 5, &n->attrs, &n->n_attrs);
}

static wh_status read_nodes(wh_onnx_reader *r, wh_str bytes, uint32_t number, const wh_onnx_node **out,
                            size_t *n) {
  wh_status st;
  wh_onnx_node *nodes;
  size_t i = 0;
  WH_TRY(wh_onnx_count(bytes, number, n));
  if (*n > WH_ONNX_MAX_NODES)
    return WH_FAIL(ERR_LIMIT, "%zu nodes, at most %u are read", *n, WH_ONNX_MAX_NODES);
  WH_TRY(wh_onnx_array(r, *n, sizeof *nodes, &nodes));
  EACH_FIELD(bytes) {
    if (f.number != number) continue;
    wh_onnx_node *node = &nodes[i++];
    node->name = node->op = node->domain = (wh_str){"", 0};
    const bool is_outer = r->depth <= CONTEXT_DEPTH;
    st = read_node_fields(r, f.bytes, node);
    if (st != WH_OK && is_outer)
      return wh_fail_prefix("node %zu '" WH_STR_FMT "' (" WH_STR_FMT ")", i - 1, WH_STR_ARG(node->name),
                            WH_STR_ARG(node->op));
    WH_TRY(st);
  }
  *out = nodes;
  return st;
}

static wh_status read_value_infos(wh_onnx_reader *r, wh_str bytes, uint32_t number,
                                  const wh_onnx_value_info **out, size_t *n) {
  wh_status st;
  wh_onnx_value_info *v;
  size_t i = 0;
  WH_TRY(wh_onnx_count(bytes, number, n));
  WH_TRY(wh_onnx_array(r, *n, sizeof *v, &v));
  EACH_FIELD(bytes) if (f.number == number) WH_TRY(read_value_info(r, f.bytes, &v[i++]));
  *out = v;
  return st;
}

static wh_status read_graph(wh_onnx_reader *r, wh_str bytes, wh_onnx_graph *g) {
  wh_status st;
  *g = (wh_onnx_graph){.name = {"", 0}};
  if (r->depth == WH_ONNX_MAX_DEPTH)
    return WH_FAIL(ERR_LIMIT, "graphs are nested more than %u deep", WH_ONNX_MAX_DEPTH);
  r->depth++;
  EACH_FIELD(bytes) if (f.number == 2) g->name = f.bytes;
  WH_TRY(st);
  WH_TRY(read_value_infos(r, bytes, 11, &g->inputs, &g->n_inputs));
  WH_TRY(read_value_infos(r, bytes, 12, &g->outputs, &g->n_outputs));
  WH_TRY(read_tensors(r, bytes, 5, &g->initializers, &g->n_initializers));
  WH_TRY(read_sparses(r, bytes, 15, &g->sparse, &g->n_sparse));
  WH_TRY(read_nodes(r, bytes, 1, &g->nodes, &g->n_nodes));
  r->depth--;
  return WH_OK;
}

static wh_status read_opsets(wh_onnx_reader *r, wh_str bytes, uint32_t number, const wh_onnx_opset **out,
                             size_t *n) {
  wh_status st;
  wh_onnx_opset *o;
  size_t i = 0;
  WH_TRY(wh_onnx_count(bytes, number, n));
  WH_TRY(wh_onnx_array(r, *n, sizeof *o, &o));
  EACH_FIELD(bytes) {
    if (f.number != number) continue;
    wh_wire inner = wh_wire_of(f.bytes);
    wh_wire_field g;
    o[i] = (wh_onnx_opset){{"", 0}, 1};
    for (bool more_fields;;) {
      WH_TRY(wh_wire_next(&inner, &g, &more_fields));
      if (!more_fields) break;
      if (g.number == 1) o[i].domain = g.bytes;
      if (g.number == 2) o[i].version = (int64_t)g.bits;
    }
    if (wh_str_is(o[i].domain, "ai.onnx")) o[i].domain = (wh_str){"", 0};
    i++;
  }
  *out = o;
  return st;
}

static wh_status read_function(wh_onnx_reader *r, wh_str bytes, wh_onnx_function *fn) {
  wh_status st;
  fn->name = fn->domain = (wh_str){"", 0};
  EACH_FIELD(bytes) {
    if (f.number == 1) fn->name = f.bytes;
    if (f.number == 10) fn->domain = f.bytes;
  }
  WH_TRY(st);
  if (wh_str_is(fn->domain, "ai.onnx")) fn->domain = (wh_str){"", 0};
  WH_TRY(read_strings(r, bytes, 4, &fn->inputs, &fn->n_inputs));
  WH_TRY(read_strings(r, bytes, 5, &fn->outputs, &fn->n_outputs));
  WH_TRY(read_strings(r, bytes, 6, &fn->attrs, &fn->n_attrs));
  WH_TRY(read_attrs(r, bytes, 11, &fn->defaults, &fn->n_defaults));
  WH_TRY(read_opsets(r, bytes, 9, &fn->opsets, &fn->n_opsets));
  return read_nodes(r, bytes, 7, &fn->nodes, &fn->n_nodes);
}

static wh_status read_functions(wh_onnx_reader *r, wh_str bytes, wh_onnx_file *file) {
  wh_status st;
  wh_onnx_function *fn;
  size_t i = 0;
  WH_TRY(wh_onnx_count(bytes, 25, &file->n_functions));
  WH_TRY(wh_onnx_array(r, file->n_functions, sizeof *fn, &fn));
  EACH_FIELD(bytes) {
    if (f.number != 25) continue;
    if (read_function(r, f.bytes, &fn[i]) != WH_OK)
      return wh_fail_prefix("function '" WH_STR_FMT "'", WH_STR_ARG(fn[i].name));
    i++;
  }
  file->functions = fn;
  return st;
}

static wh_status read_metadata(wh_onnx_reader *r, wh_str bytes, wh_onnx_file *file) {
  wh_status st;
  wh_onnx_meta *m;
  size_t i = 0;
  WH_TRY(wh_onnx_count(bytes, 14, &file->n_meta));
  WH_TRY(wh_onnx_array(r, file->n_meta, sizeof *m, &m));
  EACH_FIELD(bytes) if (f.number == 14) WH_TRY(wh_onnx_read_entry(f.bytes, &m[i++]));
  file->meta = m;
  return st;
}

static wh_status read_model(wh_onnx_reader *r, wh_str bytes, wh_onnx_file *file) {
  wh_status st;
  wh_str graph = {NULL, 0};
  EACH_FIELD(bytes) {
    if (f.number == 1) file->ir_version = (int64_t)f.bits;
    if (f.number == 2) file->producer = f.bytes;
    if (f.number == 3) file->producer_version = f.bytes;
    if (f.number == 4) file->domain = f.bytes;
    if (f.number == 5) file->model_version = (int64_t)f.bits;
    if (f.number == 7 && f.type == WH_WIRE_BYTES) graph = f.bytes;
  }
  WH_TRY(st);
  if (!graph.data) return WH_FAIL(ERR_CORRUPT, "the model has no graph");
  WH_TRY(read_opsets(r, bytes, 8, &file->opsets, &file->n_opsets));
  WH_TRY(read_metadata(r, bytes, file));
  WH_TRY(read_functions(r, bytes, file));
  return read_graph(r, graph, &file->graph);
}

/* ---- files ---- */

typedef struct onnx_owner {
  wh_onnx_file file; /* first: what the caller sees */
  wh_onnx_reader reader;
  wh_file *mapped;
} onnx_owner;

struct wh_onnx_value_file {
  wh_onnx_value value;
  wh_onnx_reader reader;
  wh_file *mapped;
};

bool wh_onnx_looks_like(const void *data, size_t n_bytes) {
  const uint8_t *p = data;
  static const uint8_t next[] = {0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42};
  return n_bytes >= 4 && p[0] == 0x08 && p[1] >= 1 && p[1] <= 32 && memchr(next, p[2], sizeof next);
}

static wh_status open_bytes(const char *name, const char *path, wh_file *mapped, wh_str bytes,
                            const wh_allocator *alloc, wh_onnx_file **out) {
  onnx_owner *o = wh_alloc_zeroed(alloc, sizeof *o);
  if (!o) {
    wh_file_close(mapped);
    return WH_OOM("ONNX model");
  }
  wh_arena_init(&o->reader.arena, alloc, 0);
  o->reader.alloc = o->file.alloc = alloc;
  o->mapped = mapped;
  o->file.path = wh_arena_string(&o->reader.arena, name, strlen(name));
  o->reader.path = path ? o->file.path : NULL;
  o->file.producer = o->file.producer_version = o->file.domain = (wh_str){"", 0};
  wh_status st = o->file.path ? read_model(&o->reader, bytes, &o->file) : WH_OOM("ONNX model");
  o->file.bytes = bytes;
  o->file.total_bytes = bytes.len + o->reader.external_bytes;
  if (st != WH_OK) {
    wh_onnx_close(&o->file);
    return wh_fail_prefix("%.200s", name);
  }
  *out = &o->file;
  return WH_OK;
}

wh_status wh_onnx_open(const char *path, const wh_allocator *alloc, wh_onnx_file **out) {
  wh_file *mapped;
  WH_TRY(wh_file_open(path, alloc, &mapped));
  return open_bytes(path, path, mapped, (wh_str){(const char *)wh_file_data(mapped), wh_file_size(mapped)},
                    alloc, out);
}

wh_status wh_onnx_open_memory(const char *name, const void *data, size_t n_bytes, const wh_allocator *alloc,
                              wh_onnx_file **out) {
  return open_bytes(name ? name : "model in memory", NULL, NULL, (wh_str){data, n_bytes}, alloc, out);
}

static void dont_need(const wh_file *f, const void *data, size_t n_bytes) {
  const uintptr_t first = (uintptr_t)wh_file_data(f), at = (uintptr_t)data;
  const size_t size = wh_file_size(f);
  if (at >= first && at - first < size && n_bytes <= size - (at - first))
    wh_file_dont_need(f, at - first, n_bytes);
}

void wh_onnx_dont_need(const wh_onnx_file *file, const void *data, size_t n_bytes) {
  const onnx_owner *o = (const onnx_owner *)file;
  if (!o->mapped) return;
  dont_need(o->mapped, data, n_bytes);
  for (const wh_onnx_external *e = o->reader.external; e; e = e->next) dont_need(e->file, data, n_bytes);
}

void wh_onnx_close(wh_onnx_file *file) {
  if (!file) return;
  onnx_owner *o = (onnx_owner *)file;
  const wh_allocator *alloc = o->reader.alloc;
  wh_onnx_close_external(&o->reader);
  wh_arena_deinit(&o->reader.arena);
  wh_file_close(o->mapped);
  wh_free(alloc, o);
}

/* ---- values ---- */

/* TensorProto, SequenceProto or OptionalProto. */
static wh_status read_value(wh_onnx_reader *r, wh_str bytes, wh_onnx_type_kind kind, wh_onnx_value *out) {
  wh_status st;
  enum { TENSOR = 3, SEQUENCE = 5, OPTIONAL = 7 }; /* in both */
  out->kind = kind;
  if (kind == WH_ONNX_TENSOR) return wh_onnx_read_tensor(r, bytes, &out->tensor);
  if (r->depth++ == WH_ONNX_MAX_DEPTH)
    return WH_FAIL(ERR_LIMIT, "values are nested more than %u deep", WH_ONNX_MAX_DEPTH);
  size_t n = 0;
  wh_onnx_value *items;
  {
    EACH_FIELD(bytes) n += f.number == TENSOR || f.number == SEQUENCE || f.number == OPTIONAL;
    WH_TRY(st);
  }
  WH_TRY(wh_onnx_array(r, n, sizeof *items, &items));
  n = 0;
  EACH_FIELD(bytes) {
    if (f.number == TENSOR) WH_TRY(read_value(r, f.bytes, WH_ONNX_TENSOR, &items[n++]));
    if (f.number == SEQUENCE) WH_TRY(read_value(r, f.bytes, WH_ONNX_SEQUENCE, &items[n++]));
    if (f.number == OPTIONAL) WH_TRY(read_value(r, f.bytes, WH_ONNX_OPTIONAL, &items[n++]));
  }
  if (kind == WH_ONNX_OPTIONAL && n > 1) return WH_FAIL(ERR_CORRUPT, "an optional holds %zu values", n);
  out->items = items;
  out->n = n;
  r->depth--;
  return st;
}

wh_status wh_onnx_value_open(const char *path, wh_onnx_type_kind kind, const wh_allocator *alloc,
                             wh_onnx_value_file **out) {
  wh_file *mapped;
  WH_TRY(wh_file_open(path, alloc, &mapped));
  wh_onnx_value_file *v = wh_alloc_zeroed(alloc, sizeof *v);
  if (!v) {
    wh_file_close(mapped);
    return WH_OOM("ONNX value");
  }
  wh_arena_init(&v->reader.arena, alloc, 4096);
  v->reader.alloc = alloc;
  v->reader.path = path; /* read during this call only */
  v->mapped = mapped;
  const wh_str bytes = {(const char *)wh_file_data(mapped), wh_file_size(mapped)};
  if (read_value(&v->reader, bytes, kind, &v->value) != WH_OK) {
    wh_onnx_value_close(v);
    return wh_fail_prefix("%.200s", path);
  }
  *out = v;
  return WH_OK;
}

const wh_onnx_value *wh_onnx_value_get(const wh_onnx_value_file *file) { return &file->value; }

void wh_onnx_value_close(wh_onnx_value_file *file) {
  if (!file) return;
  const wh_allocator *alloc = file->reader.alloc;
  wh_onnx_close_external(&file->reader);
  wh_arena_deinit(&file->reader.arena);
  wh_file_close(file->mapped);
  wh_free(alloc, file);
}
