/* print.c - the text form of a graph. parse.c reads it back; the grammar:
 *
 *   graph "llama" {
 *     symbol tokens 1..512
 *     %1 = input "tokens" i32[tokens]
 *     %2 = const "blk.0.attn_norm.weight" f32[576]
 *     %3 = state "blk.0.keys" f16[pages, 3, 64, 64]
 *     %17 = linear(%16, %4, _, %9) "blk.0.attn_output" : f32[tokens, 576]
 *     %18 = rms_norm(%17, %2) {eps = 0x1.4f8b58p-17} "blk.0.ffn_norm" : f32[tokens, 576]
 *     %19, %20 = custom(%18) {name = "topk", ints = [5], floats = [], tensor = u8[1] "2a"} "best" : f32[5],
 * i64[5] output "logits" %18
 *   }
 *
 * Values are numbered from 1 in print order, so the text is a function of the graph and not of how it was
 * built. A dim is a number, a symbol or "(a + b)" with one of + - * / mod ceildiv min max; a symbol that is
 * no word is quoted. In names, bytes other than printable ASCII are \xNN, as are '"' and '\'. Floats are
 * hexadecimal: exact, and no matter of locale. */
#include <math.h>
#include <string.h>

#include "core/ir/graph.h"

static void put_quoted(wh_text_buffer *b, const char *s) { wh_quoted_print(s, strlen(s), b); }

static void put_dims(const wh_graph *g, wh_text_buffer *b, const wh_dim *dims, int rank) {
  wh_text_buffer_puts(b, "[");
  for (int i = 0; i < rank; i++) {
    if (i) wh_text_buffer_puts(b, ", ");
    wh_dim_print(&g->dims, dims[i], b);
  }
  wh_text_buffer_puts(b, "]");
}

static void put_shape(const wh_graph *g, wh_text_buffer *b, const wh_shape *s) {
  wh_text_buffer_puts(b, wh_dtype_name(s->dtype));
  put_dims(g, b, s->dims, s->rank);
}

static void put_value(wh_text_buffer *b, const uint32_t *number, wh_value v) {
  if (v)
    wh_text_buffer_printf(b, "%%%u", number[v]);
  else
    wh_text_buffer_puts(b, "_");
}

/* As C's %a prints a double, but with a point in every locale. */
static void put_float(wh_text_buffer *b, float f) {
  int exponent = 0;
  float fraction = frexpf(fabsf(f), &exponent);                 /* 0, or 0.5 to 1 */
  uint32_t digits = (uint32_t)(fraction * 0x1p25f) & 0xffffffu; /* what follows the leading 1: 24 bits */
  int n = 6;
  for (; n > 0 && (digits & 15) == 0; n--) digits >>= 4;
  wh_text_buffer_printf(b, "%s0x%d", signbit(f) ? "-" : "", f != 0);
  if (n) wh_text_buffer_printf(b, ".%0*x", n, (unsigned)digits);
  wh_text_buffer_printf(b, "p%+d", f != 0 ? exponent - 1 : 0);
}

static void put_attr(const wh_graph *g, wh_text_buffer *b, const wh_attr *a) {
  switch (wh_attr_type_of(a->key)) {
    case WH_TYPE_FLOAT:
      put_float(b, a->f);
      break;
    case WH_TYPE_INT:
      wh_text_buffer_printf(b, "%lld", (long long)a->i);
      break;
    case WH_TYPE_DIMS:
      put_dims(g, b, a->dims, a->rank);
      break;
    case WH_TYPE_INTS:
    case WH_TYPE_FLOATS:
      wh_text_buffer_puts(b, "[");
      for (size_t i = 0; i < a->n; i++) {
        if (i) wh_text_buffer_puts(b, ", ");
        if (wh_attr_type_of(a->key) == WH_TYPE_FLOATS)
          put_float(b, a->floats[i]);
        else
          wh_text_buffer_printf(b, "%lld", (long long)a->ints[i]);
      }
      wh_text_buffer_puts(b, "]");
      break;
    case WH_TYPE_STRING:
      wh_quoted_print(a->text, a->n, b);
      break;
    case WH_TYPE_TENSOR:
      wh_text_buffer_puts(b, wh_dtype_name(a->dtype));
      put_dims(g, b, a->dims, a->rank);
      wh_text_buffer_puts(b, " \"");
      for (size_t i = 0; i < a->n; i++) wh_text_buffer_printf(b, "%02x", ((const unsigned char *)a->data)[i]);
      wh_text_buffer_puts(b, "\"");
      break;
  }
}

static void put_attrs(const wh_graph *g, wh_text_buffer *b, const wh_node_info *n) {
  const char *separator = " {";
  for (int key = 0; key < WH_ATTR_COUNT; key++) { /* in key order, whatever order the builder used */
    const wh_attr *a = wh_node_attr(n, (wh_attr_key)key);
    if (!a) continue;
    wh_text_buffer_printf(b, "%s%s = ", separator, wh_attr_name(a->key));
    separator = ", ";
    put_attr(g, b, a);
  }
  if (n->n_attrs) wh_text_buffer_puts(b, "}");
}

typedef struct printer {
  const wh_graph *g;
  wh_text_buffer *b;
  uint32_t *number;        /* per value */
  uint32_t *region_number; /* per region */
  wh_node *first, *next;   /* a region's nodes: index + 1; 0: the end */
  uint32_t n_numbers, n_region_numbers;
} printer;

static void put_indent(printer *p, wh_region r) {
  for (uint32_t i = 0; i <= p->g->regions[r].depth; i++) wh_text_buffer_puts(p->b, "  ");
}

static void put_number(printer *p, wh_value v, const char *separator) {
  p->number[v] = p->n_numbers++;
  wh_text_buffer_printf(p->b, "%s%%%u", separator, p->number[v]);
}

static void put_nodes(printer *p, wh_region r);

/* Depth is bounded by WH_MAX_REGION_DEPTH. */
static void put_region(printer *p, wh_region r) {
  const wh_region_info *info = &p->g->regions[r];
  put_indent(p, info->parent);
  p->region_number[r] = p->n_region_numbers++;
  wh_text_buffer_printf(p->b, "region ^%u(", p->region_number[r]);
  for (unsigned i = 0; i < info->n_params; i++) {
    put_number(p, info->params[i], i ? ", " : "");
    wh_text_buffer_puts(p->b, " : ");
    put_shape(p->g, p->b, &p->g->values[info->params[i]].shape);
  }
  wh_text_buffer_puts(p->b, ") {\n");
  put_nodes(p, r);
  put_indent(p, r);
  wh_text_buffer_puts(p->b, "yield ");
  for (unsigned i = 0; i < info->n_results; i++) {
    if (i) wh_text_buffer_puts(p->b, ", ");
    put_value(p->b, p->number, info->results[i]);
  }
  wh_text_buffer_puts(p->b, "\n");
  put_indent(p, info->parent);
  wh_text_buffer_puts(p->b, "}\n");
}

static void put_node(printer *p, const wh_node_info *n) {
  wh_text_buffer *b = p->b;
  for (unsigned k = 0; k < n->n_regions; k++) put_region(p, n->regions[k]);
  put_indent(p, n->region);
  for (unsigned k = 0; k < n->n_outputs; k++) put_number(p, n->outputs[k], k ? ", " : "");
  wh_text_buffer_printf(b, " = %s(", wh_op_get(n->op)->name);
  for (unsigned k = 0; k < n->n_inputs; k++) {
    if (k) wh_text_buffer_puts(b, ", ");
    put_value(b, p->number, n->inputs[k]);
  }
  wh_text_buffer_puts(b, ")");
  put_attrs(p->g, b, n);
  for (unsigned k = 0; k < n->n_regions; k++)
    wh_text_buffer_printf(b, "%s^%u%s", k ? ", " : " [", p->region_number[n->regions[k]],
                          k + 1 == n->n_regions ? "]" : "");
  wh_text_buffer_puts(b, " ");
  put_quoted(b, n->name);
  for (unsigned k = 0; k < n->n_outputs; k++) {
    wh_text_buffer_puts(b, k ? ", " : " : ");
    put_shape(p->g, b, &p->g->values[n->outputs[k]].shape);
  }
  wh_text_buffer_puts(b, "\n");
}

static void put_nodes(printer *p, wh_region r) {
  for (wh_node n = p->first[r]; n; n = p->next[n - 1]) put_node(p, &p->g->nodes[n - 1]);
}

static void put_graph(printer *p) {
  static const char *const kinds[] = {
      [WH_VALUE_INPUT] = "input", [WH_VALUE_CONST] = "const", [WH_VALUE_STATE] = "state"};
  const wh_graph *g = p->g;
  wh_text_buffer *b = p->b;
  for (size_t n = g->n_nodes; n-- > 0;) {
    const wh_region r = g->nodes[n].region;
    if (g->nodes[n].dead) continue;
    p->next[n] = p->first[r];
    p->first[r] = (wh_node)n + 1;
  }
  wh_text_buffer_puts(b, "graph ");
  put_quoted(b, g->name);
  wh_text_buffer_puts(b, " {\n");
  for (uint32_t i = 0; i < g->dims.n_symbols; i++) {
    const wh_dim_expr *e = wh_dim_get(&g->dims, g->dims.symbol_dims[i]);
    wh_text_buffer_puts(b, "  symbol ");
    wh_symbol_print(g->dims.symbols[i], b);
    wh_text_buffer_printf(b, " %lld..%lld\n", (long long)e->min, (long long)e->max);
  }
  for (wh_value v = 1; v < g->n_values; v++) {
    const wh_value_info *info = &g->values[v];
    if (info->kind != WH_VALUE_INPUT && info->kind != WH_VALUE_CONST && info->kind != WH_VALUE_STATE)
      continue;
    put_number(p, v, "  ");
    wh_text_buffer_printf(b, " = %s ", kinds[info->kind]);
    put_quoted(b, info->name);
    wh_text_buffer_puts(b, " ");
    put_shape(g, b, &info->shape);
    wh_text_buffer_puts(b, "\n");
  }
  put_nodes(p, 0);
  for (size_t i = 0; i < g->n_outputs; i++) {
    wh_text_buffer_puts(b, "  output ");
    put_quoted(b, g->outputs[i].name);
    wh_text_buffer_printf(b, " %%%u\n", p->number[g->outputs[i].value]);
  }
  wh_text_buffer_puts(b, "}\n");
}

wh_status wh_graph_print(const wh_graph *g, wh_text_buffer *b) {
  printer p = {.g = g,
               .b = b,
               .number = wh_alloc_array(g->alloc, g->n_values, sizeof *p.number),
               .region_number = wh_alloc_array(g->alloc, g->n_regions, sizeof *p.region_number),
               .first = wh_alloc_array(g->alloc, g->n_regions, sizeof *p.first),
               .next = wh_alloc_array(g->alloc, g->n_nodes + 1, sizeof *p.next),
               .n_numbers = 1,
               .n_region_numbers = 1};
  const bool ok = p.number && p.region_number && p.first && p.next;
  if (ok) put_graph(&p);
  wh_free(g->alloc, p.number);
  wh_free(g->alloc, p.region_number);
  wh_free(g->alloc, p.first);
  wh_free(g->alloc, p.next);
  return !ok || b->oom ? WH_OOM("graph text") : WH_OK;
}

wh_status wh_graph_hash(const wh_graph *g, wh_hash128 *out) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, g->alloc);
  wh_status st = wh_graph_print(g, &b);
  if (st == WH_OK) *out = wh_hash_bytes(b.data, b.len);
  wh_text_buffer_deinit(&b);
  return st;
}
