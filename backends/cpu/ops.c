/* ops.c - the ops that the CPU runs: one row each. Row ops and those of neural networks come from their
 * lists. */
#include "backends/cpu/cpu_internal.h"

const cpu_op wh_cpu_ops[WH_OP_COUNT] = {
    [WH_OP_LINEAR] = {wh_cpu_claim_linear, wh_cpu_compile_linear},
    [WH_OP_EXPERT_LINEAR] = {wh_cpu_claim_linear, wh_cpu_compile_expert_linear},
    [WH_OP_KV_APPEND] = {NULL, wh_cpu_compile_kv_append},
    [WH_OP_ATTENTION] = {wh_cpu_claim_attention, wh_cpu_compile_attention},
    [WH_OP_CHAIN] = {NULL, wh_cpu_compile_chain},
    [WH_OP_CHAIN_CODES] = {NULL, wh_cpu_compile_chain},
    [WH_OP_CAST] = {NULL, wh_cpu_compile_cast},
    [WH_OP_TRANSPOSE] = {NULL, wh_cpu_compile_move},
    [WH_OP_SLICE] = {NULL, wh_cpu_compile_move},
    [WH_OP_CONCAT] = {NULL, wh_cpu_compile_move},
    [WH_OP_PAD] = {NULL, wh_cpu_compile_move},
    [WH_OP_EXPAND] = {NULL, wh_cpu_compile_move},
    [WH_OP_TILE] = {NULL, wh_cpu_compile_move},
    [WH_OP_TRILU] = {NULL, wh_cpu_compile_move},
    [WH_OP_REVERSE_SEQUENCE] = {NULL, wh_cpu_compile_move},
    [WH_OP_GATHER] = {wh_cpu_claim_gather, wh_cpu_compile_index},
    [WH_OP_GATHER_ELEMENTS] = {NULL, wh_cpu_compile_index},
    [WH_OP_GATHER_ND] = {NULL, wh_cpu_compile_index},
    [WH_OP_SCATTER_ELEMENTS] = {NULL, wh_cpu_compile_index},
    [WH_OP_SCATTER_ND] = {NULL, wh_cpu_compile_index},
    [WH_OP_REDUCE_SUM] = {NULL, wh_cpu_compile_reduce},
    [WH_OP_REDUCE_PROD] = {NULL, wh_cpu_compile_reduce},
    [WH_OP_REDUCE_MAX] = {NULL, wh_cpu_compile_reduce},
    [WH_OP_REDUCE_MIN] = {NULL, wh_cpu_compile_reduce},
    [WH_OP_REDUCE_SUM_SQUARE] = {NULL, wh_cpu_compile_reduce},
    [WH_OP_REDUCE_L1] = {NULL, wh_cpu_compile_reduce},
    [WH_OP_ARG_MAX] = {NULL, wh_cpu_compile_lines},
    [WH_OP_ARG_MIN] = {NULL, wh_cpu_compile_lines},
    [WH_OP_CUMSUM] = {NULL, wh_cpu_compile_lines},
    [WH_OP_TOPK] = {NULL, wh_cpu_compile_lines},
    [WH_OP_MATMUL] = {wh_cpu_claim_matmul, wh_cpu_compile_matmul},
    [WH_OP_MATMUL_BLOCKS] = {wh_cpu_claim_matmul_blocks, wh_cpu_compile_matmul_blocks},
    [WH_OP_MATMUL_INTEGER] = {wh_cpu_claim_matmul, wh_cpu_compile_matmul},
    [WH_OP_MATMUL_CHAIN] = {wh_cpu_claim_matmul, wh_cpu_compile_matmul},
    [WH_OP_MATMUL_ATTENTION] = {wh_cpu_claim_matmul_attention, wh_cpu_compile_matmul_attention},
    [WH_OP_MATMUL_CODES] = {wh_cpu_claim_matmul, wh_cpu_compile_matmul},
#define WH_ROWOP(op, name, family, levels) [WH_OP_##op] = {wh_cpu_claim_rowop, wh_cpu_compile_rowop},
#define WH_ROWOP_ALSO(op, name, family) [WH_OP_##op] = {wh_cpu_claim_rowop, wh_cpu_compile_rowop},
#include "backends/cpu/kernels_rowops.def"
#define WH_MAP_OP(op, name) [WH_OP_##op] = {wh_cpu_claim_map, wh_cpu_compile_map},
#define WH_MAP_OP_TOO(op, name)
#include "backends/cpu/ops_map.def"
#define WH_NN_OP(op, name, family, levels) [WH_OP_##op] = {wh_cpu_claim_nn, wh_cpu_compile_nn},
#define WH_NN_OP_ALSO(op, name, family) [WH_OP_##op] = {wh_cpu_claim_nn, wh_cpu_compile_nn},
#include "backends/cpu/kernels_nn.def"
};
