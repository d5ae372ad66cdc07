/* onnx_runner.c - see onnx_runner.h. A run whose inputs have shapes that were met before, and the same
 * elements where those decided something, takes the program that was made then, without going through the
 * nodes; and so does one whose inputs differ only in dims that stayed open. */
#include "api/onnx_runner.h"

#include <string.h>

#define N_KEPT 8          /* ways in which a model was run lately */
#define LARGEST_OPEN 8192 /* of dims that stay open: products of three are dims, too */
#define LARGEST_STEP 32   /* of dims that stay open as multiples: what networks halve five times */
#define MOST_REFUSED 2    /* executions with open dims that failed, before no more are tried */
#define N_PROGRAMS 64     /* a way takes one as a rule; loops and conditions on computed values take more */

/* How the model was run once. */
typedef struct way {
  wh_onnx_result *result; /* NULL: free. Outputs that are no graph's are its */
  wh_datum *inputs; /* [n_inputs] shapes, and a copy of the elements that were looked at (else data NULL) */
  wh_onnx_symbols symbols; /* its open dims */
  int8_t (*of)[WH_MAX_RANK];
  uint64_t serial; /* of the program */
  uint64_t used;
} way;

struct wh_onnx_runner {
  const wh_allocator *alloc;
  const wh_onnx_net *net;
  wh_engine *engine;
  wh_onnx_limits limits;
  way ways[N_KEPT];
  uint64_t clock;
  uint32_t n_refused;
  wh_onnx_result *last; /* of a run that is not kept */
  const way *at;        /* of the last run, when it is */
  wh_run *run;          /* likewise */
};

static void free_inputs(const wh_onnx_runner *r, wh_datum *inputs) {
  for (size_t i = 0; inputs && i < wh_onnx_net_n_inputs(r->net); i++) {
    union {
      const void *in;
      void *out;
    } u = {inputs[i].data};
    wh_free(r->alloc, u.out);
  }
  wh_free(r->alloc, inputs);
}

static void free_way(wh_onnx_runner *r, way *w) {
  wh_onnx_result_destroy(w->result);
  free_inputs(r, w->inputs);
  wh_free(r->alloc, w->of);
  *w = (way){.result = NULL};
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

void wh_onnx_runner_join(wh_onnx_runner *r, wh_engine_pool *pool) { wh_engine_join(r->engine, pool); }

/* Whether the inputs are as they were, but for open dims, which give the symbols' values. */
static bool fits(const wh_onnx_runner *r, const way *w, const wh_tensor *const *inputs, int64_t *symbols) {
  memset(symbols, 0, WH_ONNX_MAX_SYMBOLS * sizeof *symbols);
  for (size_t i = 0; i < wh_onnx_net_n_inputs(r->net); i++) {
    const wh_datum *d = &w->inputs[i];
    const wh_tensor *t = inputs[i];
    if (!t || t->dtype != d->dtype || t->rank != d->rank) return false;
    for (int k = 0; k < d->rank; k++) {
      const int s = w->of[i][k];
      const int64_t step = s < 0 ? 1 : w->symbols.steps[s];
      if (s >= 0 && !symbols[s]) symbols[s] = t->dims[k] / step;
      /* of elements that were looked at there are as many */
      if ((s < 0 || d->data) && t->dims[k] != d->dims[k]) return false;
      if (s >= 0 && (t->dims[k] % step || t->dims[k] / step != symbols[s] || symbols[s] < WH_ONNX_LEAST_DIM ||
                     symbols[s] > w->symbols.max[s]))
        return false;
    }
    if (d->data && t->n_bytes && memcmp(t->data, d->data, (size_t)t->n_bytes) != 0) return false;
  }
  for (uint32_t s = 0; s < w->symbols.n; s++) {
    int64_t sum = w->symbols.plus[s];
    for (uint32_t k = 0; k < w->symbols.n; k++) sum += w->symbols.terms[s] >> k & 1 ? symbols[k] : 0;
    if (w->symbols.follows[s] && symbols[s] != sum) return false;
  }
  return true;
}

/* Runs as before, if that is known and the program still there. */
static wh_status repeat(wh_onnx_runner *r, const wh_tensor *const *inputs, bool *done) {
  int64_t symbols[WH_ONNX_MAX_SYMBOLS];
  *done = false;
  for (size_t i = 0; i < N_KEPT; i++) {
    way *w = &r->ways[i];
    wh_run *run;
    if (!w->result || !fits(r, w, inputs, symbols)) continue;
    WH_TRY(wh_engine_find(r->engine, w->serial, symbols, &run));
    if (!run) {
      free_way(r, w);
      continue;
    }
    const wh_onnx_trace *t = wh_onnx_result_trace(w->result);
    for (size_t f = 0; f < t->n_feeds; f++) {
      const int port = wh_engine_input(r->engine, f);
      if (port >= 0) wh_run_give_input(run, (size_t)port, inputs[t->feeds[f]]->data);
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

/* Shapes, and copies of the elements that were looked at; NULL: no memory. */
static wh_datum *keep_inputs(const wh_onnx_runner *r, const wh_tensor *const *inputs, uint64_t looked) {
  const size_t n = wh_onnx_net_n_inputs(r->net);
  wh_datum *kept = wh_alloc_array(r->alloc, n + 1, sizeof *kept);
  for (size_t i = 0; kept && i < n; i++) {
    const wh_tensor *x = inputs[i];
    kept[i].dtype = x->dtype;
    kept[i].rank = x->rank;
    memcpy(kept[i].dims, x->dims, sizeof kept[i].dims);
    if (!(looked >> (i < 63 ? i : 63) & 1)) continue;
    void *copy = wh_alloc_uninit(r->alloc, (size_t)x->n_bytes, 16);
    if (copy && x->n_bytes) memcpy(copy, x->data, (size_t)x->n_bytes);
    kept[i].data = copy;
    if (copy) continue;
    free_inputs(r, kept);
    return NULL;
  }
  return kept;
}

/* Takes the last result over, to be repeated, and `of`. Without memory nothing is kept. */
static void keep(wh_onnx_runner *r, const wh_tensor *const *inputs, const wh_onnx_symbols *symbols,
                 int8_t (*of)[WH_MAX_RANK]) {
  const wh_onnx_trace *t = wh_onnx_result_trace(r->last);
  bool all = t->repeatable && t->n_stages == 1;
  for (size_t i = 0; i < wh_onnx_net_n_inputs(r->net); i++) all = all && inputs[i];
  wh_datum *kept = all ? keep_inputs(r, inputs, t->looked) : NULL;
  if (!kept) {
    wh_free(r->alloc, of);
    return;
  }
  way *w = oldest(r);
  free_way(r, w);
  *w = (way){.result = r->last,
             .inputs = kept,
             .symbols = *symbols,
             .of = of,
             .serial = wh_engine_serial(wh_engine_last(r->engine)),
             .used = ++r->clock};
  if (wh_engine_find(r->engine, w->serial, symbols->values, &r->run) != WH_OK || !r->run) {
    w->result = NULL; /* the caller's still */
    free_way(r, w);
    return;
  }
  r->last = NULL;
  r->at = w;
}

/* ---- open dims ---- */

/* The symbol of a name and value, or of no other dim; -1: there are too many. "?" is no name: some exporters
 * give it to every dim that they do not know. */
static int find_symbol(wh_onnx_symbols *s, wh_str *names, wh_str name, int64_t value) {
  for (uint32_t i = 0; name.len && !wh_str_is(name, "?") && i < s->n; i++)
    if (wh_str_equal(names[i], name) && s->values[i] == value) return (int)i;
  if (s->n == WH_ONNX_MAX_SYMBOLS) return -1;
  names[s->n] = name;
  s->values[s->n] = value;
  s->steps[s->n] = 1;
  s->max[s->n] = LARGEST_OPEN;
  return (int)s->n++;
}

/* Dims that the model does not say. What has one element, or very many, stays a number. */
static void find_symbols(const wh_onnx_runner *r, const wh_tensor *const *inputs, wh_onnx_symbols *s,
                         int8_t (*of)[WH_MAX_RANK]) {
  wh_str names[WH_ONNX_MAX_SYMBOLS];
  *s = (wh_onnx_symbols){.of = (const int8_t(*)[WH_MAX_RANK])of};
  for (size_t i = 0; i < wh_onnx_net_n_inputs(r->net); i++) {
    const wh_onnx_type *type = &wh_onnx_net_input(r->net, i)->type;
    memset(of[i], -1, sizeof of[i]);
    if (!inputs[i] || !type->has_shape || type->rank != inputs[i]->rank) continue;
    for (int d = 0; d < type->rank; d++) {
      const int64_t value = inputs[i]->dims[d];
      if (type->dims[d].value != -1 || value < WH_ONNX_LEAST_DIM || value > LARGEST_OPEN) continue;
      of[i][d] = (int8_t)find_symbol(s, names, type->dims[d].param, value);
    }
  }
}

/* Its dims are numbers. */
static void close_symbol(const wh_onnx_runner *r, wh_onnx_symbols *s, int8_t (*of)[WH_MAX_RANK], int k) {
  for (size_t i = 0; i < wh_onnx_net_n_inputs(r->net); i++)
    for (int d = 0; d < WH_MAX_RANK; d++) of[i][d] = (int8_t)(of[i][d] == k ? -1 : of[i][d] - (of[i][d] > k));
  s->n--;
  for (uint32_t i = (uint32_t)k; i < s->n; i++) {
    s->values[i] = s->values[i + 1];
    s->steps[i] = s->steps[i + 1];
    s->max[i] = s->max[i + 1];
  }
}

/* With these dims open; `last` stays NULL when something depends on them. */
static wh_status execute_open(wh_onnx_runner *r, const wh_datum *const *inputs, wh_onnx_symbols *symbols) {
  const wh_onnx_engine face = wh_engine_face(r->engine);
  wh_status st = WH_OK;
  for (uint32_t i = 0; i <= 2 * symbols->n; i++) { /* each may need a smaller range, or follow from others */
    symbols->refused = symbols->again = false;
    st = wh_onnx_execute_open(r->net, inputs, symbols, &face, &r->limits, &r->last);
    if (st == WH_OK || !symbols->refused || !symbols->again) break;
  }
  return symbols->refused ? WH_OK : st;
}

/* Which dims stay open: all that the model does not say; or these as multiples of a power of two, as which
 * images go through halves and doubles and meet again; or all but one of them. */
typedef enum opening { OPEN_ALL, OPEN_MULTIPLES, OPEN_ALL_BUT_FIRST } opening;

/* The dims as multiples; false: none is one. */
static bool take_steps(wh_onnx_symbols *s) {
  bool any = false;
  for (uint32_t i = 0; i < s->n; i++) {
    while (s->values[i] % 2 == 0 && s->values[i] / 2 >= WH_ONNX_LEAST_DIM && s->steps[i] < LARGEST_STEP) {
      s->values[i] /= 2;
      s->max[i] /= 2;
      s->steps[i] *= 2;
    }
    any = any || s->steps[i] > 1;
  }
  return any;
}

/* One opening; `last` stays NULL when something depends on the dims. `*more`: there are others. */
static wh_status try_opening(wh_onnx_runner *r, const wh_tensor *const *inputs, const wh_datum *const *data,
                             int which, wh_onnx_symbols *symbols, int8_t (*of)[WH_MAX_RANK], bool *more) {
  const int close = which - OPEN_ALL_BUT_FIRST;
  find_symbols(r, inputs, symbols, of);
  *more = symbols->n && close < (int)symbols->n;
  if (!*more || (which == OPEN_MULTIPLES && !take_steps(symbols))) return WH_OK;
  if (close >= 0) close_symbol(r, symbols, of, close);
  return symbols->n ? execute_open(r, data, symbols) : WH_OK;
}

/* With dims open, else with none. */
static wh_status execute(wh_onnx_runner *r, const wh_tensor *const *inputs, const wh_datum *const *data,
                         wh_onnx_symbols *symbols, int8_t (*of)[WH_MAX_RANK]) {
  const wh_onnx_engine face = wh_engine_face(r->engine);
  wh_status st = WH_OK;
  bool more = r->n_refused < MOST_REFUSED, tried = false;
  for (int which = OPEN_ALL; more && st == WH_OK && !r->last; which++) {
    st = try_opening(r, inputs, data, which, symbols, of, &more);
    tried = tried || more;
  }
  if (st != WH_OK || r->last) return st;
  *symbols = (wh_onnx_symbols){.n = 0};
  memset(of, -1, wh_onnx_net_n_inputs(r->net) * sizeof *of);
  st = wh_onnx_execute(r->net, data, &face, &r->limits, &r->last);
  r->n_refused += tried && st == WH_OK; /* else it is not the dims */
  return st;
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
  wh_onnx_symbols symbols = {.n = 0};
  int8_t(*of)[WH_MAX_RANK] = wh_alloc_array(r->alloc, n + 1, sizeof *of);
  if (!of) st = WH_OOM("run");
  if (st == WH_OK) st = execute(r, inputs, list, &symbols, of);
  if (st == WH_OK) st = wh_onnx_result_settle(r->last); /* nothing of it points to the inputs any more */
  wh_free(r->alloc, data);
  wh_free(r->alloc, list);
  if (st == WH_OK)
    keep(r, inputs, &symbols, of);
  else
    wh_free(r->alloc, of);
  return st;
}

wh_weight_packing wh_onnx_runner_packing(const wh_onnx_runner *r) { return wh_engine_packing(r->engine); }

uint64_t wh_onnx_runner_n_programs(const wh_onnx_runner *r) { return wh_engine_n_made(r->engine); }

const wh_run *wh_onnx_runner_run_at(const wh_onnx_runner *r, size_t i) {
  return wh_engine_run_at(r->engine, i);
}

const wh_onnx_trace *wh_onnx_runner_trace(const wh_onnx_runner *r) {
  const wh_onnx_result *result = r->at ? r->at->result : r->last;
  return result ? wh_onnx_result_trace(result) : NULL;
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
