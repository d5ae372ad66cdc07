/* jinja_ops.c - arithmetic, comparison and membership as Python defines them. Integers are 64 bits wide:
 * where Python would go on with a bigger number, this is an error. */
#define _GNU_SOURCE /* memmem */
#include <math.h>
#include <string.h>

#include "text/jinja_ast.h"

static const char *const operator_text[] = {
    [WH_JINJA_OP_ADD] = "+",  [WH_JINJA_OP_SUB] = "-",        [WH_JINJA_OP_MUL] = "*",
    [WH_JINJA_OP_DIV] = "/",  [WH_JINJA_OP_FLOOR_DIV] = "//", [WH_JINJA_OP_MOD] = "%",
    [WH_JINJA_OP_POW] = "**", [WH_JINJA_OP_EQ] = "==",        [WH_JINJA_OP_NE] = "!=",
    [WH_JINJA_OP_LT] = "<",   [WH_JINJA_OP_LE] = "<=",        [WH_JINJA_OP_GT] = ">",
    [WH_JINJA_OP_GE] = ">=",  [WH_JINJA_OP_IN] = "in",        [WH_JINJA_OP_NOT_IN] = "not in",
};

static wh_status fail_overflow(const wh_jinja_run *run, wh_jinja_operator op) {
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "the result of %s does not fit a 64-bit integer",
                       operator_text[op]);
}

static wh_status fail_zero(const wh_jinja_run *run) {
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "division by zero");
}

static wh_status int_pow(wh_jinja_run *run, int64_t base, int64_t exponent, wh_jinja_value *out) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result))
      return fail_overflow(run, WH_JINJA_OP_POW);
    exponent >>= 1;
    if (exponent && __builtin_mul_overflow(base, base, &base)) return fail_overflow(run, WH_JINJA_OP_POW);
  }
  *out = wh_jinja_int(result);
  return WH_OK;
}

static wh_status real_operation(wh_jinja_run *run, wh_jinja_operator op, double a, double b,
                                wh_jinja_value *out) {
  double r;
  if (b == 0 && (op == WH_JINJA_OP_DIV || op == WH_JINJA_OP_FLOOR_DIV || op == WH_JINJA_OP_MOD))
    return fail_zero(run);
  switch (op) {
    case WH_JINJA_OP_ADD:
      r = a + b;
      break;
    case WH_JINJA_OP_SUB:
      r = a - b;
      break;
    case WH_JINJA_OP_MUL:
      r = a * b;
      break;
    case WH_JINJA_OP_DIV:
      r = a / b;
      break;
    case WH_JINJA_OP_POW:
      if (a == 0 && b < 0) return fail_zero(run);
      r = pow(a, b);
      if (isnan(r) && !isnan(a) && !isnan(b))
        return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "the result of ** is a complex number");
      if (isinf(r) && isfinite(a) && isfinite(b)) return fail_overflow(run, op);
      break;
    default: { /* floor division and its remainder, which has the sign of b */
      double mod = fmod(a, b), div = (a - mod) / b;
      if (mod != 0) {
        if ((b < 0) != (mod < 0)) {
          mod += b;
          div -= 1;
        }
      } else {
        mod = copysign(0.0, b);
      }
      double floor_div = div != 0 ? floor(div) : copysign(0.0, a / b);
      if (div != 0 && div - floor_div > 0.5) floor_div += 1;
      r = op == WH_JINJA_OP_MOD ? mod : floor_div;
    }
  }
  *out = wh_jinja_float(r);
  return WH_OK;
}

static wh_status int_operation(wh_jinja_run *run, wh_jinja_operator op, int64_t a, int64_t b,
                               wh_jinja_value *out) {
  int64_t r = 0;
  bool overflow = false;
  switch (op) {
    case WH_JINJA_OP_ADD:
      overflow = __builtin_add_overflow(a, b, &r);
      break;
    case WH_JINJA_OP_SUB:
      overflow = __builtin_sub_overflow(a, b, &r);
      break;
    case WH_JINJA_OP_MUL:
      overflow = __builtin_mul_overflow(a, b, &r);
      break;
    case WH_JINJA_OP_POW:
      if (b >= 0) return int_pow(run, a, b, out);
      return real_operation(run, op, (double)a, (double)b, out);
    case WH_JINJA_OP_DIV:
      return real_operation(run, op, (double)a, (double)b, out);
    default: {
      if (b == 0) return fail_zero(run);
      if (b == -1) { /* INT64_MIN / -1 traps */
        overflow = op == WH_JINJA_OP_FLOOR_DIV && __builtin_sub_overflow((int64_t)0, a, &r);
        break;
      }
      int64_t div = a / b, mod = a % b;
      if (mod != 0 && (mod < 0) != (b < 0)) {
        div--;
        mod += b;
      }
      r = op == WH_JINJA_OP_MOD ? mod : div;
    }
  }
  if (overflow) return fail_overflow(run, op);
  *out = wh_jinja_int(r);
  return WH_OK;
}

/* Text joined to markup is escaped, as markupsafe does. */
static wh_status join_texts(wh_jinja_run *run, const wh_jinja_value *a, const wh_jinja_value *b,
                            wh_jinja_value *out) {
  wh_jinja_value left = *a, right = *b;
  if (left.markup && !right.markup) WH_TRY(wh_jinja_escape(run, wh_jinja_text(&right), &right));
  if (right.markup && !left.markup) WH_TRY(wh_jinja_escape(run, wh_jinja_text(&left), &left));
  size_t mark = wh_jinja_mark(run);
  WH_TRY(wh_jinja_emit(run, left.as.text, left.len));
  WH_TRY(wh_jinja_emit(run, right.as.text, right.len));
  WH_TRY(wh_jinja_take_string(run, mark, out));
  out->markup = left.markup;
  return WH_OK;
}

static wh_status join_lists(wh_jinja_run *run, const wh_jinja_value *a, const wh_jinja_value *b,
                            wh_jinja_value *out) {
  const wh_jinja_list *x = a->as.list, *y = b->as.list;
  wh_jinja_value joined;
  WH_TRY(wh_jinja_new_list(run, (wh_jinja_kind)a->kind, x->n + y->n, &joined));
  if (x->n) memcpy(joined.as.list->items, x->items, x->n * sizeof *x->items);
  if (y->n) memcpy(joined.as.list->items + x->n, y->items, y->n * sizeof *y->items);
  *out = joined;
  return WH_OK;
}

static wh_status repeat(wh_jinja_run *run, const wh_jinja_value *v, int64_t times, wh_jinja_value *out) {
  size_t n = times > 0 ? (size_t)times : 0, total;
  if (v->kind == WH_JINJA_STRING) {
    bool markup = v->markup;
    size_t mark = wh_jinja_mark(run);
    if (v->len == 0) n = 0;
    if (!wh_mul_size(n, v->len, &total) || total > WH_JINJA_OUTPUT_MAX)
      return WH_JINJA_FAIL(run, ERR_LIMIT, "a string is repeated beyond %zu bytes", WH_JINJA_OUTPUT_MAX);
    WH_TRY(wh_jinja_step(run, n / 4));
    for (size_t i = 0; i < n; i++) WH_TRY(wh_jinja_emit(run, v->as.text, v->len));
    WH_TRY(wh_jinja_take_string(run, mark, out));
    out->markup = markup;
    return WH_OK;
  }
  const wh_jinja_list *list = v->as.list;
  if (!wh_mul_size(n, list->n, &total) || total > WH_JINJA_MEMORY_MAX / sizeof *list->items)
    return WH_JINJA_FAIL(run, ERR_LIMIT, "a list is repeated beyond %zu bytes", WH_JINJA_MEMORY_MAX);
  wh_jinja_value result;
  WH_TRY(wh_jinja_new_list(run, (wh_jinja_kind)v->kind, total, &result));
  for (size_t i = 0; i < total; i++) result.as.list->items[i] = list->items[i % list->n];
  *out = result;
  return WH_OK;
}

static bool is_sequence(const wh_jinja_value *v) {
  return v->kind == WH_JINJA_STRING || v->kind == WH_JINJA_LIST || v->kind == WH_JINJA_TUPLE;
}

wh_status wh_jinja_binary(wh_jinja_run *run, wh_jinja_operator op, const wh_jinja_value *a,
                          const wh_jinja_value *b, wh_jinja_value *out) {
  int64_t i, j;
  double x, y;
  bool a_is_int = wh_jinja_as_int(a, &i), b_is_int = wh_jinja_as_int(b, &j);
  if (a_is_int && b_is_int) return int_operation(run, op, i, j, out);
  if (wh_jinja_as_real(a, &x) && wh_jinja_as_real(b, &y)) return real_operation(run, op, x, y, out);
  if (op == WH_JINJA_OP_MOD && a->kind == WH_JINJA_STRING)
    return wh_jinja_format_percent(run, wh_jinja_text(a), b, out);
  if (a->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, a);
  if (b->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, b);
  if (op == WH_JINJA_OP_ADD && a->kind == b->kind) {
    if (a->kind == WH_JINJA_STRING) return join_texts(run, a, b, out);
    if (a->kind == WH_JINJA_LIST || a->kind == WH_JINJA_TUPLE) return join_lists(run, a, b, out);
  }
  if (op == WH_JINJA_OP_MUL && is_sequence(a) && b_is_int) return repeat(run, a, j, out);
  if (op == WH_JINJA_OP_MUL && is_sequence(b) && a_is_int) return repeat(run, b, i, out);
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "unsupported operand types for %s: '%s' and '%s'",
                       operator_text[op], wh_jinja_type_name(a), wh_jinja_type_name(b));
}

wh_status wh_jinja_contains(wh_jinja_run *run, const wh_jinja_value *container, const wh_jinja_value *item,
                            bool *out) {
  *out = false;
  if (container->kind == WH_JINJA_STRING) {
    if (item->kind != WH_JINJA_STRING)
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "'in <string>' requires string as left operand, not %s",
                           wh_jinja_type_name(item));
    WH_TRY(wh_jinja_step(run, container->len / 8));
    *out = item->len == 0 || memmem(container->as.text, container->len, item->as.text, item->len) != NULL;
    return WH_OK;
  }
  if (container->kind == WH_JINJA_DICT) {
    wh_jinja_value *found;
    WH_TRY(wh_jinja_dict_find(run, container->as.dict, item, &found));
    *out = found != NULL;
    return WH_OK;
  }
  if (!wh_jinja_is_iterable(container) || container->kind == WH_JINJA_LOOP)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "argument of type '%s' is not iterable",
                         wh_jinja_type_name(container));
  wh_jinja_value *items;
  size_t n;
  WH_TRY(wh_jinja_iterate(run, container, &items, &n));
  for (size_t i = 0; i < n && !*out; i++) WH_TRY(wh_jinja_equal(run, &items[i], item, out));
  return WH_OK;
}

wh_status wh_jinja_compare_op(wh_jinja_run *run, wh_jinja_operator op, const wh_jinja_value *a,
                              const wh_jinja_value *b, bool *out) {
  wh_jinja_order order;
  switch (op) {
    case WH_JINJA_OP_EQ:
      return wh_jinja_equal(run, a, b, out);
    case WH_JINJA_OP_NE:
      WH_TRY(wh_jinja_equal(run, a, b, out));
      *out = !*out;
      return WH_OK;
    case WH_JINJA_OP_IN:
      return wh_jinja_contains(run, b, a, out);
    case WH_JINJA_OP_NOT_IN:
      WH_TRY(wh_jinja_contains(run, b, a, out));
      *out = !*out;
      return WH_OK;
    default:
      WH_TRY(wh_jinja_compare(run, a, b, operator_text[op], &order));
      *out = (order == WH_JINJA_LESS && (op == WH_JINJA_OP_LT || op == WH_JINJA_OP_LE)) ||
             (order == WH_JINJA_GREATER && (op == WH_JINJA_OP_GT || op == WH_JINJA_OP_GE)) ||
             (order == WH_JINJA_SAME && (op == WH_JINJA_OP_LE || op == WH_JINJA_OP_GE));
      return WH_OK;
  }
}
