/* jinja_value.c - truth, equality, order and containers. Printing is in jinja_print.c. */
#include "text/jinja_value.h"

#include <math.h>
#include <string.h>

#include "text/jinja_utf8.h"

const char *wh_jinja_type_name(const wh_jinja_value *v) {
  switch ((wh_jinja_kind)v->kind) {
    case WH_JINJA_ABSENT:
    case WH_JINJA_UNDEFINED:
      return "Undefined";
    case WH_JINJA_NONE:
      return "NoneType";
    case WH_JINJA_BOOL:
      return "bool";
    case WH_JINJA_INT:
      return "int";
    case WH_JINJA_FLOAT:
      return "float";
    case WH_JINJA_STRING:
      return "str";
    case WH_JINJA_LIST:
      return "list";
    case WH_JINJA_TUPLE:
      return "tuple";
    case WH_JINJA_RANGE:
      return "range";
    case WH_JINJA_KEYS:
      return "dict_keys";
    case WH_JINJA_VALUES:
      return "dict_values";
    case WH_JINJA_ITEMS:
      return "dict_items";
    case WH_JINJA_GENERATOR:
      return "generator";
    case WH_JINJA_DICT:
      return "dict";
    case WH_JINJA_NAMESPACE:
      return "Namespace";
    case WH_JINJA_MACRO:
      return "Macro";
    case WH_JINJA_FUNCTION:
      return "function";
    case WH_JINJA_METHOD:
      return "method";
    case WH_JINJA_LOOP:
      return "LoopContext";
  }
  return "?";
}

wh_status wh_jinja_fail_undefined(const wh_jinja_run *run, const wh_jinja_value *v) {
  wh_str name = wh_jinja_text(v);
  if (v->owner == WH_JINJA_NONE)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, WH_STR_FMT, WH_STR_ARG(name));
  if (v->owner == WH_JINJA_ABSENT)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "'" WH_STR_FMT "' is undefined", WH_STR_ARG(name));
  wh_jinja_value owner = {.kind = v->owner};
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "'%s' has no element or attribute '" WH_STR_FMT "'",
                       wh_jinja_type_name(&owner), WH_STR_ARG(name));
}

bool wh_jinja_truthy(const wh_jinja_value *v) {
  switch ((wh_jinja_kind)v->kind) {
    case WH_JINJA_ABSENT:
    case WH_JINJA_UNDEFINED:
    case WH_JINJA_NONE:
      return false;
    case WH_JINJA_BOOL:
      return v->as.boolean;
    case WH_JINJA_INT:
      return v->as.integer != 0;
    case WH_JINJA_FLOAT:
      return v->as.real != 0;
    case WH_JINJA_STRING:
      return v->len != 0;
    case WH_JINJA_DICT:
      return v->as.dict->n != 0;
    case WH_JINJA_LIST:
    case WH_JINJA_TUPLE:
    case WH_JINJA_RANGE:
    case WH_JINJA_KEYS:
    case WH_JINJA_VALUES:
    case WH_JINJA_ITEMS:
      return v->as.list->n != 0;
    default:
      return true;
  }
}

bool wh_jinja_as_int(const wh_jinja_value *v, int64_t *out) {
  if (v->kind == WH_JINJA_INT) {
    *out = v->as.integer;
  } else if (v->kind == WH_JINJA_BOOL) {
    *out = v->as.boolean;
  } else {
    return false;
  }
  return true;
}

bool wh_jinja_as_real(const wh_jinja_value *v, double *out) {
  int64_t i;
  if (wh_jinja_as_int(v, &i)) {
    *out = (double)i;
  } else if (v->kind == WH_JINJA_FLOAT) {
    *out = v->as.real;
  } else {
    return false;
  }
  return true;
}

static wh_jinja_order order_of_ints(int64_t a, int64_t b) {
  return a < b ? WH_JINJA_LESS : a > b ? WH_JINJA_GREATER : WH_JINJA_SAME;
}

/* Exact, as in Python: an int is not rounded to a float first. */
static wh_jinja_order order_of_int_and_real(int64_t a, double b) {
  if (isnan(b)) return WH_JINJA_UNORDERED;
  if (b >= 0x1p63) return WH_JINJA_LESS;
  if (b < -0x1p63) return WH_JINJA_GREATER;
  int64_t whole = (int64_t)b; /* towards zero */
  if (a != whole) return order_of_ints(a, whole);
  double rest = b - (double)whole;
  return rest > 0 ? WH_JINJA_LESS : rest < 0 ? WH_JINJA_GREATER : WH_JINJA_SAME;
}

/* False when one of them is not a number. */
static bool order_of_numbers(const wh_jinja_value *a, const wh_jinja_value *b, wh_jinja_order *out) {
  int64_t ia, ib;
  bool a_int = wh_jinja_as_int(a, &ia), b_int = wh_jinja_as_int(b, &ib);
  if ((!a_int && a->kind != WH_JINJA_FLOAT) || (!b_int && b->kind != WH_JINJA_FLOAT)) return false;
  if (a_int && b_int) {
    *out = order_of_ints(ia, ib);
  } else if (a_int) {
    *out = order_of_int_and_real(ia, b->as.real);
  } else if (b_int) {
    wh_jinja_order o = order_of_int_and_real(ib, a->as.real);
    *out = o == WH_JINJA_LESS ? WH_JINJA_GREATER : o == WH_JINJA_GREATER ? WH_JINJA_LESS : o;
  } else {
    double x = a->as.real, y = b->as.real;
    *out = x < y ? WH_JINJA_LESS : x > y ? WH_JINJA_GREATER : x == y ? WH_JINJA_SAME : WH_JINJA_UNORDERED;
  }
  return true;
}

static wh_status equal_lists(wh_jinja_run *run, const wh_jinja_list *a, const wh_jinja_list *b, bool *out) {
  bool same = a->n == b->n;
  for (size_t i = 0; same && i < a->n; i++) WH_TRY(wh_jinja_equal(run, &a->items[i], &b->items[i], &same));
  *out = same;
  return WH_OK;
}

static wh_status equal_dicts(wh_jinja_run *run, const wh_jinja_dict *a, const wh_jinja_dict *b, bool *out) {
  bool same = a->n == b->n;
  for (size_t i = 0; same && i < a->n; i++) {
    wh_jinja_value *other;
    WH_TRY(wh_jinja_dict_find(run, b, &a->pairs[i].key, &other));
    same = other != NULL;
    if (same) WH_TRY(wh_jinja_equal(run, &a->pairs[i].value, other, &same));
  }
  *out = same;
  return WH_OK;
}

wh_status wh_jinja_equal(wh_jinja_run *run, const wh_jinja_value *a, const wh_jinja_value *b, bool *out) {
  wh_jinja_order order;
  WH_TRY(wh_jinja_step(run, 1));
  if (order_of_numbers(a, b, &order)) {
    *out = order == WH_JINJA_SAME;
    return WH_OK;
  }
  if (a->kind != b->kind) {
    *out = false;
    return WH_OK;
  }
  wh_status status = WH_OK;
  switch ((wh_jinja_kind)a->kind) {
    case WH_JINJA_STRING:
      if (a->len == b->len) WH_TRY(wh_jinja_step(run, a->len / 64));
      *out = wh_str_equal(wh_jinja_text(a), wh_jinja_text(b));
      return WH_OK;
    case WH_JINJA_LIST:
    case WH_JINJA_TUPLE:
    case WH_JINJA_RANGE:
    case WH_JINJA_KEYS:
    case WH_JINJA_ITEMS:
      WH_TRY(wh_jinja_enter(run));
      status = equal_lists(run, a->as.list, b->as.list, out);
      wh_jinja_leave(run);
      return status;
    case WH_JINJA_DICT:
      WH_TRY(wh_jinja_enter(run));
      status = equal_dicts(run, a->as.dict, b->as.dict, out);
      wh_jinja_leave(run);
      return status;
    case WH_JINJA_UNDEFINED:
    case WH_JINJA_NONE:
      *out = true;
      return WH_OK;
    case WH_JINJA_METHOD:
      *out = a->as.method->builtin == b->as.method->builtin &&
             a->as.method->self->as.list == b->as.method->self->as.list;
      return WH_OK;
    default: /* identity */
      *out = a->as.list == b->as.list;
      return WH_OK;
  }
}

static wh_status compare_lists(wh_jinja_run *run, const wh_jinja_list *a, const wh_jinja_list *b,
                               const char *op, wh_jinja_order *out) {
  for (size_t i = 0; i < a->n && i < b->n; i++) {
    bool same;
    WH_TRY(wh_jinja_equal(run, &a->items[i], &b->items[i], &same));
    if (!same) return wh_jinja_compare(run, &a->items[i], &b->items[i], op, out);
  }
  *out = order_of_ints((int64_t)a->n, (int64_t)b->n);
  return WH_OK;
}

wh_status wh_jinja_compare(wh_jinja_run *run, const wh_jinja_value *a, const wh_jinja_value *b,
                           const char *op, wh_jinja_order *out) {
  WH_TRY(wh_jinja_step(run, 1));
  if (order_of_numbers(a, b, out)) return WH_OK;
  if (a->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, a);
  if (b->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, b);
  if (a->kind == b->kind && a->kind == WH_JINJA_STRING) {
    size_t n = a->len < b->len ? a->len : b->len;
    WH_TRY(wh_jinja_step(run, n / 64));
    int c = n ? memcmp(a->as.text, b->as.text, n) : 0; /* UTF-8 sorts as its code points do */
    *out = c ? (c < 0 ? WH_JINJA_LESS : WH_JINJA_GREATER) : order_of_ints((int64_t)a->len, (int64_t)b->len);
    return WH_OK;
  }
  if (a->kind == b->kind && (a->kind == WH_JINJA_LIST || a->kind == WH_JINJA_TUPLE)) {
    WH_TRY(wh_jinja_enter(run));
    wh_status status = compare_lists(run, a->as.list, b->as.list, op, out);
    wh_jinja_leave(run);
    return status;
  }
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "'%s' not supported between instances of '%s' and '%s'", op,
                       wh_jinja_type_name(a), wh_jinja_type_name(b));
}

wh_status wh_jinja_to_text(wh_jinja_run *run, const wh_jinja_value *v, wh_str *out) {
  if (v->kind == WH_JINJA_STRING) {
    *out = wh_jinja_text(v);
    return WH_OK;
  }
  size_t mark = wh_jinja_mark(run);
  WH_TRY(wh_jinja_print(run, v));
  return wh_jinja_take(run, mark, out);
}

wh_status wh_jinja_take_string(wh_jinja_run *run, size_t mark, wh_jinja_value *out) {
  wh_str text;
  WH_TRY(wh_jinja_take(run, mark, &text));
  *out = wh_jinja_string(text);
  return WH_OK;
}

wh_status wh_jinja_new_list(wh_jinja_run *run, wh_jinja_kind kind, size_t n, wh_jinja_value *out) {
  wh_jinja_list *list;
  WH_TRY(wh_jinja_alloc(run, 1, sizeof *list, &list));
  WH_TRY(wh_jinja_alloc(run, n, sizeof *list->items, &list->items));
  list->n = n;
  *out = (wh_jinja_value){.kind = (uint8_t)kind, .as.list = list};
  return WH_OK;
}

static wh_status split_characters(wh_jinja_run *run, const wh_jinja_value *v, wh_jinja_value **items,
                                  size_t *n) {
  wh_str text = wh_jinja_text(v);
  size_t count = wh_jinja_utf8_count(text), pos = 0;
  WH_TRY(wh_jinja_alloc(run, count, sizeof **items, items));
  for (size_t i = 0; i < count; i++) {
    size_t start = pos;
    (void)wh_jinja_utf8_next(text, &pos);
    (*items)[i] = wh_jinja_string((wh_str){text.data + start, pos - start});
    (*items)[i].markup = v->markup;
  }
  *n = count;
  return WH_OK;
}

bool wh_jinja_is_iterable(const wh_jinja_value *v) {
  return wh_jinja_has_items(v) || v->kind == WH_JINJA_STRING || v->kind == WH_JINJA_DICT ||
         v->kind == WH_JINJA_UNDEFINED || v->kind == WH_JINJA_LOOP;
}

wh_status wh_jinja_iterate(wh_jinja_run *run, const wh_jinja_value *v, wh_jinja_value **items, size_t *n) {
  if (wh_jinja_has_items(v)) {
    *items = v->as.list->items;
    *n = v->as.list->n;
    if (v->kind == WH_JINJA_GENERATOR) v->as.list->n = 0;
    return wh_jinja_step(run, *n / 16);
  }
  wh_jinja_value view;
  switch ((wh_jinja_kind)v->kind) {
    case WH_JINJA_UNDEFINED:
      *items = NULL;
      *n = 0;
      return WH_OK;
    case WH_JINJA_STRING:
      return split_characters(run, v, items, n);
    case WH_JINJA_DICT:
      WH_TRY(wh_jinja_dict_view(run, v->as.dict, WH_JINJA_KEYS, &view));
      *items = view.as.list->items;
      *n = view.as.list->n;
      return WH_OK;
    default:
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "'%s' object is not iterable", wh_jinja_type_name(v));
  }
}

wh_status wh_jinja_length(wh_jinja_run *run, const wh_jinja_value *v, size_t *out) {
  if (wh_jinja_has_items(v) && v->kind != WH_JINJA_GENERATOR) {
    *out = v->as.list->n;
  } else if (v->kind == WH_JINJA_STRING) {
    WH_TRY(wh_jinja_step(run, v->len / 64));
    *out = wh_jinja_utf8_count(wh_jinja_text(v));
  } else if (v->kind == WH_JINJA_DICT) {
    *out = v->as.dict->n;
  } else if (v->kind == WH_JINJA_UNDEFINED) {
    *out = 0;
  } else {
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "object of type '%s' has no len()",
                         wh_jinja_type_name(v));
  }
  return WH_OK;
}

wh_status wh_jinja_new_dict(wh_jinja_run *run, wh_jinja_kind kind, size_t capacity, wh_jinja_value *out) {
  wh_jinja_dict *dict;
  WH_TRY(wh_jinja_alloc(run, 1, sizeof *dict, &dict));
  if (capacity) WH_TRY(wh_jinja_alloc(run, capacity, sizeof *dict->pairs, &dict->pairs));
  dict->capacity = capacity;
  *out = (wh_jinja_value){.kind = (uint8_t)kind, .as.dict = dict};
  return WH_OK;
}

static wh_status check_hashable(wh_jinja_run *run, const wh_jinja_value *key) {
  switch ((wh_jinja_kind)key->kind) {
    case WH_JINJA_LIST:
    case WH_JINJA_DICT:
    case WH_JINJA_KEYS:
    case WH_JINJA_ITEMS:
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "unhashable type: '%s'", wh_jinja_type_name(key));
    case WH_JINJA_TUPLE:
      WH_TRY(wh_jinja_enter(run));
      for (size_t i = 0; i < key->as.list->n; i++) WH_TRY(check_hashable(run, &key->as.list->items[i]));
      wh_jinja_leave(run);
      return WH_OK;
    default:
      return WH_OK;
  }
}

wh_status wh_jinja_dict_find(wh_jinja_run *run, const wh_jinja_dict *dict, const wh_jinja_value *key,
                             wh_jinja_value **out) {
  if (key->kind == WH_JINJA_STRING) return wh_jinja_dict_find_text(run, dict, wh_jinja_text(key), out);
  WH_TRY(check_hashable(run, key));
  *out = NULL;
  for (size_t i = 0; i < dict->n; i++) {
    bool same;
    WH_TRY(wh_jinja_equal(run, &dict->pairs[i].key, key, &same));
    if (same) {
      *out = &dict->pairs[i].value;
      break;
    }
  }
  return WH_OK;
}

wh_status wh_jinja_dict_find_text(wh_jinja_run *run, const wh_jinja_dict *dict, wh_str key,
                                  wh_jinja_value **out) {
  WH_TRY(wh_jinja_step(run, dict->n / 8));
  *out = NULL;
  for (size_t i = 0; i < dict->n; i++) {
    const wh_jinja_value *k = &dict->pairs[i].key;
    if (k->kind == WH_JINJA_STRING && wh_str_equal(wh_jinja_text(k), key)) {
      *out = &dict->pairs[i].value;
      break;
    }
  }
  return WH_OK;
}

wh_status wh_jinja_dict_append(wh_jinja_run *run, wh_jinja_dict *dict, const wh_jinja_value *key,
                               const wh_jinja_value *value) {
  if (dict->n == dict->capacity) {
    size_t capacity = dict->capacity ? 2 * dict->capacity : 4;
    wh_jinja_pair *pairs;
    WH_TRY(wh_jinja_alloc(run, capacity, sizeof *pairs, &pairs));
    if (dict->n) memcpy(pairs, dict->pairs, dict->n * sizeof *pairs);
    dict->pairs = pairs;
    dict->capacity = capacity;
  }
  dict->pairs[dict->n++] = (wh_jinja_pair){*key, *value};
  return WH_OK;
}

wh_status wh_jinja_dict_put(wh_jinja_run *run, wh_jinja_dict *dict, const wh_jinja_value *key,
                            const wh_jinja_value *value) {
  wh_jinja_value *slot;
  WH_TRY(wh_jinja_dict_find(run, dict, key, &slot));
  if (!slot) return wh_jinja_dict_append(run, dict, key, value);
  *slot = *value;
  return WH_OK;
}

wh_status wh_jinja_dict_view(wh_jinja_run *run, const wh_jinja_dict *dict, wh_jinja_kind kind,
                             wh_jinja_value *out) {
  wh_jinja_value view;
  WH_TRY(wh_jinja_new_list(run, kind, dict->n, &view));
  for (size_t i = 0; i < dict->n; i++) {
    wh_jinja_value *item = &view.as.list->items[i];
    if (kind == WH_JINJA_KEYS) {
      *item = dict->pairs[i].key;
    } else if (kind == WH_JINJA_VALUES) {
      *item = dict->pairs[i].value;
    } else {
      WH_TRY(wh_jinja_new_list(run, WH_JINJA_TUPLE, 2, item));
      item->as.list->items[0] = dict->pairs[i].key;
      item->as.list->items[1] = dict->pairs[i].value;
    }
  }
  *out = view;
  return WH_OK;
}

wh_status wh_jinja_bind(wh_jinja_run *run, const wh_jinja_args *args, const char *names, size_t n_min,
                        wh_jinja_value *out) {
  const char *name[8];
  size_t name_bytes[8], n_names = 0;
  for (const char *p = names; *p && n_names < 8; n_names++) {
    name[n_names] = p;
    name_bytes[n_names] = strcspn(p, " ");
    p += name_bytes[n_names];
    p += *p == ' ';
  }
  if (args->n > n_names)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s() takes at most %zu arguments, not %zu", run->callee,
                         n_names, args->n);
  for (size_t i = 0; i < n_names; i++)
    out[i] = i < args->n ? args->values[i] : (wh_jinja_value){.kind = WH_JINJA_ABSENT};
  for (size_t k = 0; k < args->n_named; k++) {
    wh_str given = wh_jinja_text(&args->named[k].key);
    size_t i = 0;
    while (i < n_names && !wh_str_equal(given, (wh_str){name[i], name_bytes[i]})) i++;
    if (i == n_names)
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s() has no argument '" WH_STR_FMT "'", run->callee,
                           WH_STR_ARG(given));
    if (out[i].kind != WH_JINJA_ABSENT)
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s() got argument '" WH_STR_FMT "' twice", run->callee,
                           WH_STR_ARG(given));
    out[i] = args->named[k].value;
  }
  for (size_t i = 0; i < n_min; i++)
    if (out[i].kind == WH_JINJA_ABSENT)
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s() misses its argument '%.*s'", run->callee,
                           (int)name_bytes[i], name[i]);
  return WH_OK;
}
