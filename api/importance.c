/* importance.c - what a model's matrices are multiplied with, seen by a session's trace. See
 * whimbrel/quantize.h. */
#include <math.h>
#include <stdio.h>

#include "api/api_internal.h"
#include "formats/gguf_write.h"
#include "formats/limits.h"
#include "whimbrel/quantize.h"

/* A matrix, and the value of the graph that it is multiplied with. */
typedef struct product {
  wh_value input;
  const char *weight; /* the graph's */
  int64_t cols;
  float *sums; /* [cols] of squares */
  uint64_t n_rows;
} product;

struct wh_importance {
  const wh_allocator *alloc;
  wh_session *session;
  product *products;
  size_t n;
  float *row;       /* one row of activations */
  int64_t max_cols; /* of row */
};

/* ---- watching ---- */

/* Row r of activations in row-major form (docs/NUMERICS.md) as floats. */
static void read_row(const wh_run_trace_event *e, int64_t cols, size_t r, float *out) {
  const uint8_t *p = e->port.data;
  if (e->port.dtype == WH_DTYPE_F32) {
    memcpy(out, p + r * (size_t)cols * sizeof *out, (size_t)cols * sizeof *out);
    return;
  }
  const bool narrow = e->port.dtype == WH_DTYPE_Q8A;
  const int64_t group = narrow ? 256 : 128, n_groups = (cols + group - 1) / group;
  const size_t codes = (size_t)cols * (narrow ? 1 : 2), shifts = narrow ? (size_t)cols / 32 : 0;
  p += r * (codes + shifts + (size_t)n_groups * sizeof(float));
  for (int64_t i = 0; i < cols; i++) {
    float s;
    int16_t q = (int8_t)p[i];
    memcpy(&s, p + codes + shifts + (size_t)(i / group) * sizeof s, sizeof s);
    if (!narrow) memcpy(&q, p + 2 * i, sizeof q);
    out[i] = s * (float)(narrow ? 1 << p[codes + (size_t)(i / 32)] : 1) * (float)q;
  }
}

static int see(void *ctx, const wh_run_trace_event *e) {
  wh_importance *m = ctx;
  const product *last = NULL; /* of this value: the sums of others are the same */
  if (e->port.dtype != WH_DTYPE_F32 && e->port.dtype != WH_DTYPE_Q8A && e->port.dtype != WH_DTYPE_Q13A)
    return 0;
  for (size_t i = 0; i < m->n; i++) {
    product *p = &m->products[i];
    if (p->input != e->value) continue;
    if (last) {
      memcpy(p->sums, last->sums, (size_t)p->cols * sizeof *p->sums);
      p->n_rows = last->n_rows;
      continue;
    }
    size_t n_rows = 1;
    for (int d = 0; d + 1 < e->port.rank; d++) n_rows *= (size_t)e->port.dims[d];
    for (size_t r = 0; r < n_rows; r++) {
      read_row(e, p->cols, r, m->row);
      for (int64_t c = 0; c < p->cols; c++)
        if (isfinite(m->row[c])) p->sums[c] += m->row[c] * m->row[c];
    }
    p->n_rows += n_rows;
    last = p;
  }
  return 0;
}

/* ---- the object ---- */

static wh_status add_products(wh_importance *m, const wh_graph *g) {
  m->products = wh_alloc_array(m->alloc, g->n_nodes + 1, sizeof *m->products);
  if (!m->products) return WH_OOM("importance");
  for (size_t i = 0; i < g->n_nodes; i++) {
    const wh_node_info *n = &g->nodes[i];
    if (n->dead || (n->op != WH_OP_LINEAR && n->op != WH_OP_EXPERT_LINEAR)) continue;
    const wh_value_info *w = &g->values[n->inputs[1]];
    if (w->kind != WH_VALUE_CONST || w->shape.rank < 2) continue;
    const int64_t cols = wh_dim_get(&g->dims, w->shape.dims[w->shape.rank - 1])->value;
    product p = {.input = n->inputs[0], .weight = w->name, .cols = cols};
    p.sums = wh_alloc_array(m->alloc, (size_t)cols + 1, sizeof *p.sums);
    if (!p.sums) return WH_OOM("importance");
    m->products[m->n++] = p;
    if (cols > m->max_cols) m->max_cols = cols;
  }
  m->row = wh_alloc_array(m->alloc, (size_t)m->max_cols + 1, sizeof *m->row);
  return m->row ? WH_OK : WH_OOM("importance");
}

wh_status wh_importance_create(wh_session *session, wh_importance **out) {
  WH_WANT(session, "session");
  WH_WANT(out, "out");
  const wh_allocator *alloc = wh_session_get_options(session)->allocator;
  wh_importance *m = wh_alloc_zeroed(alloc, sizeof *m);
  if (!m) return WH_OOM("importance");
  m->alloc = alloc;
  m->session = session;
  wh_lm *lm = wh_session_get_lm(session);
  wh_status st = add_products(m, wh_run_program(wh_lm_run_of(lm))->graph);
  if (st != WH_OK) {
    wh_importance_destroy(m);
    return st;
  }
  wh_lm_set_trace(lm, see, m);
  *out = m;
  return WH_OK;
}

void wh_importance_destroy(wh_importance *m) {
  if (!m) return;
  wh_lm_set_trace(wh_session_get_lm(m->session), NULL, NULL);
  for (size_t i = 0; i < m->n; i++) wh_free(m->alloc, m->products[i].sums);
  wh_free(m->alloc, m->products);
  wh_free(m->alloc, m->row);
  wh_free(m->alloc, m);
}

/* ---- the file ---- */

#define NAME_BYTES (WH_LIMIT_WEIGHT_NAME_BYTES + 16)

static wh_status write_file(const wh_importance *m, const char *path, wh_weight_view *views, char *names,
                            float *counts) {
  const wh_meta_entry meta[] = {wh_gguf_meta_string("general.type", "imatrix"),
                                wh_gguf_meta_u32("imatrix.chunk_count", 1),
                                wh_gguf_meta_u32("imatrix.chunk_size", (uint32_t)m->products[0].n_rows)};
  wh_gguf_content c = {.meta = meta, .n_meta = sizeof meta / sizeof meta[0], .weights = views};
  for (size_t i = 0; i < m->n; i++) {
    const product *p = &m->products[i];
    char *sums_name = names + 2 * i * NAME_BYTES, *counts_name = sums_name + NAME_BYTES;
    bool known = !p->n_rows;
    for (size_t k = 0; k < i && !known; k++) known = strcmp(m->products[k].weight, p->weight) == 0;
    if (known) continue;
    (void)snprintf(sums_name, NAME_BYTES, "%.1024s.in_sum2", p->weight);
    (void)snprintf(counts_name, NAME_BYTES, "%.1024s.counts", p->weight);
    counts[i] = (float)p->n_rows;
    views[c.n_weights++] = (wh_weight_view){.name = wh_str_from(sums_name),
                                            .dtype = WH_DTYPE_F32,
                                            .rank = 2,
                                            .dims = {1, p->cols},
                                            .data = p->sums};
    views[c.n_weights++] = (wh_weight_view){.name = wh_str_from(counts_name),
                                            .dtype = WH_DTYPE_F32,
                                            .rank = 2,
                                            .dims = {1, 1},
                                            .data = &counts[i]};
  }
  if (!c.n_weights)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%s: the session has run nothing: there is no importance to write",
                   path);
  return wh_gguf_write(path, &c, m->alloc);
}

wh_status wh_importance_save(const wh_importance *m, const char *path) {
  WH_WANT(m, "importance");
  WH_WANT(path, "path");
  if (!m->n) return WH_FAIL(ERR_UNSUPPORTED, "the model has no matrices that are multiplied with");
  wh_weight_view *views = wh_alloc_array(m->alloc, 2 * m->n, sizeof *views);
  char *names = wh_alloc_array(m->alloc, 2 * m->n, NAME_BYTES);
  float *counts = wh_alloc_array(m->alloc, m->n, sizeof *counts);
  wh_status st = views && names && counts ? write_file(m, path, views, names, counts) : WH_OOM("importance");
  wh_free(m->alloc, views);
  wh_free(m->alloc, names);
  wh_free(m->alloc, counts);
  return st;
}
