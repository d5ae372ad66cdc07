/* host_nodes.c - the list of nodes whose results the host works out itself, with the reason, for those who
 * ask (lists_host). */
#include <string.h>

#include "import/onnx/importer.h"

#define MOST_LISTED 4096 /* a model may call functions without end */

static bool is_text(const wh_datum *d) { return d->strings || d->dtype == WH_DTYPE_STRING; }

/* NULL: a device computes the node, or it is a constant. */
static const char *reason_of(const ox *o, const ox_node *node, uint32_t stage) {
  bool any = false, built = false, constant = true, text = false, items = false;
  for (size_t i = 0; i < node->n_out; i++) {
    const wh_datum *d = o->out[i];
    if (!d) continue;
    any = true;
    built = built || (d->kind == WH_DATUM_BUILT && !d->data);
    text = text || is_text(d);
    items = items || d->kind == WH_DATUM_SEQUENCE || d->kind == WH_DATUM_OPTIONAL;
  }
  for (size_t i = 0; i < node->n_in; i++) {
    if (!o->in[i]) continue;
    constant = constant && o->in[i]->kind == WH_DATUM_TENSOR && o->in[i]->is_weight;
    text = text || is_text(o->in[i]);
    items = items || o->in[i]->kind == WH_DATUM_SEQUENCE || o->in[i]->kind == WH_DATUM_OPTIONAL;
  }
  if (!any) return NULL;
  if (stage != o->stage) return "needs elements that the program before it computes: that one ends here";
  if (built || constant) return NULL;
  if (text) return "strings: no device has any";
  if (items) return "a sequence or an optional: no tensor";
  return "follows from shapes, or from elements that the host has";
}

static const char *text_of(ox *o, wh_str s) {
  const char *copy = wh_arena_string(&o->arena, s.data ? s.data : "", s.len);
  return copy ? copy : "";
}

void ox_note_host(ox *o, const ox_node *node, uint32_t stage) {
  const char *reason = o->st == WH_OK ? reason_of(o, node, stage) : NULL;
  const wh_onnx_node *src = node->src;
  ox_host_node **at = &o->host;
  if (!reason) return;
  for (; *at; at = &(*at)->next) {
    if ((*at)->src != src || strcmp((*at)->info.reason, reason) != 0) continue;
    (*at)->info.times++;
    return;
  }
  ox_host_node *n = o->n_host < MOST_LISTED ? ox_array(o, 1, sizeof *n) : NULL;
  if (!n) return;
  n->src = src;
  n->info =
      (wh_onnx_host_node){.node = text_of(o, src->name.len || !src->n_outputs ? src->name : src->outputs[0]),
                          .op = text_of(o, src->op),
                          .reason = reason,
                          .times = 1};
  *at = n;
  o->n_host++;
}

const wh_onnx_host_node *ox_host_nodes(ox *o) {
  wh_onnx_host_node *list = wh_arena_array(&o->arena, o->n_host + 1, sizeof *list);
  size_t n = 0;
  for (const ox_host_node *h = o->host; h && list; h = h->next) list[n++] = h->info;
  return list;
}
