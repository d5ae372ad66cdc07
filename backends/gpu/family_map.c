/* family_map.c - elementwise ops of any type, cast and where: which kernel, and how operands broadcast. */
#include "backends/gpu/kernels/map_args.h"
#include "backends/gpu/walks.h"
#include "core/base/small_float.h"
#include "core/ir/formula.h"

static gpu_map map_of_op(wh_op op) {
  switch (op) {
#define CASE(op)   \
  case WH_OP_##op: \
    return GPU_MAP_##op;
    CASE(ADD)
    CASE(SUB)
    CASE(MUL)
    CASE(DIV)
    CASE(MIN)
    CASE(MAX)
    CASE(POW)
    CASE(BIT_AND)
    CASE(BIT_OR)
    CASE(BIT_XOR)
    CASE(SHIFT_LEFT)
    CASE(SHIFT_RIGHT)
    CASE(EQUAL)
    CASE(LESS)
    CASE(LESS_OR_EQUAL)
    CASE(NEG)
    CASE(ABS)
    CASE(SIGN)
    CASE(BIT_NOT)
    CASE(NOT)
    CASE(IS_NAN)
    CASE(IS_INF)
    CASE(SQRT)
    CASE(FLOOR)
    CASE(CEIL)
    CASE(ROUND)
    CASE(SCALE)
    CASE(SOFTCAP)
    CASE(RELU)
    CASE(SILU)
    CASE(GELU)
    CASE(GELU_ERF)
    CASE(EXP)
    CASE(TANH)
    CASE(SIGMOID)
    CASE(ERF)
    CASE(LOG)
    CASE(SIN)
    CASE(COS)
    CASE(TAN)
    CASE(ASIN)
    CASE(ACOS)
    CASE(ATAN)
    CASE(SINH)
    CASE(COSH)
    CASE(ASINH)
    CASE(ACOSH)
    CASE(ATANH)
    CASE(SOFTPLUS)
    CASE(WHERE)
#undef CASE
    case WH_OP_AND:
      return GPU_MAP_BIT_AND;
    case WH_OP_OR:
      return GPU_MAP_BIT_OR;
    case WH_OP_XOR:
      return GPU_MAP_BIT_XOR;
    case WH_OP_MOD:
      return GPU_MAP_MOD;
    default:
      return GPU_MAP_NONE;
  }
}

/* Which map computes a node; MOD has two. */
static gpu_map map_of(const wh_node_info *node) {
  const gpu_map map = map_of_op(node->op);
  return map == GPU_MAP_MOD && wh_node_i(node, WH_ATTR_FMOD) ? GPU_MAP_REM : map;
}

_Static_assert(WH_FORMULA_INPUTS <= GPU_CHAIN_INPUTS && WH_FORMULA_STEPS <= GPU_CHAIN_STEPS,
               "a formula fits");

typedef struct map_kernel {
  gpu_kernel kernel;
  int64_t per_thread; /* elements */
  bool walks;         /* it knows no pace */
} map_kernel;

static map_kernel kernel_of(gpu_map map, gpu_type type) {
  const bool narrow = type == GPU_F32;
  if (map == GPU_MAP_WHERE) return (map_kernel){GPU_K_map_where, GPU_MAP_PER_THREAD, false};
  if (map == GPU_MAP_POW) return (map_kernel){GPU_K_map_pow, 1, true};
  if (type < GPU_F32) return (map_kernel){GPU_K_map_integer, GPU_MAP_PER_THREAD, false};
  switch (map) {
    case GPU_MAP_MOD:
    case GPU_MAP_REM:
      return (map_kernel){narrow ? GPU_K_map_mod_f32 : GPU_K_map_mod_f64, 1, true};
    case GPU_MAP_EQUAL:
    case GPU_MAP_LESS:
    case GPU_MAP_LESS_OR_EQUAL:
    case GPU_MAP_IS_NAN:
    case GPU_MAP_IS_INF:
      return (map_kernel){narrow ? GPU_K_map_test_f32 : GPU_K_map_test_f64, GPU_MAP_PER_THREAD, false};
    default:
      break;
  }
  if (map < GPU_MAP_SOFTCAP || map == GPU_MAP_RELU)
    return (map_kernel){narrow ? GPU_K_map_f32 : GPU_K_map_f64, GPU_MAP_PER_THREAD, false};
  return (map_kernel){narrow && map <= GPU_MAP_ERF ? GPU_K_map_long_f32 : GPU_K_map_wide, 1, false};
}

/* Whether each operand is read in order or stays. */
static bool set_pace(gpu_map_args *a, const wh_nd *nd, int n_in) {
  for (int o = 0; o < GPU_MAP_OPERANDS; o++)
    a->pace[o] = o < n_in && nd->stride[o][0] ? GPU_PACE_MOVES : GPU_PACE_STAYS;
  bool walks = nd->rank > 1;
  for (int o = 0; o < n_in; o++) walks |= nd->stride[o][0] > 1;
  for (int o = 0; o < GPU_MAP_OPERANDS && walks; o++) a->pace[o] = GPU_PACE_WALKS;
  return walks;
}

static wh_status emit_map(gpu_emit *e, const gpu_step *s) {
  const wh_node_info *node = s->node;
  const int n_in = (int)node->n_inputs;
  const gpu_map map = map_of(node);
  const wh_attr *mode = wh_node_attr(node, WH_ATTR_MODE), *alpha = wh_node_attr(node, WH_ATTR_ALPHA);
  const gpu_type type = gpu_type_of(s->in[map == GPU_MAP_WHERE ? 1 : 0].dtype);
  if (gpu_is_empty(s)) return WH_OK;
  gpu_map_args a = {.out = s->out->address,
                    .n = gpu_elements(s->out),
                    .map = map,
                    .type = map == GPU_MAP_WHERE ? gpu_log2_bytes(s->out->dtype) : (uint32_t)type,
                    .result = gpu_type_of(s->out->dtype),
                    .exponent = map == GPU_MAP_POW ? gpu_type_of(s->in[1].dtype) : (uint32_t)GPU_NO_TYPE,
                    .mode = mode ? (int32_t)mode->i : 0,
                    .alpha = alpha ? alpha->f : 0.0f};
  const wh_nd nd = gpu_broadcast(s->in, n_in, s->out);
  const map_kernel k = kernel_of(map, type);
  /* kernels of two operands read the only one twice */
  for (int o = 0; o < GPU_MAP_OPERANDS; o++) a.in[o] = s->in[o < n_in ? o : 0].address;
  if (set_pace(&a, &nd, n_in) || k.walks) a.walk = gpu_walk_of(&nd);
  return gpu_launch(e, k.kernel, gpu_flat_grid(gpu_ceil_div(a.n, k.per_thread)), &a, sizeof a);
}

/* ---- chains ---- */

wh_status gpu_emit_formula(gpu_emit *e, const gpu_step *s, const gpu_operand *in, uint32_t n_in) {
  const wh_attr *text = wh_node_attr(s->node, WH_ATTR_FORMULA);
  wh_formula f;
  if (gpu_is_empty(s)) return WH_OK;
  WH_TRY(wh_formula_parse(text->text, text->n, n_in, &f));
  const wh_nd nd = gpu_broadcast(in, (int)n_in, s->out);
  gpu_chain_args a = {.out = s->out->address,
                      .n = gpu_elements(s->out),
                      .n_inputs = n_in,
                      .n_steps = f.n_steps,
                      .walk = gpu_walk_of(&nd)};
  for (uint32_t i = 0; i < n_in; i++) a.in[i] = in[i].address;
  for (uint32_t i = 0; i < f.n_steps; i++)
    a.steps[i] = (gpu_chain_step){
        (uint8_t)map_of_op(f.steps[i].op), {f.steps[i].in[0], f.steps[i].in[f.steps[i].n_in - 1]}, 0};
  return gpu_launch(e, GPU_K_chain, gpu_flat_grid(gpu_ceil_div(a.n, GPU_MAP_PER_THREAD)), &a, sizeof a);
}

static wh_status emit_chain(gpu_emit *e, const gpu_step *s) {
  return gpu_emit_formula(e, s, s->in, s->node->n_inputs);
}

/* ---- casts ---- */

/* Of both, one is f32 and the other f16 or bf16. */
static bool is_float_pair(const gpu_cast_args *a) {
  return !a->truncate &&
         ((a->from == GPU_F32 && a->to == GPU_SMALL2) || (a->from == GPU_SMALL2 && a->to == GPU_F32));
}

static wh_status emit_cast(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0], *y = s->out;
  const bool truncate = s->node->op == WH_OP_TRUNCATE_BF16;
  const int64_t n = gpu_elements(y);
  if (n == 0) return WH_OK;
  gpu_cast_args a = {.in = x->address,
                     .out = y->address,
                     .n = n,
                     .columns = gpu_row_length(x),
                     .from = gpu_type_of(x->dtype),
                     .to = gpu_type_of(y->dtype),
                     .from_small = wh_small_float_of(x->dtype),
                     .to_small = wh_small_float_of(y->dtype),
                     .truth = y->dtype == WH_DTYPE_BOOL,
                     .saturate = !truncate && wh_node_i(s->node, WH_ATTR_SATURATE) != 0,
                     .truncate = truncate};
  if (x->dtype == y->dtype && wh_dtype_get(y->dtype)->block_elems == 1 && !a.truth)
    return gpu_move(e, y->address, x->address, (uint64_t)(n * gpu_element_bytes(y->dtype)));
  const int64_t per_byte = wh_dtype_get(y->dtype)->block_elems;
  if (per_byte > 1) a.n = gpu_rows(y) * gpu_ceil_div(a.columns, per_byte);
  if (is_float_pair(&a))
    return gpu_launch(e, GPU_K_cast_float, gpu_flat_grid(gpu_ceil_div(n, GPU_MAP_PER_THREAD)), &a, sizeof a);
  return gpu_launch(e, GPU_K_cast, gpu_flat_grid(a.n), &a, sizeof a);
}

const gpu_op gpu_ops_map[] = {
#define MAP(op, name) {WH_OP_##op, name, NULL, emit_map},
    MAP(ADD, "add") MAP(SUB, "sub") MAP(MUL, "mul") MAP(DIV, "div") MAP(MIN, "min") MAP(MAX, "max")
        MAP(MOD, "mod") MAP(POW, "pow") MAP(BIT_AND, "bit_and") MAP(BIT_OR, "bit_or") MAP(BIT_XOR, "bit_xor")
            MAP(SHIFT_LEFT, "shift_left") MAP(SHIFT_RIGHT, "shift_right") MAP(AND, "and") MAP(OR, "or")
                MAP(XOR, "xor") MAP(EQUAL, "equal") MAP(LESS, "less") MAP(LESS_OR_EQUAL, "less_or_equal")
                    MAP(SCALE, "scale") MAP(SOFTCAP, "softcap") MAP(SILU, "silu") MAP(GELU, "gelu")
                        MAP(GELU_ERF, "gelu_erf") MAP(RELU, "relu") MAP(TANH, "tanh") MAP(SIGMOID, "sigmoid")
                            MAP(EXP, "exp") MAP(SQRT, "sqrt") MAP(LOG, "log") MAP(SIN, "sin") MAP(COS, "cos")
                                MAP(TAN, "tan") MAP(ASIN, "asin") MAP(ACOS, "acos") MAP(ATAN, "atan") MAP(
                                    SINH, "sinh") MAP(COSH, "cosh") MAP(ASINH, "asinh") MAP(ACOSH, "acosh")
                                    MAP(ATANH, "atanh") MAP(ERF, "erf") MAP(SOFTPLUS, "softplus")
                                        MAP(FLOOR, "floor") MAP(CEIL, "ceil") MAP(ROUND, "round")
                                            MAP(NEG, "neg") MAP(ABS, "abs") MAP(SIGN, "sign")
                                                MAP(BIT_NOT, "bit_not") MAP(NOT, "not") MAP(IS_NAN, "is_nan")
                                                    MAP(IS_INF, "is_inf") MAP(WHERE, "where")
#undef MAP
                                                        {WH_OP_CHAIN, "chain", NULL, emit_chain},
    {WH_OP_CAST, "cast", NULL, emit_cast},
    {WH_OP_TRUNCATE_BF16, "truncate_bf16", NULL, emit_cast},
    {0}};
