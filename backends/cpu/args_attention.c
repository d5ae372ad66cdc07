/* args_attention.c - keys, values and attention: their kernels, and their operands as the kernels take them.
 *
 * The kernels take rows whose positions and sequences lie within the cache, and in attention the rows of a
 * sequence in ascending order. Those of a graph's input may be anything: nearly always the kernel takes all
 * rows at once; where it cannot, one worker gives it run after run of rows that it takes, which has the same
 * bits. */
#include <string.h>

#include "backends/cpu/cpu_internal.h"

/* Rows and the cache that they index. */
typedef struct cache_rows {
  const int32_t *positions, *sequences;
  int64_t n, context, slots;
  bool ascending; /* the kernel needs that */
} cache_rows;

static bool is_inside(const cache_rows *r, int64_t i) {
  return (uint64_t)r->positions[i] < (uint64_t)r->context && (uint64_t)r->sequences[i] < (uint64_t)r->slots;
}

/* End of the run of rows from `begin` that the kernel takes; `begin` when it cannot take that row. */
static int64_t run_end(const cache_rows *r, int64_t begin) {
  int64_t i = begin;
  for (; i < r->n && is_inside(r, i); i++)
    if (r->ascending && i > begin && r->sequences[i] == r->sequences[i - 1] &&
        r->positions[i] < r->positions[i - 1])
      break;
  return i;
}

static void report_row(const cpu_instr *in, const cache_rows *r, int64_t i) {
  const bool position = (uint64_t)r->positions[i] >= (uint64_t)r->context;
  wh_cpu_report_index(in, position ? r->positions[i] : r->sequences[i]);
}

static void run_kv_append(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *state = &in->in[0], *x = &in->in[1];
  const cache_rows rows = {.positions = in->in[2].data,
                           .sequences = in->in[3].data,
                           .n = x->dims[0],
                           .context = state->dims[1],
                           .slots = state->dims[0]};
  const wh_kv_append_args all = {.dtype = state->dtype,
                                 .is_key = wh_node_i(in->kernel->node, WH_ATTR_KEY) != 0,
                                 .rows = rows.n,
                                 .n_kv_heads = x->dims[1],
                                 .head_dim = x->dims[2],
                                 .context = wh_cpu_cache_context(rows.context),
                                 .x = x->data,
                                 .ldx = x->dims[1] * x->dims[2],
                                 .positions = rows.positions,
                                 .sequences = rows.sequences,
                                 .cache = state->data};
  if (run_end(&rows, 0) == rows.n) {
    in->kernel->kv_append(&all, worker);
    return;
  }
  if (worker->index != 0) return;
  const wh_worker alone = {0, 1, worker->team};
  for (int64_t i = 0, end; i < rows.n; i = end) {
    end = run_end(&rows, i);
    if (end == i) {
      report_row(in, &rows, i);
      end++;
      continue;
    }
    wh_kv_append_args a = all;
    a.rows = end - i;
    a.x += i * a.ldx;
    a.positions += i;
    a.sequences += i;
    in->kernel->kv_append(&a, &alone);
  }
}

static void run_attention(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *q = &in->in[0], *keys = &in->in[1], *values = &in->in[2];
  const cache_rows rows = {.positions = in->in[3].data,
                           .sequences = in->in[4].data,
                           .n = q->dims[0],
                           .context = keys->dims[1],
                           .slots = keys->dims[0],
                           .ascending = true};
  const wh_attention_args all = {.dtype = keys->dtype,
                                 .rows = rows.n,
                                 .n_heads = q->dims[1],
                                 .n_kv_heads = keys->dims[2],
                                 .head_dim = q->dims[2],
                                 .value_dim = values->dims[3],
                                 .context = wh_cpu_cache_context(rows.context),
                                 .q = q->data,
                                 .ldq = q->dims[1] * q->dims[2],
                                 .keys = keys->data,
                                 .values = values->data,
                                 .positions = rows.positions,
                                 .sequences = rows.sequences,
                                 .scale = wh_node_f(in->kernel->node, WH_ATTR_SCALE),
                                 .softcap = wh_node_f(in->kernel->node, WH_ATTR_SOFTCAP),
                                 .window = wh_node_i(in->kernel->node, WH_ATTR_WINDOW),
                                 .y = in->out.data,
                                 .ldy = q->dims[1] * values->dims[3],
                                 .step = in->step,
                                 .scratch = in->scratch,
                                 .scratch_bytes = in->scratch_bytes};
  if (run_end(&rows, 0) == rows.n) {
    if (rows.n > 0) in->kernel->attention(&all, worker);
    return;
  }
  if (worker->index != 0) return;
  const wh_worker alone = {0, 1, worker->team};
  for (int64_t i = 0, end; i < rows.n; i = end) {
    end = run_end(&rows, i);
    if (end == i) {
      report_row(in, &rows, i);
      memset(all.y + i * all.ldy, 0, (size_t)all.ldy * sizeof *all.y);
      end++;
      continue;
    }
    wh_attention_args a = all;
    a.rows = end - i;
    a.q += i * a.ldq;
    a.y += i * a.ldy;
    a.positions += i;
    a.sequences += i;
    in->kernel->attention(&a, &alone);
  }
}

wh_status wh_cpu_compile_kv_append(const cpu_device *d, const wh_graph *g, const wh_arg *args,
                                   cpu_kernel *k) {
  k->kv_append = wh_kv_append_select(d->features, g->values[args[0].value].shape.dtype, &k->name);
  k->run = run_kv_append;
  return WH_OK;
}

wh_status wh_cpu_compile_attention(const cpu_device *d, const wh_graph *g, const wh_arg *args,
                                   cpu_kernel *k) {
  k->attention = wh_attention_select(d->features, g->values[args[1].value].shape.dtype, &k->name);
  k->run = run_attention;
  return WH_OK;
}
