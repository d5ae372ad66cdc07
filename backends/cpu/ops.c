/* ops.c - the ops that the CPU runs: one row each. Row ops and those of neural networks come from their
 * lists. */
#include "backends/cpu/cpu_internal.h"

const cpu_op wh_cpu_ops[WH_OP_COUNT] = {
    [WH_OP_LINEAR] = {wh_cpu_claim_linear, wh_cpu_compile_linear},
    [WH_OP_EXPERT_LINEAR] = {wh_cpu_claim_linear, wh_cpu_compile_expert_linear},
    [WH_OP_KV_APPEND] = {NULL, wh_cpu_compile_kv_append},
    [WH_OP_ATTENTION] = {wh_cpu_claim_attention, wh_cpu_compile_attention},
#define WH_ROWOP(op, name, family, levels) [WH_OP_##op] = {wh_cpu_claim_rowop, wh_cpu_compile_rowop},
#define WH_ROWOP_ALSO(op, name, family) [WH_OP_##op] = {wh_cpu_claim_rowop, wh_cpu_compile_rowop},
#include "backends/cpu/kernels_rowops.def"
#define WH_NN_OP(op, name, family, levels) [WH_OP_##op] = {wh_cpu_claim_nn, wh_cpu_compile_nn},
#include "backends/cpu/kernels_nn.def"
};
