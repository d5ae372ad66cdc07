/* quantize.c - a model file's weights in another type. See whimbrel/quantize.h. */
#include "whimbrel/quantize.h"

#include <math.h>
#include <stdio.h>

#include "api/api_internal.h"
#include "api/quantize_onnx.h"
#include "backends/cpu/rowops.h"
#include "core/base/cpu_budget.h"
#include "core/base/team.h"
#include "formats/gguf_write.h"
#include "formats/limits.h"
#include "formats/quantize/quantize.h"

#define PIECE_ELEMENTS (INT64_C(1) << 20) /* that are in memory at once */

typedef struct work {
  const wh_quantize_options *o;
  const wh_allocator *alloc;
  wh_model_file *file, *importance; /* importance: NULL without one */
  wh_team *team;
  wh_weight_view *to; /* what is to be written, of each of the file's weights */
  double *errors;     /* [size of the team] sums of squares */
  double *squares;
  float *x, *y; /* a piece: read, and read again from what was written */
  uint8_t *blocks;
} work;

/* ---- which type ---- */

static bool ends_with(wh_str s, const char *end) {
  const size_t n = strlen(end);
  return s.len >= n && memcmp(s.data + s.len - n, end, n) == 0;
}

static bool stays(const wh_weight_view *w) {
  return w->rank < 2 || !ends_with(w->name, ".weight") || ends_with(w->name, "_norm.weight") ||
         ends_with(w->name, "ffn_gate_inp.weight") || wh_str_is(w->name, "position_embd.weight") ||
         wh_str_is(w->name, "token_types.weight") || wh_str_is(w->name, "rope_freqs.weight");
}

static bool is_output(const work *k, const wh_weight_view *w) {
  const char *name =
      wh_model_file_find_weight(k->file, "output.weight") ? "output.weight" : "token_embd.weight";
  return wh_str_is(w->name, name);
}

static double bits_of(wh_dtype t) {
  const wh_dtype_info *info = wh_dtype_get(t);
  return 8.0 * info->block_bytes / info->block_elems;
}

/* The type of 32 elements for rows that are no whole blocks of 256. */
static wh_dtype smaller_blocks(wh_dtype t) {
  switch ((int)t) {
    case WH_DTYPE_Q2_K:
    case WH_DTYPE_Q3_K:
    case WH_DTYPE_IQ4_XS:
      return WH_DTYPE_IQ4_NL;
    case WH_DTYPE_Q4_K:
      return WH_DTYPE_Q5_0;
    case WH_DTYPE_Q5_K:
      return WH_DTYPE_Q5_1;
    default:
      return WH_DTYPE_Q8_0;
  }
}

static wh_dtype choose(const work *k, const wh_weight_view *w) {
  wh_dtype t = k->o->dtype;
  const int64_t cols = w->dims[w->rank - 1];
  if (stays(w)) return w->dtype;
  if (is_output(k, w) && bits_of(t) < bits_of(WH_DTYPE_Q6_K)) t = WH_DTYPE_Q6_K;
  if (cols % wh_dtype_get(t)->block_elems && wh_dtype_get(t)->block_elems > 32) t = smaller_blocks(t);
  return cols % wh_dtype_get(t)->block_elems ? WH_DTYPE_F16 : t;
}

static wh_status plan(work *k) {
  const size_t n = wh_model_file_n_weights(k->file);
  k->to = wh_alloc_array(k->alloc, n + 1, sizeof *k->to);
  if (!k->to) return WH_OOM("weights");
  for (size_t i = 0; i < n; i++) {
    const wh_weight_view *w = wh_model_file_weight(k->file, i);
    const bool is_block = wh_dtype_get(w->dtype)->class_of == WH_CLASS_QUANTISED;
    k->to[i] = *w;
    k->to[i].dtype = choose(k, w);
    if (k->to[i].dtype == w->dtype) continue;
    if (is_block && !k->o->may_requantize)
      return WH_FAIL(ERR_UNSUPPORTED,
                     "%s: tensor '" WH_STR_FMT
                     "' is %s already; quantise the model's file of floats, or allow quantising twice",
                     wh_model_file_path(k->file), WH_STR_ARG(w->name), wh_dtype_name(w->dtype));
    float probe[256];
    if (!is_block && !wh_dequantize_row(w->dtype, w->data, probe, 1))
      return WH_FAIL(ERR_UNSUPPORTED, "%s: tensor '" WH_STR_FMT "' is %s, which is not quantised",
                     wh_model_file_path(k->file), WH_STR_ARG(w->name), wh_dtype_name(w->dtype));
    k->to[i].data = NULL; /* produced */
  }
  return WH_OK;
}

/* ---- importance ---- */

/* Of a matrix's columns, or of each of a stack's matrices; NULL: none. */
static wh_status find_importance(const work *k, const wh_weight_view *w, const float **out,
                                 bool *per_matrix) {
  char name[WH_LIMIT_WEIGHT_NAME_BYTES + 16];
  *out = NULL;
  *per_matrix = false;
  if (!k->importance) return WH_OK;
  (void)snprintf(name, sizeof name, WH_STR_FMT ".in_sum2", WH_STR_ARG(w->name));
  const wh_weight_view *v = wh_model_file_find_weight(k->importance, name);
  if (!v) return WH_OK;
  size_t n = v->n_bytes / sizeof(float);
  const size_t cols = (size_t)w->dims[w->rank - 1], matrices = w->rank == 3 ? (size_t)w->dims[0] : 1;
  *per_matrix = matrices > 1 && n == cols * matrices;
  if (v->dtype != WH_DTYPE_F32 || (n != cols && !*per_matrix))
    return WH_FAIL(ERR_CORRUPT,
                   "%s: '%s' has %zu numbers; the tensor has %zu columns: it is of another model",
                   k->o->importance, name, n, cols);
  const float *f = v->data;
  for (size_t i = 0; i < n; i++)
    if (!(f[i] >= 0) || !isfinite(f[i]))
      return WH_FAIL(ERR_CORRUPT, "%s: '%s' has a number that is no sum of squares", k->o->importance, name);
  *out = f;
  return WH_OK;
}

/* ---- one weight ---- */

typedef struct piece {
  work *k;
  const wh_weight_view *from;
  wh_dtype to;
  const float *importance;
  bool per_matrix;
  int64_t row, n_rows;
} piece;

static void convert_rows(void *arg, const wh_worker *worker) {
  const piece *p = arg;
  const int64_t cols = p->from->dims[p->from->rank - 1];
  size_t in_bytes = 0, out_bytes = 0;
  int64_t begin, end;
  double error = 0, square = 0;
  (void)!wh_dtype_row_bytes(p->from->dtype, (uint64_t)cols, &in_bytes);
  (void)!wh_dtype_row_bytes(p->to, (uint64_t)cols, &out_bytes);
  wh_worker_range(worker, p->n_rows, &begin, &end);
  for (int64_t r = begin; r < end; r++) {
    const int64_t row = p->row + r;
    const float *w = p->importance;
    if (w && p->per_matrix) w += row / p->from->dims[p->from->rank - 2] * cols;
    float *x = p->k->x + r * cols, *y = p->k->y + r * cols;
    uint8_t *b = p->k->blocks + (size_t)r * out_bytes;
    (void)!wh_dequantize_row(p->from->dtype, (const uint8_t *)p->from->data + (size_t)row * in_bytes, x,
                             cols);
    wh_quantize_row(p->to, x, w, cols, b);
    (void)!wh_dequantize_row(p->to, b, y, cols);
    for (int64_t i = 0; i < cols; i++) {
      const double d = (double)y[i] - (double)x[i];
      error += d * d;
      square += (double)x[i] * (double)x[i];
    }
  }
  p->k->errors[worker->index] += error;
  p->k->squares[worker->index] += square;
}

static wh_status take_room(work *k, int64_t cols, int64_t rows) {
  size_t n = (size_t)cols * (size_t)rows;
  wh_free(k->alloc, k->x);
  wh_free(k->alloc, k->y);
  wh_free(k->alloc, k->blocks);
  k->x = wh_alloc_uninit(k->alloc, n * sizeof *k->x, 64);
  k->y = wh_alloc_uninit(k->alloc, n * sizeof *k->y, 64);
  k->blocks = wh_alloc_uninit(k->alloc, n * sizeof *k->x, 64); /* no type is larger */
  return k->x && k->y && k->blocks ? WH_OK : WH_OOM("rows of a weight");
}

static wh_status report(const work *k, size_t i, double error) {
  const wh_weight_view *w = &k->to[i], *from = wh_model_file_weight(k->file, i);
  char name[WH_LIMIT_WEIGHT_NAME_BYTES + 16];
  if (!k->o->report) return WH_OK;
  (void)snprintf(name, sizeof name, WH_STR_FMT, WH_STR_ARG(w->name));
  wh_quantized_weight r = {.struct_size = sizeof r,
                           .rank = w->rank,
                           .name = name,
                           .from = from->dtype,
                           .to = w->dtype,
                           .relative_error = error};
  memcpy(r.dims, w->dims, sizeof r.dims);
  size_t n = 0;
  (void)!wh_dtype_row_bytes(w->dtype, (uint64_t)w->dims[w->rank - 1], &n);
  r.n_bytes = n;
  for (int d = 0; d + 1 < w->rank; d++) r.n_bytes *= (uint64_t)w->dims[d];
  if (k->o->report(k->o->report_ctx, &r)) return WH_FAIL(ERR_CANCELLED, "the report ended the call");
  return WH_OK;
}

static wh_status produce(void *ctx, size_t i, wh_file_writer *file) {
  work *k = ctx;
  const wh_weight_view *from = wh_model_file_weight(k->file, i);
  const int64_t cols = from->dims[from->rank - 1];
  const int n_workers = wh_team_size(k->team);
  int64_t rows = 1, at_once = PIECE_ELEMENTS / cols + 1;
  size_t out_bytes = 0;
  for (int d = 0; d + 1 < from->rank; d++) rows *= from->dims[d];
  if (at_once > rows) at_once = rows;
  piece p = {.k = k, .from = from, .to = k->to[i].dtype};
  if (!wh_dtype_row_bytes(p.to, (uint64_t)cols, &out_bytes))
    return WH_FAIL(ERR_INTERNAL, "a row has no size");
  WH_TRY(find_importance(k, from, &p.importance, &p.per_matrix));
  WH_TRY(take_room(k, cols, at_once));
  for (int t = 0; t < n_workers; t++) k->errors[t] = k->squares[t] = 0;
  for (p.row = 0; p.row < rows; p.row += p.n_rows) {
    p.n_rows = rows - p.row < at_once ? rows - p.row : at_once;
    wh_team_run(k->team, convert_rows, &p);
    WH_TRY(wh_file_writer_append(file, k->blocks, (size_t)p.n_rows * out_bytes));
  }
  double error = 0, square = 0;
  for (int t = 0; t < n_workers; t++) {
    error += k->errors[t];
    square += k->squares[t];
  }
  if (!isfinite(square) || !isfinite(error))
    return WH_FAIL(ERR_CORRUPT,
                   "%s: tensor '" WH_STR_FMT "' has numbers that are not finite, or too large for %s",
                   wh_model_file_path(k->file), WH_STR_ARG(from->name), wh_dtype_name(p.to));
  wh_model_file_weight_dont_need(k->file, from);
  return report(k, i, square > 0 ? sqrt(error / square) : 0);
}

/* ---- the file ---- */

/* The number that GGUF files have for "mostly of this type". */
static uint32_t file_type(wh_dtype t) {
  static const struct {
    wh_dtype dtype;
    uint32_t number;
  } types[] = {{WH_DTYPE_F32, 0},   {WH_DTYPE_F16, 1},     {WH_DTYPE_BF16, 32},   {WH_DTYPE_Q4_0, 2},
               {WH_DTYPE_Q4_1, 3},  {WH_DTYPE_Q8_0, 7},    {WH_DTYPE_Q5_0, 8},    {WH_DTYPE_Q5_1, 9},
               {WH_DTYPE_Q2_K, 10}, {WH_DTYPE_Q3_K, 11},   {WH_DTYPE_Q4_K, 14},   {WH_DTYPE_Q5_K, 16},
               {WH_DTYPE_Q6_K, 18}, {WH_DTYPE_IQ4_NL, 25}, {WH_DTYPE_IQ4_XS, 30}, {WH_DTYPE_MXFP4, 38}};
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (types[i].dtype == t) return types[i].number;
  return 0;
}

static wh_status write_file(work *k, const char *to) {
  const size_t n = wh_model_file_n_meta(k->file);
  wh_meta_entry *meta = wh_alloc_array(k->alloc, n + 2, sizeof *meta);
  if (!meta) return WH_OOM("metadata");
  wh_gguf_content c = {.meta = meta,
                       .weights = k->to,
                       .n_weights = wh_model_file_n_weights(k->file),
                       .produce = produce,
                       .ctx = k};
  for (size_t i = 0; i < n; i++) {
    const wh_meta_entry *e = wh_model_file_meta(k->file, i);
    if (wh_str_is(e->key, "general.file_type") || wh_str_is(e->key, "general.quantization_version") ||
        (e->key.len > 6 && memcmp(e->key.data, "split.", 6) == 0))
      continue;
    meta[c.n_meta++] = *e;
  }
  meta[c.n_meta++] = wh_gguf_meta_u32("general.file_type", file_type(k->o->dtype));
  if (wh_dtype_get(k->o->dtype)->class_of == WH_CLASS_QUANTISED)
    meta[c.n_meta++] = wh_gguf_meta_u32("general.quantization_version", 2);
  wh_status st = WH_OK;
  for (size_t i = 0; i < c.n_weights && st == WH_OK; i++)
    if (k->to[i].data) st = report(k, i, 0);
  if (st == WH_OK) st = wh_gguf_write(to, &c, k->alloc);
  wh_free(k->alloc, meta);
  return st;
}

static wh_status count_threads(const work *k, uint32_t *n) {
  wh_cpu_budget budget;
  WH_TRY(wh_cpu_budget_read(k->alloc, &budget));
  const int threads = wh_cpu_budget_threads(&budget);
  wh_cpu_budget_deinit(&budget);
  *n = (uint32_t)(threads > WH_TEAM_MAX_THREADS ? WH_TEAM_MAX_THREADS : threads);
  return WH_OK;
}

static wh_status open_all(work *k, const char *from) {
  uint32_t n = k->o->n_threads;
  WH_TRY(wh_model_file_open(from, k->alloc, &k->file));
  if (k->o->importance) WH_TRY(wh_model_file_open(k->o->importance, k->alloc, &k->importance));
  if (!n) WH_TRY(count_threads(k, &n));
  WH_TRY(wh_team_create((int)n, NULL, k->alloc, &k->team));
  k->errors = wh_alloc_array(k->alloc, n, sizeof *k->errors);
  k->squares = wh_alloc_array(k->alloc, n, sizeof *k->squares);
  return k->errors && k->squares ? WH_OK : WH_OOM("threads");
}

wh_status wh_quantize(const char *from, const char *to, const wh_quantize_options *options) {
  wh_quantize_options o = WH_QUANTIZE_OPTIONS_INIT;
  WH_WANT(from, "from");
  WH_WANT(to, "to");
  WH_READ_OPTIONS(&o, options, WH_QUANTIZE_OPTIONS_INIT);
  bool is_onnx;
  WH_TRY(wh_quantize_is_onnx(from, o.allocator, &is_onnx));
  if (is_onnx) return wh_quantize_onnx(from, to, &o);
  if (!wh_can_quantize(o.dtype))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "wh_quantize: %s is no type of weights that files are written in",
                   wh_dtype_name(o.dtype));
  if (o.n_threads > WH_TEAM_MAX_THREADS)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "wh_quantize: %u threads, at most %d", (unsigned)o.n_threads,
                   WH_TEAM_MAX_THREADS);
  work k = {.o = &o, .alloc = o.allocator};
  wh_status st = open_all(&k, from);
  if (st == WH_OK) st = plan(&k);
  if (st == WH_OK) st = write_file(&k, to);
  wh_free(k.alloc, k.x);
  wh_free(k.alloc, k.y);
  wh_free(k.alloc, k.blocks);
  wh_free(k.alloc, k.to);
  wh_free(k.alloc, k.errors);
  wh_free(k.alloc, k.squares);
  wh_team_destroy(k.team);
  wh_model_file_close(k.importance);
  wh_model_file_close(k.file);
  return st;
}
