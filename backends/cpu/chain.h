/* chain.h - formulas (core/ir/formula.h) over elements that lie one behind the other, a piece at a time, so
 * that what steps leave for each other stays in a first-level cache. Plain steps that follow each other run
 * in registers (chain_blocks.h); any other runs the elementwise kernel of its op. Inputs may be integers,
 * which become f32 first, and results codes of 8 bits (`chain_codes`). */
#ifndef WH_CPU_CHAIN_H
#define WH_CPU_CHAIN_H

#include "backends/cpu/map.h"
#include "backends/cpu/rowops.h"
#include "core/ir/formula.h"

/* What a block does with its elements: an op on them and an operand, or on them alone. */
typedef enum wh_chain_code {
  WH_CHAIN_NONE, /* no plain step */
  WH_CHAIN_LOAD,
  WH_CHAIN_LOAD_I32, /* operands of other types, as f32 */
  WH_CHAIN_LOAD_I8,
  WH_CHAIN_LOAD_U8,
  WH_CHAIN_ADD,
  WH_CHAIN_SUB,
  WH_CHAIN_SUB_FROM, /* operand - element */
  WH_CHAIN_MUL,
  WH_CHAIN_DIV,
  WH_CHAIN_DIV_INTO, /* operand / element */
  WH_CHAIN_MIN,
  WH_CHAIN_MAX,
  WH_CHAIN_RELU,
  WH_CHAIN_NEG,
  WH_CHAIN_ABS,
  WH_CHAIN_ROUND,
  WH_CHAIN_AT_MOST, /* MIN and MAX with one operand for all, which is no NaN and no zero */
  WH_CHAIN_AT_LEAST,
  WH_CHAIN_SCALE,      /* a MUL and an ADD whose operands stay along a row */
  WH_CHAIN_HARD_SWISH, /* MUL, ADD, RELU and AT_MOST with c[0..2], then MUL with what there was before */
  WH_CHAIN_QUOTIENT,   /* DIV by a number, of which only the nearest code matters: chain.c */
  WH_CHAIN_EXP,        /* functions: of all elements at hand in one call */
  WH_CHAIN_TANH,
  WH_CHAIN_ERF,
  WH_CHAIN_SIGMOID,
  WH_CHAIN_SILU,
  WH_CHAIN_GELU,
  WH_CHAIN_GELU_ERF,
  WH_CHAIN_SWISH /* SIGMOID, then MUL with what there was before */
} wh_chain_code;

/* Whether there is an operand beside the element. */
static inline bool wh_chain_has_operand(wh_chain_code code) {
  return code != WH_CHAIN_RELU && code != WH_CHAIN_NEG && code != WH_CHAIN_ABS && code != WH_CHAIN_ROUND &&
         code < WH_CHAIN_HARD_SWISH;
}

/* What a call goes over: elements [at, at + n) of rows [row, row + rows). */
typedef struct wh_chain_part {
  int64_t row, rows, at, n;
} wh_chain_part;

/* How an operand's or a result's rows lie. */
typedef struct wh_chain_row {
  int64_t step; /* from row to row */
  bool local;   /* it holds a call's own part alone */
} wh_chain_row;

/* What results become: f32 as they are, or kept within a type's range and rounded to it; a NaN is the least.
 */
typedef enum wh_chain_codes { WH_CHAIN_F32, WH_CHAIN_I8, WH_CHAIN_U8 } wh_chain_codes;

typedef struct wh_chain_op {
  unsigned code;  /* twice a wh_chain_code; and 1 when the operand moves on along a row */
  const float *x; /* the operand, of the type that the code says; never NULL */
  float *save;    /* where the results go as well; or NULL */
  wh_chain_row x_row, save_row;
  wh_chain_codes codes; /* what is saved */
  const float *shift;   /* of SCALE: what is added; from row to row */
  int64_t shift_step;
  float c[4]; /* of HARD_SWISH and QUOTIENT */
} wh_chain_op;

#define WH_CHAIN_STEPS (WH_FORMULA_STEPS + WH_FORMULA_INPUTS) /* a formula's, and loads of other types */
#define WH_CHAIN_OPS (2 * WH_CHAIN_STEPS + 1)                 /* with one in front of a chain's */

/* A part through ops, of which the first is a load. What is saved may be what an op loads. */
typedef void (*wh_chain_fn)(const wh_chain_op *ops, size_t n_ops, const wh_chain_part *part);

typedef struct wh_chain_step {
  wh_map_fn map; /* or, of ops that have none, */
  wh_unary_fn unary;
  uint8_t n_in, in[2];
  uint8_t temp; /* where the result goes, but for the last step's */
  uint8_t load; /* wh_chain_code: it makes f32 of an input of another type */
  uint8_t code; /* wh_chain_code, where the level has blocks */
  bool saved;   /* a later step wants the result from memory */
  uint8_t uses; /* operands of later steps that are the result */
} wh_chain_step;

typedef struct wh_chain {
  uint32_t n_inputs, n_steps;
  wh_chain_fn blocks; /* or NULL */
  bool plain;         /* all steps are: blocks can run them without wh_chain_run */
  uint32_t n_temps;   /* places of results that later steps want */
  wh_chain_codes to;
  uint8_t bytes[WH_FORMULA_INPUTS]; /* of an input's elements */
  uint32_t ones;                    /* a bit per input: whoever runs the chain makes f32 of its one element */
  wh_chain_step steps[WH_CHAIN_STEPS];
} wh_chain;

/* Elements that an input gives: one after the other, or with step 0 one for all of a row. */
typedef struct wh_chain_input {
  const float *x; /* or what its type is */
  int64_t step;   /* 0 or 1 */
  wh_chain_row row;
} wh_chain_input;

/* Where the results of a chain's steps go: the last one's, and step->temp's that a later step wants. */
typedef struct wh_chain_results {
  float *y, *temps; /* y: or codes */
  wh_chain_row y_row, temp_row;
  int64_t temp_size;
} wh_chain_results;

/* What inputs hold, f32, i32, i8 or u8, and results are: f32, i8 or u8. False: an op has no kernel, which no
 * formula that was parsed has. */
bool wh_chain_select(uint64_t features, const wh_rowops *rowops, const wh_formula *f, const wh_dtype *types,
                     wh_dtype to, wh_chain *out);
#define WH_CHAIN_KERNEL(isa, needs) \
  void wh_k_chain_##isa(const wh_chain_op *ops, size_t n_ops, const wh_chain_part *part);
#include "backends/cpu/kernels_chain.def"
#undef WH_CHAIN_KERNEL
/* The ops of a plain chain over rows of its inputs, at most WH_CHAIN_OPS - 1; how many. */
size_t wh_chain_ops(const wh_chain *c, const wh_chain_input *in, const wh_chain_results *to,
                    wh_chain_op *ops);
/* The ops of the plain steps from s on, of values that are inputs and results of steps before; the step
 * behind them. The results that stay become values. */
uint32_t wh_chain_plain_ops(const wh_chain *c, uint32_t s, wh_chain_input *values, const wh_chain_results *to,
                            wh_chain_op *ops, size_t *n_ops);
/* A step that no block runs, over n elements. */
void wh_chain_run_step(const wh_chain_step *s, int64_t n, const wh_chain_input *values, float *y,
                       wh_team *team);
/* y may be the memory of input 0, as long as its step is 1 and both are f32. */
void wh_chain_run(const wh_chain *c, int64_t n, const wh_chain_input *in, float *y, wh_team *team);

#endif
