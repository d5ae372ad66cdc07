/* ir/dim.h - symbolic dimensions: interned integer expressions with a range.
 *
 * A wh_dim is an index into its graph's table; equal expressions have equal indices, so comparing dims is
 * comparing integers. Constants fold; operands of +, *, min and max are put in an order that depends on what
 * they are and not on when they were made, so a graph's text does not show how it was built. Every expression
 * grows with every symbol: planning at the largest values covers all smaller ones. */
#ifndef WH_IR_DIM_H
#define WH_IR_DIM_H

#include "core/base/allocator.h"
#include "core/base/text_buffer.h"

typedef uint32_t wh_dim;

typedef enum wh_dim_kind {
  WH_DIM_CONST,
  WH_DIM_SYMBOL,
  WH_DIM_ADD,
  WH_DIM_MUL,
  WH_DIM_FLOORDIV,
  WH_DIM_MIN,
  WH_DIM_MAX
} wh_dim_kind;

#define WH_DIM_LIMIT ((int64_t)1 << 40) /* larger dims are refused: products of a few stay within int64 */
#define WH_DIM_MAX_TERMS 32 /* constants and symbols in one expression: bounds recursion and text */
#define WH_MAX_SYMBOLS 16
#define WH_SYMBOL_NAME_BYTES 32

typedef struct wh_dim_expr {
  wh_dim_kind kind;
  int64_t value;    /* CONST: the value; SYMBOL: index of the symbol */
  wh_dim a, b;      /* operands */
  int64_t min, max; /* range, inclusive */
  uint32_t n_terms; /* constants and symbols in it */
} wh_dim_expr;

typedef struct wh_dim_table {
  const wh_allocator *alloc;
  wh_dim_expr *exprs;
  size_t n, capacity;
  char symbols[WH_MAX_SYMBOLS][WH_SYMBOL_NAME_BYTES];
  wh_dim symbol_dims[WH_MAX_SYMBOLS];
  uint32_t n_symbols;
} wh_dim_table;

void wh_dim_table_init(wh_dim_table *t, const wh_allocator *alloc);
void wh_dim_table_deinit(wh_dim_table *t);

/* ERR_LIMIT outside 0..WH_DIM_LIMIT. */
WH_NODISCARD wh_status wh_dim_const(wh_dim_table *t, int64_t value, wh_dim *out);
/* A new symbol, or the existing one of that name when the range agrees. Names are [a-z_][a-z0-9_]*. */
WH_NODISCARD wh_status wh_dim_symbol(wh_dim_table *t, const char *name, int64_t min, int64_t max,
                                     wh_dim *out);
/* kind is ADD, MUL, FLOORDIV (by a positive constant), MIN or MAX. */
WH_NODISCARD wh_status wh_dim_binary(wh_dim_table *t, wh_dim_kind kind, wh_dim a, wh_dim b, wh_dim *out);

static inline const wh_dim_expr *wh_dim_get(const wh_dim_table *t, wh_dim d) { return &t->exprs[d]; }
static inline bool wh_dim_is_const(const wh_dim_table *t, wh_dim d) {
  return t->exprs[d].kind == WH_DIM_CONST;
}

/* Value with symbol i bound to symbols[i]. */
int64_t wh_dim_eval(const wh_dim_table *t, wh_dim d, const int64_t *symbols);
/* "576", "tokens", "(tokens + 1)" */
void wh_dim_print(const wh_dim_table *t, wh_dim d, wh_text_buffer *out);
/* The index of a symbol by name, or -1. */
int wh_dim_find_symbol(const wh_dim_table *t, const char *name);

#endif
