/* args_matmul.c - products of activations: their kernels, scratch, and batches as the kernels take them. */
#include <stdio.h>

#include "backends/cpu/codes_end.h"
#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/matmul_blocks.h"
#include "backends/cpu/matmul_codes.h"
#include "backends/cpu/product_end.h"

bool wh_cpu_is_matmul(const wh_node_info *node) {
  return node->op == WH_OP_MATMUL || node->op == WH_OP_MATMUL_CHAIN || node->op == WH_OP_MATMUL_INTEGER ||
         node->op == WH_OP_MATMUL_CODES;
}

static bool is_codes(const wh_node_info *node) {
  return node->op == WH_OP_MATMUL_INTEGER || node->op == WH_OP_MATMUL_CODES;
}

/* m, n and k of a product; batches in which only a differs are rows of one. */
typedef struct sizes {
  int64_t m, n, k;
  bool one_b; /* all batches have the one b, and a's lie one behind the other */
} sizes;

static sizes sizes_of(int a_rank, const int64_t *a, int b_rank, const int64_t *b, int64_t n_batches) {
  sizes s = {.m = a[a_rank - 2], .n = b[b_rank - 1], .k = a[a_rank - 1], .one_b = true};
  int64_t batches = 1;
  for (int d = 0; d < b_rank - 2; d++) s.one_b &= b[d] == 1;
  for (int d = 0; d < a_rank - 2; d++) batches *= a[d];
  s.one_b &= batches == n_batches;
  if (s.one_b) s.m *= n_batches;
  return s;
}

/* Whether all rows of a have one zero point, or are one matrix. */
static bool rows_join(const wh_graph *g, const wh_node_info *node) {
  return !node->inputs[2] || g->values[node->inputs[2]].shape.rank == 0 ||
         g->values[node->inputs[0]].shape.rank == 2;
}

/* Of a constant b that is one matrix of f32 or of codes, in which layout it can be kept. */
static bool has_panels(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                       wh_linear_layout *out) {
  const wh_value_info *b = &g->values[node->inputs[1]];
  const wh_shape *s = &b->shape;
  if (b->kind != WH_VALUE_CONST || s->rank != 2) return false;
  const int64_t n = wh_dim_get(&g->dims, s->dims[1])->value, k = wh_dim_get(&g->dims, s->dims[0])->value;
  const wh_codes_isa *isa = wh_codes_isa_select(d->features);
  if (is_codes(node)) return isa && rows_join(g, node) && wh_matmul_codes_layout(isa, s->dtype, n, k, out);
  return s->dtype == WH_DTYPE_F32 && wh_matmul_layout(d->features, n, k, out);
}

wh_status wh_cpu_matmul_layout(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                               wh_expert_layout *out) {
  *out = (wh_expert_layout){.n_experts = 1};
  if (!has_panels(d, g, node, &out->matrix))
    return WH_FAIL(ERR_INTERNAL, "node '%s' has no weight that is packed", node->name);
  out->expert_bytes = out->n_bytes = out->matrix.n_bytes;
  return WH_OK;
}

wh_status wh_cpu_claim_matmul(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c) {
  const wh_shape *a = &g->values[node->inputs[0]].shape, *b = &g->values[node->inputs[1]].shape,
                 *y = &g->values[wh_node_output(node, 0)].shape;
  int64_t a_dims[WH_MAX_RANK], b_dims[WH_MAX_RANK], n_batches = 1;
  for (int i = 0; i < a->rank; i++) a_dims[i] = dims[a->dims[i]];
  for (int i = 0; i < b->rank; i++) b_dims[i] = dims[b->dims[i]];
  for (int i = 0; i < y->rank - 2; i++) n_batches *= dims[y->dims[i]];
  const bool codes = is_codes(node);
  size_t sums = 0;
  if (node->op == WH_OP_MATMUL_CODES && !wh_cpu_sum_bytes(g, node, dims, &sums))
    return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  if (a->dtype != WH_DTYPE_F32 && !codes) return WH_OK;
  const sizes s = sizes_of(a->rank, a_dims, b->rank, b_dims, n_batches);
  size_t each = wh_matmul_scratch(d->features, codes, codes ? a_dims[a->rank - 2] : s.m, s.n, s.k), total,
         packed;
  wh_linear_layout l;
  if (has_panels(d, g, node, &l)) {
    if (!(codes ? wh_matmul_codes_packed_scratch(wh_codes_isa_select(d->features), s.k, &packed)
                : wh_linear_f_run_scratch(&l, s.m, &packed)))
      packed = SIZE_MAX;
    if (each < packed) each = packed;
    c->layouts[c->n_layouts++] = (wh_weight_layout){1, l.id, l.n_bytes};
    c->layouts[c->n_layouts++] = (wh_weight_layout){1, 0, g->values[node->inputs[1]].n_bytes};
  }
  if (each == SIZE_MAX ||
      !wh_mul_size((each + WH_ALIGN_SIMD - 1) / WH_ALIGN_SIMD * WH_ALIGN_SIMD, (size_t)wh_team_size(d->team),
                   &total) ||
      !wh_add_size(total, sums, &total))
    return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  c->scratch_bytes = total;
  return WH_OK;
}

static wh_nd batches_of(const cpu_instr *in) {
  const cpu_operand *y = in->out;
  wh_nd nd = {.rank = y->rank - 2, .n_operands = 2};
  for (int d = 0; d < nd.rank; d++) nd.dims[d] = y->dims[d];
  for (int o = 0; o < 2; o++) {
    const cpu_operand *x = &in->in[o];
    int64_t stride = x->dims[x->rank - 1] * x->dims[x->rank - 2];
    for (int d = x->rank - 3, to = nd.rank - 1; d >= 0; d--, to--) {
      nd.stride[o][to] = x->dims[d] == 1 ? 0 : stride;
      stride *= x->dims[d];
    }
  }
  wh_nd_collapse(&nd);
  return nd;
}

/* ---- ends ---- */

void wh_cpu_end_rows(const cpu_instr *in, int first, int rank, const int64_t *dims, const wh_worker *worker,
                     wh_end_rows *rows) {
  wh_nd walk = {.rank = rank - 1, .n_operands = (int)in->kernel->chain.n_inputs - 1};
  for (int d = 0; d < rank - 1; d++) walk.dims[d] = dims[d];
  for (int o = 0; o < walk.n_operands; o++) {
    const cpu_operand *x = &in->in[first + o];
    int64_t stride = x->rank ? x->dims[x->rank - 1] : 1;
    rows->x[o] = x->data;
    rows->step[o] = stride > 1;
    for (int d = x->rank - 2, to = rank - 2; d >= 0; d--, to--) {
      walk.stride[o][to] = x->dims[d] == 1 ? 0 : stride;
      stride *= x->dims[d];
    }
  }
  rows->chain = &in->kernel->chain;
  rows->team = worker->team;
  rows->walk = walk;
  rows->first = 0;
}

/* NULL: the node is no matmul_chain. `rows` and `end` live as long as the product runs. */
static const wh_product_end *begin_end(const cpu_instr *in, const wh_worker *worker, wh_end_rows *rows,
                                       wh_product_end *end) {
  const cpu_operand *y = in->out;
  if (in->kernel->node->op != WH_OP_MATMUL_CHAIN) return NULL;
  wh_cpu_end_rows(in, 2, y->rank, y->dims, worker, rows);
  rows->y = y->data;
  rows->ld_y = y->dims[y->rank - 1];
  wh_end_rows_begin(rows, end);
  return end;
}

static void run_matmul(const cpu_instr *in, const wh_worker *worker) {
  const bool codes = is_codes(in->kernel->node);
  wh_end_rows rows;
  wh_product_end end;
  const cpu_operand *a = &in->in[0], *b = &in->in[1], *y = in->out;
  if (wh_cpu_elements(y) == 0) return;
  wh_matmul p = {.batches = batches_of(in),
                 .a_bytes = wh_dtype_get(a->dtype)->block_bytes,
                 .b_bytes = wh_dtype_get(b->dtype)->block_bytes,
                 .y_bytes = wh_dtype_get(y->dtype)->block_bytes,
                 .fn = in->kernel->matmul,
                 .end = begin_end(in, worker, &rows, &end),
                 .codes = codes,
                 .a_signed = a->dtype == WH_DTYPE_I8,
                 .b_signed = b->dtype == WH_DTYPE_I8,
                 .features = in->kernel->features,
                 .scratch = in->scratch,
                 .worker_scratch = in->worker_scratch};
  const sizes s = sizes_of(a->rank, a->dims, b->rank, b->dims, wh_nd_elements(&p.batches));
  const bool joined = s.one_b && !p.codes;
  if (joined) p.batches = (wh_nd){.rank = 1, .n_operands = 2, .dims = {1}};
  p.part = (wh_matmul_part){.m = joined ? s.m : a->dims[a->rank - 2],
                            .n = s.n,
                            .k = s.k,
                            .lda = s.k,
                            .ldb = s.n,
                            .ldy = s.n,
                            .a = a->data,
                            .b = b->data,
                            .y = y->data};
  if (p.codes) {
    p.part.a_zero = in->in[2].data;
    p.part.a_zero_step = in->in[2].rank;
    p.part.b_zero = in->in[3].data;
    p.part.b_zero_step = in->in[3].rank;
  }
  wh_matmul_run(&p, worker);
}

/* Sums go over memory; they lie in front of the workers' scratch. */
static void run_matmul_codes(const cpu_instr *in, const wh_worker *worker) {
  cpu_operand sums = *in->out;
  cpu_instr product = *in;
  const size_t bytes = ((size_t)wh_cpu_elements(in->out) * sizeof(int32_t) + 63) / 64 * 64,
               workers = (size_t)wh_team_size(worker->team);
  sums.data = in->scratch;
  sums.dtype = WH_DTYPE_I32;
  product.out = &sums;
  product.scratch = (char *)in->scratch + bytes;
  product.worker_scratch = (in->scratch_bytes - bytes) / workers / WH_ALIGN_SIMD * WH_ALIGN_SIMD;
  run_matmul(&product, worker);
  wh_cpu_run_codes(in, in->scratch, worker);
}

static void run_packed(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *a = &in->in[0];
  const wh_linear_layout *l = &in->kernel->layout.matrix;
  wh_end_rows rows;
  wh_product_end end;
  const wh_linear_f_args args = {.layout = l,
                                 .w = in->in[1].data,
                                 .x = a->data,
                                 .ldx = l->k,
                                 .m = wh_cpu_rows(a),
                                 .y = in->out->data,
                                 .ldy = l->n,
                                 .features = in->kernel->features,
                                 .end = begin_end(in, worker, &rows, &end),
                                 .step = in->step,
                                 .scratch = in->scratch,
                                 .scratch_bytes = in->worker_scratch};
  wh_linear_f_run(&args, worker, in->kernel->steps);
}

/* How an operand of a formula moves on over [m][n] outputs: it has a row of them or one, and a column or one.
 */
static wh_chain_input end_of(const cpu_operand *x, int64_t m, int64_t n) {
  const int64_t last = x->rank ? x->dims[x->rank - 1] : 1, all = wh_cpu_elements(x);
  const bool columns = last == n && n > 1, rows = m > 1 && all == m * last;
  return (wh_chain_input){NULL, columns, {rows ? last : 0, false}};
}

static void run_packed_codes(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *a = &in->in[0], *az = &in->in[2], *bz = &in->in[3];
  const wh_linear_layout *l = &in->kernel->layout.matrix;
  const wh_chain *chain = in->kernel->node->op == WH_OP_MATMUL_CODES ? &in->kernel->chain : NULL;
  float ones[WH_FORMULA_INPUTS];
  wh_codes_end end;
  const wh_matmul_part p = {.m = wh_cpu_rows(a),
                            .n = l->n,
                            .k = l->k,
                            .lda = l->k,
                            .ldy = l->n,
                            .a = a->data,
                            .y = in->out->data,
                            .a_zero = az->data,
                            .a_zero_step = az->rank,
                            .b_zero = bz->data,
                            .b_zero_step = bz->rank};
  if (p.m == 0) return; /* operands may have no elements */
  if (chain) {
    end.chain = chain;
    end.team = worker->team;
    end.ld_sums = wh_matmul_codes_ld(wh_codes_isa_select(in->kernel->features));
    end.y = in->out->data;
    end.ld_y = l->n;
    for (uint32_t i = 1; i < chain->n_inputs; i++) {
      end.in[i] = end_of(&in->in[3 + i], p.m, l->n);
      end.in[i].x = wh_cpu_chain_input(chain, i, &in->in[3 + i], &ones[i]);
    }
    wh_codes_end_begin(&end);
  }
  wh_matmul_codes_run_packed(wh_codes_isa_select(in->kernel->features), &p, a->dtype == WH_DTYPE_I8,
                             l->dtype == WH_DTYPE_I8, in->in[1].data, in->scratch, in->worker_scratch,
                             chain ? &end : NULL, worker);
}

static wh_status select_end(const cpu_device *d, cpu_kernel *k) {
  static const wh_dtype types[WH_FORMULA_INPUTS] = {WH_DTYPE_F32};
  return wh_cpu_select_chain(d, types, wh_formula_matmul_inputs(k->node->n_inputs), WH_DTYPE_F32, k);
}

wh_status wh_cpu_compile_matmul(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  if (k->node->op == WH_OP_MATMUL_CHAIN) WH_TRY(select_end(d, k));
  if (k->node->op == WH_OP_MATMUL_CODES) WH_TRY(wh_cpu_select_codes(d, g, 4, k));
  k->features = d->features;
  if (args[1].layout) {
    WH_TRY(wh_cpu_matmul_layout(d, g, k->node, &k->layout));
    if (is_codes(k->node)) {
      k->name = wh_codes_isa_select(d->features)->packed_name;
      k->run = run_packed_codes;
      return WH_OK;
    }
    k->steps = wh_linear_f_steps(d->features);
    k->name = "matmul_f32__panels";
    k->run = run_packed;
    return WH_OK;
  }
  const wh_dtype a = g->values[args[0].value].shape.dtype, b = g->values[args[1].value].shape.dtype;
  k->matmul = !is_codes(k->node)
                  ? wh_matmul_select(d->features, a, &k->name)
                  : wh_matmul_integer_select(d->features, a == WH_DTYPE_I8, b == WH_DTYPE_I8, &k->name);
  if (!k->matmul)
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' has no product of %s", k->node->name, wh_dtype_name(a));
  const wh_codes_isa *isa = wh_codes_isa_select(d->features);
  if (is_codes(k->node) && isa) k->name = isa->name; /* but for a few rows */
  k->run = k->node->op == WH_OP_MATMUL_CODES ? run_matmul_codes : run_matmul;
  return WH_OK;
}

/* ---- weights of few bits in blocks ---- */

wh_status wh_cpu_claim_matmul_blocks(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                                     const int64_t *dims, wh_claim *c) {
  const wh_shape *a = &g->values[node->inputs[0]].shape;
  int64_t m = 1;
  if (a->dtype == WH_DTYPE_Q13A) return WH_OK;
  for (int i = 0; i < a->rank - 1; i++) m *= dims[a->dims[i]];
  const size_t each = wh_matmul_blocks_scratch(d->features, m, dims[a->dims[a->rank - 1]]);
  if (each == SIZE_MAX || !wh_mul_size(each, (size_t)wh_team_size(d->team), &c->scratch_bytes))
    return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  return WH_OK;
}

static void run_matmul_blocks(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *a = &in->in[0], *codes = &in->in[1], *scales = &in->in[2], *y = in->out;
  const int64_t k = a->dims[a->rank - 1], block = wh_node_i(in->kernel->node, WH_ATTR_BLOCK),
                n = y->dims[y->rank - 1];
  const bool wide = a->dtype == WH_DTYPE_Q13A;
  if (wh_cpu_elements(y) == 0) return;
  const wh_matmul_blocks p = {.isa = wh_blocks_isa_select(in->kernel->features),
                              .features = in->kernel->features,
                              .wide = in->kernel->blocks_wide,
                              .q13a = wide ? in->in[0].data : NULL,
                              .m = wh_cpu_rows(a),
                              .n = n,
                              .first = {.k = k,
                                        .block = block,
                                        .bits = (int)(codes->dims[1] * 32 / (scales->dims[1] * block)),
                                        .codes = codes->data,
                                        .scales = scales->data,
                                        .zeros = in->in[3].data,
                                        .x = wide ? NULL : a->data,
                                        .ldx = k,
                                        .y = in->out->data,
                                        .ldy = n},
                              .scratch = in->scratch,
                              .worker_scratch = in->worker_scratch};
  wh_matmul_blocks_run(&p, worker);
}

wh_status wh_cpu_compile_matmul_blocks(const cpu_device *d, const wh_graph *g, const wh_arg *args,
                                       cpu_kernel *k) {
  k->features = d->features;
  k->name = wh_blocks_isa_select(d->features)->name;
  if (g->values[args[0].value].shape.dtype == WH_DTYPE_Q13A)
    k->blocks_wide = wh_blocks_wide_select(d->features, &k->name);
  k->run = run_matmul_blocks;
  return WH_OK;
}
