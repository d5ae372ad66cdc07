/* ops_control.c - operators that run graphs: If, Loop, Scan, SequenceMap; sequences and optionals. */
#include <inttypes.h>
#include <string.h>

#include "import/onnx/lowerings.h"

void ox_lower_if(ox *o) {
  wh_datum *cond = ox_in(o, 0);
  const bool yes = ox_int(o, cond) != 0;
  const ox_graph *g = ox_attr_graph(o, yes ? "then_branch" : "else_branch");
  wh_datum **outs = g ? ox_array(o, g->n_outputs, sizeof *outs) : NULL;
  if (!outs) return;
  ox_run_graph(o, g, NULL, 0, outs, NULL, 0);
  for (size_t i = 0; i < g->n_outputs; i++) ox_give(o, i, outs[i]);
}

/* What each iteration gave, along a new axis. */
static wh_datum *stack(ox *o, wh_datum *const *items, size_t n, int axis) {
  wh_datum **rows = ox_array(o, n, sizeof *rows);
  for (size_t i = 0; rows && i < n; i++)
    rows[i] = ox_insert_axes(o, items[i], 1u << axis, items[i]->rank + 1);
  return rows && n ? ox_concat(o, axis, rows, n) : &o->nothing;
}

/* Room for one more; what is in it is kept over stages. */
typedef struct datum_list {
  wh_datum **d;
  size_t n, capacity;
} datum_list;

static void push(ox *o, datum_list *l, wh_datum *d) {
  if (l->n == l->capacity) {
    const size_t capacity = l->capacity ? 2 * l->capacity : 16;
    wh_datum **more = ox_array(o, capacity, sizeof *more);
    if (!more) return;
    if (l->n) memcpy(more, l->d, l->n * sizeof *more);
    l->d = more;
    l->capacity = capacity;
  }
  l->d[l->n++] = d;
}

/* The first n of what is kept become these. */
static void put_first(ox *o, datum_list *l, wh_datum *const *d, size_t n) {
  while (l->n < n && o->st == WH_OK) push(o, l, NULL);
  if (o->st == WH_OK && n) memcpy(l->d, d, n * sizeof *d);
}

/* trips, go on, carried ..: the body takes (iteration, go on, carried ..) and gives (go on, carried ..,
 * scanned ..) */
void ox_lower_loop(ox *o) {
  const ox_graph *g = ox_attr_graph(o, "body");
  const size_t n_carried = ox_n_in(o) > 2 ? ox_n_in(o) - 2 : 0;
  if (!g || g->n_outputs < 1 + n_carried || g->n_inputs != 2 + n_carried) {
    OX_FAIL(o, ERR_CORRUPT, "its body does not take and give what it carries");
    return;
  }
  const size_t n_scanned = g->n_outputs - 1 - n_carried;
  const int64_t trips = ox_has(o, 0) ? ox_long(o, ox_in(o, 0)) : INT64_MAX;
  bool go_on = !ox_has(o, 1) || ox_int(o, ox_in(o, 1)) != 0;
  wh_datum **in = ox_array(o, 2 + n_carried, sizeof *in), **out = ox_array(o, g->n_outputs, sizeof *out);
  datum_list *scanned = ox_array(o, n_scanned, sizeof *scanned);
  if (!in || !out || !scanned) return;
  for (size_t i = 0; i < n_carried; i++) in[2 + i] = ox_any(o, 2 + i);
  datum_list pins = {NULL, 0, 0}; /* carried, then scanned */
  for (int64_t k = 0; k < trips && go_on && ox_go_on(o); k++) {
    in[0] = ox_scalar(o, WH_DTYPE_I64, (double)k);
    in[1] = ox_scalar(o, WH_DTYPE_BOOL, 1);
    put_first(o, &pins, in + 2, n_carried);
    ox_run_graph(o, g, in, 2 + n_carried, out, pins.d, pins.n);
    if (o->st != WH_OK) return;
    for (size_t i = 0; i < n_carried; i++) in[2 + i] = out[1 + i];
    for (size_t i = 0; i < n_scanned; i++) {
      push(o, &scanned[i], out[1 + n_carried + i]);
      push(o, &pins, out[1 + n_carried + i]);
    }
    go_on = k + 1 >= trips || ox_int(o, out[0]) != 0; /* the last one's answer does not matter */
  }
  for (size_t i = 0; i < n_carried; i++) ox_give(o, i, in[2 + i]);
  for (size_t i = 0; i < n_scanned; i++) {
    if (scanned[i].n == 0 && ox_wants(o, n_carried + i)) {
      const wh_onnx_type *t = &g->output_infos[1 + n_carried + i].type;
      int64_t dims[WH_MAX_RANK] = {0};
      for (int d = 0; d + 1 < WH_MAX_RANK && d < t->rank; d++)
        dims[d + 1] = t->dims[d].value > 0 ? t->dims[d].value : 0;
      ox_give(o, n_carried + i,
              ox_new(o, t->dtype == WH_DTYPE_FORCE_32 ? WH_DTYPE_F32 : t->dtype,
                     t->rank < WH_MAX_RANK ? t->rank + 1 : 1, dims));
    } else if (ox_wants(o, n_carried + i)) {
      ox_give(o, n_carried + i, stack(o, scanned[i].d, scanned[i].n, 0));
    }
  }
}

static wh_datum *at_place(ox *o, wh_datum *x, int axis, int64_t i) {
  return ox_drop_axes(o, ox_part(o, x, axis, i, 1), 1u << axis);
}

typedef struct scan_axes {
  const int64_t *axes, *backward;
  size_t n_axes, n_backward;
} scan_axes;

/* The body takes (carried .., an element of each scanned input ..); `in` are the inputs as the body has them.
 */
static void scan(ox *o, const ox_graph *g, wh_datum *const *in, size_t n_in, size_t n_scan,
                 const scan_axes *from, const scan_axes *to, wh_datum **result) {
  const size_t n_carried = n_in - n_scan, n_out = g->n_outputs - n_carried;
  wh_datum **args = ox_array(o, n_in, sizeof *args), **out = ox_array(o, g->n_outputs, sizeof *out);
  datum_list *made = ox_array(o, n_out, sizeof *made);
  int axis[64];
  int64_t trips = 0;
  if (!args || !out || !made) return;
  for (size_t i = 0; i < n_scan && o->st == WH_OK; i++) {
    const wh_datum *x = in[n_carried + i];
    axis[i] = ox_axis(o, i < from->n_axes ? from->axes[i] : 0, x->rank);
    if (o->st != WH_OK) return;
    if (i && x->dims[axis[i]] != trips) OX_FAIL(o, ERR_CORRUPT, "its scanned inputs have different lengths");
    trips = x->dims[axis[i]];
  }
  for (size_t i = 0; i < n_carried; i++) args[i] = in[i];
  datum_list pins = {NULL, 0, 0}; /* what the body takes, the inputs, what was made */
  put_first(o, &pins, args, n_in);
  for (size_t i = 0; i < n_in; i++) push(o, &pins, in[i]);
  for (int64_t k = 0; k < trips && ox_go_on(o); k++) {
    for (size_t i = 0; i < n_scan; i++) {
      const bool back = i < from->n_backward && from->backward[i];
      args[n_carried + i] = at_place(o, in[n_carried + i], axis[i], back ? trips - 1 - k : k);
    }
    put_first(o, &pins, args, n_in);
    ox_run_graph(o, g, args, n_in, out, pins.d, pins.n);
    for (size_t i = 0; i < n_carried; i++) args[i] = out[i];
    for (size_t i = 0; i < n_out; i++) {
      push(o, &made[i], out[n_carried + i]);
      push(o, &pins, out[n_carried + i]);
    }
  }
  for (size_t i = 0; i < n_carried; i++) result[i] = args[i];
  for (size_t i = 0; i < n_out && o->st == WH_OK; i++) {
    const bool back = i < to->n_backward && to->backward[i];
    for (size_t a = 0, b = made[i].n; back && a + 1 < b; a++) {
      wh_datum *swap = made[i].d[a];
      made[i].d[a] = made[i].d[--b];
      made[i].d[b] = swap;
    }
    if (made[i].n == 0) {
      OX_FAIL(o, ERR_UNSUPPORTED, "it scans nothing");
      return;
    }
    const int rank = made[i].d[0]->rank + 1;
    result[n_carried + i] =
        stack(o, made[i].d, made[i].n, ox_axis(o, i < to->n_axes ? to->axes[i] : 0, rank));
  }
}

void ox_lower_scan(ox *o) {
  const ox_graph *g = ox_attr_graph(o, "body");
  const int64_t n_scan = ox_attr_i(o, "num_scan_inputs", 0);
  const bool old = ox_opset(o) < 9; /* input 0: lengths, and a batch axis in front of all */
  const size_t n_in = ox_n_in(o) - (old && ox_n_in(o) ? 1 : 0);
  if (!g || n_scan < 1 || (size_t)n_scan > n_in || n_scan > 64 || g->n_inputs != n_in ||
      g->n_outputs < n_in - (size_t)n_scan) {
    OX_FAIL(o, ERR_CORRUPT, "its body does not take and give what it scans");
    return;
  }
  scan_axes from = {NULL, NULL, 0, 0}, to = from;
  wh_datum **in = ox_array(o, n_in, sizeof *in), **out = ox_array(o, g->n_outputs, sizeof *out);
  if (!in || !out) return;
  for (size_t i = 0; i < n_in; i++) in[i] = ox_in(o, i + old);
  if (!old) {
    from.axes = ox_attr_ints(o, "scan_input_axes", &from.n_axes);
    from.backward = ox_attr_ints(o, "scan_input_directions", &from.n_backward);
    to.axes = ox_attr_ints(o, "scan_output_axes", &to.n_axes);
    to.backward = ox_attr_ints(o, "scan_output_directions", &to.n_backward);
    scan(o, g, in, n_in, (size_t)n_scan, &from, &to, out);
    for (size_t i = 0; i < g->n_outputs; i++) ox_give(o, i, out[i]);
    return;
  }
  if (ox_has(o, 0)) OX_FAIL(o, ERR_UNSUPPORTED, "sequences of different lengths are not scanned");
  from.backward = ox_attr_ints(o, "directions", &from.n_backward);
  if (o->st != WH_OK) return;
  const int64_t batch = in[0]->rank ? in[0]->dims[0] : 0;
  datum_list *all = ox_array(o, g->n_outputs, sizeof *all);
  for (int64_t b = 0; all && b < batch && o->st == WH_OK; b++) {
    wh_datum **own = ox_array(o, n_in, sizeof *own);
    for (size_t i = 0; own && i < n_in; i++) own[i] = at_place(o, in[i], 0, b);
    if (own) scan(o, g, own, n_in, (size_t)n_scan, &from, &to, out);
    for (size_t i = 0; i < g->n_outputs; i++) push(o, &all[i], out[i]);
  }
  for (size_t i = 0; all && i < g->n_outputs; i++) ox_give(o, i, stack(o, all[i].d, all[i].n, 0));
}

/* ---- sequences ---- */

static wh_datum *sequence(ox *o, size_t i) {
  wh_datum *d = ox_any(o, i);
  while (d->kind == WH_DATUM_OPTIONAL && d->n_items == 1) d = d->items[0];
  if (d->kind != WH_DATUM_SEQUENCE) OX_FAIL(o, ERR_CORRUPT, "input %zu is no sequence", i);
  return d;
}

void ox_lower_sequence_map(ox *o) {
  const ox_graph *g = ox_attr_graph(o, "body");
  wh_datum *first = sequence(o, 0);
  wh_datum **in = ox_array(o, ox_n_in(o), sizeof *in);
  datum_list *made = g ? ox_array(o, g->n_outputs, sizeof *made) : NULL;
  wh_datum **out = g ? ox_array(o, g->n_outputs, sizeof *out) : NULL;
  if (!in || !made || !out || o->st != WH_OK) return;
  datum_list pins = {NULL, 0, 0};
  for (size_t k = 0; k < first->n_items && ox_go_on(o); k++) {
    for (size_t i = 0; i < ox_n_in(o); i++) {
      wh_datum *d = ox_any(o, i);
      if (d->kind == WH_DATUM_SEQUENCE && d->n_items != first->n_items)
        OX_FAIL(o, ERR_CORRUPT, "its sequences have different lengths");
      if (o->st != WH_OK) return;
      in[i] = d->kind == WH_DATUM_SEQUENCE ? d->items[k] : d;
    }
    ox_run_graph(o, g, in, ox_n_in(o), out, pins.d, pins.n);
    for (size_t i = 0; i < g->n_outputs; i++) {
      push(o, &made[i], out[i]);
      push(o, &pins, out[i]);
    }
  }
  for (size_t i = 0; i < g->n_outputs; i++) ox_give(o, i, ox_sequence(o, WH_DTYPE_F32, made[i].n, made[i].d));
}

void ox_lower_sequence_construct(ox *o) {
  wh_datum **items = ox_array(o, ox_n_in(o), sizeof *items);
  for (size_t i = 0; items && i < ox_n_in(o); i++) items[i] = ox_in(o, i);
  if (items) ox_give(o, 0, ox_sequence(o, WH_DTYPE_F32, ox_n_in(o), items));
}

void ox_lower_sequence_empty(ox *o) {
  ox_give(o, 0, ox_sequence(o, ox_attr_dtype(o, "dtype", WH_DTYPE_F32), 0, NULL));
}

void ox_lower_sequence_length(ox *o) {
  ox_give(o, 0, ox_scalar(o, WH_DTYPE_I64, (double)sequence(o, 0)->n_items));
}

void ox_lower_sequence_edit(ox *o) {
  wh_datum *s = sequence(o, 0);
  const bool inserts = ox_arg(o) == OX_SEQUENCE_INSERT;
  const size_t where = inserts ? 2 : 1;
  const int64_t n = (int64_t)s->n_items, n_places = inserts ? n + 1 : n;
  int64_t at = ox_has(o, where) ? ox_int(o, ox_in(o, where)) : inserts ? n : n - 1;
  if (at < 0) at += n;
  if (at < 0 || at >= n_places)
    OX_FAIL(o, ERR_INVALID_ARGUMENT, "position %" PRId64 " is not in a sequence of %" PRId64, at, n);
  if (o->st != WH_OK) return;
  if (ox_arg(o) == OX_SEQUENCE_AT) {
    ox_give(o, 0, s->items[at]);
    return;
  }
  wh_datum **items = ox_array(o, (size_t)n + 1, sizeof *items);
  if (!items) return;
  size_t k = 0;
  for (int64_t i = 0; i < n_places; i++) {
    if (inserts)
      items[k++] = i == at ? ox_in(o, 1) : s->items[i < at ? i : i - 1];
    else if (i != at)
      items[k++] = s->items[i];
  }
  ox_give(o, 0, ox_sequence(o, s->dtype, k, items));
}

void ox_lower_split_to_sequence(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const int axis = ox_axis(o, ox_attr_i(o, "axis", 0), x->rank);
  const bool given = ox_has(o, 1), keep = given || ox_attr_i(o, "keepdims", 1);
  if (o->st != WH_OK) return;
  const int64_t size = x->dims[axis], *parts = given ? ox_ints(o, ox_in(o, 1)) : NULL;
  const bool even = given && ox_in(o, 1)->rank == 0;
  datum_list items = {NULL, 0, 0};
  int64_t at = 0;
  for (size_t i = 0; (given && !even ? i < ox_in(o, 1)->n : at < size) && o->st == WH_OK; i++) {
    int64_t n = 1;
    if (given) n = parts[even ? 0 : i];
    if (even && n > size - at) n = size - at;
    if (n < 0 || (n == 0 && even)) OX_FAIL(o, ERR_CORRUPT, "a part has %" PRId64 " elements", n);
    wh_datum *part = ox_part(o, x, axis, at, n);
    push(o, &items, keep ? part : ox_drop_axes(o, part, 1u << axis));
    at += n;
  }
  if (at != size) OX_FAIL(o, ERR_CORRUPT, "its parts are not the whole");
  ox_give(o, 0, ox_sequence(o, x->dtype, items.n, items.d));
}

void ox_lower_concat_from_sequence(ox *o) {
  wh_datum *s = sequence(o, 0);
  const bool new_axis = ox_attr_i(o, "new_axis", 0) != 0;
  if (o->st == WH_OK && s->n_items == 0) OX_FAIL(o, ERR_INVALID_ARGUMENT, "its sequence is empty");
  if (o->st != WH_OK) return;
  const int axis = ox_axis(o, ox_attr_i(o, "axis", 0), s->items[0]->rank + new_axis);
  ox_give(o, 0, new_axis ? stack(o, s->items, s->n_items, axis) : ox_concat(o, axis, s->items, s->n_items));
}

/* ---- optionals ---- */

void ox_lower_optional(ox *o) {
  wh_datum *d = ox_array(o, 1, sizeof *d);
  if (!d) return;
  d->kind = WH_DATUM_OPTIONAL;
  d->n_items = ox_has(o, 0);
  d->items = ox_array(o, 1, sizeof *d->items);
  if (d->items && d->n_items) d->items[0] = o->in[0];
  ox_give(o, 0, d);
}

void ox_lower_optional_has_element(ox *o) {
  const wh_datum *d = ox_has(o, 0) ? o->in[0] : NULL;
  ox_give(o, 0, ox_scalar(o, WH_DTYPE_BOOL, d && (d->kind != WH_DATUM_OPTIONAL || d->n_items)));
}

void ox_lower_optional_get_element(ox *o) {
  wh_datum *d = ox_any(o, 0);
  if (d->kind == WH_DATUM_OPTIONAL && !d->n_items)
    OX_FAIL(o, ERR_INVALID_ARGUMENT, "its optional has no value");
  if (o->st == WH_OK) ox_give(o, 0, d->kind == WH_DATUM_OPTIONAL ? d->items[0] : d);
}
