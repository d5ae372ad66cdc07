/* fake_backend.c - see fake_backend.h. Everything runs in the call, so every point is reached at once. */
#include "tests/plan/fake_backend.h"

#include <stdio.h>
#include <string.h>

struct wh_buffer {
  char *data;
  bool hidden, is_import;
};

struct wh_queue {
  fake_device *dev;
};

struct wh_code {
  fake_device *dev;
  const wh_block *block;
};

/* An operand in this run. */
typedef struct operand {
  void *data; /* NULL: absent */
  int64_t dims[WH_MAX_RANK];
  size_t n_bytes;
} operand;

#define FAKE_MAX_INPUTS 8
#define FAKE_MAX_OUTPUTS 8
typedef struct fake_instr {
  const wh_node_info *node;
  operand in[FAKE_MAX_INPUTS], out; /* the first output */
  operand outs[FAKE_MAX_OUTPUTS];   /* all of them */
  void *scratch;
  size_t scratch_bytes;
  bool packed;
} fake_instr;

typedef void (*fake_kernel)(const fake_instr *in);

/* ---- values ---- */

size_t fake_value_size(const wh_graph *g, wh_value v, const int64_t *dims) {
  const wh_shape *s = &g->values[v].shape;
  size_t row = 0, rows = 1;
  const size_t last = s->rank ? (size_t)dims[s->dims[s->rank - 1]] : 1;
  if (s->dtype == WH_DTYPE_Q8A)
    row = last;
  else if (!wh_dtype_row_bytes(s->dtype, last, &row))
    return 0;
  for (int i = 0; i + 1 < s->rank; i++) rows *= (size_t)dims[s->dims[i]];
  return rows * row;
}

static wh_value root_of(const wh_graph *g, wh_value v) {
  while (g->values[v].kind == WH_VALUE_NODE) {
    const wh_node_info *n = &g->nodes[g->values[v].producer];
    if (!wh_op_has(n->op, WH_TRAIT_VIEW | WH_TRAIT_WRITES)) break;
    v = n->inputs[0];
  }
  return v;
}

unsigned char fake_tag(const wh_graph *g, wh_value v) {
  return (unsigned char)(1 + root_of(g, v) * 37u % 251u);
}

/* ---- kernels ---- */

static void run_gather(const fake_instr *in) {
  const float *table = in->in[0].data;
  const int32_t *ids = in->in[1].data;
  float *y = in->out.data;
  size_t n = (size_t)in->out.dims[1];
  for (int64_t r = 0; r < in->out.dims[0]; r++)
    memcpy(y + (size_t)r * n, table + (size_t)ids[r] * n, n * sizeof *y);
}

static void run_linear(const fake_instr *in) {
  const float *x = in->in[0].data, *w = in->in[1].data, *bias = in->in[2].data, *residual = in->in[3].data;
  float *y = in->out.data;
  int64_t n_in = in->in[0].dims[1], n_out = in->out.dims[1];
  for (int64_t r = 0; r < in->out.dims[0]; r++)
    for (int64_t o = 0; o < n_out; o++) {
      float sum = 0.0f;
      for (int64_t i = 0; i < n_in; i++)
        sum += x[r * n_in + i] * (in->packed ? w[i * n_out + o] : w[o * n_in + i]);
      if (bias) sum += bias[o];
      y[r * n_out + o] = residual ? residual[r * n_out + o] + sum : sum;
    }
}

static void run_add(const fake_instr *in) {
  const float *a = in->in[0].data, *b = in->in[1].data;
  float *y = in->out.data;
  size_t n = in->out.n_bytes / sizeof *y, n_b = in->in[1].n_bytes / sizeof *b;
  for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i % n_b];
}

static void run_neg(const fake_instr *in) {
  const float *x = in->in[0].data;
  float *y = in->out.data;
  for (size_t i = 0; i < in->out.n_bytes / sizeof *y; i++) y[i] = -x[i];
}

/* A state's element of a head at a position of a sequence. */
static float *state_at(const operand *state, const operand *table, int32_t sequence, int32_t position,
                       int64_t head) {
  const int64_t page = ((const int32_t *)table->data)[sequence * table->dims[1] + position / 64];
  return (float *)state->data +
         ((page * state->dims[1] + head) * state->dims[2] + position % 64) * state->dims[3];
}

static void run_append(const fake_instr *in) {
  const float *x = in->in[1].data;
  const int32_t *positions = in->in[2].data, *sequences = in->in[3].data;
  const int64_t heads = in->out.dims[1], dim = in->out.dims[3];
  for (int64_t r = 0; r < in->in[1].dims[0]; r++)
    for (int64_t h = 0; h < heads; h++)
      memcpy(state_at(&in->out, &in->in[4], sequences[r], positions[r], h), x + (r * heads + h) * dim,
             (size_t)dim * sizeof *x);
}

/* Not attention, but as sensitive to positions and sequences: the sum of all values up to the position. */
static void run_attention(const fake_instr *in) {
  const int32_t *positions = in->in[3].data, *sequences = in->in[4].data;
  float *y = in->out.data;
  const int64_t heads = in->out.dims[1], dim = in->out.dims[2];
  for (int64_t r = 0; r < in->out.dims[0]; r++)
    for (int64_t h = 0; h < heads; h++)
      for (int64_t i = 0; i < dim; i++, y++) {
        *y = 0.0f;
        for (int32_t p = 0; p <= positions[r]; p++)
          *y += state_at(&in->in[2], &in->in[5], sequences[r], p, h)[i];
      }
}

/* Along the last axis; NaN first, of equal ones the lower index. */
static void run_topk(const fake_instr *in) {
  const float *x = in->in[0].data;
  const int64_t n = in->in[0].dims[1], k = in->out.dims[1], rows = in->in[0].dims[0];
  const bool largest = wh_node_i(in->node, WH_ATTR_LARGEST) != 0;
  for (int64_t r = 0; r < rows; r++, x += n)
    for (int64_t i = 0; i < n; i++) {
      int64_t rank = 0;
      for (int64_t j = 0; j < n; j++) {
        const bool nan = x[j] != x[j], above = nan ? x[i] == x[i] : x[j] > x[i],
                   below = x[i] != x[i] ? !nan : x[j] < x[i];
        rank += (largest ? above : below) || (!above && !below && j < i);
      }
      if (rank >= k) continue;
      ((float *)in->outs[0].data)[r * k + rank] = x[i];
      ((int64_t *)in->outs[1].data)[r * k + rank] = i;
    }
}

static fake_kernel kernel_of(wh_op op) {
  switch (op) {
    case WH_OP_GATHER_ROWS:
    case WH_OP_SELECT_ROWS:
      return run_gather;
    case WH_OP_LINEAR:
      return run_linear;
    case WH_OP_ADD:
      return run_add;
    case WH_OP_NEG:
      return run_neg;
    case WH_OP_KV_APPEND:
      return run_append;
    case WH_OP_ATTENTION:
      return run_attention;
    case WH_OP_TOPK:
      return run_topk;
    default:
      return NULL;
  }
}

static void check_tags(fake_device *dev, const wh_graph *g, const fake_instr *in) {
  for (unsigned i = 0; i < in->node->n_inputs; i++) {
    const unsigned char *p = in->in[i].data;
    if (!in->node->inputs[i]) continue;
    const bool is_new = g->values[root_of(g, in->node->inputs[i])].kind == WH_VALUE_STATE &&
                        in->in[i].n_bytes && p[0] == 0; /* a state that nobody has written */
    for (size_t j = 0; j < in->in[i].n_bytes; j++)
      if (p[j] != (is_new ? 0 : fake_tag(g, in->node->inputs[i]))) {
        dev->n_bad_tags++;
        break;
      }
  }
  if (in->scratch) memset(in->scratch, 0xee, in->scratch_bytes);
  for (unsigned i = 0; i < in->node->n_outputs; i++)
    memset(in->outs[i].data, fake_tag(g, wh_node_output(in->node, i)), in->outs[i].n_bytes);
}

/* ---- device and memory ---- */

static uint32_t fake_count(void) { return 1; }
static wh_status fake_open(uint32_t index, const wh_device_options *options, void **dev) {
  (void)index, (void)options, (void)dev;
  return WH_FAIL(ERR_UNSUPPORTED, "tests own their devices");
}
static void fake_close(void *dev) { (void)dev; }
static void fake_get_info(void *dev, wh_device_info *info) {
  (void)dev;
  info->name = "fake";
}

static wh_status fake_measure(void *dev, double seconds, wh_device_roofline *out) {
  (void)dev;
  (void)seconds;
  (void)out;
  return WH_FAIL(ERR_UNSUPPORTED, "the fake device is not measured");
}

static bool fails(fake_device *dev) { return ++dev->n_calls == dev->fail_at; }

static wh_status new_buffer(fake_device *dev, char *data, bool hidden, wh_buffer **out) {
  wh_buffer *b = data ? wh_alloc_zeroed(dev->alloc, sizeof *b) : NULL;
  if (!b) return WH_OOM("fake buffer");
  *b = (wh_buffer){data, hidden, false};
  dev->n_live++;
  *out = b;
  return WH_OK;
}

static wh_status fake_buffer_create(void *device, wh_memory_kind kind, uint64_t n_bytes, wh_buffer **out) {
  fake_device *dev = device;
  if (fails(dev)) return WH_FAIL(ERR_OUT_OF_MEMORY, "fake device memory");
  char *data = wh_alloc_uninit(dev->alloc, n_bytes + 1, WH_BUFFER_ALIGN);
  if (data) memset(data, 0, n_bytes);
  wh_status st = new_buffer(dev, data, dev->hidden && kind != WH_MEMORY_HOST, out);
  if (st != WH_OK) wh_free(dev->alloc, data);
  return st;
}

static wh_status fake_buffer_import(void *device, const void *host, uint64_t n_bytes, wh_buffer **out) {
  fake_device *dev = device;
  union { /* only read */
    const void *in;
    char *out;
  } u = {host};
  (void)n_bytes;
  if (dev->hidden) return WH_FAIL(ERR_UNSUPPORTED, "not here");
  WH_TRY(new_buffer(dev, u.out, false, out));
  (*out)->is_import = true;
  return WH_OK;
}

static void fake_buffer_destroy(void *device, wh_buffer *buffer) {
  fake_device *dev = device;
  if (!buffer) return;
  if (!buffer->is_import) wh_free(dev->alloc, buffer->data);
  wh_free(dev->alloc, buffer);
  dev->n_live--;
}

static void *fake_buffer_host(void *dev, wh_buffer *buffer) {
  (void)dev;
  return buffer->hidden ? NULL : buffer->data;
}

static uint64_t fake_buffer_footprint(void *dev, wh_memory_kind kind, uint64_t n_bytes) {
  (void)dev, (void)kind;
  return n_bytes;
}

/* ---- claims, packing, code ---- */

static wh_status fake_claim(void *device, const wh_graph *g, wh_node n, const int64_t *dims, wh_claim *out) {
  fake_device *dev = device;
  const wh_node_info *node = &g->nodes[n];
  (void)dims;
  out->supported = dev->check_tags || kernel_of(node->op);
  if (dev->refuse && strstr(node->name, dev->refuse)) out->supported = false;
  if (!out->supported) {
    (void)snprintf(out->reason, sizeof out->reason, "this device does not like '%s'", node->name);
    return WH_OK;
  }
  out->scratch_bytes = dev->scratch_bytes;
  if (dev->pack && node->op == WH_OP_LINEAR && g->values[node->inputs[1]].kind == WH_VALUE_CONST) {
    const uint32_t id = dev->other_layout && strcmp(node->name, dev->other_layout) == 0 ? 8 : 7;
    out->n_layouts = 1;
    out->layouts[0] = (wh_weight_layout){1, id, g->values[node->inputs[1]].n_bytes};
  }
  return WH_OK;
}

static wh_status fake_value_bytes(void *dev, const wh_graph *g, wh_value v, const int64_t *dims,
                                  uint64_t *out) {
  (void)dev;
  *out = fake_value_size(g, v, dims);
  return WH_OK;
}

static wh_status fake_pack(void *device, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks) {
  fake_device *dev = device;
  for (size_t t = 0; t < n_tasks; t++) {
    const wh_value_info *w = &g->values[tasks[t].weight];
    const float *src = w->data;
    float *dst = tasks[t].dst;
    size_t n_out = (size_t)wh_dim_get(&g->dims, w->shape.dims[0])->value,
           n_in = (size_t)wh_dim_get(&g->dims, w->shape.dims[1])->value;
    if (dev->check_tags)
      memcpy(dst, src, w->n_bytes);
    else
      for (size_t o = 0; o < n_out; o++)
        for (size_t i = 0; i < n_in; i++) dst[i * n_out + o] = src[o * n_in + i];
    tasks[t].finite = !dev->not_finite || strcmp(w->name, dev->not_finite) != 0;
    if (dev->n_packed < FAKE_MAX_RECORDS) dev->packed[dev->n_packed] = w->name;
    dev->n_packed++;
  }
  return WH_OK;
}

static wh_status fake_compile(void *device, const wh_block *block, wh_code **out) {
  fake_device *dev = device;
  for (size_t i = 0; i < block->n_steps; i++)
    if (dev->fail_compile && strcmp(block->graph->nodes[block->steps[i].node].name, dev->fail_compile) == 0)
      return WH_FAIL(ERR_DEVICE, "node '%s' does not compile", dev->fail_compile);
  wh_code *c = wh_alloc_zeroed(dev->alloc, sizeof *c);
  if (!c) return WH_OOM("fake code");
  *c = (wh_code){dev, block};
  dev->n_compiled++;
  *out = c;
  return WH_OK;
}

static void fake_code_destroy(void *device, wh_code *code) {
  fake_device *dev = device;
  wh_free(dev->alloc, code);
  dev->n_released++;
}

static void fake_describe(void *dev, const wh_code *code, size_t step, wh_step_info *out) {
  (void)dev, (void)code, (void)step;
  out->kernel = "fake";
  out->reason = "there is no other";
}

/* ---- running ---- */

static wh_status fake_queue_create(void *device, wh_queue **out) {
  fake_device *dev = device;
  wh_queue *q = fails(dev) ? NULL : wh_alloc_zeroed(dev->alloc, sizeof *q);
  if (!q) return WH_OOM("fake queue");
  q->dev = dev;
  dev->n_live++;
  *out = q;
  return WH_OK;
}

static void fake_queue_destroy(wh_queue *q) {
  q->dev->n_live--;
  wh_free(q->dev->alloc, q);
}

static void resolve(const wh_graph *g, const wh_frame *f, const wh_arg *a, operand *out) {
  const wh_shape *s = &g->values[a->value].shape;
  if (a->slot == WH_NO_SLOT) return;
  out->data = f->buffers[a->slot]->data + f->offsets[a->slot];
  for (int i = 0; i < s->rank; i++) out->dims[i] = f->dims[s->dims[i]];
  out->n_bytes = fake_value_size(g, a->value, f->dims);
}

static void run_step(fake_device *dev, const wh_block *b, const wh_step *s, const wh_frame *f) {
  fake_instr in = {.node = &b->graph->nodes[s->node], .packed = dev->pack};
  for (unsigned i = 0; i < s->n_inputs; i++) resolve(b->graph, f, &b->args[s->first_arg + i], &in.in[i]);
  for (unsigned i = 0; i < s->n_outputs; i++)
    resolve(b->graph, f, &b->args[s->first_arg + s->n_inputs + i], &in.outs[i]);
  in.out = in.outs[0];
  if (s->scratch != WH_NO_SLOT && f->n_bytes[s->scratch]) {
    in.scratch = f->buffers[s->scratch]->data + f->offsets[s->scratch];
    in.scratch_bytes = f->n_bytes[s->scratch];
  }
  if (dev->check_tags)
    check_tags(dev, b->graph, &in);
  else
    kernel_of(in.node->op)(&in);
  if (dev->n_run < FAKE_MAX_RECORDS) dev->ran[dev->n_run] = in.node->name;
  dev->n_run++;
}

static wh_status fake_submit(wh_queue *q, wh_code *code, size_t first, size_t count, const wh_frame *frame,
                             const wh_point *waits, size_t n_waits, wh_point *done) {
  (void)waits, (void)n_waits;
  const wh_block *b = code->block;
  if (fails(q->dev)) return WH_FAIL(ERR_DEVICE, "fake submission");
  q->dev->n_submits++;
  for (size_t begin = first, end; begin < first + count; begin = end) {
    for (end = begin + 1; end < first + count && b->steps[end].phase == b->steps[begin].phase; end++) {
    }
    for (size_t i = begin; i < end; i++)
      run_step(q->dev, b, &b->steps[q->dev->reverse ? end - 1 - (i - begin) : i], frame);
  }
  *done = (wh_point){q, 1};
  return WH_OK;
}

static wh_status fake_upload(wh_queue *q, wh_buffer *dst, uint64_t to, const void *src, uint64_t n,
                             const wh_point *waits, size_t n_waits, wh_point *done) {
  (void)waits, (void)n_waits;
  if (fails(q->dev)) return WH_FAIL(ERR_DEVICE, "fake upload");
  q->dev->n_uploads++;
  memcpy(dst->data + to, src, n);
  *done = (wh_point){q, 1};
  return WH_OK;
}

static wh_status fake_download(wh_queue *q, void *dst, wh_buffer *src, uint64_t from, uint64_t n,
                               const wh_point *waits, size_t n_waits, wh_point *done) {
  (void)waits, (void)n_waits;
  if (fails(q->dev)) return WH_FAIL(ERR_DEVICE, "fake download");
  q->dev->n_downloads++;
  memcpy(dst, src->data + from, n);
  *done = (wh_point){q, 1};
  return WH_OK;
}

static wh_status fake_copy(wh_queue *q, wh_buffer *dst, uint64_t to, wh_buffer *src, uint64_t from,
                           uint64_t n, const wh_point *waits, size_t n_waits, wh_point *done) {
  (void)waits, (void)n_waits;
  if (fails(q->dev)) return WH_FAIL(ERR_DEVICE, "fake copy");
  memcpy(dst->data + to, src->data + from, n);
  *done = (wh_point){q, 1};
  return WH_OK;
}

static wh_status fake_wait(wh_point point) {
  (void)point;
  return WH_OK;
}

static wh_status fake_read_value(void *dev, const wh_graph *g, wh_value v, const int64_t *dims,
                                 wh_buffer *buffer, uint64_t offset, void *row_major) {
  (void)dev;
  memcpy(row_major, buffer->data + offset, fake_value_size(g, v, dims));
  return WH_OK;
}

const wh_backend fake_backend = {.struct_size = sizeof(wh_backend),
                                 .abi_version = WH_BACKEND_ABI_VERSION,
                                 .name = "fake",
                                 .count = fake_count,
                                 .open = fake_open,
                                 .close = fake_close,
                                 .get_info = fake_get_info,
                                 .measure = fake_measure,
                                 .buffer_create = fake_buffer_create,
                                 .buffer_import = fake_buffer_import,
                                 .buffer_destroy = fake_buffer_destroy,
                                 .buffer_host = fake_buffer_host,
                                 .buffer_footprint = fake_buffer_footprint,
                                 .claim = fake_claim,
                                 .value_bytes = fake_value_bytes,
                                 .pack = fake_pack,
                                 .compile = fake_compile,
                                 .code_destroy = fake_code_destroy,
                                 .describe = fake_describe,
                                 .queue_create = fake_queue_create,
                                 .queue_destroy = fake_queue_destroy,
                                 .submit = fake_submit,
                                 .upload = fake_upload,
                                 .download = fake_download,
                                 .copy = fake_copy,
                                 .wait = fake_wait,
                                 .read_value = fake_read_value};
