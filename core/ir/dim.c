/* dim.c - see dim.h. */
#include "core/ir/dim.h"

#include <string.h>

#include "core/base/hash.h"

void wh_dim_table_init(wh_dim_table *t, const wh_allocator *alloc) { *t = (wh_dim_table){.alloc = alloc}; }

void wh_dim_table_deinit(wh_dim_table *t) {
  for (uint32_t i = 0; i < t->n_symbols; i++) wh_free(t->alloc, t->symbols[i]);
  wh_free(t->alloc, t->symbols);
  wh_free(t->alloc, t->symbol_dims);
  wh_free(t->alloc, t->exprs);
  wh_free(t->alloc, t->slots);
  *t = (wh_dim_table){.alloc = t->alloc};
}

/* ---- interning ---- */

static size_t hash_expr(const wh_dim_expr *e) {
  const uint64_t key[3] = {(uint64_t)e->kind, (uint64_t)e->value, (uint64_t)e->a << 32 | e->b};
  return (size_t)wh_hash_bytes(key, sizeof key).low;
}

static size_t hash_symbol(const char *name) { return (size_t)wh_hash_bytes(name, strlen(name)).low; }

static size_t hash_of(const wh_dim_table *t, const wh_dim_expr *e) {
  return e->kind == WH_DIM_SYMBOL ? hash_symbol(t->symbols[e->value]) : hash_expr(e);
}

/* Room for one more expression in `exprs` and `slots`. */
static wh_status make_room(wh_dim_table *t) {
  if (t->n >= WH_MAX_DIM_EXPRS)
    return WH_FAIL(ERR_LIMIT, "more than %u dimension expressions", WH_MAX_DIM_EXPRS);
  if (!wh_grow_array(t->alloc, (void **)&t->exprs, &t->capacity, t->n, t->n + 1, sizeof *t->exprs))
    return WH_OOM("dimension expressions");
  if (2 * (t->n + 1) <= t->n_slots) return WH_OK;
  const size_t n_slots = t->n_slots ? 2 * t->n_slots : 64;
  uint32_t *slots = wh_alloc_array(t->alloc, n_slots, sizeof *slots);
  if (!slots) return WH_OOM("dimension expressions");
  for (size_t i = 0; i < t->n; i++) {
    size_t s = hash_of(t, &t->exprs[i]) & (n_slots - 1);
    while (slots[s]) s = (s + 1) & (n_slots - 1);
    slots[s] = (uint32_t)i + 1;
  }
  wh_free(t->alloc, t->slots);
  t->slots = slots;
  t->n_slots = n_slots;
  return WH_OK;
}

/* The place of an expression: a taken slot is its, a free one would be. There is a free one. */
static size_t find_expr(const wh_dim_table *t, const wh_dim_expr *e) {
  size_t s = hash_expr(e) & (t->n_slots - 1);
  for (; t->slots[s]; s = (s + 1) & (t->n_slots - 1)) {
    const wh_dim_expr *o = &t->exprs[t->slots[s] - 1];
    if (o->kind == e->kind && o->value == e->value && o->a == e->a && o->b == e->b) break;
  }
  return s;
}

static size_t find_name(const wh_dim_table *t, const char *name) {
  size_t s = hash_symbol(name) & (t->n_slots - 1);
  for (; t->slots[s]; s = (s + 1) & (t->n_slots - 1)) {
    const wh_dim_expr *o = &t->exprs[t->slots[s] - 1];
    if (o->kind == WH_DIM_SYMBOL && strcmp(t->symbols[o->value], name) == 0) break;
  }
  return s;
}

static wh_dim put(wh_dim_table *t, size_t slot, const wh_dim_expr *e) {
  t->exprs[t->n] = *e;
  t->slots[slot] = (uint32_t)t->n + 1;
  return (wh_dim)t->n++;
}

static wh_status intern(wh_dim_table *t, wh_dim_expr e, wh_dim *out) {
  WH_TRY(make_room(t));
  size_t slot = find_expr(t, &e);
  *out = t->slots[slot] ? t->slots[slot] - 1 : put(t, slot, &e);
  return WH_OK;
}

wh_status wh_dim_const(wh_dim_table *t, int64_t value, wh_dim *out) {
  if (value < 0 || value > WH_DIM_LIMIT)
    return WH_FAIL(ERR_LIMIT, "dimension %lld is out of range", (long long)value);
  return intern(t, (wh_dim_expr){WH_DIM_CONST, value, 0, 0, value, value, 1}, out);
}

int wh_dim_find_symbol(const wh_dim_table *t, const char *name) {
  if (!t->n_slots) return -1;
  const uint32_t found = t->slots[find_name(t, name)];
  return found ? (int)t->exprs[found - 1].value : -1;
}

wh_status wh_dim_symbol(wh_dim_table *t, const char *name, int64_t min, int64_t max, wh_dim *out) {
  const size_t length = strlen(name);
  if (length == 0) return WH_FAIL(ERR_INVALID_ARGUMENT, "a dimension symbol has no name");
  if (length >= WH_SYMBOL_NAME_BYTES)
    return WH_FAIL(ERR_LIMIT, "the dimension symbol '%.32s...' has a name of %zu bytes, at most %u are taken",
                   name, length, WH_SYMBOL_NAME_BYTES - 1);
  if (min < 0 || max < min || max > WH_DIM_LIMIT)
    return WH_FAIL(ERR_LIMIT, "symbol '%s': bad range %lld..%lld", name, (long long)min, (long long)max);
  WH_TRY(make_room(t));
  const size_t slot = find_name(t, name);
  if (t->slots[slot]) {
    const wh_dim_expr *e = &t->exprs[t->slots[slot] - 1];
    if (e->min != min || e->max != max)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "symbol '%s' declared with two ranges", name);
    *out = t->slots[slot] - 1;
    return WH_OK;
  }
  const uint32_t i = t->n_symbols;
  if (i == WH_MAX_SYMBOLS) return WH_FAIL(ERR_LIMIT, "more than %u dimension symbols", WH_MAX_SYMBOLS);
  if (!wh_grow_array(t->alloc, (void **)&t->symbols, &t->symbols_capacity, i, i + 1u, sizeof *t->symbols) ||
      !wh_grow_array(t->alloc, (void **)&t->symbol_dims, &t->symbol_dims_capacity, i, i + 1u,
                     sizeof *t->symbol_dims) ||
      !(t->symbols[i] = wh_alloc_string(t->alloc, name, length)))
    return WH_OOM("dimension symbols");
  *out = t->symbol_dims[i] = put(t, slot, &(wh_dim_expr){WH_DIM_SYMBOL, i, 0, 0, min, max, 1});
  t->n_symbols++;
  return WH_OK;
}

wh_status wh_dim_table_copy(const wh_dim_table *from, wh_dim_table *to) {
  for (size_t i = 0; i < from->n; i++) {
    const wh_dim_expr *e = &from->exprs[i];
    wh_dim same;
    if (e->kind == WH_DIM_SYMBOL)
      WH_TRY(wh_dim_symbol(to, from->symbols[e->value], e->min, e->max, &same));
    else
      WH_TRY(intern(to, *e, &same));
  }
  return WH_OK;
}

/* ---- arithmetic ---- */

static int64_t saturating_mul(int64_t a, int64_t b) {
  int64_t r;
  return __builtin_mul_overflow(a, b, &r) ? INT64_MAX : r;
}

/* Operands are 0..INT64_MAX / 2; divisors are positive where the operands are within their intervals. */
static int64_t apply(wh_dim_kind kind, int64_t a, int64_t b) {
  switch (kind) {
    case WH_DIM_ADD:
      return a + b;
    case WH_DIM_SUB:
      return a - b;
    case WH_DIM_MUL:
      return saturating_mul(a, b);
    case WH_DIM_FLOORDIV:
      return b ? a / b : 0;
    case WH_DIM_CEILDIV:
      return b ? a / b + (a % b != 0) : 0;
    case WH_DIM_MOD:
      return b ? a % b : 0;
    case WH_DIM_MIN:
      return a < b ? a : b;
    case WH_DIM_MAX:
      return a > b ? a : b;
    case WH_DIM_CONST:
    case WH_DIM_SYMBOL:
    case WH_DIM_KIND_COUNT:
      break;
  }
  return 0;
}

/* The ends of `a kind b` for a in [a0, a1] and b in [b0, b1]. */
static int64_t lower_end(wh_dim_kind kind, int64_t a0, int64_t a1, int64_t b0, int64_t b1) {
  if (kind == WH_DIM_MOD) return a0 == a1 && b0 == b1 ? a0 % b0 : 0;
  bool falls = kind == WH_DIM_SUB || kind == WH_DIM_FLOORDIV || kind == WH_DIM_CEILDIV; /* with b */
  return apply(kind, a0, falls ? b1 : b0);
}

static int64_t upper_end(wh_dim_kind kind, int64_t a1, int64_t b0, int64_t b1) {
  if (kind == WH_DIM_MOD) return a1 < b1 - 1 ? a1 : b1 - 1;
  bool falls = kind == WH_DIM_SUB || kind == WH_DIM_FLOORDIV || kind == WH_DIM_CEILDIV;
  return apply(kind, a1, falls ? b0 : b1);
}

static bool commutes(wh_dim_kind kind) {
  return kind == WH_DIM_ADD || kind == WH_DIM_MUL || kind == WH_DIM_MIN || kind == WH_DIM_MAX;
}

static bool divides(wh_dim_kind kind) {
  return kind == WH_DIM_FLOORDIV || kind == WH_DIM_CEILDIV || kind == WH_DIM_MOD;
}

/* Symbols, then compound expressions, then constants; -1, 0 or 1. Depth is bounded by WH_DIM_MAX_TERMS;
 * different expressions have different indices, so only one pair of operands is looked into. */
static int compare(const wh_dim_table *t, wh_dim a, wh_dim b) {
  if (a == b) return 0;
  const wh_dim_expr *x = wh_dim_get(t, a), *y = wh_dim_get(t, b);
  if (x->kind != y->kind) {
    if (x->kind == WH_DIM_CONST || y->kind == WH_DIM_CONST) return x->kind == WH_DIM_CONST ? 1 : -1;
    return x->kind < y->kind ? -1 : 1;
  }
  if (x->value != y->value) return x->value < y->value ? -1 : 1;
  int first = compare(t, x->a, y->a);
  return first ? first : compare(t, x->b, y->b);
}

static bool has_operand(const wh_dim_expr *e, wh_dim_kind kind, wh_dim operand) {
  return e->kind == kind && (e->a == operand || e->b == operand);
}

static wh_status not_proven(const wh_dim_table *t, wh_dim a, wh_dim b, int64_t least) {
  wh_text_buffer text; /* without memory the message says less */
  wh_text_buffer_init(&text, t->alloc);
  wh_text_buffer_puts(&text, "(");
  wh_dim_print(t, a, &text);
  wh_text_buffer_puts(&text, " - ");
  wh_dim_print(t, b, &text);
  wh_text_buffer_puts(&text, ")");
  wh_status st = WH_FAIL(ERR_INVALID_ARGUMENT, "the dimension %.300s can be negative: as low as %lld",
                         text.data && !text.oom ? text.data : "(a - b)", (long long)least);
  wh_text_buffer_deinit(&text);
  return st;
}

/* Results that are operands, or constants whatever the symbols are. False: none of these. */
static bool simplify(const wh_dim_table *t, wh_dim_kind kind, wh_dim a, wh_dim b, wh_dim *same,
                     int64_t *constant) {
  const wh_dim_expr *ea = wh_dim_get(t, a), *eb = wh_dim_get(t, b);
  const bool b_is_one = eb->kind == WH_DIM_CONST && eb->value == 1;
  *constant = -1;
  switch (kind) {
    case WH_DIM_ADD:
      *same = ea->max == 0 ? b : a;
      return ea->max == 0 || eb->max == 0;
    case WH_DIM_SUB:
      *same = a;
      if (a == b) *constant = 0;
      if (ea->kind == WH_DIM_ADD && ea->b == b) *same = ea->a; /* (x + b) - b */
      if (ea->kind == WH_DIM_ADD && ea->a == b) *same = ea->b;
      if (eb->kind == WH_DIM_SUB && eb->a == a) *same = eb->b; /* a - (a - x) */
      return a == b || eb->max == 0 || *same != a;
    case WH_DIM_MUL:
      *same = a;
      if (ea->max == 0 || eb->max == 0) *constant = 0;
      return b_is_one || *constant == 0;
    case WH_DIM_FLOORDIV:
    case WH_DIM_CEILDIV:
      *same = a;
      if (ea->max == 0) *constant = 0;
      if (a == b) *constant = 1;
      return b_is_one || *constant >= 0;
    case WH_DIM_MOD:
      *same = a;
      if (b_is_one || a == b) *constant = 0;
      return *constant == 0 || ea->max < eb->min;
    case WH_DIM_MIN:
      *same = a == b || ea->max <= eb->min ? a : b;
      return a == b || ea->max <= eb->min || eb->max <= ea->min;
    case WH_DIM_MAX:
      *same = a == b || ea->min >= eb->max ? a : b;
      return a == b || ea->min >= eb->max || eb->min >= ea->max;
    case WH_DIM_CONST:
    case WH_DIM_SYMBOL:
    case WH_DIM_KIND_COUNT:
      break;
  }
  return false;
}

/* (x +- c) +- d with constants: one constant. False: another form. */
static bool one_constant(const wh_dim_table *t, wh_dim_kind kind, wh_dim a, wh_dim b, wh_dim *x,
                         int64_t *sum) {
  const wh_dim_expr *ea = wh_dim_get(t, a), *eb = wh_dim_get(t, b);
  if ((kind != WH_DIM_ADD && kind != WH_DIM_SUB) || eb->kind != WH_DIM_CONST) return false;
  if ((ea->kind != WH_DIM_ADD && ea->kind != WH_DIM_SUB) || !wh_dim_is_const(t, ea->b)) return false;
  const int64_t c = wh_dim_get(t, ea->b)->value;
  *x = ea->a;
  *sum = (ea->kind == WH_DIM_ADD ? c : -c) + (kind == WH_DIM_ADD ? eb->value : -eb->value);
  return true;
}

/* factor * x + offset, of any dim */
typedef struct multiple {
  wh_dim x;
  int64_t factor, offset;
} multiple;

static multiple multiple_of(const wh_dim_table *t, wh_dim a) {
  const wh_dim_expr *e = wh_dim_get(t, a);
  multiple m = {a, 1, 0};
  if ((e->kind == WH_DIM_ADD || e->kind == WH_DIM_SUB) && wh_dim_is_const(t, e->b)) {
    m.offset = wh_dim_get(t, e->b)->value;
    if (e->kind == WH_DIM_SUB) m.offset = -m.offset;
    m.x = e->a;
    e = wh_dim_get(t, e->a);
  }
  if (e->kind == WH_DIM_MUL && wh_dim_is_const(t, e->b)) {
    m.factor = wh_dim_get(t, e->b)->value;
    m.x = e->a;
  }
  return m;
}

/* A constant times a multiple, and a multiple divided by what its factor is a multiple of: those of x. So
 * that images whose sides are multiples of a number meet again after they went through several sizes. */
static bool of_multiple(const wh_dim_table *t, wh_dim_kind kind, wh_dim a, wh_dim b, multiple *out) {
  const wh_dim_expr *eb = wh_dim_get(t, b);
  const int64_t by = eb->value;
  if (eb->kind != WH_DIM_CONST || by < 1 || (kind != WH_DIM_MUL && !divides(kind))) return false;
  *out = multiple_of(t, a);
  if (out->factor == 1) return false;
  if (kind == WH_DIM_MUL) {
    if (out->offset || __builtin_mul_overflow(out->factor, by, &out->factor)) return false;
    return out->factor <= WH_DIM_LIMIT;
  }
  if (out->factor % by) return false;
  const int64_t rest = (out->offset % by + by) % by, down = (out->offset - rest) / by;
  out->factor = kind == WH_DIM_MOD ? 0 : out->factor / by;
  out->offset = kind == WH_DIM_MOD ? rest : kind == WH_DIM_CEILDIV && rest ? down + 1 : down;
  return true;
}

static wh_status make_multiple(wh_dim_table *t, multiple m, wh_dim *out) {
  wh_dim factor, offset, y = 0;
  WH_TRY(wh_dim_const(t, m.offset < 0 ? -m.offset : m.offset, &offset));
  if (!m.factor) {
    *out = offset;
    return WH_OK;
  }
  WH_TRY(wh_dim_const(t, m.factor, &factor));
  WH_TRY(wh_dim_binary(t, WH_DIM_MUL, m.x, factor, &y));
  return wh_dim_binary(t, m.offset < 0 ? WH_DIM_SUB : WH_DIM_ADD, y, offset, out);
}

wh_status wh_dim_binary(wh_dim_table *t, wh_dim_kind kind, wh_dim a, wh_dim b, wh_dim *out) {
  if ((unsigned)kind < WH_DIM_ADD || (unsigned)kind >= WH_DIM_KIND_COUNT)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "bad dimension operator");
  if (commutes(kind) && compare(t, a, b) > 0) return wh_dim_binary(t, kind, b, a, out);
  const wh_dim_expr ea = *wh_dim_get(t, a), eb = *wh_dim_get(t, b);
  if (divides(kind) && eb.min < 1)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "a dimension is divided by what can be 0");
  wh_dim same;
  multiple whole;
  int64_t constant, sum;
  if (simplify(t, kind, a, b, &same, &constant)) {
    if (constant >= 0) return wh_dim_const(t, constant, out);
    *out = same;
    return WH_OK;
  }
  if (one_constant(t, kind, a, b, &same, &sum)) {
    WH_TRY(wh_dim_const(t, sum < 0 ? -sum : sum, &b));
    return wh_dim_binary(t, sum < 0 ? WH_DIM_SUB : WH_DIM_ADD, same, b, out);
  }
  if (of_multiple(t, kind, a, b, &whole)) return make_multiple(t, whole, out);
  int64_t min = lower_end(kind, ea.min, ea.max, eb.min, eb.max);
  const int64_t max = upper_end(kind, ea.max, eb.min, eb.max);
  if (kind == WH_DIM_SUB && min < 0) {
    if (!has_operand(&eb, WH_DIM_MIN, a) && !has_operand(&ea, WH_DIM_MAX, b)) return not_proven(t, a, b, min);
    min = 0;
  }
  if (max > WH_DIM_LIMIT) return WH_FAIL(ERR_LIMIT, "a dimension can reach %lld", (long long)max);
  if (ea.kind == WH_DIM_CONST && eb.kind == WH_DIM_CONST)
    return wh_dim_const(t, apply(kind, ea.value, eb.value), out);
  const uint32_t n_terms = ea.n_terms + eb.n_terms;
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

/* Symbols within their ranges keep every expression within its interval: 0 to WH_DIM_LIMIT, no overflow. */
static wh_status check_symbols(const wh_dim_table *t, const int64_t *symbols) {
  for (uint32_t i = 0; i < t->n_symbols; i++) {
    const wh_dim_expr *e = wh_dim_get(t, t->symbol_dims[i]);
    if (symbols[i] < e->min || symbols[i] > e->max)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "dimension '%s' is %lld: must be %lld to %lld", t->symbols[i],
                     (long long)symbols[i], (long long)e->min, (long long)e->max);
  }
  return WH_OK;
}

void wh_dim_values(const wh_dim_table *t, const int64_t *symbols, int64_t *out) {
  for (size_t i = 0; i < t->n; i++) { /* operands come first */
    const wh_dim_expr *e = &t->exprs[i];
    if (e->kind == WH_DIM_CONST)
      out[i] = e->value;
    else if (e->kind == WH_DIM_SYMBOL)
      out[i] = symbols[e->value];
    else
      out[i] = apply(e->kind, out[e->a], out[e->b]);
  }
}

wh_status wh_dim_eval_all(const wh_dim_table *t, const int64_t *symbols, int64_t *out) {
  WH_TRY(check_symbols(t, symbols));
  wh_dim_values(t, symbols, out);
  return WH_OK;
}

wh_status wh_dim_max_all(const wh_dim_table *t, const int64_t *symbols_max, int64_t *out) {
  WH_TRY(check_symbols(t, symbols_max));
  for (size_t i = 0; i < t->n; i++) {
    const wh_dim_expr *e = &t->exprs[i];
    if (e->kind == WH_DIM_CONST)
      out[i] = e->value;
    else if (e->kind == WH_DIM_SYMBOL)
      out[i] = symbols_max[e->value];
    else
      out[i] = upper_end(e->kind, out[e->a], wh_dim_get(t, e->b)->min, out[e->b]);
  }
  return WH_OK;
}

/* ---- text ---- */

void wh_quoted_print(const char *s, size_t n, wh_text_buffer *out) {
  wh_text_buffer_puts(out, "\"");
  for (size_t i = 0; i < n; i++) {
    const unsigned char c = (unsigned char)s[i];
    if (c == '"' || c == '\\' || c < 32 || c > 126)
      wh_text_buffer_printf(out, "\\x%02x", c);
    else
      wh_text_buffer_append(out, &s[i], 1);
  }
  wh_text_buffer_puts(out, "\"");
}

void wh_symbol_print(const char *name, wh_text_buffer *out) {
  bool word = *name < '0' || *name > '9';
  for (const char *c = name; *c; c++)
    word = word && ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_');
  if (word)
    wh_text_buffer_puts(out, name);
  else
    wh_quoted_print(name, strlen(name), out);
}

const char *wh_dim_kind_text(wh_dim_kind kind) {
  static const char *const texts[WH_DIM_KIND_COUNT] = {
      [WH_DIM_CONST] = "constant", [WH_DIM_SYMBOL] = "symbol",  [WH_DIM_ADD] = "+",   [WH_DIM_SUB] = "-",
      [WH_DIM_MUL] = "*",          [WH_DIM_FLOORDIV] = "/",     [WH_DIM_MIN] = "min", [WH_DIM_MAX] = "max",
      [WH_DIM_MOD] = "mod",        [WH_DIM_CEILDIV] = "ceildiv"};
  return texts[kind];
}

void wh_dim_print(const wh_dim_table *t, wh_dim d, wh_text_buffer *out) {
  const wh_dim_expr *e = wh_dim_get(t, d);
  if (e->kind == WH_DIM_CONST) {
    wh_text_buffer_printf(out, "%lld", (long long)e->value);
  } else if (e->kind == WH_DIM_SYMBOL) {
    wh_symbol_print(t->symbols[e->value], out);
  } else {
    wh_text_buffer_puts(out, "(");
    wh_dim_print(t, e->a, out);
    wh_text_buffer_printf(out, " %s ", wh_dim_kind_text(e->kind));
    wh_dim_print(t, e->b, out);
    wh_text_buffer_puts(out, ")");
  }
}
