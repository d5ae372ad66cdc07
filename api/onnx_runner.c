/* onnx_runner.c - see onnx_runner.h. A run whose inputs have shapes that were met before, and the same
 * elements where those decided something, takes the program that was made then, without going through the
 * nodes. */
#include "api/onnx_runner.h"

#include <string.h>

#define N_KEPT 8      /* ways in which a model was run lately */
#define N_PROGRAMS 64 /* a way takes one as a rule; loops and conditions on computed values take more */

/* How the model was run once. */
typedef struct way {
  wh_onnx_result *result; /* NULL: free. Outputs that are no graph's are its */
  wh_datum *inputs; /* [n_inputs] shapes, and a copy of the elements that were looked at (else data NULL) */
  uint64_t serial;  /* of the program */
  uint64_t used;
} way;

struct wh_onnx_runner {
  const wh_allocator *alloc;
  const wh_onnx_net *net;
  wh_engine *engine;
  wh_onnx_limits limits;
  way ways[N_KEPT];
  uint64_t clock;
  wh_onnx_result *last; /* of a run that is not kept */
  const way *at;        /* of the last run, when it is */
  wh_run *run;          /* likewise */
};

static void free_way(wh_onnx_runner *r, way *w) {
  wh_onnx_result_destroy(w->result);
  for (size_t i = 0; w->inputs && i < wh_onnx_net_n_inputs(r->net); i++) {
    union {
      const void *in;
      void *out;
    } u = {w->inputs[i].data};
    wh_free(r->alloc, u.out);
  }
  wh_free(r->alloc, w->inputs);
  *w = (way){NULL, NULL, 0, 0};
}

wh_status wh_onnx_runner_create(const wh_onnx_net *net, const wh_plan_device *device, uint64_t memory_limit,
                                const wh_onnx_limits *limits, const wh_allocator *alloc,
                                wh_onnx_runner **out) {
  wh_onnx_runner *r = wh_alloc_zeroed(alloc, sizeof *r);
  if (!r) return WH_OOM("runner");
  r->alloc = alloc;
  r->net = net;
  if (limits) r->limits = *limits;
  wh_status st = wh_engine_create(device, N_PROGRAMS, memory_limit, alloc, &r->engine);
  if (st != WH_OK) {
    wh_free(alloc, r);
    return st;
  }
  *out = r;
  return WH_OK;
}

void wh_onnx_runner_destroy(wh_onnx_runner *r) {
  if (!r) return;
  for (size_t i = 0; i < N_KEPT; i++) free_way(r, &r->ways[i]);
  wh_onnx_result_destroy(r->last);
  wh_engine_destroy(r->engine);
  wh_free(r->alloc, r);
}

static bool fits(const wh_onnx_runner *r, const way *w, const wh_tensor *const *inputs) {
  for (size_t i = 0; i < wh_onnx_net_n_inputs(r->net); i++) {
    const wh_datum *d = &w->inputs[i];
    const wh_tensor *t = inputs[i];
    if (!t || t->dtype != d->dtype || t->rank != d->rank) return false;
    if (memcmp(t->dims, d->dims, (size_t)d->rank * sizeof *d->dims) != 0) return false;
    if (d->data && t->n_bytes && memcmp(t->data, d->data, (size_t)t->n_bytes) != 0) return false;
  }
  return true;
}

/* Runs as before, if that is known and the program still there. */
static wh_status repeat(wh_onnx_runner *r, const wh_tensor *const *inputs, bool *done) {
  *done = false;
  for (size_t i = 0; i < N_KEPT; i++) {
    way *w = &r->ways[i];
    if (!w->result || !fits(r, w, inputs)) continue;
    wh_run *run = wh_engine_find(r->engine, w->serial);
    if (!run) {
      free_way(r, w);
      continue;
    }
    const wh_onnx_trace *t = wh_onnx_result_trace(w->result);
    for (size_t f = 0; f < t->n_feeds; f++) {
      const int port = wh_engine_input(r->engine, f);
      if (port >= 0) wh_copy_into_port(wh_run_input(run, (size_t)port), inputs[t->feeds[f]]->data);
    }
    WH_TRY(wh_run_execute(run));
    w->used = ++r->clock;
    r->at = w;
    r->run = run;
    *done = true;
    return WH_OK;
  }
  return WH_OK;
}

static way *oldest(wh_onnx_runner *r) {
  way *w = &r->ways[0];
  for (size_t i = 1; i < N_KEPT; i++)
    if (r->ways[i].used < w->used) w = &r->ways[i];
  return w;
}

/* Takes the last result over, to be repeated. Without memory nothing is kept. */
static void keep(wh_onnx_runner *r, const wh_tensor *const *inputs) {
  const wh_onnx_trace *t = wh_onnx_result_trace(r->last);
  const size_t n = wh_onnx_net_n_inputs(r->net);
  if (!t->repeatable || t->n_stages != 1) return;
  for (size_t i = 0; i < n; i++)
    if (!inputs[i]) return;
  way *w = oldest(r);
  free_way(r, w);
  wh_datum *kept = wh_alloc_array(r->alloc, n + 1, sizeof *kept);
  bool whole = kept != NULL;
  for (size_t i = 0; whole && i < n; i++) {
    const wh_tensor *x = inputs[i];
    kept[i].dtype = x->dtype;
    kept[i].rank = x->rank;
    memcpy(kept[i].dims, x->dims, sizeof kept[i].dims);
    if (!(t->looked >> (i < 63 ? i : 63) & 1)) continue;
    void *copy = wh_alloc_uninit(r->alloc, (size_t)x->n_bytes, 16);
    whole = copy != NULL;
    if (copy && x->n_bytes) memcpy(copy, x->data, (size_t)x->n_bytes);
    kept[i].data = copy;
  }
  w->inputs = kept;
  if (!whole) {
    free_way(r, w);
    return;
  }
  w->result = r->last;
  w->serial = wh_engine_serial(wh_engine_last(r->engine));
  w->used = ++r->clock;
  r->last = NULL;
  r->run = wh_engine_find(r->engine, w->serial);
  r->at = w;
}

wh_status wh_onnx_runner_run(wh_onnx_runner *r, const wh_tensor *const *inputs) {
  const size_t n = wh_onnx_net_n_inputs(r->net);
  bool done;
  wh_onnx_result_destroy(r->last);
  r->last = NULL;
  r->at = NULL;
  WH_TRY(repeat(r, inputs, &done));
  if (done) return WH_OK;
  wh_datum *data = wh_alloc_array(r->alloc, n + 1, sizeof *data);
  const wh_datum **list = wh_alloc_array(r->alloc, n + 1, sizeof *list);
  wh_status st = data && list ? WH_OK : WH_OOM("run");
  for (size_t i = 0; i < n && st == WH_OK; i++) {
    const wh_tensor *t = inputs[i];
    if (!t) continue;
    data[i] = (wh_datum){.kind = WH_DATUM_TENSOR, .dtype = t->dtype, .rank = t->rank, .n = 1};
    for (int d = 0; d < t->rank; d++) data[i].n *= (size_t)t->dims[d];
    memcpy(data[i].dims, t->dims, sizeof data[i].dims);
    data[i].data = t->data ? t->data : ""; /* without elements */
    list[i] = &data[i];
  }
  const wh_onnx_engine face = wh_engine_face(r->engine);
  if (st == WH_OK) st = wh_onnx_execute(r->net, list, &face, &r->limits, &r->last);
  if (st == WH_OK) st = wh_onnx_result_settle(r->last); /* nothing of it points to the inputs any more */
  wh_free(r->alloc, data);
  wh_free(r->alloc, list);
  if (st == WH_OK) keep(r, inputs);
  return st;
}

void wh_onnx_runner_set_extract(wh_onnx_runner *r, wh_extract *extract) {
  wh_engine_set_extract(r->engine, extract);
}

void wh_onnx_runner_set_trace(wh_onnx_runner *r, wh_run_trace_fn fn, void *ctx) {
  wh_engine_set_trace(r->engine, fn, ctx);
}

wh_status wh_onnx_runner_output(const wh_onnx_runner *r, size_t i, wh_tensor *out) {
  const wh_onnx_value_info *info = wh_onnx_net_output(r->net, i);
  const wh_onnx_result *result = r->at ? r->at->result : r->last;
  const wh_onnx_trace *t = wh_onnx_result_trace(result);
  size_t n = 0;
  *out = (wh_tensor)WH_TENSOR_INIT;
  if (r->at && t->outputs[i] != UINT32_MAX) {
    const int port = wh_engine_output(r->engine, t->outputs[i]);
    if (port < 0) return WH_FAIL(ERR_INTERNAL, "an output was lost");
    const wh_run_port p = wh_run_output(r->run, (size_t)port);
    out->dtype = p.dtype;
    out->rank = p.rank;
    memcpy(out->dims, p.dims, sizeof out->dims);
    n = wh_port_bytes(&p);
    out->data = n ? p.data : NULL;
  } else {
    const wh_datum *d = wh_onnx_result_output(result, i);
    if (d->kind != WH_DATUM_TENSOR || !d->data)
      return WH_FAIL(ERR_UNSUPPORTED, "output '" WH_STR_FMT "' is %s, which a runner does not give out",
                     WH_STR_ARG(info->name), d->strings ? "strings" : "a sequence or an optional");
    out->dtype = d->dtype;
    out->rank = d->rank;
    memcpy(out->dims, d->dims, sizeof out->dims);
    const size_t row = d->rank ? (size_t)d->dims[d->rank - 1] : 1; /* rows of parts of a byte end with one */
    if (row && (!wh_dtype_row_bytes(d->dtype, row, &n) || !wh_mul_size(n, d->n / row, &n)))
      return WH_FAIL(ERR_INTERNAL, "an output's size overflows");
    out->data = n ? d->data : NULL;
  }
  out->n_bytes = n;
  return WH_OK;
}
