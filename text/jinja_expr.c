/* jinja_expr.c - evaluates expressions: names, attributes, subscripts, calls. Operators are in jinja_ops.c.
 */
#include <string.h>

#include "text/jinja_eval.h"
#include "text/jinja_utf8.h"

static wh_status make_method(wh_jinja_run *run, const wh_jinja_builtin *builtin, const wh_jinja_value *object,
                             wh_jinja_value *out) {
  wh_jinja_method *method;
  wh_jinja_value *self;
  WH_TRY(wh_jinja_alloc(run, 1, sizeof *method, &method));
  WH_TRY(wh_jinja_alloc(run, 1, sizeof *self, &self));
  *self = *object;
  *method = (wh_jinja_method){builtin, self};
  *out = (wh_jinja_value){.kind = WH_JINJA_METHOD, .as.method = method};
  return WH_OK;
}

/* What Python's getattr finds: methods, and attributes of our own objects. ABSENT when there is none. */
static wh_status find_attribute(wh_jinja_run *run, const wh_jinja_value *object, wh_str name,
                                wh_jinja_value *out) {
  *out = (wh_jinja_value){.kind = WH_JINJA_ABSENT};
  if (object->kind == WH_JINJA_NAMESPACE) {
    wh_jinja_value *found;
    WH_TRY(wh_jinja_dict_find_text(run, object->as.dict, name, &found));
    if (found) *out = *found;
    return WH_OK;
  }
  if (object->kind == WH_JINJA_LOOP) {
    bool found;
    WH_TRY(wh_jinja_loop_attribute(run, object->as.loop, name, out, &found));
    if (!found) out->kind = WH_JINJA_ABSENT;
    return WH_OK;
  }
  if (object->kind == WH_JINJA_MACRO && wh_str_is(name, "name")) {
    *out = wh_jinja_string(wh_jinja_macro_name(object->as.macro));
    return WH_OK;
  }
  const wh_jinja_builtin *method = wh_jinja_find_method((wh_jinja_kind)object->kind, name);
  return method ? make_method(run, method, object, out) : WH_OK;
}

/* Python's own attributes (__class__ ...) are closed to templates. */
static wh_jinja_value missing_attribute(const wh_jinja_value *object, wh_str name) {
  if (name.len > 1 && name.data[0] == '_' && name.data[1] == '_')
    return wh_jinja_undefined(WH_JINJA_NONE, wh_str_from("access to a __name__ attribute is not allowed"));
  return wh_jinja_undefined((wh_jinja_kind)object->kind, name);
}

wh_status wh_jinja_get_attribute(wh_jinja_run *run, const wh_jinja_value *object, wh_str name,
                                 wh_jinja_value *out) {
  if (object->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, object);
  wh_jinja_value value;
  WH_TRY(find_attribute(run, object, name, &value));
  if (value.kind == WH_JINJA_ABSENT && object->kind == WH_JINJA_DICT) {
    wh_jinja_value *found;
    WH_TRY(wh_jinja_dict_find_text(run, object->as.dict, name, &found));
    if (found) value = *found;
  }
  *out = value.kind == WH_JINJA_ABSENT ? missing_attribute(object, name) : value;
  return WH_OK;
}

static wh_status item_at(wh_jinja_run *run, const wh_jinja_value *object, int64_t index,
                         wh_jinja_value *out) {
  size_t n;
  WH_TRY(wh_jinja_length(run, object, &n));
  if (index < 0) index += (int64_t)n;
  *out = (wh_jinja_value){.kind = WH_JINJA_ABSENT};
  if (index < 0 || (uint64_t)index >= n) return WH_OK;
  if (object->kind != WH_JINJA_STRING) {
    *out = object->as.list->items[index];
    return WH_OK;
  }
  wh_str text = wh_jinja_text(object);
  size_t start = wh_jinja_utf8_offset(text, (size_t)index), end = start;
  (void)wh_jinja_utf8_next(text, &end);
  *out = wh_jinja_string((wh_str){text.data + start, end - start});
  out->markup = object->markup;
  return WH_OK;
}

wh_status wh_jinja_get_item(wh_jinja_run *run, const wh_jinja_value *object, const wh_jinja_value *index,
                            wh_jinja_value *out) {
  if (object->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, object);
  wh_jinja_value value = {.kind = WH_JINJA_ABSENT};
  int64_t i;
  if (object->kind == WH_JINJA_DICT) {
    bool hashable = index->kind != WH_JINJA_LIST && index->kind != WH_JINJA_DICT;
    wh_jinja_value *found = NULL;
    if (hashable) WH_TRY(wh_jinja_dict_find(run, object->as.dict, index, &found));
    if (found) value = *found;
  } else if ((object->kind == WH_JINJA_STRING ||
              (object->kind >= WH_JINJA_LIST && object->kind <= WH_JINJA_RANGE)) &&
             wh_jinja_as_int(index, &i)) {
    WH_TRY(item_at(run, object, i, &value));
  }
  bool is_text = index->kind == WH_JINJA_STRING;
  if (value.kind == WH_JINJA_ABSENT && is_text)
    WH_TRY(find_attribute(run, object, wh_jinja_text(index), &value));
  if (value.kind == WH_JINJA_ABSENT) {
    wh_str name = wh_jinja_text(index);
    if (!is_text) WH_TRY(wh_jinja_to_text(run, index, &name));
    value = missing_attribute(object, name);
  }
  *out = value;
  return WH_OK;
}

static wh_status slice_bound(wh_jinja_run *run, const wh_jinja_value *bound, int64_t fallback, int64_t *out) {
  *out = fallback;
  if (bound->kind == WH_JINJA_ABSENT || bound->kind == WH_JINJA_NONE) return WH_OK;
  if (!wh_jinja_as_int(bound, out))
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "slice indices must be integers or None, not '%s'",
                         wh_jinja_type_name(bound));
  return WH_OK;
}

static int64_t clip_bound(int64_t bound, int64_t n, int64_t low, int64_t high) {
  if (bound < 0) bound += n;
  return bound < low ? low : bound > high ? high : bound;
}

wh_status wh_jinja_get_slice(wh_jinja_run *run, const wh_jinja_value *object, const wh_jinja_value bounds[3],
                             wh_jinja_value *out) {
  if (object->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, object);
  bool is_text = object->kind == WH_JINJA_STRING;
  if (!is_text && !(object->kind >= WH_JINJA_LIST && object->kind <= WH_JINJA_RANGE))
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "'%s' object cannot be sliced",
                         wh_jinja_type_name(object));
  size_t length;
  int64_t start, stop, step;
  WH_TRY(wh_jinja_length(run, object, &length));
  int64_t n = (int64_t)length;
  WH_TRY(slice_bound(run, &bounds[2], 1, &step));
  if (step == 0) return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "slice step cannot be zero");
  if (step > n + 1) step = n + 1; /* takes at most one item, as before; keeps the sums below in range */
  if (step < -n - 1) step = -n - 1;
  int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  WH_TRY(slice_bound(run, &bounds[0], step > 0 ? 0 : INT64_MAX, &start));
  WH_TRY(slice_bound(run, &bounds[1], step > 0 ? INT64_MAX : INT64_MIN, &stop));
  start = clip_bound(start, n, low, high);
  stop = clip_bound(stop, n, low, high);
  size_t count = 0;
  if (step > 0 && start < stop) count = (size_t)((stop - start - 1) / step + 1);
  if (step < 0 && start > stop) count = (size_t)((start - stop - 1) / -step + 1);
  if (!is_text) {
    WH_TRY(wh_jinja_new_list(run, (wh_jinja_kind)object->kind, count, out));
    const wh_jinja_list *from = object->as.list;
    for (size_t i = 0; i < count; i++) out->as.list->items[i] = from->items[start + (int64_t)i * step];
    out->as.list->start = from->start + start * from->step;
    out->as.list->stop = from->start + stop * from->step;
    out->as.list->step = from->step * step;
    return WH_OK;
  }
  wh_str text = wh_jinja_text(object);
  bool markup = object->markup;
  if (step == 1) {
    size_t from = wh_jinja_utf8_offset(text, (size_t)start), to = from;
    if (count) to = wh_jinja_utf8_offset(text, (size_t)stop);
    *out = wh_jinja_string((wh_str){text.data + from, to - from});
  } else {
    wh_jinja_value *characters;
    size_t mark = wh_jinja_mark(run);
    WH_TRY(wh_jinja_iterate(run, object, &characters, &length));
    for (size_t i = 0; i < count; i++) {
      const wh_jinja_value *c = &characters[start + (int64_t)i * step];
      WH_TRY(wh_jinja_emit(run, c->as.text, c->len));
    }
    WH_TRY(wh_jinja_take_string(run, mark, out));
  }
  out->markup = markup;
  return WH_OK;
}

wh_status wh_jinja_call_builtin(wh_jinja_run *run, const wh_jinja_builtin *builtin,
                                const wh_jinja_value *self, const wh_jinja_args *args, wh_jinja_value *out) {
  WH_TRY(wh_jinja_step(run, 1));
  const char *outer = run->callee;
  run->callee = builtin->name;
  WH_TRY(builtin->call(run, self, args, out));
  run->callee = outer;
  return WH_OK;
}

wh_status wh_jinja_call(wh_jinja_run *run, const wh_jinja_value *callee, const wh_jinja_args *args,
                        wh_jinja_value *out) {
  switch ((wh_jinja_kind)callee->kind) {
    case WH_JINJA_UNDEFINED:
      return wh_jinja_fail_undefined(run, callee);
    case WH_JINJA_MACRO:
      return wh_jinja_call_macro(run, callee->as.macro, args, out);
    case WH_JINJA_FUNCTION:
      return wh_jinja_call_builtin(run, callee->as.function, NULL, args, out);
    case WH_JINJA_METHOD:
      return wh_jinja_call_builtin(run, callee->as.method->builtin, callee->as.method->self, args, out);
    case WH_JINJA_LOOP:
      return WH_JINJA_FAIL(run, ERR_UNSUPPORTED, "recursive loops are not supported");
    default:
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "'%s' object is not callable",
                           wh_jinja_type_name(callee));
  }
}

static wh_status append_named(wh_jinja_run *run, wh_jinja_dict *named, wh_str name,
                              const wh_jinja_value *value) {
  wh_jinja_value *present, key = wh_jinja_string(name);
  WH_TRY(wh_jinja_dict_find_text(run, named, name, &present));
  if (present)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "keyword argument '" WH_STR_FMT "' is given twice",
                         WH_STR_ARG(name));
  return wh_jinja_dict_append(run, named, &key, value);
}

static wh_status spread_named(wh_jinja_run *run, wh_jinja_dict *named, const wh_jinja_value *value) {
  if (value->kind != WH_JINJA_DICT)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "argument after ** must be a mapping, not '%s'",
                         wh_jinja_type_name(value));
  for (size_t i = 0; i < value->as.dict->n; i++) {
    const wh_jinja_pair *pair = &value->as.dict->pairs[i];
    if (pair->key.kind != WH_JINJA_STRING)
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "keywords must be strings");
    WH_TRY(append_named(run, named, wh_jinja_text(&pair->key), &pair->value));
  }
  return WH_OK;
}

wh_status wh_jinja_eval_args(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_nodes *nodes,
                             const wh_jinja_value *caller, wh_jinja_args *out) {
  *out = (wh_jinja_args){0};
  if (!nodes->n && !caller) return WH_OK;
  wh_jinja_value *values, value, *spread;
  wh_jinja_dict named = {0};
  size_t n = 0, n_spread;
  WH_TRY(wh_jinja_alloc(run, nodes->n, sizeof *values, &values));
  for (const wh_jinja_node *node = nodes->first; node; node = node->next) {
    bool is_plain = node->kind < WH_JINJA_NODE_KEYWORD;
    WH_TRY(wh_jinja_eval(run, scope, is_plain ? node : node->as.value, &value));
    run->line = node->line;
    if (is_plain) {
      values[n++] = value;
    } else if (node->kind == WH_JINJA_NODE_KEYWORD) {
      WH_TRY(append_named(run, &named, node->name, &value));
    } else if (node->kind == WH_JINJA_NODE_STAR_STAR) {
      WH_TRY(spread_named(run, &named, &value));
    } else {
      const wh_jinja_value *before = values;
      WH_TRY(wh_jinja_iterate(run, &value, &spread, &n_spread));
      WH_TRY(wh_jinja_alloc(run, n + n_spread, sizeof *values, &values));
      if (n) memcpy(values, before, n * sizeof *values);
      if (n_spread) memcpy(values + n, spread, n_spread * sizeof *values);
      n += n_spread; /* only keywords follow */
    }
  }
  if (caller) WH_TRY(append_named(run, &named, wh_str_from("caller"), caller));
  *out = (wh_jinja_args){values, n, named.pairs, named.n};
  return WH_OK;
}

static wh_status apply_filter(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                              const wh_jinja_value *operand, wh_jinja_value *out) {
  wh_jinja_args args;
  bool is_test = node->kind == WH_JINJA_NODE_TEST;
  run->line = node->line;
  if (!node->as.call.builtin)
    return WH_JINJA_FAIL(run, ERR_UNSUPPORTED, "no %s named '" WH_STR_FMT "'", is_test ? "test" : "filter",
                         WH_STR_ARG(node->name));
  WH_TRY(wh_jinja_eval_args(run, scope, &node->as.call.args, NULL, &args));
  run->line = node->line;
  return wh_jinja_call_builtin(run, node->as.call.builtin, operand, &args, out);
}

wh_status wh_jinja_eval_filters(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *chain,
                                const wh_jinja_value *input, wh_jinja_value *out) {
  wh_jinja_value operand = *input;
  WH_TRY(wh_jinja_enter(run));
  if (chain->as.call.callee)
    WH_TRY(wh_jinja_eval_filters(run, scope, chain->as.call.callee, input, &operand));
  WH_TRY(apply_filter(run, scope, chain, &operand, out));
  wh_jinja_leave(run);
  return WH_OK;
}

static wh_status eval_list(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                           wh_jinja_value *out) {
  wh_jinja_value list;
  size_t i = 0;
  WH_TRY(wh_jinja_new_list(run, node->kind == WH_JINJA_NODE_LIST ? WH_JINJA_LIST : WH_JINJA_TUPLE,
                           node->as.list.n, &list));
  for (const wh_jinja_node *item = node->as.list.first; item; item = item->next)
    WH_TRY(wh_jinja_eval(run, scope, item, &list.as.list->items[i++]));
  *out = list;
  return WH_OK;
}

static wh_status eval_dict(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                           wh_jinja_value *out) {
  wh_jinja_value dict, key, value;
  WH_TRY(wh_jinja_new_dict(run, WH_JINJA_DICT, node->as.list.n / 2, &dict));
  for (const wh_jinja_node *item = node->as.list.first; item; item = item->next->next) {
    WH_TRY(wh_jinja_eval(run, scope, item, &key));
    WH_TRY(wh_jinja_eval(run, scope, item->next, &value));
    run->line = node->line;
    WH_TRY(wh_jinja_dict_put(run, dict.as.dict, &key, &value));
  }
  *out = dict;
  return WH_OK;
}

static wh_status eval_item(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                           wh_jinja_value *out) {
  wh_jinja_value object, index;
  const wh_jinja_node *index_node = node->as.binary.right;
  WH_TRY(wh_jinja_eval(run, scope, node->as.binary.left, &object));
  if (index_node->kind == WH_JINJA_NODE_SLICE) {
    const wh_jinja_node *parts[3] = {index_node->as.slice.start, index_node->as.slice.stop,
                                     index_node->as.slice.step};
    wh_jinja_value bounds[3] = {
        {.kind = WH_JINJA_ABSENT}, {.kind = WH_JINJA_ABSENT}, {.kind = WH_JINJA_ABSENT}};
    for (int i = 0; i < 3; i++)
      if (parts[i]) WH_TRY(wh_jinja_eval(run, scope, parts[i], &bounds[i]));
    run->line = node->line;
    return wh_jinja_get_slice(run, &object, bounds, out);
  }
  WH_TRY(wh_jinja_eval(run, scope, index_node, &index));
  run->line = node->line;
  return wh_jinja_get_item(run, &object, &index, out);
}

static wh_status eval_call(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                           wh_jinja_value *out) {
  wh_jinja_value callee;
  wh_jinja_args args;
  WH_TRY(wh_jinja_eval(run, scope, node->as.call.callee, &callee));
  if (callee.kind == WH_JINJA_UNDEFINED) {
    run->line = node->line;
    return wh_jinja_fail_undefined(run, &callee);
  }
  WH_TRY(wh_jinja_eval_args(run, scope, &node->as.call.args, NULL, &args));
  run->line = node->line;
  return wh_jinja_call(run, &callee, &args, out);
}

static wh_status eval_compare(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                              wh_jinja_value *out) {
  wh_jinja_value left, right;
  bool holds = true;
  WH_TRY(wh_jinja_eval(run, scope, node->as.compare.first, &left));
  for (const wh_jinja_node *operand = node->as.compare.rest.first; operand && holds;
       operand = operand->next) {
    WH_TRY(wh_jinja_eval(run, scope, operand->as.value, &right));
    run->line = operand->line;
    WH_TRY(wh_jinja_compare_op(run, (wh_jinja_operator)operand->op, &left, &right, &holds));
    left = right;
  }
  *out = wh_jinja_bool(holds);
  return WH_OK;
}

static wh_status eval_concat(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                             wh_jinja_value *out) {
  size_t mark = wh_jinja_mark(run);
  for (const wh_jinja_node *item = node->as.list.first; item; item = item->next) {
    wh_jinja_value value;
    WH_TRY(wh_jinja_eval(run, scope, item, &value));
    run->line = node->line;
    WH_TRY(wh_jinja_print(run, &value));
  }
  return wh_jinja_take_string(run, mark, out);
}

static wh_status eval_sign(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                           wh_jinja_value *out) {
  wh_jinja_value value;
  int64_t i;
  bool negate = node->kind == WH_JINJA_NODE_NEGATE;
  WH_TRY(wh_jinja_eval(run, scope, node->as.value, &value));
  run->line = node->line;
  if (value.kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, &value);
  if (value.kind == WH_JINJA_FLOAT) {
    *out = wh_jinja_float(negate ? -value.as.real : value.as.real);
  } else if (wh_jinja_as_int(&value, &i)) {
    if (negate && __builtin_sub_overflow((int64_t)0, i, &i))
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "integer overflow in -");
    *out = wh_jinja_int(i);
  } else {
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "bad operand type for unary %c: '%s'", negate ? '-' : '+',
                         wh_jinja_type_name(&value));
  }
  return WH_OK;
}

static wh_status eval_conditional(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                                  wh_jinja_value *out) {
  wh_jinja_value test;
  WH_TRY(wh_jinja_eval(run, scope, node->as.conditional.test, &test));
  if (wh_jinja_truthy(&test)) return wh_jinja_eval(run, scope, node->as.conditional.then, out);
  if (node->as.conditional.otherwise) return wh_jinja_eval(run, scope, node->as.conditional.otherwise, out);
  *out = wh_jinja_undefined(
      WH_JINJA_NONE,
      wh_str_from("the inline if-expression evaluated to false and no else section was defined"));
  return WH_OK;
}

static wh_status eval_binary(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                             wh_jinja_value *out) {
  wh_jinja_value left, right;
  WH_TRY(wh_jinja_eval(run, scope, node->as.binary.left, &left));
  if (node->kind == WH_JINJA_NODE_AND || node->kind == WH_JINJA_NODE_OR) {
    if (wh_jinja_truthy(&left) == (node->kind == WH_JINJA_NODE_AND))
      return wh_jinja_eval(run, scope, node->as.binary.right, out);
    *out = left;
    return WH_OK;
  }
  WH_TRY(wh_jinja_eval(run, scope, node->as.binary.right, &right));
  run->line = node->line;
  return wh_jinja_binary(run, (wh_jinja_operator)node->op, &left, &right, out);
}

static wh_status eval_node(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                           wh_jinja_value *out) {
  wh_jinja_value value;
  switch ((wh_jinja_node_kind)node->kind) {
    case WH_JINJA_NODE_CONSTANT:
      *out = node->as.constant;
      return WH_OK;
    case WH_JINJA_NODE_NAME:
      return wh_jinja_lookup(run, scope, node->name, out);
    case WH_JINJA_NODE_LIST:
    case WH_JINJA_NODE_TUPLE:
      return eval_list(run, scope, node, out);
    case WH_JINJA_NODE_DICT:
      return eval_dict(run, scope, node, out);
    case WH_JINJA_NODE_ATTRIBUTE:
      WH_TRY(wh_jinja_eval(run, scope, node->as.value, &value));
      run->line = node->line;
      return wh_jinja_get_attribute(run, &value, node->name, out);
    case WH_JINJA_NODE_ITEM:
      return eval_item(run, scope, node, out);
    case WH_JINJA_NODE_CALL:
      return eval_call(run, scope, node, out);
    case WH_JINJA_NODE_FILTER:
    case WH_JINJA_NODE_TEST:
      WH_TRY(wh_jinja_eval(run, scope, node->as.call.callee, &value));
      return apply_filter(run, scope, node, &value, out);
    case WH_JINJA_NODE_NOT:
      WH_TRY(wh_jinja_eval(run, scope, node->as.value, &value));
      *out = wh_jinja_bool(!wh_jinja_truthy(&value));
      return WH_OK;
    case WH_JINJA_NODE_NEGATE:
    case WH_JINJA_NODE_POSITIVE:
      return eval_sign(run, scope, node, out);
    case WH_JINJA_NODE_AND:
    case WH_JINJA_NODE_OR:
    case WH_JINJA_NODE_BINARY:
      return eval_binary(run, scope, node, out);
    case WH_JINJA_NODE_COMPARE:
      return eval_compare(run, scope, node, out);
    case WH_JINJA_NODE_CONCAT:
      return eval_concat(run, scope, node, out);
    case WH_JINJA_NODE_CONDITIONAL:
      return eval_conditional(run, scope, node, out);
    default:
      return WH_JINJA_FAIL(run, ERR_INTERNAL, "node %d is no expression", node->kind);
  }
}

wh_status wh_jinja_eval(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                        wh_jinja_value *out) {
  run->line = node->line;
  WH_TRY(wh_jinja_enter(run));
  WH_TRY(wh_jinja_step(run, 1));
  WH_TRY(eval_node(run, scope, node, out));
  wh_jinja_leave(run);
  return WH_OK;
}
