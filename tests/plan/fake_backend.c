/* fake_backend.c - see fake_backend.h. */
#include "tests/plan/fake_backend.h"

#include <stdio.h>
#include <string.h>

typedef struct fake_kernel {
  fake_device *dev;
  bool packed;
} fake_kernel;

size_t fake_operand_bytes(const wh_operand *o) {
  size_t n = o->dtype == WH_DTYPE_Q8A ? 1 : 0, elems = 1;
  if (n == 0) {
    size_t last = o->rank ? (size_t)o->dims[o->rank - 1] : 1;
    if (!wh_dtype_row_bytes(o->dtype, last, &n)) return 0;
    for (int i = 0; i + 1 < o->rank; i++) elems *= (size_t)o->dims[i];
    return elems * n;
  }
  for (int i = 0; i < o->rank; i++) elems *= (size_t)o->dims[i];
  return elems;
}

unsigned char fake_tag(const wh_graph *g, wh_value v) {
  while (g->values[v].kind == WH_VALUE_NODE) {
    const wh_node_info *n = &g->nodes[g->values[v].producer];
    if (n->op != WH_OP_RESHAPE && n->op != WH_OP_KV_APPEND) break;
    v = n->inputs[0];
  }
  return (unsigned char)(1 + v * 37u % 251u);
}

static void run_tags(const wh_instr *in, const void *worker) {
  const fake_kernel *k = in->kernel_data;
  fake_device *dev = k->dev;
  (void)worker;
  for (unsigned i = 0; i < in->node->n_inputs; i++) {
    const unsigned char *p = in->in[i].data;
    if (!in->node->inputs[i]) continue;
    size_t n = fake_operand_bytes(&in->in[i]);
    for (size_t j = 0; j < n; j++)
      if (p[j] != fake_tag(dev->g, in->node->inputs[i])) {
        dev->n_bad_tags++;
        break;
      }
  }
  if (in->scratch) memset(in->scratch, 0xee, in->scratch_bytes);
  memset(in->out.data, fake_tag(dev->g, wh_node_output(in->node, 0)), fake_operand_bytes(&in->out));
}

static void run_gather(const wh_instr *in, const void *worker) {
  (void)worker;
  const float *table = in->in[0].data;
  const int32_t *ids = in->in[1].data;
  float *y = in->out.data;
  size_t n = (size_t)in->out.dims[1];
  for (int64_t r = 0; r < in->out.dims[0]; r++)
    memcpy(y + (size_t)r * n, table + (size_t)ids[r] * n, n * sizeof *y);
}

static void run_linear(const wh_instr *in, const void *worker) {
  (void)worker;
  const fake_kernel *kernel = in->kernel_data;
  const float *x = in->in[0].data, *w = in->in[1].data, *bias = in->in[2].data, *residual = in->in[3].data;
  float *y = in->out.data;
  int64_t n_in = in->in[0].dims[1], n_out = in->out.dims[1];
  for (int64_t r = 0; r < in->out.dims[0]; r++)
    for (int64_t o = 0; o < n_out; o++) {
      float sum = 0.0f;
      for (int64_t i = 0; i < n_in; i++)
        sum += x[r * n_in + i] * (kernel->packed ? w[i * n_out + o] : w[o * n_in + i]);
      if (bias) sum += bias[o];
      y[r * n_out + o] = residual ? residual[r * n_out + o] + sum : sum;
    }
}

static void run_add(const wh_instr *in, const void *worker) {
  (void)worker;
  const float *a = in->in[0].data, *b = in->in[1].data;
  float *y = in->out.data;
  size_t n = fake_operand_bytes(&in->out) / sizeof *y, n_b = fake_operand_bytes(&in->in[1]) / sizeof *b;
  for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i % n_b];
}

static void run_neg(const wh_instr *in, const void *worker) {
  (void)worker;
  const float *x = in->in[0].data;
  float *y = in->out.data;
  for (size_t i = 0; i < fake_operand_bytes(&in->out) / sizeof *y; i++) y[i] = -x[i];
}

static void run_append(const wh_instr *in, const void *worker) {
  (void)worker;
  float *state = in->out.data;
  const float *x = in->in[1].data;
  const int32_t *positions = in->in[2].data, *sequences = in->in[3].data;
  size_t row = (size_t)(in->out.dims[2] * in->out.dims[3]);
  for (int64_t r = 0; r < in->in[1].dims[0]; r++)
    memcpy(state + ((size_t)sequences[r] * (size_t)in->out.dims[1] + (size_t)positions[r]) * row,
           x + (size_t)r * row, row * sizeof *state);
}

/* Not attention, but as sensitive to positions and sequences: the sum of all values up to the position. */
static void run_attention(const wh_instr *in, const void *worker) {
  (void)worker;
  const float *values = in->in[2].data;
  const int32_t *positions = in->in[3].data, *sequences = in->in[4].data;
  float *y = in->out.data;
  size_t row = (size_t)(in->out.dims[1] * in->out.dims[2]), context = (size_t)in->in[2].dims[1];
  for (int64_t r = 0; r < in->out.dims[0]; r++)
    for (size_t i = 0; i < row; i++) {
      float sum = 0.0f;
      for (int32_t p = 0; p <= positions[r]; p++)
        sum += values[((size_t)sequences[r] * context + (size_t)p) * row + i];
      y[(size_t)r * row + i] = sum;
    }
}

static wh_kernel_fn kernel_of(wh_op op) {
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
    default:
      return NULL;
  }
}

static wh_status fake_claim(void *device, const wh_graph *g, const wh_node_info *node,
                            const int64_t *symbols_max, wh_claim *out) {
  fake_device *dev = device;
  (void)symbols_max;
  bool view = node->op == WH_OP_RESHAPE;
  out->supported = dev->check_tags || view || kernel_of(node->op);
  if (dev->refuse && strstr(node->name, dev->refuse)) out->supported = false;
  if (!out->supported) {
    (void)snprintf(out->reason, sizeof out->reason, "this device does not like '%s'", node->name);
    return WH_OK;
  }
  out->scratch_bytes = view ? 0 : dev->scratch_bytes;
  if (dev->pack && node->op == WH_OP_LINEAR && g->values[node->inputs[1]].kind == WH_VALUE_CONST) {
    out->packed_input = 1;
    out->packed_bytes = g->values[node->inputs[1]].n_bytes;
    out->packed_layout = dev->other_layout && strcmp(node->name, dev->other_layout) == 0 ? 8 : 7;
  }
  return WH_OK;
}

static wh_status fake_value_bytes(void *dev, const wh_graph *g, const wh_shape *shape, bool is_state,
                                  const int64_t *symbols, size_t *out) {
  (void)dev;
  (void)is_state;
  wh_shape plain = *shape;
  if (plain.dtype == WH_DTYPE_Q8A) plain.dtype = WH_DTYPE_I8;
  if (!wh_shape_bytes(g, &plain, symbols, out)) return WH_FAIL(ERR_LIMIT, "a value is too large");
  return WH_OK;
}

static wh_status fake_pack(void *device, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks) {
  fake_device *dev = device;
  for (size_t t = 0; t < n_tasks; t++) {
    const float *src = tasks[t].weight->data;
    float *dst = tasks[t].dst;
    size_t n_out = (size_t)wh_dim_get(&g->dims, tasks[t].weight->shape.dims[0])->value,
           n_in = (size_t)wh_dim_get(&g->dims, tasks[t].weight->shape.dims[1])->value;
    if (dev->check_tags)
      memcpy(dst, src, tasks[t].weight->n_bytes);
    else
      for (size_t o = 0; o < n_out; o++)
        for (size_t i = 0; i < n_in; i++) dst[i * n_out + o] = src[o * n_in + i];
    tasks[t].finite = !dev->not_finite || strcmp(tasks[t].weight->name, dev->not_finite) != 0;
    if (dev->n_packed < FAKE_MAX_RECORDS) dev->packed[dev->n_packed] = tasks[t].weight->name;
    dev->n_packed++;
  }
  return WH_OK;
}

static wh_status fake_compile(void *device, const wh_graph *g, const wh_node_info *node,
                              const int64_t *symbols_max, wh_instr *instr) {
  fake_device *dev = device;
  (void)symbols_max;
  if (dev->fail_compile && strcmp(node->name, dev->fail_compile) == 0)
    return WH_FAIL(ERR_DEVICE, "node '%s' does not compile", node->name);
  fake_kernel *k = wh_alloc_zeroed(dev->alloc, sizeof *k);
  if (!k) return WH_OOM("fake kernel");
  *k = (fake_kernel){dev, dev->pack && node->op == WH_OP_LINEAR};
  dev->g = g;
  instr->fn = dev->check_tags ? run_tags : kernel_of(node->op);
  instr->kernel = "fake";
  instr->reason = "there is no other";
  instr->kernel_data = k;
  dev->n_compiled++;
  return WH_OK;
}

static void fake_release(void *device, wh_instr *instr) {
  fake_device *dev = device;
  if (!instr->kernel_data) return; /* never compiled */
  wh_free(dev->alloc, instr->kernel_data);
  instr->kernel_data = NULL;
  dev->n_released++;
}

static wh_status fake_run(void *device, const wh_instr *instrs, size_t first, size_t count) {
  fake_device *dev = device;
  for (size_t begin = first, end; begin < first + count; begin = end) {
    for (end = begin + 1; end < first + count && !instrs[end].barrier; end++) {
    }
    for (size_t i = begin; i < end; i++) {
      const wh_instr *in = &instrs[dev->reverse ? end - 1 - (i - begin) : i];
      in->fn(in, NULL);
      if (dev->n_run < FAKE_MAX_RECORDS) dev->ran[dev->n_run] = in->node->name;
      dev->n_run++;
    }
  }
  return WH_OK;
}

const wh_backend fake_backend = {.struct_size = sizeof(wh_backend),
                                 .abi_version = WH_BACKEND_ABI_VERSION,
                                 .name = "fake",
                                 .claim = fake_claim,
                                 .value_bytes = fake_value_bytes,
                                 .pack = fake_pack,
                                 .compile = fake_compile,
                                 .release = fake_release,
                                 .run = fake_run};
