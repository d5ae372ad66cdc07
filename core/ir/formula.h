/* ir/formula.h - elementwise expressions of f32 as text: what `chain` and `chain_codes` compute, and what
 * `conv_chain`, `matmul_chain`, `conv_codes` and `matmul_codes` do with their sums.
 *
 *   "add 0 1; max 4 2; mul 0 5"
 *
 * Steps are separated by "; ". A step is an elementwise op and its operands: numbers below the number of
 * inputs are inputs, the next number is the first step's result, and so on. The last step's result is the
 * formula's. Each step is its op, rounded as that is (docs/NUMERICS.md). */
#ifndef WH_IR_FORMULA_H
#define WH_IR_FORMULA_H

#include "core/ir/graph.h"

#define WH_FORMULA_INPUTS 8u
#define WH_FORMULA_STEPS 16u
/* The longest text: an op's name of at most 12 letters, two numbers of two digits, what separates them. */
#define WH_FORMULA_TEXT (WH_FORMULA_STEPS * 20u)

/* Ops that may be steps: op, operands. */
#define WH_FORMULA_OPS(X) \
  X(ADD, 2)               \
  X(SUB, 2)               \
  X(MUL, 2)               \
  X(DIV, 2)               \
  X(MIN, 2)               \
  X(MAX, 2)               \
  X(RELU, 1)              \
  X(NEG, 1)               \
  X(ABS, 1)               \
  X(SIGN, 1)              \
  X(FLOOR, 1)             \
  X(CEIL, 1)              \
  X(ROUND, 1)             \
  X(ERF, 1)               \
  X(EXP, 1)               \
  X(TANH, 1)              \
  X(SIGMOID, 1)           \
  X(SILU, 1)              \
  X(GELU, 1)              \
  X(GELU_ERF, 1)

/* Of a conv_chain with so many operands: its sums, and what follows the bias. */
static inline uint32_t wh_formula_conv_inputs(uint32_t n_inputs) { return n_inputs > 2 ? n_inputs - 2 : 1; }

/* Of a matmul_chain: its sums, and what stands behind the factors. */
static inline uint32_t wh_formula_matmul_inputs(uint32_t n_inputs) { return n_inputs - 1; }

/* Of a matmul_attention: the scores, and what stands behind queries, keys and values. */
static inline uint32_t wh_formula_attention_inputs(uint32_t n_inputs) { return n_inputs - 2; }

/* Of a conv_codes or matmul_codes with so many operands, zero points among them, which may be absent. */
static inline uint32_t wh_formula_codes_inputs(uint32_t n_inputs) { return n_inputs > 4 ? n_inputs - 3 : 1; }

typedef struct wh_formula_step {
  wh_op op;
  uint8_t n_in, in[2];
} wh_formula_step;

typedef struct wh_formula {
  uint32_t n_inputs, n_steps;
  wh_formula_step steps[WH_FORMULA_STEPS];
} wh_formula;

/* Operands of an op as a step; 0: it can be none. */
unsigned wh_formula_operands(wh_op op);
/* ERR_INVALID_ARGUMENT says which step is wrong. */
WH_NODISCARD wh_status wh_formula_parse(const char *text, size_t n, uint32_t n_inputs, wh_formula *out);
/* Writes the text and a 0 behind it; returns its length. */
size_t wh_formula_print(const wh_formula *f, char text[WH_FORMULA_TEXT + 1]);

#endif
