/* dim.c - see dim.h. Interning is a linear search: graphs hold tens of distinct expressions, not thousands.
 */
#include "core/ir/dim.h"

#include <string.h>

#define MAX_EXPRS 4096u

void wh_dim_table_init(wh_dim_table *t, const wh_allocator *alloc) { *t = (wh_dim_table){.alloc = alloc}; }

void wh_dim_table_deinit(wh_dim_table *t) {
  wh_free(t->alloc, t->exprs);
  *t = (wh_dim_table){.alloc = t->alloc};
}

static wh_status intern(wh_dim_table *t, wh_dim_expr e, wh_dim *out) {
  for (size_t i = 0; i < t->n; i++) {
    const wh_dim_expr *o = &t->exprs[i];
    if (o->kind == e.kind && o->value == e.value && o->a == e.a && o->b == e.b) {
      *out = (wh_dim)i;
      return WH_OK;
    }
  }
  if (t->n >= MAX_EXPRS) return WH_FAIL(ERR_LIMIT, "more than %u dimension expressions", MAX_EXPRS);
  if (!wh_grow_array(t->alloc, (void **)&t->exprs, &t->capacity, t->n, t->n + 1, sizeof *t->exprs))
    return WH_OOM("dimension expressions");
  t->exprs[t->n] = e;
  *out = (wh_dim)t->n++;
  return WH_OK;
}

wh_status wh_dim_const(wh_dim_table *t, int64_t value, wh_dim *out) {
  if (value < 0 || value > WH_DIM_LIMIT)
    return WH_FAIL(ERR_LIMIT, "dimension %lld is out of range", (long long)value);
  return intern(t, (wh_dim_expr){WH_DIM_CONST, value, 0, 0, value, value, 1}, out);
}

int wh_dim_find_symbol(const wh_dim_table *t, const char *name) {
  for (uint32_t i = 0; i < t->n_symbols; i++)
    if (strcmp(t->symbols[i], name) == 0) return (int)i;
  return -1;
}

static bool symbol_name_ok(const char *s) {
  if (!*s || strlen(s) >= WH_SYMBOL_NAME_BYTES || (*s >= '0' && *s <= '9')) return false;
  for (; *s; s++)
    if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_')) return false;
  return true;
}

wh_status wh_dim_symbol(wh_dim_table *t, const char *name, int64_t min, int64_t max, wh_dim *out) {
  if (!symbol_name_ok(name)) return WH_FAIL(ERR_INVALID_ARGUMENT, "bad dimension symbol '%.32s'", name);
  if (min < 0 || max < min || max > WH_DIM_LIMIT)
    return WH_FAIL(ERR_LIMIT, "symbol '%s': bad range %lld..%lld", name, (long long)min, (long long)max);
  int i = wh_dim_find_symbol(t, name);
  if (i >= 0) {
    const wh_dim_expr *e = wh_dim_get(t, t->symbol_dims[i]);
    if (e->min != min || e->max != max)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "symbol '%s' declared with two ranges", name);
    *out = t->symbol_dims[i];
    return WH_OK;
  }
  if (t->n_symbols == WH_MAX_SYMBOLS)
    return WH_FAIL(ERR_LIMIT, "more than %d dimension symbols", WH_MAX_SYMBOLS);
  wh_dim d;
  WH_TRY(intern(t, (wh_dim_expr){WH_DIM_SYMBOL, t->n_symbols, 0, 0, min, max, 1}, &d));
  memcpy(t->symbols[t->n_symbols], name, strlen(name) + 1);
  t->symbol_dims[t->n_symbols++] = d;
  *out = d;
  return WH_OK;
}

static int64_t apply(wh_dim_kind kind, int64_t a, int64_t b) {
  switch (kind) {
    case WH_DIM_ADD:
      return a + b;
    case WH_DIM_MUL: {
      int64_t r;
      return __builtin_mul_overflow(a, b, &r) ? INT64_MAX : r;
    }
    case WH_DIM_FLOORDIV:
      return b ? a / b : 0; /* operands are never negative */
    case WH_DIM_MIN:
      return a < b ? a : b;
    case WH_DIM_MAX:
      return a > b ? a : b;
    case WH_DIM_CONST:
    case WH_DIM_SYMBOL:
      break;
  }
  return 0;
}

/* Symbols, then compound expressions, then constants; -1, 0 or 1. Depth is bounded by WH_DIM_MAX_TERMS. */
static int compare(const wh_dim_table *t, wh_dim a, wh_dim b) {
  static const int rank[] = {[WH_DIM_SYMBOL] = 0, [WH_DIM_ADD] = 1, [WH_DIM_MUL] = 2,  [WH_DIM_FLOORDIV] = 3,
                             [WH_DIM_MIN] = 4,    [WH_DIM_MAX] = 5, [WH_DIM_CONST] = 6};
  if (a == b) return 0;
  const wh_dim_expr *x = wh_dim_get(t, a), *y = wh_dim_get(t, b);
  if (x->kind != y->kind) return rank[x->kind] < rank[y->kind] ? -1 : 1;
  if (x->value != y->value) return x->value < y->value ? -1 : 1;
  int first = compare(t, x->a, y->a);
  return first ? first : compare(t, x->b, y->b);
}

wh_status wh_dim_binary(wh_dim_table *t, wh_dim_kind kind, wh_dim a, wh_dim b, wh_dim *out) {
  const wh_dim_expr ea = *wh_dim_get(t, a), eb = *wh_dim_get(t, b);
  if (kind < WH_DIM_ADD || kind > WH_DIM_MAX) return WH_FAIL(ERR_INVALID_ARGUMENT, "bad dimension operator");
  if (kind == WH_DIM_FLOORDIV && (eb.kind != WH_DIM_CONST || eb.value == 0))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "a dimension can only be divided by a positive constant");
  if (ea.kind == WH_DIM_CONST && eb.kind == WH_DIM_CONST)
    return wh_dim_const(t, apply(kind, ea.value, eb.value), out);
  if (kind != WH_DIM_FLOORDIV && compare(t, a, b) > 0) /* commutative: one order */
    return wh_dim_binary(t, kind, b, a, out);
  /* neutral elements */
  if (kind == WH_DIM_ADD && (ea.max == 0 || eb.max == 0)) {
    *out = ea.max == 0 ? b : a;
    return WH_OK;
  }
  if ((kind == WH_DIM_MUL || kind == WH_DIM_FLOORDIV) && eb.kind == WH_DIM_CONST && eb.value == 1) {
    *out = a;
    return WH_OK;
  }
  if ((kind == WH_DIM_MUL || kind == WH_DIM_FLOORDIV) && (ea.max == 0 || eb.max == 0))
    return wh_dim_const(t, 0, out);
  if (a == b && (kind == WH_DIM_MIN || kind == WH_DIM_MAX)) {
    *out = a;
    return WH_OK;
  }
  if ((kind == WH_DIM_MIN && ea.max <= eb.min) || (kind == WH_DIM_MAX && ea.min >= eb.max)) {
    *out = a;
    return WH_OK;
  }
  if ((kind == WH_DIM_MIN && eb.max <= ea.min) || (kind == WH_DIM_MAX && eb.min >= ea.max)) {
    *out = b;
    return WH_OK;
  }
  int64_t min = kind == WH_DIM_FLOORDIV ? apply(kind, ea.min, eb.max) : apply(kind, ea.min, eb.min);
  int64_t max = kind == WH_DIM_FLOORDIV ? apply(kind, ea.max, eb.min) : apply(kind, ea.max, eb.max);
  if (max > WH_DIM_LIMIT) return WH_FAIL(ERR_LIMIT, "a dimension can reach %lld", (long long)max);
  uint32_t n_terms = ea.n_terms + eb.n_terms;
  if (n_terms > WH_DIM_MAX_TERMS)
    return WH_FAIL(ERR_LIMIT, "a dimension has more than %d terms", WH_DIM_MAX_TERMS);
  return intern(t, (wh_dim_expr){kind, 0, a, b, min, max, n_terms}, out);
}

int64_t wh_dim_eval(const wh_dim_table *t, wh_dim d, const int64_t *symbols) {
  const wh_dim_expr *e = wh_dim_get(t, d);
  if (e->kind == WH_DIM_CONST) return e->value;
  if (e->kind == WH_DIM_SYMBOL) return symbols[e->value];
  return apply(e->kind, wh_dim_eval(t, e->a, symbols), wh_dim_eval(t, e->b, symbols));
}

void wh_dim_print(const wh_dim_table *t, wh_dim d, wh_text_buffer *out) {
  const wh_dim_expr *e = wh_dim_get(t, d);
  static const char *const ops[] = {[WH_DIM_ADD] = "+",
                                    [WH_DIM_MUL] = "*",
                                    [WH_DIM_FLOORDIV] = "/",
                                    [WH_DIM_MIN] = "min",
                                    [WH_DIM_MAX] = "max"};
  if (e->kind == WH_DIM_CONST) {
    wh_text_buffer_printf(out, "%lld", (long long)e->value);
  } else if (e->kind == WH_DIM_SYMBOL) {
    wh_text_buffer_puts(out, t->symbols[e->value]);
  } else {
    wh_text_buffer_puts(out, "(");
    wh_dim_print(t, e->a, out);
    wh_text_buffer_printf(out, " %s ", ops[e->kind]);
    wh_dim_print(t, e->b, out);
    wh_text_buffer_puts(out, ")");
  }
}
