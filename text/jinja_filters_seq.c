/* jinja_filters_seq.c - filters of sequences: join, map, select, sort and their like. */
#include <string.h>

#include "text/jinja_filters.h"
#include "text/jinja_utf8.h"

/* The key of an item: item[part][part]... of a path such as "function.name" or 0; no path: the item itself.
 */
static wh_status follow_path(wh_jinja_run *run, const wh_jinja_value *item, const wh_jinja_value *path,
                             const wh_jinja_value *fallback, wh_jinja_value *out) {
  wh_jinja_value value = *item, next;
  if (!wh_jinja_is_given(path)) {
    *out = value;
    return WH_OK;
  }
  if (path->kind != WH_JINJA_STRING) return wh_jinja_get_item(run, item, path, out);
  wh_str rest = wh_jinja_text(path);
  for (bool more = true; more;) {
    const char *dot = rest.len ? memchr(rest.data, '.', rest.len) : NULL;
    wh_str part = {rest.data, dot ? (size_t)(dot - rest.data) : rest.len};
    more = dot != NULL;
    if (more) rest = (wh_str){dot + 1, rest.len - part.len - 1};
    wh_jinja_value key = wh_jinja_string(part);
    int64_t index = 0;
    bool number = part.len > 0 && part.len < 10;
    for (size_t i = 0; number && i < part.len; i++) {
      number = part.data[i] >= '0' && part.data[i] <= '9';
      index = 10 * index + (part.data[i] - '0');
    }
    if (number) key = wh_jinja_int(index);
    WH_TRY(wh_jinja_get_item(run, &value, &key, &next));
    if (next.kind == WH_JINJA_UNDEFINED && fallback && wh_jinja_is_given(fallback)) next = *fallback;
    value = next;
  }
  *out = value;
  return WH_OK;
}

/* Strings compare without regard to case unless asked. */
static wh_status fold_case(wh_jinja_run *run, bool case_sensitive, wh_jinja_value *v) {
  wh_jinja_args none = {0};
  wh_jinja_value text = *v;
  if (case_sensitive || v->kind != WH_JINJA_STRING) return WH_OK;
  return wh_jinja_str_lower(run, &text, &none, v);
}

/* Stable merge sort of `items` by `keys`, both permuted. */
typedef struct sorter {
  wh_jinja_run *run;
  wh_jinja_value *keys, *items, *spare_keys, *spare_items;
  bool reverse;
} sorter;

static wh_status merge_sort(sorter *s, size_t from, size_t to) {
  if (to - from < 2) return WH_OK;
  size_t middle = from + (to - from) / 2, a = from, b = middle, n = from;
  WH_TRY(merge_sort(s, from, middle));
  WH_TRY(merge_sort(s, middle, to));
  while (a < middle || b < to) {
    bool take_b = a >= middle;
    if (a < middle && b < to) {
      wh_jinja_order order;
      WH_TRY(wh_jinja_compare(s->run, &s->keys[b], &s->keys[a], "<", &order));
      take_b = s->reverse ? order == WH_JINJA_GREATER : order == WH_JINJA_LESS;
    }
    size_t taken = take_b ? b++ : a++;
    s->spare_keys[n] = s->keys[taken];
    s->spare_items[n++] = s->items[taken];
  }
  memcpy(s->keys + from, s->spare_keys + from, (to - from) * sizeof *s->keys);
  memcpy(s->items + from, s->spare_items + from, (to - from) * sizeof *s->items);
  return WH_OK;
}

/* *out becomes a list of `items` in the order of `keys`. */
static wh_status sort_by_keys(wh_jinja_run *run, wh_jinja_value *keys, const wh_jinja_value *items, size_t n,
                              bool reverse, wh_jinja_value *out) {
  wh_jinja_value result;
  sorter s = {.run = run, .keys = keys, .reverse = reverse};
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_LIST, n, &result));
  s.items = result.as.list->items;
  if (n) memcpy(s.items, items, n * sizeof *items);
  WH_TRY(wh_jinja_alloc(run, n, sizeof *keys, &s.spare_keys));
  WH_TRY(wh_jinja_alloc(run, n, sizeof *items, &s.spare_items));
  WH_TRY(merge_sort(&s, 0, n));
  *out = result;
  return WH_OK;
}

/* The keys of sort(attribute="a,b"): one list per item, as Jinja makes them. */
static wh_status multi_key(wh_jinja_run *run, const wh_jinja_value *item, const wh_jinja_value *attribute,
                           bool case_sensitive, wh_jinja_value *out) {
  size_t n = 1;
  wh_str paths = {"", 0};
  if (attribute->kind == WH_JINJA_STRING) {
    paths = wh_jinja_text(attribute);
    for (size_t i = 0; i < paths.len; i++) n += paths.data[i] == ',';
  }
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_LIST, n, out));
  for (size_t i = 0; i < n; i++) {
    wh_jinja_value path = *attribute, *key = &out->as.list->items[i];
    if (attribute->kind == WH_JINJA_STRING) {
      const char *comma = paths.len ? memchr(paths.data, ',', paths.len) : NULL;
      wh_str part = {paths.data, comma ? (size_t)(comma - paths.data) : paths.len};
      if (comma) paths = (wh_str){comma + 1, paths.len - part.len - 1};
      path = wh_jinja_string(part);
    }
    WH_TRY(follow_path(run, item, &path, NULL, key));
    WH_TRY(fold_case(run, case_sensitive, key));
  }
  return WH_OK;
}

FILTER(sort) {
  wh_jinja_value bound[3], *items, *keys;
  size_t n;
  WH_TRY(wh_jinja_bind(run, args, "reverse case_sensitive attribute", 0, bound));
  WH_TRY(wh_jinja_iterate(run, self, &items, &n));
  WH_TRY(wh_jinja_alloc(run, n, sizeof *keys, &keys));
  for (size_t i = 0; i < n; i++)
    WH_TRY(multi_key(run, &items[i], &bound[2], wh_jinja_truthy(&bound[1]), &keys[i]));
  return sort_by_keys(run, keys, items, n, wh_jinja_truthy(&bound[0]), out);
}

FILTER(dictsort) {
  wh_jinja_value bound[3], pairs, *keys;
  WH_TRY(wh_jinja_bind(run, args, "case_sensitive by reverse", 0, bound));
  bool by_value = bound[1].kind == WH_JINJA_STRING && wh_str_is(wh_jinja_text(&bound[1]), "value");
  if (!by_value && bound[1].kind != WH_JINJA_ABSENT &&
      !(bound[1].kind == WH_JINJA_STRING && wh_str_is(wh_jinja_text(&bound[1]), "key")))
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "dictsort: by must be 'key' or 'value'");
  if (self->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, self);
  if (self->kind != WH_JINJA_DICT)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "dictsort: needs a dict, not '%s'",
                         wh_jinja_type_name(self));
  WH_TRY(wh_jinja_dict_view(run, self->as.dict, WH_JINJA_ITEMS, &pairs));
  size_t n = pairs.as.list->n;
  WH_TRY(wh_jinja_alloc(run, n, sizeof *keys, &keys));
  for (size_t i = 0; i < n; i++) {
    keys[i] = pairs.as.list->items[i].as.list->items[by_value];
    WH_TRY(fold_case(run, wh_jinja_truthy(&bound[0]), &keys[i]));
  }
  return sort_by_keys(run, keys, pairs.as.list->items, n, wh_jinja_truthy(&bound[2]), out);
}

FILTER(join) {
  wh_jinja_value bound[2], *items, item;
  wh_str separator = {"", 0};
  size_t n;
  WH_TRY(wh_jinja_bind(run, args, "d attribute", 0, bound));
  if (bound[0].kind != WH_JINJA_ABSENT) WH_TRY(wh_jinja_to_text(run, &bound[0], &separator));
  WH_TRY(wh_jinja_iterate(run, self, &items, &n));
  size_t mark = wh_jinja_mark(run);
  for (size_t i = 0; i < n; i++) {
    if (i) WH_TRY(wh_jinja_emit(run, separator.data, separator.len));
    WH_TRY(follow_path(run, &items[i], &bound[1], NULL, &item));
    WH_TRY(wh_jinja_step(run, 1));
    WH_TRY(wh_jinja_print(run, &item));
  }
  return wh_jinja_take_string(run, mark, out);
}

FILTER(first) {
  wh_jinja_value *items;
  size_t n;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  if (self->kind == WH_JINJA_GENERATOR) { /* takes one item off */
    wh_jinja_list *list = self->as.list;
    items = list->items;
    n = list->n;
    if (n) {
      list->items++;
      list->n--;
    }
  } else {
    WH_TRY(wh_jinja_iterate(run, self, &items, &n));
  }
  *out = n ? items[0] : wh_jinja_undefined(WH_JINJA_NONE, wh_str_from("No first item, sequence was empty."));
  return WH_OK;
}

FILTER(last) {
  wh_jinja_value *items;
  size_t n;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  if (self->kind == WH_JINJA_GENERATOR)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "'generator' object is not reversible");
  WH_TRY(wh_jinja_iterate(run, self, &items, &n));
  *out =
      n ? items[n - 1] : wh_jinja_undefined(WH_JINJA_NONE, wh_str_from("No last item, sequence was empty."));
  return WH_OK;
}

/* The items as a new list-like value. */
static wh_status copy_items(wh_jinja_run *run, wh_jinja_kind kind, const wh_jinja_value *items, size_t n,
                            wh_jinja_value *out) {
  WH_TRY(wh_jinja_new_list(run, kind, n, out));
  if (n) memcpy(out->as.list->items, items, n * sizeof *items);
  return WH_OK;
}

FILTER(list) {
  wh_jinja_value *items;
  size_t n;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  WH_TRY(wh_jinja_iterate(run, self, &items, &n));
  return copy_items(run, WH_JINJA_LIST, items, n, out);
}

FILTER(items) {
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  if (self->kind == WH_JINJA_UNDEFINED) return wh_jinja_new_list(run, WH_JINJA_GENERATOR, 0, out);
  if (self->kind != WH_JINJA_DICT)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "can only get item pairs from a mapping, not '%s'",
                         wh_jinja_type_name(self));
  WH_TRY(wh_jinja_dict_view(run, self->as.dict, WH_JINJA_ITEMS, out));
  out->kind = WH_JINJA_GENERATOR;
  return WH_OK;
}

FILTER(reverse) {
  wh_jinja_value *items, bounds[3] = {{.kind = WH_JINJA_NONE}, {.kind = WH_JINJA_NONE}, wh_jinja_int(-1)};
  size_t n;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  if (self->kind == WH_JINJA_STRING) return wh_jinja_get_slice(run, self, bounds, out);
  bool was_generator = self->kind == WH_JINJA_GENERATOR;
  WH_TRY(wh_jinja_iterate(run, self, &items, &n));
  WH_TRY(wh_jinja_new_list(run, was_generator ? WH_JINJA_LIST : WH_JINJA_GENERATOR, n, out));
  for (size_t i = 0; i < n; i++) out->as.list->items[i] = items[n - 1 - i];
  return WH_OK;
}

FILTER(sum) {
  wh_jinja_value bound[2], *items, item, total = wh_jinja_int(0);
  size_t n;
  WH_TRY(wh_jinja_bind(run, args, "attribute start", 0, bound));
  if (bound[1].kind != WH_JINJA_ABSENT) total = bound[1];
  if (total.kind == WH_JINJA_STRING)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "sum: can't sum strings");
  WH_TRY(wh_jinja_iterate(run, self, &items, &n));
  for (size_t i = 0; i < n; i++) {
    wh_jinja_value before = total;
    WH_TRY(follow_path(run, &items[i], &bound[0], NULL, &item));
    WH_TRY(wh_jinja_step(run, 1));
    WH_TRY(wh_jinja_binary(run, WH_JINJA_OP_ADD, &before, &item, &total));
  }
  *out = total;
  return WH_OK;
}

static wh_status extreme(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                         wh_jinja_order wanted, wh_jinja_value *out) {
  wh_jinja_value bound[2], *items, best_key = {0}, key;
  size_t n, best = 0;
  WH_TRY(wh_jinja_bind(run, args, "case_sensitive attribute", 0, bound));
  WH_TRY(wh_jinja_iterate(run, self, &items, &n));
  for (size_t i = 0; i < n; i++) {
    wh_jinja_order order = wanted;
    WH_TRY(follow_path(run, &items[i], &bound[1], NULL, &key));
    WH_TRY(fold_case(run, wh_jinja_truthy(&bound[0]), &key));
    if (i) WH_TRY(wh_jinja_compare(run, &key, &best_key, wanted == WH_JINJA_LESS ? "<" : ">", &order));
    if (order != wanted) continue;
    best = i;
    best_key = key;
  }
  *out = n ? items[best]
           : wh_jinja_undefined(WH_JINJA_NONE, wh_str_from("No aggregated item, sequence was empty."));
  return WH_OK;
}

FILTER(min) { return extreme(run, self, args, WH_JINJA_LESS, out); }
FILTER(max) { return extreme(run, self, args, WH_JINJA_GREATER, out); }

FILTER(unique) {
  wh_jinja_value bound[2], *items, *keys, seen;
  size_t n;
  WH_TRY(wh_jinja_bind(run, args, "case_sensitive attribute", 0, bound));
  WH_TRY(wh_jinja_iterate(run, self, &items, &n));
  WH_TRY(wh_jinja_alloc(run, n, sizeof *keys, &keys));
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_GENERATOR, n, out));
  WH_TRY(wh_jinja_new_dict(run, WH_JINJA_DICT, n, &seen));
  size_t n_kept = 0;
  for (size_t i = 0; i < n; i++) {
    wh_jinja_value *found;
    WH_TRY(follow_path(run, &items[i], &bound[1], NULL, &keys[i]));
    WH_TRY(fold_case(run, wh_jinja_truthy(&bound[0]), &keys[i]));
    WH_TRY(wh_jinja_dict_find(run, seen.as.dict, &keys[i], &found));
    if (found) continue;
    WH_TRY(wh_jinja_dict_append(run, seen.as.dict, &keys[i], &items[i]));
    out->as.list->items[n_kept++] = items[i];
  }
  out->as.list->n = n_kept;
  return WH_OK;
}

/* The filter or test that an argument names. */
static wh_status named_builtin(wh_jinja_run *run, const wh_jinja_value *name, bool is_test,
                               const wh_jinja_builtin **out) {
  wh_str text;
  WH_TRY(wh_jinja_to_text(run, name, &text));
  *out = is_test ? wh_jinja_find_test(text) : wh_jinja_find_filter(text);
  if (!*out)
    return WH_JINJA_FAIL(run, ERR_UNSUPPORTED, "no %s named '" WH_STR_FMT "'", is_test ? "test" : "filter",
                         WH_STR_ARG(text));
  return WH_OK;
}

static wh_status find_named(const wh_jinja_args *args, const char *name, wh_jinja_value *out) {
  out->kind = WH_JINJA_ABSENT;
  for (size_t i = 0; i < args->n_named; i++)
    if (wh_str_is(wh_jinja_text(&args->named[i].key), name)) *out = args->named[i].value;
  return WH_OK;
}

/* map, select and their like give nothing for a false value, even one that cannot be iterated, such as none.
 */
static wh_status iterate_if_true(wh_jinja_run *run, const wh_jinja_value *v, wh_jinja_value **items,
                                 size_t *n) {
  *items = NULL;
  *n = 0;
  return wh_jinja_truthy(v) ? wh_jinja_iterate(run, v, items, n) : WH_OK;
}

FILTER(map) {
  wh_jinja_value *items, attribute, fallback, result;
  size_t n;
  const wh_jinja_builtin *builtin = NULL;
  WH_TRY(find_named(args, "attribute", &attribute));
  WH_TRY(find_named(args, "default", &fallback));
  WH_TRY(iterate_if_true(run, self, &items, &n));
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_GENERATOR, n, &result));
  wh_jinja_args rest = *args;
  if (args->n) {
    rest.values++;
    rest.n--;
    WH_TRY(named_builtin(run, &args->values[0], false, &builtin));
  } else if (attribute.kind == WH_JINJA_ABSENT) {
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "map requires a filter argument");
  } else if (args->n_named > 1u + (fallback.kind != WH_JINJA_ABSENT)) {
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "map: unexpected keyword argument");
  }
  for (size_t i = 0; i < n; i++) {
    wh_jinja_value *slot = &result.as.list->items[i];
    WH_TRY(wh_jinja_step(run, 1));
    WH_TRY(builtin ? wh_jinja_call_builtin(run, builtin, &items[i], &rest, slot)
                   : follow_path(run, &items[i], &attribute, &fallback, slot));
  }
  *out = result;
  return WH_OK;
}

/* select, reject, selectattr, rejectattr: keeps the items whose test gives `wanted`. */
static wh_status keep(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                      bool by_attribute, bool wanted, wh_jinja_value *out) {
  wh_jinja_value *items, result, key, outcome, none = {.kind = WH_JINJA_ABSENT};
  size_t n, n_kept = 0, offset = by_attribute;
  const wh_jinja_builtin *test = NULL;
  if (args->n < offset)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s: needs an attribute's name", run->callee);
  wh_jinja_args rest = *args;
  if (args->n > offset) {
    WH_TRY(named_builtin(run, &args->values[offset], true, &test));
    rest.values += offset + 1;
    rest.n -= offset + 1;
  }
  WH_TRY(iterate_if_true(run, self, &items, &n));
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_GENERATOR, n, &result));
  for (size_t i = 0; i < n; i++) {
    WH_TRY(wh_jinja_step(run, 1));
    WH_TRY(follow_path(run, &items[i], by_attribute ? &args->values[0] : &none, NULL, &key));
    outcome = key;
    if (test) WH_TRY(wh_jinja_call_builtin(run, test, &key, &rest, &outcome));
    if (wh_jinja_truthy(&outcome) == wanted) result.as.list->items[n_kept++] = items[i];
  }
  result.as.list->n = n_kept;
  *out = result;
  return WH_OK;
}

FILTER(select) { return keep(run, self, args, false, true, out); }
FILTER(reject) { return keep(run, self, args, false, false, out); }
FILTER(selectattr) { return keep(run, self, args, true, true, out); }
FILTER(rejectattr) { return keep(run, self, args, true, false, out); }

FILTER(batch) {
  wh_jinja_value bound[2], *items, *row;
  int64_t per_row;
  size_t n;
  WH_TRY(wh_jinja_bind(run, args, "linecount fill_with", 1, bound));
  WH_TRY(wh_jinja_want_int(run, &bound[0], 1, &per_row));
  WH_TRY(wh_jinja_iterate(run, self, &items, &n));
  bool fill = wh_jinja_is_given(&bound[1]);
  if (per_row < 1 || (fill && per_row > WH_JINJA_RANGE_MAX))
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "batch: cannot make rows of %lld", (long long)per_row);
  size_t row_items = (uint64_t)per_row > n && !fill ? (n ? n : 1) : (size_t)per_row;
  size_t n_rows = n / row_items + (n % row_items != 0);
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_GENERATOR, n_rows, out));
  for (size_t r = 0; r < n_rows; r++) {
    size_t start = r * row_items, in_row = n - start < row_items ? n - start : row_items;
    row = &out->as.list->items[r];
    WH_TRY(copy_items(run, WH_JINJA_LIST, items + start, in_row, row));
    if (in_row == row_items || !fill) continue;
    WH_TRY(wh_jinja_new_list(run, WH_JINJA_LIST, row_items, row));
    for (size_t i = 0; i < row_items; i++) row->as.list->items[i] = i < in_row ? items[start + i] : bound[1];
  }
  return WH_OK;
}

FILTER(slice) {
  wh_jinja_value bound[2], *items;
  int64_t n_slices;
  size_t n, start = 0;
  WH_TRY(wh_jinja_bind(run, args, "slices fill_with", 1, bound));
  WH_TRY(wh_jinja_want_int(run, &bound[0], 1, &n_slices));
  WH_TRY(wh_jinja_iterate(run, self, &items, &n));
  if (n_slices < 1 || n_slices > WH_JINJA_RANGE_MAX)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "slice: cannot make %lld slices", (long long)n_slices);
  size_t per_slice = n / (size_t)n_slices, n_longer = n % (size_t)n_slices;
  bool fill = wh_jinja_is_given(&bound[1]);
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_GENERATOR, (size_t)n_slices, out));
  for (size_t s = 0; s < (size_t)n_slices; s++) {
    size_t taken = per_slice + (s < n_longer), filled = fill && s >= n_longer;
    wh_jinja_value *slice = &out->as.list->items[s];
    WH_TRY(wh_jinja_new_list(run, WH_JINJA_LIST, taken + filled, slice));
    for (size_t i = 0; i < taken; i++) slice->as.list->items[i] = items[start + i];
    if (filled) slice->as.list->items[taken] = bound[1];
    start += taken;
  }
  return WH_OK;
}

const wh_jinja_builtin wh_jinja_sequence_filters[] = {
    {"join", filter_join},
    {"first", filter_first},
    {"last", filter_last},
    {"list", filter_list},
    {"items", filter_items},
    {"dictsort", filter_dictsort},
    {"map", filter_map},
    {"select", filter_select},
    {"reject", filter_reject},
    {"selectattr", filter_selectattr},
    {"rejectattr", filter_rejectattr},
    {"sort", filter_sort},
    {"unique", filter_unique},
    {"reverse", filter_reverse},
    {"sum", filter_sum},
    {"min", filter_min},
    {"max", filter_max},
    {"batch", filter_batch},
    {"slice", filter_slice},
    {NULL, NULL},
};
