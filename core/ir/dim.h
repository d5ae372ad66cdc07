/* ir/dim.h - symbolic dimensions: interned integer expressions, each with an interval.
 *
 * A wh_dim is an index into its graph's table; equal expressions have equal indices, so comparing dims is
 * comparing integers, and an operand's index is lower than that of what it is part of. Constants fold;
 * operands of +, *, min and max are put in an order that depends on what they are and not on when they were
 * made, so a graph's text does not show how it was built.
 *
 * A dim is never negative: a subtraction is accepted when the intervals of its operands prove that, or when
 * it has the form a - min(a, b) or max(a, b) - a, which cannot be. A dim need not grow with its symbols (a -
 * b, a mod b): what covers all values of the symbols is the interval and not the value at the largest ones.
 */
#ifndef WH_IR_DIM_H
#define WH_IR_DIM_H

#include "core/base/allocator.h"
#include "core/base/text_buffer.h"

typedef uint32_t wh_dim;

typedef enum wh_dim_kind {
  WH_DIM_CONST,
  WH_DIM_SYMBOL,
  WH_DIM_ADD,
  WH_DIM_SUB,
  WH_DIM_MUL,
  WH_DIM_FLOORDIV,
  WH_DIM_CEILDIV,
  WH_DIM_MOD,
  WH_DIM_MIN,
  WH_DIM_MAX,
  WH_DIM_KIND_COUNT
} wh_dim_kind;

/* Limits, all checked; files that are no attack stay far below them. */
#define WH_DIM_LIMIT ((int64_t)1 << 40) /* of a value: products of a few stay within int64 */
#define WH_DIM_MAX_TERMS 256 /* constants and symbols in one expression: bounds recursion and text */
#define WH_MAX_DIM_EXPRS (1u << 20)
#define WH_MAX_SYMBOLS 4096u
#define WH_SYMBOL_NAME_BYTES 1024u /* with the NUL */

typedef struct wh_dim_expr {
  wh_dim_kind kind;
  int64_t value;    /* CONST: the value; SYMBOL: index of the symbol */
  wh_dim a, b;      /* operands */
  int64_t min, max; /* the interval, inclusive */
  uint32_t n_terms; /* constants and symbols in it */
} wh_dim_expr;

typedef struct wh_dim_table {
  const wh_allocator *alloc;
  wh_dim_expr *exprs;
  size_t n, capacity;
  char **symbols; /* [n_symbols] names */
  size_t symbols_capacity;
  wh_dim *symbol_dims; /* [n_symbols] */
  size_t symbol_dims_capacity;
  uint32_t n_symbols;
  uint32_t *slots; /* hash table of exprs: index + 1; 0: free */
  size_t n_slots;  /* a power of two, or 0 */
} wh_dim_table;

void wh_dim_table_init(wh_dim_table *t, const wh_allocator *alloc);
void wh_dim_table_deinit(wh_dim_table *t);
/* `to` is initialised and empty; equal dims have equal indices in both. On failure it may hold a part. */
WH_NODISCARD wh_status wh_dim_table_copy(const wh_dim_table *from, wh_dim_table *to);

/* ERR_LIMIT outside 0..WH_DIM_LIMIT. */
WH_NODISCARD wh_status wh_dim_const(wh_dim_table *t, int64_t value, wh_dim *out);
/* A new symbol, or the existing one of that name when the range agrees. Any name but "" is one. */
WH_NODISCARD wh_status wh_dim_symbol(wh_dim_table *t, const char *name, int64_t min, int64_t max,
                                     wh_dim *out);
/* ERR_INVALID_ARGUMENT when a difference may be negative or a divisor zero, ERR_LIMIT when the value may
 * exceed WH_DIM_LIMIT. Divisions round as their names say; MOD is the rest of FLOORDIV. */
WH_NODISCARD wh_status wh_dim_binary(wh_dim_table *t, wh_dim_kind kind, wh_dim a, wh_dim b, wh_dim *out);

static inline const wh_dim_expr *wh_dim_get(const wh_dim_table *t, wh_dim d) { return &t->exprs[d]; }
static inline bool wh_dim_is_const(const wh_dim_table *t, wh_dim d) {
  return t->exprs[d].kind == WH_DIM_CONST;
}

/* Value with symbol i bound to symbols[i], which is within the symbol's range. */
int64_t wh_dim_eval(const wh_dim_table *t, wh_dim d, const int64_t *symbols);
/* out[d], for each of the t->n expressions: its value as of wh_dim_eval. */
void wh_dim_values(const wh_dim_table *t, const int64_t *symbols, int64_t *out);
/* The same. Allocates nothing. ERR_INVALID_ARGUMENT for a value outside its symbol's range. */
WH_NODISCARD wh_status wh_dim_eval_all(const wh_dim_table *t, const int64_t *symbols, int64_t *out);
/* out[d], for each expression: no value of it is larger while symbol i stays within its least value and
 * symbols_max[i]: what a plan makes room for. At most the expression's `max`; errors as wh_dim_eval_all. */
WH_NODISCARD wh_status wh_dim_max_all(const wh_dim_table *t, const int64_t *symbols_max, int64_t *out);
/* "576", "tokens", "(tokens + 1)", "\"Image Height\"" */
void wh_dim_print(const wh_dim_table *t, wh_dim d, wh_text_buffer *out);
/* A name as the text form has it: quoted unless it is a run of [a-z0-9_] that starts with no digit. */
void wh_symbol_print(const char *name, wh_text_buffer *out);
/* '"', the bytes other than printable ASCII, '"' and '\' as \xNN, '"'. */
void wh_quoted_print(const char *s, size_t n, wh_text_buffer *out);
/* "+", "mod": an operator as the text form has it. */
const char *wh_dim_kind_text(wh_dim_kind kind);
/* The index of a symbol by name, or -1. */
int wh_dim_find_symbol(const wh_dim_table *t, const char *name);

#endif
