/* args_attention.c - keys, values and attention: their kernels, and their operands as the kernels take them.
 *
 * The kernels take rows that lie within the page table and whose pages lie within the cache, and in attention
 * the rows of a sequence in ascending order. Those of a graph's input may be anything: nearly always the
 * kernel takes all rows at once; where it cannot, one worker gives it run after run of rows that it takes,
 * which has the same bits. */
#include <string.h>

#include "backends/cpu/cpu_internal.h"

_Static_assert(WH_ATTENTION_CHUNK == WH_KV_PAGE, "a tile is a page of one head");

/* Rows and the cache that they index. */
typedef struct cache_rows {
  const int32_t *positions, *sequences, *page_table;
  int64_t n, slots, table, pages;
  bool attends; /* rows read all pages that they see, and those of a sequence must ascend */
  int64_t window;
} cache_rows;

/* The operands that both ops end with. */
static cache_rows rows_of(const cpu_operand *positions, int64_t pages) {
  const cpu_operand *table = positions + 2;
  return (cache_rows){.positions = positions[0].data,
                      .sequences = positions[1].data,
                      .page_table = table->data,
                      .n = positions->dims[0],
                      .slots = table->dims[0],
                      .table = table->dims[1],
                      .pages = pages};
}

static int64_t first_chunk(const cache_rows *r, int64_t position) {
  if (!r->attends) return position / WH_ATTENTION_CHUNK;
  return r->window > 0 && position >= r->window ? (position - r->window + 1) / WH_ATTENTION_CHUNK : 0;
}

/* End of the run of rows from `begin` that the kernel takes; `begin` when it cannot take that row, which is
 * then outside by *outside. */
static int64_t run_end(const cache_rows *r, int64_t begin, int32_t *outside) {
  int64_t known = -1; /* last chunk of the sequence whose page was looked at */
  for (int64_t i = begin; i < r->n; i++) {
    const int32_t position = r->positions[i], sequence = r->sequences[i];
    const bool goes_on = r->attends && i > begin && sequence == r->sequences[i - 1];
    if (goes_on && position < r->positions[i - 1]) return i;
    *outside = position;
    if ((uint64_t)position >= (uint64_t)r->table * WH_ATTENTION_CHUNK) return i;
    *outside = sequence;
    if ((uint64_t)sequence >= (uint64_t)r->slots) return i;
    const int32_t *pages = r->page_table + sequence * r->table;
    const int64_t last = position / WH_ATTENTION_CHUNK;
    int64_t c = first_chunk(r, position);
    if (goes_on && c <= known) c = known + 1;
    for (; c <= last; c++)
      if ((uint64_t)pages[c] >= (uint64_t)r->pages) {
        *outside = pages[c];
        return i;
      }
    known = last;
  }
  return r->n;
}

static void run_kv_append(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *state = &in->in[0], *x = &in->in[1];
  const cache_rows rows = rows_of(&in->in[2], state->dims[0]);
  const wh_kv_append_args all = {.dtype = state->dtype,
                                 .is_key = wh_node_i(in->kernel->node, WH_ATTR_KEY) != 0,
                                 .rows = rows.n,
                                 .n_kv_heads = x->dims[1],
                                 .head_dim = x->dims[2],
                                 .x = x->data,
                                 .ldx = x->dims[1] * x->dims[2],
                                 .positions = rows.positions,
                                 .sequences = rows.sequences,
                                 .page_table = rows.page_table,
                                 .table = rows.table,
                                 .cache = state->data};
  int32_t outside = 0;
  if (run_end(&rows, 0, &outside) == rows.n) {
    in->kernel->kv_append(&all, worker);
    return;
  }
  if (worker->index != 0) return;
  const wh_worker alone = {0, 1, worker->team};
  for (int64_t i = 0, end; i < rows.n; i = end) {
    end = run_end(&rows, i, &outside);
    if (end == i) {
      wh_cpu_report_index(in, outside);
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
  cache_rows rows = rows_of(&in->in[3], keys->dims[0]);
  rows.attends = true;
  rows.window = wh_node_i(in->kernel->node, WH_ATTR_WINDOW);
  const wh_attention_args all = {.dtype = keys->dtype,
                                 .rows = rows.n,
                                 .n_heads = q->dims[1],
                                 .n_kv_heads = keys->dims[1],
                                 .head_dim = q->dims[2],
                                 .value_dim = values->dims[3],
                                 .q = q->data,
                                 .ldq = q->dims[1] * q->dims[2],
                                 .keys = keys->data,
                                 .values = values->data,
                                 .positions = rows.positions,
                                 .sequences = rows.sequences,
                                 .page_table = rows.page_table,
                                 .table = rows.table,
                                 .scale = wh_node_f(in->kernel->node, WH_ATTR_SCALE),
                                 .softcap = wh_node_f(in->kernel->node, WH_ATTR_SOFTCAP),
                                 .window = rows.window,
                                 .y = in->out->data,
                                 .ldy = q->dims[1] * values->dims[3],
                                 .step = in->step,
                                 .scratch = in->scratch,
                                 .scratch_bytes = in->scratch_bytes};
  int32_t outside = 0;
  if (run_end(&rows, 0, &outside) == rows.n) {
    if (rows.n > 0) in->kernel->attention(&all, worker);
    return;
  }
  if (worker->index != 0) return;
  const wh_worker alone = {0, 1, worker->team};
  for (int64_t i = 0, end; i < rows.n; i = end) {
    end = run_end(&rows, i, &outside);
    if (end == i) {
      wh_cpu_report_index(in, outside);
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
