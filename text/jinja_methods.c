/* jinja_methods.c - methods of dicts, lists and loops, and the lookup of every kind's methods. What changes
 * an object (list.append, dict.update ...) is found, and refused when called: chat templates run in a sandbox
 * of immutable values. */
#include "text/jinja_methods.h"

#include <string.h>

#include "text/jinja_ast.h"

static wh_status forbidden(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           wh_jinja_value *out) {
  (void)args;
  (void)out;
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s.%s() changes its object, which chat templates may not",
                       wh_jinja_type_name(self), run->callee);
}

static wh_status view(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                      wh_jinja_kind kind, wh_jinja_value *out) {
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  return wh_jinja_dict_view(run, self->as.dict, kind, out);
}

static wh_status dict_items(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                            wh_jinja_value *out) {
  return view(run, self, args, WH_JINJA_ITEMS, out);
}

static wh_status dict_keys(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           wh_jinja_value *out) {
  return view(run, self, args, WH_JINJA_KEYS, out);
}

static wh_status dict_values(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                             wh_jinja_value *out) {
  return view(run, self, args, WH_JINJA_VALUES, out);
}

static wh_status dict_get(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                          wh_jinja_value *out) {
  wh_jinja_value bound[2], *found;
  WH_TRY(wh_jinja_bind(run, args, "key default", 1, bound));
  WH_TRY(wh_jinja_dict_find(run, self->as.dict, &bound[0], &found));
  *out = found ? *found : bound[1].kind != WH_JINJA_ABSENT ? bound[1] : wh_jinja_none();
  return WH_OK;
}

static wh_status dict_copy(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           wh_jinja_value *out) {
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  *out = *self; /* nobody can tell: dicts do not change */
  return WH_OK;
}

static wh_status list_index(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                            wh_jinja_value *out) {
  wh_jinja_value wanted;
  WH_TRY(wh_jinja_bind(run, args, "value", 1, &wanted));
  for (size_t i = 0; i < self->as.list->n; i++) {
    bool same;
    WH_TRY(wh_jinja_equal(run, &self->as.list->items[i], &wanted, &same));
    if (!same) continue;
    *out = wh_jinja_int((int64_t)i);
    return WH_OK;
  }
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "the value is not in the %s", wh_jinja_type_name(self));
}

static wh_status list_count(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                            wh_jinja_value *out) {
  wh_jinja_value wanted;
  int64_t n = 0;
  WH_TRY(wh_jinja_bind(run, args, "value", 1, &wanted));
  for (size_t i = 0; i < self->as.list->n; i++) {
    bool same;
    WH_TRY(wh_jinja_equal(run, &self->as.list->items[i], &wanted, &same));
    n += same;
  }
  *out = wh_jinja_int(n);
  return WH_OK;
}

static wh_status list_copy(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           wh_jinja_value *out) {
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  *out = *self;
  return WH_OK;
}

static wh_status loop_cycle(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                            wh_jinja_value *out) {
  wh_jinja_value index;
  bool found;
  if (args->n == 0 || args->n_named)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "no items for cycling given");
  WH_TRY(wh_jinja_loop_attribute(run, self->as.loop, wh_str_from("index0"), &index, &found));
  *out = args->values[(uint64_t)index.as.integer % args->n];
  return WH_OK;
}

static wh_status loop_changed(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                              wh_jinja_value *out) {
  bool changed;
  if (args->n_named) return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "changed() takes no keyword arguments");
  WH_TRY(wh_jinja_loop_changed(run, self->as.loop, args, &changed));
  *out = wh_jinja_bool(changed);
  return WH_OK;
}

static const wh_jinja_builtin dict_methods[] = {
    {"items", dict_items}, {"keys", dict_keys},    {"values", dict_values},
    {"get", dict_get},     {"copy", dict_copy},    {"update", forbidden},
    {"pop", forbidden},    {"popitem", forbidden}, {"setdefault", forbidden},
    {"clear", forbidden},  {NULL, NULL},
};
static const wh_jinja_builtin list_methods[] = {
    {"index", list_index}, {"count", list_count}, {"copy", list_copy},    {"append", forbidden},
    {"extend", forbidden}, {"insert", forbidden}, {"pop", forbidden},     {"remove", forbidden},
    {"clear", forbidden},  {"sort", forbidden},   {"reverse", forbidden}, {NULL, NULL},
};
static const wh_jinja_builtin tuple_methods[] = {{"index", list_index}, {"count", list_count}, {NULL, NULL}};
static const wh_jinja_builtin loop_methods[] = {
    {"cycle", loop_cycle}, {"changed", loop_changed}, {NULL, NULL}};

const wh_jinja_builtin *wh_jinja_find_method(wh_jinja_kind kind, wh_str name) {
  const wh_jinja_builtin *table = NULL;
  switch (kind) {
    case WH_JINJA_STRING:
      table = wh_jinja_str_methods;
      break;
    case WH_JINJA_DICT:
      table = dict_methods;
      break;
    case WH_JINJA_LIST:
      table = list_methods;
      break;
    case WH_JINJA_TUPLE:
    case WH_JINJA_RANGE:
      table = tuple_methods;
      break;
    case WH_JINJA_LOOP:
      table = loop_methods;
      break;
    default:
      return NULL;
  }
  for (; table->name; table++)
    if (wh_str_is(name, table->name)) return table;
  return NULL;
}
