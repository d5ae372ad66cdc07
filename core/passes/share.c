/* share.c - shares a graph out to several devices: each computes some of the outputs of every product, and
 * some of the attention heads. Axis 1 of a value (features, or heads) is cut into parts, one per device; what
 * needs all of it has the parts joined, on each device. Nothing is summed across devices, so no bit changes.
 *
 * Nodes are looked at once, in order. One that can work on parts of its operands does, on every device;
 * another is computed whole, on every device as well; or on one of them, where it reads a large constant that
 * cannot be cut, a state, or what only that device has. */
#include <stdio.h>
#include <string.h>

#include "core/passes/passes.h"

#define NAME_BYTES 256
/* Products of smaller matrices are computed whole everywhere: to carry a part costs more. */
#define SMALL_BYTES 4096u
#define NOWHERE UINT32_MAX

typedef struct shares {
  wh_graph *g;
  uint32_t n;             /* devices */
  size_t n_values;        /* of the graph as it was: what follows is for these */
  uint32_t *units;        /* axis 1 consists of so many that may not be cut; 0: nothing is known of it */
  uint32_t *cut;          /* the units of which `part` are made; 0: there are no parts */
  uint32_t *home;         /* the one device that has it; NOWHERE: all do */
  wh_value *part, *whole; /* by value and device; 0: not made */
  uint64_t *load;         /* bytes of constants by device, of nodes that run there alone */
  const char *layer;      /* of the last of these nodes, and where it is */
  uint32_t layer_home;
} shares;

/* ---- what there is ---- */

static const wh_value_info *value_of(const shares *s, wh_value v) { return &s->g->values[v]; }
static bool made(const shares *s, wh_value v) { return value_of(s, v)->kind == WH_VALUE_NODE; }

/* The size of axis 1; 0: none that is known. */
static int64_t width(const shares *s, wh_value v) {
  const wh_shape *shape = &value_of(s, v)->shape;
  return shape->rank >= 2 && wh_dim_is_const(&s->g->dims, shape->dims[1])
             ? wh_dim_get(&s->g->dims, shape->dims[1])->value
             : 0;
}

/* Where part p of n elements begins, or the last one ends. */
static int64_t border(const shares *s, int64_t n, uint32_t units, uint32_t p) {
  return n / units * (int64_t)((uint64_t)units * p / s->n);
}

static int64_t part_size(const shares *s, int64_t n, uint32_t units, uint32_t p) {
  return border(s, n, units, p + 1) - border(s, n, units, p);
}

static bool same_dims(const wh_shape *a, const wh_shape *b) { /* of any types */
  return a->rank == b->rank && memcmp(a->dims, b->dims, sizeof a->dims[0] * (size_t)a->rank) == 0;
}

/* A node on a device: those on the first have the graph's names, unless these are parts. */
static const char *name_on(const char *name, bool is_part, uint32_t device, char out[NAME_BYTES]) {
  if (!is_part && device == 0) return name;
  (void)snprintf(out, NAME_BYTES, WH_SHARE_PREFIX "%u.%.200s%s", device, name, is_part ? "" : ".all");
  return out;
}

static wh_status add_node(shares *s, wh_op op, const char *name, const wh_value *inputs, size_t n_inputs,
                          const wh_attr *attrs, size_t n_attrs, wh_value *out) {
  return wh_graph_add_node(s->g, op, name, inputs, n_inputs, attrs, n_attrs, out);
}

/* ---- parts of values ---- */

/* Rows, or elements, [first, first + n) of a constant, where they lie. */
static wh_status const_rows(shares *s, wh_value v, int64_t first, int64_t n, uint32_t device, wh_value *out) {
  const wh_value_info c = *value_of(s, v);
  char name[NAME_BYTES];
  wh_shape shape = c.shape;
  const int64_t n_all = wh_dim_get(&s->g->dims, shape.dims[0])->value;
  const size_t row = c.n_bytes / (size_t)n_all;
  WH_TRY(wh_dim_const(&s->g->dims, n, &shape.dims[0]));
  return wh_graph_add_const(s->g, name_on(c.name, true, device, name), &shape,
                            (const char *)c.data + (size_t)first * row, (size_t)n * row, c.origin, out);
}

static wh_status join(shares *s, const char *name, const wh_value *parts, wh_value *out) {
  const wh_attr axis = {.key = WH_ATTR_AXIS, .i = 1};
  return add_node(s, WH_OP_CONCAT, name, parts, s->n, &axis, 1, out);
}

/* All of a value on a device: what it is, or its parts joined. */
static wh_status whole_on(shares *s, wh_value v, uint32_t device, wh_value *out) {
  wh_value parts[WH_SHARE_MAX_DEVICES], *known = &s->whole[(size_t)v * s->n + device];
  char name[NAME_BYTES];
  *out = v;
  if (!v || !made(s, v)) return WH_OK;
  if (s->home[v] != NOWHERE) known = &s->whole[(size_t)v * s->n + s->home[v]];
  if (!*known) {
    memcpy(parts, &s->part[(size_t)v * s->n], s->n * sizeof *parts);
    WH_TRY(join(s, name_on(value_of(s, v)->name, false, device, name), parts, known));
  }
  *out = *known;
  return WH_OK;
}

/* The part of a value that is cut into `units`, of another value beside it. */
static wh_status part_on(shares *s, wh_value v, uint32_t units, uint32_t device, wh_value *out) {
  const wh_value_info info = *value_of(s, v); /* the list moves as it grows */
  const size_t rank = (size_t)info.shape.rank;
  const bool is_const = info.kind == WH_VALUE_CONST; /* a matrix, whose rows are outputs; or a vector */
  const int64_t n = wh_dim_get(&s->g->dims, info.shape.dims[is_const ? 0 : 1])->value;
  const int64_t first = border(s, n, units, device), n_part = part_size(s, n, units, device);
  char name[NAME_BYTES];
  wh_value x;
  if (s->cut[v] == units) {
    *out = s->part[(size_t)v * s->n + device];
    return WH_OK;
  }
  if (is_const) return const_rows(s, v, first, n_part, device, out);
  WH_TRY(whole_on(s, v, device, &x));
  const int64_t starts[WH_MAX_RANK] = {0, first}, steps[WH_MAX_RANK] = {1, 1, 1};
  wh_attr attrs[] = {{.key = WH_ATTR_STARTS, .n = rank, .ints = starts},
                     {.key = WH_ATTR_STEPS, .n = rank, .ints = steps},
                     {.key = WH_ATTR_SHAPE, .rank = info.shape.rank}};
  memcpy(attrs[2].dims, info.shape.dims, sizeof attrs[2].dims);
  WH_TRY(wh_dim_const(&s->g->dims, n_part, &attrs[2].dims[1]));
  return add_node(s, WH_OP_SLICE, name_on(info.name, true, device, name), &x, 1, attrs, 3, out);
}

/* ---- which nodes work on parts ---- */

static bool is_gate_quantize(wh_op op) { return op == WH_OP_SWIGLU_QUANTIZE || op == WH_OP_GEGLU_QUANTIZE; }

/* Element by element over axis 1. */
static bool is_elementwise(wh_op op) {
  switch (op) {
    case WH_OP_ADD:
    case WH_OP_SUB:
    case WH_OP_MUL:
    case WH_OP_SWIGLU:
    case WH_OP_GEGLU:
    case WH_OP_SCALE:
    case WH_OP_SOFTCAP:
    case WH_OP_SILU:
    case WH_OP_GELU:
    case WH_OP_GELU_ERF:
    case WH_OP_RELU:
    case WH_OP_TANH:
    case WH_OP_SIGMOID:
      return true;
    default:
      return is_gate_quantize(op);
  }
}

/* Of a constant, parts are rows; beside a value, whose features are cut, only a vector's will do. */
static bool rows_are_cut(const shares *s, wh_value v) {
  return value_of(s, v)->kind == WH_VALUE_CONST && value_of(s, v)->shape.rank > 1;
}

/* Which of its operands a node takes parts of when it makes parts, by bits; 0: it makes none. */
static uint32_t cut_operands(const shares *s, const wh_node_info *n) {
  const wh_shape *out = &value_of(s, n->outputs[0])->shape, *in = &value_of(s, n->inputs[0])->shape;
  if (is_elementwise(n->op)) {
    const wh_shape *b = n->n_inputs > 1 ? &value_of(s, n->inputs[1])->shape : out;
    const bool same_a = same_dims(in, out), same_b = same_dims(b, out),
               vector = out->rank == 2 && b->rank == 1 && b->dims[0] == out->dims[1] && n->n_inputs > 1 &&
                        value_of(s, n->inputs[1])->data;
    if (rows_are_cut(s, n->inputs[0]) || (n->n_inputs > 1 && rows_are_cut(s, n->inputs[1]))) return 0;
    return same_a && (same_b || vector) ? (n->n_inputs > 1 ? 3u : 1u) : 0;
  }
  switch (n->op) {
    case WH_OP_RMS_NORM:
    case WH_OP_LAYER_NORM: /* of heads */
      return in->rank == 3 ? 1u : 0;
    case WH_OP_ROPE:
    case WH_OP_RESHAPE:
    case WH_OP_SELECT_ROWS:
      return 1u;
    case WH_OP_KV_APPEND:
      return 3u;
    case WH_OP_ATTENTION:
      return 7u;
    default:
      return 0;
  }
}

/* Heads that share keys are not torn apart: from attention back to the products that make them. */
static void find_units(shares *s) {
  for (size_t k = s->g->n_nodes; k-- > 0;) {
    const wh_node_info *n = &s->g->nodes[k];
    uint32_t units = s->units[n->outputs[0]];
    if (n->op == WH_OP_ATTENTION) {
      units = (uint32_t)width(s, n->inputs[1]);
      if (units < s->n) units = 0;
    }
    const uint32_t operands = units ? cut_operands(s, n) : 0;
    for (uint32_t i = 0; i < n->n_inputs && i < 32; i++)
      if (operands >> i & 1 && !s->units[n->inputs[i]]) s->units[n->inputs[i]] = units;
  }
}

/* The outputs of a product, in the largest pieces of which each device gets one. */
static uint32_t units_of_product(const shares *s, const wh_node_info *n) {
  const wh_value_info *w = value_of(s, n->inputs[1]);
  const int64_t n_out = width(s, n->outputs[0]);
  uint32_t piece = 64;
  if (w->kind != WH_VALUE_CONST || !w->data || w->shape.rank != 2 || n_out < s->n) return 0;
  if (n->n_inputs > 2 && n->inputs[2] && !value_of(s, n->inputs[2])->data) return 0; /* a computed bias */
  const uint32_t units = s->units[n->outputs[0]];
  if (units) return n_out % units ? 0 : units;
  if (w->n_bytes < SMALL_BYTES) return 0;
  while (piece > 1 && (n_out % piece || n_out / piece < s->n)) piece /= 2;
  return (uint32_t)(n_out / piece);
}

/* A reshape keeps parts when it only takes heads out of features or puts them there. */
static bool reshapes_parts(const shares *s, const wh_node_info *n, uint32_t units) {
  const wh_shape *in = &value_of(s, n->inputs[0])->shape, *out = &value_of(s, n->outputs[0])->shape;
  const int64_t w_in = width(s, n->inputs[0]), w_out = width(s, n->outputs[0]);
  return (in->rank == 2 || in->rank == 3) && (out->rank == 2 || out->rank == 3) &&
         in->dims[0] == out->dims[0] && w_in % units == 0 && w_out % units == 0;
}

/* In how many units a node's output is cut; 0: it is computed whole. */
static uint32_t units_of(const shares *s, const wh_node_info *n) {
  uint32_t units = 0;
  if (n->n_outputs != 1) return 0;
  if (n->op == WH_OP_LINEAR) return units_of_product(s, n);
  const uint32_t operands = cut_operands(s, n);
  for (uint32_t i = 0; i < n->n_inputs && i < 32; i++) {
    const uint32_t cut = operands >> i & 1 ? s->cut[n->inputs[i]] : 0;
    if (units && cut && cut != units) return 0;
    if (cut) units = cut;
  }
  if (!units || width(s, n->outputs[0]) % units || value_of(s, n->outputs[0])->shape.rank > 4) return 0;
  if (n->op == WH_OP_RESHAPE && !reshapes_parts(s, n, units)) return 0;
  if (n->op == WH_OP_KV_APPEND) return width(s, n->inputs[0]) % units ? 0 : units;
  if (n->op == WH_OP_ATTENTION)
    for (uint32_t i = 0; i < 3; i++)
      if (s->cut[n->inputs[i]] != units) return 0;
  return units;
}

/* ---- nodes on every device ---- */

/* A state of the device's heads. */
static wh_status part_of_state(shares *s, wh_value v, uint32_t units, uint32_t device, wh_value *out) {
  const wh_value_info info = *value_of(s, v);
  const int64_t n = width(s, v);
  char name[NAME_BYTES];
  wh_shape shape = info.shape;
  WH_TRY(wh_dim_const(&s->g->dims, part_size(s, n, units, device), &shape.dims[1]));
  return wh_graph_add_state(s->g, name_on(info.name, true, device, name), &shape, out);
}

static wh_status operand_of_part(shares *s, const wh_node_info *n, uint32_t i, uint32_t units,
                                 uint32_t device, wh_value *out) {
  const wh_value v = n->inputs[i];
  *out = 0;
  if (!v) return WH_OK;
  if (n->op == WH_OP_LINEAR && i == 0) return whole_on(s, v, device, out);
  if (n->op == WH_OP_LINEAR) return part_on(s, v, units, device, out); /* weights, bias, residual */
  if (!(cut_operands(s, n) >> i & 1)) return whole_on(s, v, device, out);
  if (value_of(s, v)->kind == WH_VALUE_STATE) return part_of_state(s, v, units, device, out);
  return part_on(s, v, units, device, out);
}

/* What the attributes say of the shape, they say of the part's. */
static wh_status add_part(shares *s, const wh_node_info *n, wh_op op, const wh_value *inputs, uint32_t units,
                          uint32_t device, wh_value *out) {
  char name[NAME_BYTES];
  wh_attr shaped;
  const wh_attr *attrs = n->attrs;
  if (op == WH_OP_RESHAPE) {
    const int64_t w = width(s, n->outputs[0]);
    shaped = n->attrs[0];
    attrs = &shaped;
    WH_TRY(wh_dim_const(&s->g->dims, part_size(s, w, units, device), &shaped.dims[1]));
  }
  return add_node(s, op, name_on(n->name, true, device, name), inputs, n->n_inputs, attrs, n->n_attrs, out);
}

/* quantize_act of a gate needs all of it: the gate is computed in parts. */
static wh_status quantize_gate(shares *s, const wh_node_info *n, const wh_value *parts) {
  const wh_value v = n->outputs[0];
  char name[NAME_BYTES], joined[NAME_BYTES];
  for (uint32_t d = 0; d < s->n; d++) {
    wh_value x;
    (void)snprintf(joined, sizeof joined, WH_SHARE_PREFIX "%u.%.200s.joined", d, n->name);
    WH_TRY(join(s, joined, parts, &x));
    WH_TRY(add_node(s, WH_OP_QUANTIZE_ACT, name_on(n->name, false, d, name), &x, 1, NULL, 0,
                    &s->whole[(size_t)v * s->n + d]));
  }
  return WH_OK;
}

static wh_status make_parts(shares *s, const wh_node_info *n, uint32_t units) {
  wh_value inputs[8], parts[WH_SHARE_MAX_DEVICES];
  const bool quantizes = is_gate_quantize(n->op);
  const wh_op op = n->op == WH_OP_SWIGLU_QUANTIZE  ? WH_OP_SWIGLU
                   : n->op == WH_OP_GEGLU_QUANTIZE ? WH_OP_GEGLU
                                                   : n->op;
  for (uint32_t d = 0; d < s->n; d++) {
    for (uint32_t i = 0; i < n->n_inputs; i++) WH_TRY(operand_of_part(s, n, i, units, d, &inputs[i]));
    WH_TRY(add_part(s, n, op, inputs, units, d, &parts[d]));
  }
  if (quantizes) return quantize_gate(s, n, parts);
  s->cut[n->outputs[0]] = units;
  memcpy(&s->part[(size_t)n->outputs[0] * s->n], parts, s->n * sizeof *parts);
  return WH_OK;
}

/* ---- nodes that are computed whole ---- */

/* Other devices can read it: a copy is made on the way. */
static bool travels(const shares *s, wh_value v) {
  const wh_shape *shape = &value_of(s, v)->shape;
  return shape->rank <= 2 && !wh_dtype_is(shape->dtype, WH_CLASS_OPAQUE);
}

static uint64_t large_constants(const shares *s, const wh_node_info *n) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < n->n_inputs; i++) {
    const wh_value_info *v = value_of(s, n->inputs[i]);
    if (n->inputs[i] && v->kind == WH_VALUE_CONST && v->n_bytes >= SMALL_BYTES) total += v->n_bytes;
  }
  return total;
}

/* Nodes of a layer stay together; layers go to the device that has least. */
static uint32_t least_loaded(shares *s, const wh_node_info *n) {
  const char *dot = strncmp(n->name, "blk.", 4) == 0 ? strchr(n->name + 4, '.') : NULL;
  const size_t n_layer = dot ? (size_t)(dot - n->name) + 1 : 0;
  if (s->layer && n_layer && strncmp(s->layer, n->name, n_layer) == 0) return s->layer_home;
  s->layer = n_layer ? n->name : NULL;
  s->layer_home = 0;
  for (uint32_t d = 1; d < s->n; d++)
    if (s->load[d] < s->load[s->layer_home]) s->layer_home = d;
  return s->layer_home;
}

/* The one device that computes a node; NOWHERE: all do. */
static uint32_t home_of(shares *s, const wh_node_info *n) {
  const uint64_t bytes = large_constants(s, n);
  uint32_t home = NOWHERE;
  for (uint32_t i = 0; i < n->n_inputs && home == NOWHERE; i++)
    if (n->inputs[i] && made(s, n->inputs[i]) &&
        (!travels(s, n->inputs[i]) || wh_op_has(n->op, WH_TRAIT_VIEW)))
      home = s->home[n->inputs[i]];
  if (home == NOWHERE && (bytes || wh_op_has(n->op, WH_TRAIT_WRITES))) home = least_loaded(s, n);
  if (home != NOWHERE) s->load[home] += bytes;
  return home;
}

static wh_status make_whole(shares *s, const wh_node_info *n) {
  const uint32_t home = home_of(s, n);
  wh_value *inputs = wh_alloc_array(s->g->alloc, n->n_inputs + n->n_outputs + 1, sizeof *inputs);
  wh_value *outs = inputs + n->n_inputs;
  char name[NAME_BYTES];
  wh_status st = inputs ? WH_OK : WH_OOM("sharing pass");
  for (uint32_t d = 0; d < s->n && st == WH_OK; d++) {
    if (home != NOWHERE && home != d) continue;
    for (uint32_t i = 0; i < n->n_inputs && st == WH_OK; i++) st = whole_on(s, n->inputs[i], d, &inputs[i]);
    if (st == WH_OK)
      st = add_node(s, n->op, name_on(n->name, false, d, name), inputs, n->n_inputs, n->attrs, n->n_attrs,
                    outs);
    for (uint32_t i = 0; i < n->n_outputs && st == WH_OK; i++) {
      s->whole[(size_t)n->outputs[i] * s->n + d] = outs[i];
      s->home[n->outputs[i]] = home;
    }
  }
  wh_free(s->g->alloc, inputs);
  return st;
}

/* ---- the pass ---- */

static wh_status share_nodes(shares *s) {
  const size_t n_nodes = s->g->n_nodes;
  find_units(s);
  for (size_t k = 0; k < n_nodes; k++) {
    const wh_node_info n = s->g->nodes[k]; /* the list moves as it grows */
    const uint32_t units = units_of(s, &n);
    if (n.n_regions || wh_op_has(n.op, WH_TRAIT_DECLARES))
      return WH_FAIL(ERR_UNSUPPORTED, "node '%s' (%s) cannot be shared by devices", n.name,
                     wh_op_get(n.op)->name);
    WH_TRY(units ? make_parts(s, &n, units) : make_whole(s, &n));
    if (units && n.op == WH_OP_KV_APPEND)
      s->g->values[n.inputs[0]].kind = WH_VALUE_NONE; /* its parts are there */
    s->g->nodes[k].dead = true;
  }
  for (size_t i = 0; i < s->g->n_outputs; i++) {
    wh_value v;
    WH_TRY(whole_on(s, s->g->outputs[i].value, 0, &v));
    s->g->outputs[i].value = v;
  }
  return WH_OK;
}

wh_status wh_pass_share(wh_graph *g, uint32_t n_devices) {
  shares s = {.g = g, .n = n_devices, .n_values = g->n_values};
  if (n_devices < 2 || n_devices > WH_SHARE_MAX_DEVICES)
    return WH_FAIL(ERR_LIMIT, "a graph is shared by 2 to %d devices, not %u", WH_SHARE_MAX_DEVICES,
                   n_devices);
  const wh_allocator *alloc = g->alloc;
  s.units = wh_alloc_array(alloc, s.n_values, sizeof *s.units);
  s.cut = wh_alloc_array(alloc, s.n_values, sizeof *s.cut);
  s.home = wh_alloc_array(alloc, s.n_values, sizeof *s.home);
  s.part = wh_alloc_array(alloc, s.n_values * n_devices, sizeof *s.part);
  s.whole = wh_alloc_array(alloc, s.n_values * n_devices, sizeof *s.whole);
  s.load = wh_alloc_array(alloc, n_devices, sizeof *s.load);
  wh_status st = s.units && s.cut && s.home && s.part && s.whole && s.load ? WH_OK : WH_OOM("sharing pass");
  for (size_t v = 0; st == WH_OK && v < s.n_values; v++) s.home[v] = NOWHERE;
  if (st == WH_OK) st = share_nodes(&s);
  wh_free(alloc, s.units);
  wh_free(alloc, s.cut);
  wh_free(alloc, s.home);
  wh_free(alloc, s.part);
  wh_free(alloc, s.whole);
  wh_free(alloc, s.load);
  WH_TRY(st);
  WH_TRY(wh_pass_dce(g));
  WH_TRY(wh_pass_compact(g));
  return wh_graph_verify(g);
}
