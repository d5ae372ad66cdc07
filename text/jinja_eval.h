/* jinja_eval.h - what statements (jinja_eval.c) and expressions (jinja_expr.c) share. */
#ifndef WH_TEXT_JINJA_EVAL_H
#define WH_TEXT_JINJA_EVAL_H

#include "text/jinja_ast.h"

typedef struct wh_jinja_variable {
  wh_str name;
  wh_jinja_value value;
} wh_jinja_variable;

/* Variables of one block; names not found are looked up in the parent, then in the context, then among the
 * global functions. A macro keeps the scope it was defined in. */
typedef struct wh_jinja_scope {
  struct wh_jinja_scope *parent;
  wh_jinja_variable *variables;
  size_t n, capacity;
} wh_jinja_scope;

struct wh_jinja_macro {
  wh_str name;
  const wh_jinja_signature *signature;
  wh_jinja_scope *scope;
};

WH_NODISCARD wh_status wh_jinja_lookup(wh_jinja_run *run, const wh_jinja_scope *scope, wh_str name,
                                       wh_jinja_value *out);
WH_NODISCARD wh_status wh_jinja_eval(wh_jinja_run *run, wh_jinja_scope *scope, const wh_jinja_node *node,
                                     wh_jinja_value *out);
/* Evaluates the arguments of `nodes`; `extra`, when not NULL, is added as the keyword "caller". */
WH_NODISCARD wh_status wh_jinja_eval_args(wh_jinja_run *run, wh_jinja_scope *scope,
                                          const wh_jinja_nodes *nodes, const wh_jinja_value *caller,
                                          wh_jinja_args *out);
/* A chain of FILTER nodes whose innermost operand is `input`. */
WH_NODISCARD wh_status wh_jinja_eval_filters(wh_jinja_run *run, wh_jinja_scope *scope,
                                             const wh_jinja_node *chain, const wh_jinja_value *input,
                                             wh_jinja_value *out);
WH_NODISCARD wh_status wh_jinja_call_macro(wh_jinja_run *run, const wh_jinja_macro *macro,
                                           const wh_jinja_args *args, wh_jinja_value *out);

#endif
