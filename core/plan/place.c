/* place.c - see place.h. */
#include "core/plan/place.h"

#include <string.h>

#define MOST_NAMED 8

static uint16_t ruled_device(const wh_place_options *o, const char *name) {
  size_t longest = 0;
  uint16_t device = 0;
  for (size_t i = 0; i < o->n_rules; i++) {
    size_t n = strlen(o->rules[i].prefix);
    if (n < longest || strncmp(name, o->rules[i].prefix, n) != 0) continue;
    longest = n;
    device = (uint16_t)o->rules[i].device;
  }
  return device;
}

/* An operand that only its maker's device understands: the node runs there. */
static bool stays(const wh_graph *g, const wh_value_info *v) {
  return v->kind == WH_VALUE_NODE && (wh_dtype_is(v->shape.dtype, WH_CLASS_OPAQUE) ||
                                      wh_op_has(g->nodes[v->producer].op, WH_TRAIT_WRITES | WH_TRAIT_VIEW));
}

static uint16_t wanted_device(const wh_graph *g, const wh_place_options *o, wh_node n,
                              const uint16_t *device_of) {
  const wh_node_info *node = &g->nodes[n];
  for (unsigned i = 0; i < node->n_inputs; i++) {
    const wh_value_info *v = &g->values[node->inputs[i]];
    if (!node->inputs[i] || v->kind != WH_VALUE_NODE) continue;
    bool view = wh_op_has(node->op, WH_TRAIT_VIEW);
    if (view || (stays(g, v) && !wh_op_has(g->nodes[v->producer].op, WH_TRAIT_VIEW)))
      return device_of[v->producer];
  }
  return ruled_device(o, node->name);
}

static wh_status claim_on(const wh_graph *g, const wh_plan_device *d, wh_node n, const int64_t *dims,
                          wh_claim *claim) {
  *claim = (wh_claim){.struct_size = sizeof *claim};
  return d->backend->claim(d->dev, g, n, dims, claim);
}

wh_status wh_place_nodes(const wh_graph *g, const wh_place_options *o, const int64_t *dims,
                         const wh_allocator *alloc, uint16_t *device_of, wh_claim *claims) {
  wh_text_buffer refused;
  wh_text_buffer_init(&refused, alloc);
  size_t n_refused = 0;
  wh_status st = WH_OK;
  for (size_t i = 0; i < o->n_rules; i++)
    if (o->rules[i].device >= o->n_devices)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "a placement rule for '%s' names device %u of %zu",
                     o->rules[i].prefix, o->rules[i].device, o->n_devices);
  for (wh_node n = 0; n < g->n_nodes && st == WH_OK; n++) {
    const wh_node_info *node = &g->nodes[n];
    device_of[n] = wanted_device(g, o, n, device_of);
    if (wh_op_has(node->op, WH_TRAIT_VIEW)) { /* nothing runs */
      claims[n] = (wh_claim){.struct_size = sizeof(wh_claim), .supported = true};
      continue;
    }
    st = claim_on(g, &o->devices[device_of[n]], n, dims, &claims[n]);
    if (st != WH_OK || claims[n].supported) continue;
    wh_claim other;
    const uint16_t last = (uint16_t)(o->n_devices - 1);
    if (o->fallback && device_of[n] != last) {
      st = claim_on(g, &o->devices[last], n, dims, &other);
      if (st == WH_OK && other.supported) {
        device_of[n] = last;
        claims[n] = other;
        continue;
      }
    }
    if (st == WH_OK && n_refused++ < MOST_NAMED)
      wh_text_buffer_printf(&refused, "; %s (%s): %s", node->name, wh_op_get(node->op)->name,
                            claims[n].reason);
  }
  if (st == WH_OK && n_refused)
    st =
        WH_FAIL(ERR_UNSUPPORTED, "device '%s' cannot run %zu of %zu nodes%s",
                wh_plan_device_name(&o->devices[0]), n_refused, g->n_nodes, refused.data ? refused.data : "");
  wh_text_buffer_deinit(&refused);
  return st;
}
