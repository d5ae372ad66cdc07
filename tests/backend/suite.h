/* suite.h - the conformance cases: graphs of one or a few nodes over random data, and what makes them. */
#ifndef WH_TESTS_SUITE_H
#define WH_TESTS_SUITE_H

#include "tests/backend/executor.h"
#include "tests/backend/reference.h"

#define SUITE_MAX_VALUES 64
#define ROWS (-1) /* as a dim: the symbol "rows" */

typedef struct suite suite;

/* A case in the making. Steps that fail end the suite with the reason. */
typedef struct suite_case {
  suite *s;
  char name[160];
  wh_graph *g;
  wh_dim rows;
  int64_t n_rows;
  void *data[SUITE_MAX_VALUES]; /* row-major, by value; of nodes: what the references give */
  size_t n_bytes[SUITE_MAX_VALUES];
  bool outside; /* some index lies outside */
} suite_case;

/* How random numbers look. */
typedef enum suite_fill {
  FILL_PLAIN,  /* within -2..2 */
  FILL_WILD,   /* also zeros of both signs, tiny and large ones */
  FILL_EXTREME /* 2 or -2, a row alike; blocks have the same byte all through, which gives the largest codes
                */
} suite_fill;

struct suite {
  const suite_target *target;
  uint64_t random;
  size_t n_cases, n_compared; /* run; values compared */
  size_t n_varied;            /* of those: values that hold more than one number */
  size_t per_op[WH_OP_COUNT];
};

uint32_t suite_random(suite *s, uint32_t below);

/* `about` goes into the name of the case. */
suite_case *case_begin(suite *s, int64_t n_rows, const char *about, ...) WH_PRINTF(3, 4);
wh_dim case_dim(suite_case *c, int64_t size);
wh_value case_input(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims, suite_fill fill);
/* i32, each in first..first+below-1 */
wh_value case_indices(suite_case *c, int rank, const int64_t *dims, int64_t first, int64_t below);
/* The same as i64, or as i32. */
wh_value case_wide_indices(suite_case *c, int rank, const int64_t *dims, int64_t first, int64_t below,
                           bool wide);
/* Whether one of them is outside first..last. */
bool case_any_outside(const suite_case *c, wh_value indices, int64_t first, int64_t last);
wh_value case_const(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims);
/* As case_const, of FILL_EXTREME. */
wh_value case_extreme_const(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims);
wh_value case_state(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims);
wh_value case_node(suite_case *c, wh_op op, const wh_value *inputs, size_t n_inputs, const wh_attr *attrs,
                   size_t n_attrs);
/* The same graph at another number of rows, none larger than at the beginning; values keep their memory. */
void case_set_rows(suite_case *c, int64_t n_rows);
/* Every dim expression at that number of rows; the caller frees it. */
int64_t *case_dims(const suite_case *c, int64_t n_rows);
/* All values by the references; the fault that a run must leave. */
wh_fault case_compute(suite_case *c);
/* Whether what `x` has of a node's value is what the references gave; the message says where it is not. */
bool case_equal(const suite_case *c, executor *x, uint32_t layout, wh_value v, char message[512]);
/* The same, as a demand. */
void case_compare(const suite_case *c, executor *x, uint32_t layout, wh_value v);
void case_free(suite_case *c);
/* Runs it with every layout and compares every value that a node makes; then it is gone. */
void case_run(suite_case *c);

/* The cases of a shape rule for an op that has it (cases_<rule>). */
typedef void (*suite_cases_fn)(suite *s, wh_op op);
#define SUITE_CASES(rule) void cases_##rule(suite *s, wh_op op)
void cases_products_of_many_rows(suite *s); /* on top of those of linear */
SUITE_CASES(unary);
SUITE_CASES(binary);
SUITE_CASES(pow);
SUITE_CASES(bits);
SUITE_CASES(logic);
SUITE_CASES(compare);
SUITE_CASES(unary_float);
SUITE_CASES(unary_number);
SUITE_CASES(unary_bits);
SUITE_CASES(unary_logic);
SUITE_CASES(classify);
SUITE_CASES(cast);
SUITE_CASES(truncate_bf16);
SUITE_CASES(where);
SUITE_CASES(transpose);
SUITE_CASES(slice);
SUITE_CASES(concat);
SUITE_CASES(pad);
SUITE_CASES(expand);
SUITE_CASES(tile);
SUITE_CASES(trilu);
SUITE_CASES(reverse_sequence);
SUITE_CASES(gather);
SUITE_CASES(gather_elements);
SUITE_CASES(gather_nd);
SUITE_CASES(scatter_elements);
SUITE_CASES(scatter_nd);
SUITE_CASES(reduce);
SUITE_CASES(arg);
SUITE_CASES(cumsum);
SUITE_CASES(topk);
SUITE_CASES(matmul);
SUITE_CASES(matmul_chain);
SUITE_CASES(matmul_attention);
SUITE_CASES(matmul_integer);
SUITE_CASES(matmul_blocks);
SUITE_CASES(same);
SUITE_CASES(norm);
SUITE_CASES(norm_quantize);
SUITE_CASES(quantize);
SUITE_CASES(quantize_wide);
SUITE_CASES(reshape);
SUITE_CASES(rope_table);
SUITE_CASES(rope);
SUITE_CASES(gather_rows);
SUITE_CASES(select_rows);
SUITE_CASES(linear);
SUITE_CASES(kv_append);
SUITE_CASES(attention);
SUITE_CASES(expert_select);
SUITE_CASES(expert_weights);
SUITE_CASES(expert_linear);
SUITE_CASES(expert_sum);
SUITE_CASES(chain);
SUITE_CASES(conv);
SUITE_CASES(conv_chain);
SUITE_CASES(conv_transpose);
SUITE_CASES(conv_integer);
SUITE_CASES(chain_codes); /* cases_codes.c */
SUITE_CASES(conv_codes);
void cases_conv_codes_of_three(suite *s, wh_op op); /* of conv_codes and conv_integer */
SUITE_CASES(matmul_codes);
SUITE_CASES(max_pool);
SUITE_CASES(max_pool_index);
SUITE_CASES(average_pool);
SUITE_CASES(lp_pool);
SUITE_CASES(resample);
SUITE_CASES(grid_sample);
SUITE_CASES(roi_align);
SUITE_CASES(trees);
SUITE_CASES(lrn);
SUITE_CASES(dft);
SUITE_CASES(det);
SUITE_CASES(rnn);
SUITE_CASES(gru);
SUITE_CASES(lstm);
SUITE_CASES(quantize_linear);
SUITE_CASES(dequantize_linear);

#endif
