/* jinja_eval.c - runs statements: scopes, assignment, loops, macros, blocks that capture their text. */
#include "text/jinja_eval.h"

#include <string.h>

typedef enum loop_flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE } loop_flow;

/* State behind the `loop` variable. Items are tested when they are reached, not before, since the loop's test
 * may depend on what its body did; loop.last looks one item ahead, loop.length at all. */
struct wh_jinja_loop {
  const wh_jinja_node *node;
  wh_jinja_scope *outer;
  bool filtered; /* node's test still has to be asked for the items from `pos` on */
  const wh_jinja_value *items;
  size_t n_items, pos;
  int64_t index0;
  wh_jinja_value before, current, after; /* ABSENT when there is none or it is not known yet */
  bool ended;                            /* `after` was looked for and there is none */
  bool has_length;
  int64_t length;
  wh_jinja_value changed; /* arguments of the last loop.changed() */
};

static wh_status exec(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_nodes *body, loop_flow *out);

static wh_status assign(wh_jinja_run *run, wh_jinja_scope *scope, wh_str name, const wh_jinja_value *value) {
  for (size_t i = 0; i < scope->n; i++) {
    if (!wh_str_equal(scope->variables[i].name, name)) continue;
    scope->variables[i].value = *value;
    return WH_OK;
  }
  WH_TRY(wh_jinja_step(run, scope->n / 8));
  if (scope->n == scope->capacity) {
    size_t capacity = scope->capacity ? 2 * scope->capacity : 4;
    wh_jinja_variable *variables;
    WH_TRY(wh_jinja_alloc(run, capacity, sizeof *variables, &variables));
    if (scope->n) memcpy(variables, scope->variables, scope->n * sizeof *variables);
    scope->variables = variables;
    scope->capacity = capacity;
  }
  scope->variables[scope->n++] = (wh_jinja_variable){name, *value};
  return WH_OK;
}

wh_status wh_jinja_lookup(wh_jinja_run *run, const wh_jinja_scope *scope, wh_str name, wh_jinja_value *out) {
  size_t cost = 0;
  for (; scope; scope = scope->parent) {
    for (size_t i = 0; i < scope->n; i++) {
      if (!wh_str_equal(scope->variables[i].name, name)) continue;
      *out = scope->variables[i].value;
      return WH_OK;
    }
    cost += scope->n / 8;
  }
  WH_TRY(wh_jinja_step(run, cost));
  wh_jinja_value *found;
  WH_TRY(wh_jinja_dict_find_text(run, run->context, name, &found));
  if (found) {
    *out = *found;
    return WH_OK;
  }
  const wh_jinja_builtin *function = wh_jinja_find_function(name);
  *out = function ? (wh_jinja_value){.kind = WH_JINJA_FUNCTION, .as.function = function}
                  : wh_jinja_undefined(WH_JINJA_ABSENT, name);
  return WH_OK;
}

static wh_status assign_target(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *target,
                               const wh_jinja_value *value) {
  if (target->kind == WH_JINJA_NODE_NAME) return assign(run, scope, target->name, value);
  if (target->kind == WH_JINJA_NODE_NAMESPACE_ATTRIBUTE) {
    wh_jinja_value object, key = wh_jinja_string(target->as.attribute);
    WH_TRY(wh_jinja_lookup(run, scope, target->name, &object));
    if (object.kind != WH_JINJA_NAMESPACE)
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT,
                           "cannot assign attribute '" WH_STR_FMT "' of '" WH_STR_FMT
                           "', which is no namespace",
                           WH_STR_ARG(target->as.attribute), WH_STR_ARG(target->name));
    return wh_jinja_dict_put(run, object.as.dict, &key, value);
  }
  wh_jinja_value *items;
  size_t n;
  WH_TRY(wh_jinja_enter(run));
  WH_TRY(wh_jinja_iterate(run, value, &items, &n));
  if (n != target->as.list.n)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "cannot unpack %zu values into %zu variables", n,
                         target->as.list.n);
  for (const wh_jinja_node *item = target->as.list.first; item; item = item->next)
    WH_TRY(assign_target(run, scope, item, items++));
  wh_jinja_leave(run);
  return WH_OK;
}

/* The next item that passes the loop's test; ABSENT at the end. */
static wh_status loop_fetch(wh_jinja_run *run, wh_jinja_loop *loop, wh_jinja_value *out) {
  while (loop->pos < loop->n_items) {
    const wh_jinja_value *item = &loop->items[loop->pos++];
    bool passes = true;
    if (loop->filtered) {
      wh_jinja_scope scope = {.parent = loop->outer};
      wh_jinja_value test;
      WH_TRY(assign_target(run, &scope, loop->node->as.loop.target, item));
      WH_TRY(wh_jinja_eval(run, &scope, loop->node->as.loop.test, &test));
      passes = wh_jinja_truthy(&test);
    }
    if (passes) {
      *out = *item;
      return WH_OK;
    }
  }
  *out = (wh_jinja_value){.kind = WH_JINJA_ABSENT};
  return WH_OK;
}

static wh_status loop_peek(wh_jinja_run *run, wh_jinja_loop *loop) {
  if (loop->after.kind != WH_JINJA_ABSENT || loop->ended) return WH_OK;
  WH_TRY(loop_fetch(run, loop, &loop->after));
  loop->ended = loop->after.kind == WH_JINJA_ABSENT;
  return WH_OK;
}

static wh_status loop_length(wh_jinja_run *run, wh_jinja_loop *loop) {
  if (loop->has_length) return WH_OK;
  if (loop->filtered) { /* from here on the items that are left have passed */
    wh_jinja_value *rest;
    size_t n = 0;
    WH_TRY(wh_jinja_alloc(run, loop->n_items - loop->pos, sizeof *rest, &rest));
    for (;;) {
      wh_jinja_value item;
      WH_TRY(loop_fetch(run, loop, &item));
      if (item.kind == WH_JINJA_ABSENT) break;
      rest[n++] = item;
    }
    loop->items = rest;
    loop->n_items = n;
    loop->pos = 0;
    loop->filtered = false;
    loop->length = (int64_t)n + loop->index0 + 1 + (loop->after.kind != WH_JINJA_ABSENT);
  } else {
    loop->length = (int64_t)loop->n_items;
  }
  loop->has_length = true;
  return WH_OK;
}

wh_status wh_jinja_loop_attribute(wh_jinja_run *run, wh_jinja_loop *loop, wh_str name, wh_jinja_value *out,
                                  bool *found) {
  *found = true;
  if (wh_str_is(name, "index")) {
    *out = wh_jinja_int(loop->index0 + 1);
  } else if (wh_str_is(name, "index0")) {
    *out = wh_jinja_int(loop->index0);
  } else if (wh_str_is(name, "first")) {
    *out = wh_jinja_bool(loop->index0 == 0);
  } else if (wh_str_is(name, "last")) {
    WH_TRY(loop_peek(run, loop));
    *out = wh_jinja_bool(loop->ended);
  } else if (wh_str_is(name, "length")) {
    WH_TRY(loop_length(run, loop));
    *out = wh_jinja_int(loop->length);
  } else if (wh_str_is(name, "revindex") || wh_str_is(name, "revindex0")) {
    WH_TRY(loop_length(run, loop));
    *out = wh_jinja_int(loop->length - loop->index0 - wh_str_is(name, "revindex0"));
  } else if (wh_str_is(name, "previtem")) {
    *out = loop->before.kind != WH_JINJA_ABSENT
               ? loop->before
               : wh_jinja_undefined(WH_JINJA_NONE, wh_str_from("there is no previous item"));
  } else if (wh_str_is(name, "nextitem")) {
    WH_TRY(loop_peek(run, loop));
    *out =
        !loop->ended ? loop->after : wh_jinja_undefined(WH_JINJA_NONE, wh_str_from("there is no next item"));
  } else if (wh_str_is(name, "depth") || wh_str_is(name, "depth0")) { /* counts recursive loops only */
    *out = wh_jinja_int(wh_str_is(name, "depth"));
  } else if (wh_str_is(name, "cycle") || wh_str_is(name, "changed")) {
    wh_jinja_method *method;
    wh_jinja_value *self;
    WH_TRY(wh_jinja_alloc(run, 1, sizeof *method, &method));
    WH_TRY(wh_jinja_alloc(run, 1, sizeof *self, &self));
    *self = (wh_jinja_value){.kind = WH_JINJA_LOOP, .as.loop = loop};
    *method = (wh_jinja_method){wh_jinja_find_method(WH_JINJA_LOOP, name), self};
    *out = (wh_jinja_value){.kind = WH_JINJA_METHOD, .as.method = method};
  } else {
    *found = false;
  }
  return WH_OK;
}

wh_status wh_jinja_loop_changed(wh_jinja_run *run, wh_jinja_loop *loop, const wh_jinja_args *args,
                                bool *out) {
  wh_jinja_value given;
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_TUPLE, args->n, &given));
  if (args->n) memcpy(given.as.list->items, args->values, args->n * sizeof given);
  bool same = false;
  if (loop->changed.kind != WH_JINJA_ABSENT) WH_TRY(wh_jinja_equal(run, &loop->changed, &given, &same));
  loop->changed = given;
  *out = !same;
  return WH_OK;
}

static wh_status exec_for(wh_jinja_run *run, wh_jinja_scope *outer, const wh_jinja_node *node,
                          loop_flow *out) {
  wh_jinja_value iterable, *items;
  WH_TRY(wh_jinja_eval(run, outer, node->as.loop.iterable, &iterable));
  wh_jinja_loop *loop; /* in the arena: a method taken from `loop` may outlive it */
  WH_TRY(wh_jinja_alloc(run, 1, sizeof *loop, &loop));
  *loop = (wh_jinja_loop){.node = node, .outer = outer, .filtered = node->as.loop.test != NULL, .index0 = -1};
  run->line = node->line;
  WH_TRY(wh_jinja_iterate(run, &iterable, &items, &loop->n_items));
  loop->items = items;
  wh_jinja_scope *scope;
  WH_TRY(wh_jinja_alloc(run, 1, sizeof *scope, &scope));
  scope->parent = outer;
  const wh_jinja_value loop_value = {.kind = WH_JINJA_LOOP, .as.loop = loop};
  loop_flow flow = FLOW_NEXT;
  while (flow != FLOW_BREAK) {
    wh_jinja_value item = loop->after;
    if (item.kind == WH_JINJA_ABSENT && !loop->ended) WH_TRY(loop_fetch(run, loop, &item));
    if (item.kind == WH_JINJA_ABSENT) break;
    WH_TRY(wh_jinja_step(run, 1));
    loop->index0++;
    loop->before = loop->current;
    loop->current = item;
    loop->after.kind = WH_JINJA_ABSENT;
    scope->n = 0; /* what an iteration sets, the next does not see */
    WH_TRY(assign(run, scope, wh_str_from("loop"), &loop_value));
    run->line = node->line;
    WH_TRY(assign_target(run, scope, node->as.loop.target, &item));
    WH_TRY(exec(run, scope, &node->as.loop.body, &flow));
  }
  *out = FLOW_NEXT;
  if (loop->index0 >= 0 || !node->as.loop.otherwise.n) return WH_OK;
  scope->n = 0;
  return exec(run, scope, &node->as.loop.otherwise, out);
}

static wh_status exec_if(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                         loop_flow *out) {
  for (; node; node = node->as.branch.otherwise) {
    bool taken = true;
    if (node->as.branch.test) {
      wh_jinja_value test;
      WH_TRY(wh_jinja_eval(run, scope, node->as.branch.test, &test));
      taken = wh_jinja_truthy(&test);
    }
    if (taken) return exec(run, scope, &node->as.branch.body, out);
  }
  return WH_OK;
}

/* Runs `body` in a scope of its own and takes its text. When a break or continue leaves it, the text is lost.
 */
static wh_status capture(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_nodes *body,
                         loop_flow *flow, wh_jinja_value *out) {
  wh_jinja_scope *inner;
  size_t mark = wh_jinja_mark(run);
  WH_TRY(wh_jinja_alloc(run, 1, sizeof *inner, &inner));
  inner->parent = scope;
  WH_TRY(exec(run, inner, body, flow));
  return wh_jinja_take_string(run, mark, out);
}

static wh_status exec_set_block(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                                loop_flow *flow) {
  wh_jinja_value text;
  WH_TRY(capture(run, scope, &node->as.set.body, flow, &text));
  if (*flow != FLOW_NEXT) return WH_OK;
  if (node->as.set.value) WH_TRY(wh_jinja_eval_filters(run, scope, node->as.set.value, &text, &text));
  run->line = node->line;
  if (node->kind == WH_JINJA_NODE_SET_BLOCK) return assign_target(run, scope, node->as.set.target, &text);
  return wh_jinja_print(run, &text);
}

static wh_status make_macro(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                            wh_jinja_value *out) {
  wh_jinja_macro *macro;
  WH_TRY(wh_jinja_alloc(run, 1, sizeof *macro, &macro));
  *macro = (wh_jinja_macro){node->name, node->as.macro.signature, scope};
  *out = (wh_jinja_value){.kind = WH_JINJA_MACRO, .as.macro = macro};
  return WH_OK;
}

wh_str wh_jinja_macro_name(const wh_jinja_macro *macro) { return macro->name; }

static wh_status exec_call_block(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node) {
  wh_jinja_value caller, callee, result;
  wh_jinja_args args;
  const wh_jinja_node *call = node->as.macro.call;
  WH_TRY(make_macro(run, scope, node, &caller));
  WH_TRY(wh_jinja_eval(run, scope, call->as.call.callee, &callee));
  WH_TRY(wh_jinja_eval_args(run, scope, &call->as.call.args, &caller, &args));
  run->line = node->line;
  WH_TRY(wh_jinja_call(run, &callee, &args, &result));
  return wh_jinja_print(run, &result);
}

static wh_status exec_with(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                           loop_flow *flow) {
  wh_jinja_scope *inner;
  WH_TRY(wh_jinja_alloc(run, 1, sizeof *inner, &inner));
  inner->parent = scope;
  const wh_jinja_node *target = node->as.with.targets.first;
  for (const wh_jinja_node *value = node->as.with.values.first; value;
       value = value->next, target = target->next) {
    wh_jinja_value v;
    WH_TRY(wh_jinja_eval(run, scope, value, &v)); /* values do not see each other's names */
    WH_TRY(assign_target(run, inner, target, &v));
  }
  return exec(run, inner, &node->as.with.body, flow);
}

static wh_status exec_statement(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                                loop_flow *out) {
  wh_jinja_value value;
  run->line = node->line;
  switch ((wh_jinja_node_kind)node->kind) {
    case WH_JINJA_NODE_TEXT:
      return wh_jinja_emit(run, node->as.text.data, node->as.text.len);
    case WH_JINJA_NODE_OUTPUT:
      WH_TRY(wh_jinja_eval(run, scope, node->as.value, &value));
      run->line = node->line;
      return wh_jinja_print(run, &value);
    case WH_JINJA_NODE_IF:
      return exec_if(run, scope, node, out);
    case WH_JINJA_NODE_FOR:
      return exec_for(run, scope, node, out);
    case WH_JINJA_NODE_SET:
      WH_TRY(wh_jinja_eval(run, scope, node->as.set.value, &value));
      run->line = node->line;
      return assign_target(run, scope, node->as.set.target, &value);
    case WH_JINJA_NODE_SET_BLOCK:
    case WH_JINJA_NODE_FILTER_BLOCK:
      return exec_set_block(run, scope, node, out);
    case WH_JINJA_NODE_MACRO:
      WH_TRY(make_macro(run, scope, node, &value));
      return assign(run, scope, node->name, &value);
    case WH_JINJA_NODE_CALL_BLOCK:
      return exec_call_block(run, scope, node);
    case WH_JINJA_NODE_WITH:
      return exec_with(run, scope, node, out);
    case WH_JINJA_NODE_SCOPE: {
      wh_jinja_scope *inner;
      WH_TRY(wh_jinja_alloc(run, 1, sizeof *inner, &inner));
      inner->parent = scope;
      return exec(run, inner, &node->as.set.body, out);
    }
    case WH_JINJA_NODE_BREAK:
      *out = FLOW_BREAK;
      return WH_OK;
    case WH_JINJA_NODE_CONTINUE:
      *out = FLOW_CONTINUE;
      return WH_OK;
    default:
      return WH_JINJA_FAIL(run, ERR_INTERNAL, "node %d is no statement", node->kind);
  }
}

/* Runs statements in order; *out says what ended them. */
static wh_status exec(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_nodes *body, loop_flow *out) {
  *out = FLOW_NEXT;
  WH_TRY(wh_jinja_enter(run));
  for (const wh_jinja_node *node = body->first; node && *out == FLOW_NEXT; node = node->next) {
    WH_TRY(wh_jinja_step(run, 1));
    WH_TRY(exec_statement(run, scope, node, out));
  }
  wh_jinja_leave(run);
  return WH_OK;
}

static wh_status bind_named(wh_jinja_run *run, const wh_jinja_macro *macro, wh_jinja_scope *scope,
                            const wh_jinja_args *args, wh_jinja_dict *rest) {
  const wh_jinja_signature *sig = macro->signature;
  for (size_t k = 0; k < args->n_named; k++) {
    wh_str name = wh_jinja_text(&args->named[k].key);
    size_t i = 0;
    const wh_jinja_node *param = sig->params.first;
    while (param && !wh_str_equal(param->name, name)) {
      param = param->next;
      i++;
    }
    if (param && i < args->n)
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT,
                           "macro '" WH_STR_FMT "' got argument '" WH_STR_FMT "' twice",
                           WH_STR_ARG(macro->name), WH_STR_ARG(name));
    if (param || (wh_str_is(name, "caller") && sig->uses_caller)) {
      WH_TRY(assign(run, scope, name, &args->named[k].value));
    } else if (sig->uses_kwargs) {
      WH_TRY(wh_jinja_dict_append(run, rest, &args->named[k].key, &args->named[k].value));
    } else {
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT,
                           "macro '" WH_STR_FMT "' has no argument '" WH_STR_FMT "'", WH_STR_ARG(macro->name),
                           WH_STR_ARG(name));
    }
  }
  return WH_OK;
}

static bool is_bound(const wh_jinja_scope *scope, wh_str name) {
  for (size_t i = 0; i < scope->n; i++)
    if (wh_str_equal(scope->variables[i].name, name)) return true;
  return false;
}

static wh_status bind_macro(wh_jinja_run *run, const wh_jinja_macro *macro, wh_jinja_scope *scope,
                            const wh_jinja_args *args) {
  const wh_jinja_signature *sig = macro->signature;
  size_t i = 0;
  for (const wh_jinja_node *p = sig->params.first; p && i < args->n; p = p->next)
    WH_TRY(assign(run, scope, p->name, &args->values[i++]));
  size_t n_extra = args->n - i;
  if (n_extra && !sig->uses_varargs)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT,
                         "macro '" WH_STR_FMT "' takes at most %zu arguments, not %zu",
                         WH_STR_ARG(macro->name), sig->params.n, args->n);
  wh_jinja_value rest;
  WH_TRY(wh_jinja_new_dict(run, WH_JINJA_DICT, 0, &rest));
  WH_TRY(bind_named(run, macro, scope, args, rest.as.dict));
  if (sig->uses_kwargs) WH_TRY(assign(run, scope, wh_str_from("kwargs"), &rest));
  if (sig->uses_varargs) {
    WH_TRY(wh_jinja_new_list(run, WH_JINJA_TUPLE, n_extra, &rest));
    if (n_extra) memcpy(rest.as.list->items, args->values + i, n_extra * sizeof rest);
    WH_TRY(assign(run, scope, wh_str_from("varargs"), &rest));
  }
  if (sig->uses_caller && !is_bound(scope, wh_str_from("caller"))) {
    wh_jinja_value none = wh_jinja_undefined(WH_JINJA_NONE, wh_str_from("No caller defined"));
    WH_TRY(assign(run, scope, wh_str_from("caller"), &none));
  }
  for (const wh_jinja_node *p = sig->params.first; p;
       p = p->next) { /* defaults see the arguments before them */
    if (is_bound(scope, p->name)) continue;
    wh_jinja_value value = wh_jinja_undefined(WH_JINJA_ABSENT, p->name);
    if (p->as.value) WH_TRY(wh_jinja_eval(run, scope, p->as.value, &value));
    WH_TRY(assign(run, scope, p->name, &value));
  }
  return WH_OK;
}

wh_status wh_jinja_call_macro(wh_jinja_run *run, const wh_jinja_macro *macro, const wh_jinja_args *args,
                              wh_jinja_value *out) {
  wh_jinja_scope *scope;
  size_t mark = wh_jinja_mark(run);
  loop_flow flow;
  WH_TRY(wh_jinja_alloc(run, 1, sizeof *scope, &scope));
  scope->parent = macro->scope;
  WH_TRY(bind_macro(run, macro, scope, args));
  WH_TRY(exec(run, scope, &macro->signature->body, &flow));
  return wh_jinja_take_string(run, mark, out);
}

wh_status wh_jinja_evaluate(wh_jinja_run *run, const wh_jinja_nodes *body) {
  wh_jinja_scope *scope;
  loop_flow flow;
  WH_TRY(wh_jinja_alloc(run, 1, sizeof *scope, &scope));
  return exec(run, scope, body, &flow);
}
