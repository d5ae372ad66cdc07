/* matmul_attention.c - two products with a softmax between them. A task is some rows of queries against all
 * keys: their scores stay in a second-level cache, between kernels that other ops run as well. A worker keeps
 * the keys and values in panels while its tasks have the same ones. Of few tasks workers have shares. */
#include <string.h>

#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/move.h"
#include "backends/cpu/product_end.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

/* Up to here panels would cost more than they save. */
#define THIN_ROWS 4
#define MOST_ROWS 96
#define LEAST_ROWS 24 /* a register tile's, of the level with the tallest */
#define SCORES_BYTES ((size_t)1 << 18)
#define TASKS_PER_WORKER 2

enum { Q, K, V, Y, N_MATRICES };

/* One of the matrices of a batch. */
typedef struct matrix {
  float *x;
  int64_t rows, columns, ld;
  bool turned; /* columns lie ld apart, and a column's rows one behind the other */
} matrix;

/* Of one worker. */
typedef struct attention {
  const cpu_kernel *kernel;
  const wh_worker *alone;
  const wh_linear_f_isa *steps; /* or NULL: there are no panels */
  wh_nd batches;
  matrix of[N_MATRICES]; /* x: of the first batch */
  int64_t scores_dims[WH_MAX_RANK];
  int64_t height;            /* rows of a task */
  wh_end_rows *ends;         /* or NULL: nothing follows the scores */
  float *packed[2], *scores; /* k and v in panels */
  void *tiles;
  size_t tiles_bytes;
} attention;

/* Rows of this length begin in different sets of a first-level cache. */
static int64_t scores_ld(int64_t keys) {
  const int64_t ld = ceil_div(keys, 16) * 16;
  return ld % 512 ? ld : ld + 16;
}

static int64_t block_rows(int64_t rows, int64_t keys) {
  const int64_t fit = (int64_t)(SCORES_BYTES / sizeof(float)) / scores_ld(keys);
  const int64_t most = fit < LEAST_ROWS ? LEAST_ROWS : min_i64(fit, MOST_ROWS);
  return rows > most ? ceil_div(rows, ceil_div(rows, most)) : rows;
}

/* ---- scratch of a worker: panels of k and v, scores, what their products need ---- */

typedef struct scratch_parts {
  size_t packed[2], scores, tiles, all;
} scratch_parts;

static bool floats(int64_t rows, int64_t columns, size_t *bytes) {
  return wh_mul_size((size_t)rows, (size_t)columns, bytes) && wh_mul_size(*bytes, sizeof(float), bytes) &&
         wh_align_size(*bytes, WH_ALIGN_SIMD, bytes);
}

/* Grows with every size, as claims must. */
static bool measure_scratch(int64_t rows, int64_t depth, int64_t keys, int64_t width, scratch_parts *p) {
  const wh_linear_layout lk = wh_matmul_panels(keys, depth), lv = wh_matmul_panels(width, keys);
  const int64_t most = min_i64(rows, MOST_ROWS);
  size_t few, tiles;
  if (!floats(depth, lk.n_panels * WH_LINEAR_F_COLS, &p->packed[0]) ||
      !floats(keys, lv.n_panels * WH_LINEAR_F_COLS, &p->packed[1]) ||
      !floats(most, scores_ld(keys), &p->scores) ||
      !floats(min_i64(rows, LEAST_ROWS), scores_ld(keys), &few) ||
      !wh_linear_f_run_scratch(&lk, most, &p->tiles) || !wh_linear_f_run_scratch(&lv, most, &tiles))
    return false;
  if (few < SCORES_BYTES) few = SCORES_BYTES;
  if (p->scores > few) p->scores = few;
  if (p->tiles < tiles) p->tiles = tiles;
  return wh_add_size(p->packed[0], p->packed[1], &p->all) && wh_add_size(p->all, p->scores, &p->all) &&
         wh_add_size(p->all, p->tiles, &p->all);
}

wh_status wh_cpu_claim_matmul_attention(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                                        const int64_t *dims, wh_claim *c) {
  const int64_t *perm = wh_node_attr(node, WH_ATTR_PERM)->ints;
  const wh_shape *q = &g->values[node->inputs[0]].shape, *v = &g->values[node->inputs[2]].shape;
  const int column = q->rank - 1, row = column - 1;
  scratch_parts p;
  if (!measure_scratch(dims[q->dims[perm[row]]], dims[q->dims[column]],
                       dims[v->dims[perm[2 * q->rank + row]]], dims[v->dims[column]], &p) ||
      !wh_mul_size(p.all, (size_t)wh_team_size(d->team), &c->scratch_bytes))
    return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  return WH_OK;
}

/* ---- operands ---- */

/* The matrix in the last two of the axes, which are taken in the order `perm`; strides of those before. */
static matrix matrix_of(const cpu_operand *x, const int64_t *perm, int64_t *dims, int64_t *strides) {
  const int column = x->rank - 1, row = column - 1;
  int64_t stride[WH_MAX_RANK], n = 1;
  for (int d = column; d >= 0; d--) {
    stride[d] = n;
    n *= x->dims[d];
  }
  for (int i = 0; i < row; i++) {
    dims[i] = x->dims[perm[i]];
    strides[i] = stride[perm[i]];
  }
  const bool turned = perm[column] != column;
  return (matrix){x->data, x->dims[perm[row]], x->dims[perm[column]], stride[perm[turned ? column : row]],
                  turned};
}

/* Queries whose neighbours share keys and values have an axis for these neighbours. */
static void find_matrices(const cpu_instr *in, attention *a) {
  const int rank = in->in[0].rank, axes = rank - 2;
  const int64_t *perm = wh_node_attr(in->kernel->node, WH_ATTR_PERM)->ints;
  int64_t dims[N_MATRICES][WH_MAX_RANK], strides[N_MATRICES][WH_MAX_RANK], back[WH_MAX_RANK];
  for (int o = Q; o < Y; o++) a->of[o] = matrix_of(&in->in[o], perm + o * rank, dims[o], strides[o]);
  for (int d = 0; d < rank; d++) back[perm[Y * rank + d]] = d;
  a->of[Y] = matrix_of(in->out, back, dims[Y], strides[Y]);
  a->batches = (wh_nd){.rank = axes, .n_operands = N_MATRICES};
  for (int d = 0; d < axes; d++) {
    a->batches.dims[d] = dims[Q][d];
    for (int o = 0; o < N_MATRICES; o++) a->batches.stride[o][d] = strides[o][d];
  }
  memcpy(a->scores_dims, dims[Q], (size_t)axes * sizeof *dims[Q]);
  a->scores_dims[axes] = a->of[Q].rows;
  a->scores_dims[axes + 1] = a->of[V].rows;
  if (axes == 0 || dims[K][axes - 1] == dims[Q][axes - 1]) return;
  const int64_t shared = dims[Q][axes - 1] / dims[K][axes - 1];
  a->batches.rank = axes + 1;
  a->batches.dims[axes] = shared;
  a->batches.dims[axes - 1] = dims[K][axes - 1];
  for (int o = 0; o < N_MATRICES; o++) {
    const bool own = o == Q || o == Y;
    a->batches.stride[o][axes] = own ? strides[o][axes - 1] : 0;
    if (own) a->batches.stride[o][axes - 1] *= shared;
  }
}

/* ---- products ---- */

/* to[c / across][r][c % across] = b[r][c], where b's columns lie far apart. */
static void turn_columns(const matrix *b, int64_t across, float *to, const wh_worker *alone) {
  const int64_t size = (int64_t)sizeof *to, whole = b->columns / across, rest = b->columns % across;
  wh_move m = {.nd = {.rank = 3,
                      .n_operands = 2,
                      .dims = {whole, b->rows, across},
                      .stride = {{b->rows * across * size, across * size, size},
                                 {across * b->ld * size, size, b->ld * size}}},
               .size = sizeof *to,
               .to = (char *)to,
               .from = (const char *)b->x};
  if (whole) wh_move_run(&m, alone);
  if (!rest) return;
  to += whole * across * b->rows;
  memset(to, 0, (size_t)(b->rows * across) * sizeof *to);
  m = (wh_move){.nd = {.rank = 2,
                       .n_operands = 2,
                       .dims = {b->rows, rest},
                       .stride = {{across * size, size}, {size, b->ld * size}}},
                .size = sizeof *to,
                .to = (char *)to,
                .from = (const char *)(b->x + whole * across * b->ld)};
  wh_move_run(&m, alone);
}

/* y = x . b and its end. `packed` has the copy of b that this takes, or room for it. */
static void multiply(const attention *a, const matrix *x, const matrix *b, bool is_packed, float *packed,
                     const wh_product_end *end, const matrix *y) {
  /* by the height of all tasks: the last one, which may be thin, finds the copies of those before */
  const bool panels = a->steps && a->height > THIN_ROWS && b->rows > 0 && b->columns > 0;
  const wh_linear_layout l = wh_matmul_panels(b->columns, b->rows);
  if (b->turned && !is_packed && b->columns > 0)
    turn_columns(b, panels ? WH_LINEAR_F_HALF : b->columns, packed, a->alone);
  if (panels) {
    if (!b->turned && !is_packed) wh_matmul_copy_panels(&l, b->x, b->ld, 0, l.n_panels, packed);
    const wh_linear_f_args args = {.layout = &l,
                                   .w = packed,
                                   .x = x->x,
                                   .ldx = x->ld,
                                   .m = x->rows,
                                   .y = y->x,
                                   .ldy = y->ld,
                                   .features = a->kernel->features,
                                   .end = end,
                                   .scratch = a->tiles,
                                   .scratch_bytes = a->tiles_bytes};
    wh_linear_f_run(&args, a->alone, a->steps);
    return;
  }
  const wh_matmul_part part = {.m = x->rows,
                               .n = b->columns,
                               .k = b->rows,
                               .lda = x->ld,
                               .ldb = b->turned ? b->columns : b->ld,
                               .ldy = y->ld,
                               .a = x->x,
                               .b = b->turned ? packed : b->x,
                               .y = y->x};
  a->kernel->matmul(&part);
  if (end) wh_product_end_run(end, y->x, y->ld, 0, x->rows, 0, b->columns);
}

static matrix some_rows(matrix m, int64_t row, int64_t rows) {
  m.x += row * m.ld;
  m.rows = rows;
  return m;
}

static matrix some_columns(matrix m, int64_t column, int64_t columns) {
  m.x += column * (m.turned ? m.ld : 1);
  m.columns = columns;
  return m;
}

/* ---- tasks ---- */

/* Some rows of a batch. */
typedef struct task {
  matrix of[N_MATRICES], scores;
  int64_t row; /* of those of all batches */
} task;

static task task_at(const attention *a, int64_t i, float *scores) {
  const int64_t rows = a->of[Q].rows, down = ceil_div(rows, a->height), row = i % down * a->height,
                high = min_i64(a->height, rows - row);
  const wh_nd_at at = wh_nd_seek(&a->batches, i / down);
  task t = {.scores = {scores, high, a->of[V].rows, scores_ld(a->of[V].rows), false},
            .row = i / down * rows + row};
  for (int o = 0; o < N_MATRICES; o++) {
    t.of[o] = a->of[o];
    t.of[o].x += at.offset[o];
  }
  t.of[Q] = some_rows(t.of[Q], row, high);
  t.of[Y] = some_rows(t.of[Y], row, high);
  return t;
}

/* Scores against all keys, or some: columns from `column` on. */
static void score(attention *a, const task *t, int64_t column, int64_t columns, bool is_packed) {
  const matrix k = some_columns(t->of[K], column, columns), y = some_columns(t->scores, column, columns);
  wh_product_end end;
  if (a->ends) {
    a->ends->y = t->scores.x;
    a->ends->ld_y = t->scores.ld;
    a->ends->first = t->row;
    wh_end_rows_begin(a->ends, &end);
    end.row = t->row;
    end.col = column;
  }
  multiply(a, &t->of[Q], &k, is_packed, a->packed[0], a->ends ? &end : NULL, &y);
}

static void weigh(const attention *a, const task *t, int64_t row, int64_t rows) {
  const matrix m = some_rows(t->scores, row, rows);
  const wh_softmax_args softmax = {m.rows, m.columns, m.ld, m.ld, m.x, m.x};
  if (m.columns > 0) a->kernel->rowop.softmax(&softmax, a->alone);
}

static void run_own_tasks(attention *a, int64_t n_tasks, const wh_worker *worker) {
  const float *packed[2] = {NULL, NULL}; /* of which k and v */
  int64_t first, last;
  wh_worker_range(worker, n_tasks, &first, &last);
  for (int64_t i = first; i < last; i++) {
    const task t = task_at(a, i, a->scores);
    score(a, &t, 0, t.of[K].columns, packed[0] == t.of[K].x);
    weigh(a, &t, 0, t.scores.rows);
    multiply(a, &t.scores, &t.of[V], packed[1] == t.of[V].x, a->packed[1], NULL, &t.of[Y]);
    packed[0] = t.of[K].x;
    packed[1] = t.of[V].x;
  }
}

/* A worker's columns of one task, from part `at` of all tasks' on; `at` goes to what is behind them. */
typedef struct share {
  int64_t task, column, columns;
} share;

static share next_share(int64_t *at, int64_t end, int64_t columns, int64_t part) {
  const int64_t across = ceil_div(columns, part), column = *at % across * part;
  share s = {*at / across, column, min_i64(columns - column, (end - *at) * part)};
  *at += ceil_div(s.columns, part);
  return s;
}

static float *scores_of(const attention *a, const cpu_instr *in, const wh_worker *self, int64_t worker) {
  char *own = (char *)a->scores;
  return (float *)(void *)(own + (worker - self->index) * (int64_t)in->worker_scratch);
}

/* Each task is shared by workers: columns of its scores, its rows, columns of its result. The scores of task
 * i are in worker i's scratch. */
static void run_shared_tasks(attention *a, int64_t n_tasks, const cpu_instr *in, const wh_worker *worker) {
  const int64_t keys = a->of[V].rows, width = a->of[V].columns,
                part = a->height > THIN_ROWS ? WH_LINEAR_F_COLS : 2 * WH_LINEAR_F_COLS;
  int64_t at, end;
  wh_worker_range(worker, n_tasks * ceil_div(keys, part), &at, &end);
  while (at < end) {
    const share s = next_share(&at, end, keys, part);
    const task t = task_at(a, s.task, scores_of(a, in, worker, s.task));
    score(a, &t, s.column, s.columns, false);
  }
  wh_team_barrier(worker);
  wh_worker_range(worker, n_tasks * a->height, &at, &end);
  for (; at < end; at++) {
    const task t = task_at(a, at / a->height, scores_of(a, in, worker, at / a->height));
    if (at % a->height < t.scores.rows) weigh(a, &t, at % a->height, 1);
  }
  wh_team_barrier(worker);
  wh_worker_range(worker, n_tasks * ceil_div(width, part), &at, &end);
  while (at < end) {
    const share s = next_share(&at, end, width, part);
    const task t = task_at(a, s.task, scores_of(a, in, worker, s.task));
    const matrix v = some_columns(t.of[V], s.column, s.columns),
                 y = some_columns(t.of[Y], s.column, s.columns);
    multiply(a, &t.scores, &v, false, a->packed[1], NULL, &y);
  }
}

static bool begin(attention *a, const cpu_instr *in, const wh_worker *worker) {
  scratch_parts parts;
  char *scratch = (char *)in->scratch + in->worker_scratch * (size_t)worker->index;
  find_matrices(in, a);
  if (!measure_scratch(a->of[Q].rows, a->of[Q].columns, a->of[V].rows, a->of[V].columns, &parts))
    return false; /* the claim has found that it fits */
  for (int i = 0; i < 2; i++, scratch += parts.packed[i - 1]) a->packed[i] = (float *)(void *)scratch;
  a->scores = (float *)(void *)scratch;
  a->tiles = scratch + parts.scores;
  a->tiles_bytes = parts.tiles;
  return true;
}

static void run_matmul_attention(const cpu_instr *in, const wh_worker *worker) {
  const wh_worker alone = {0, 1, worker->team};
  wh_end_rows ends;
  attention a = {.kernel = in->kernel, .alone = &alone, .steps = wh_linear_f_steps(in->kernel->features)};
  if (wh_cpu_elements(in->out) == 0 || !begin(&a, in, worker)) return;
  const int64_t rows = a.of[Q].rows, n_batches = wh_nd_elements(&a.batches);
  a.height = block_rows(rows, a.of[V].rows);
  while (a.height > LEAST_ROWS &&
         n_batches * ceil_div(rows, a.height) < (int64_t)TASKS_PER_WORKER * worker->count)
    a.height = ceil_div(a.height, 2);
  if (in->kernel->chain.n_steps) {
    a.ends = &ends;
    wh_cpu_end_rows(in, 3, in->in[0].rank, a.scores_dims, worker, &ends);
  }
  const int64_t n_tasks = n_batches * ceil_div(rows, a.height);
  if (n_tasks < worker->count)
    run_shared_tasks(&a, n_tasks, in, worker);
  else
    run_own_tasks(&a, n_tasks, worker);
}

wh_status wh_cpu_compile_matmul_attention(const cpu_device *d, const wh_graph *g, const wh_arg *args,
                                          cpu_kernel *k) {
  static const wh_dtype types[WH_FORMULA_INPUTS] = {WH_DTYPE_F32};
  const char *name;
  (void)g, (void)args;
  if (wh_node_attr(k->node, WH_ATTR_FORMULA)->n)
    WH_TRY(wh_cpu_select_chain(d, types, wh_formula_attention_inputs(k->node->n_inputs), WH_DTYPE_F32, k));
  k->features = d->features;
  k->matmul = wh_matmul_select(d->features, WH_DTYPE_F32, &name);
  k->rowop.softmax = d->rowops.softmax;
  k->name = "matmul_attention";
  k->run = run_matmul_attention;
  return WH_OK;
}
