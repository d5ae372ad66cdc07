/* jinja_ast.h - the syntax tree of a template. Built once by jinja_parse.c in the template's arena, then
 * read-only, so that several threads may render one template. */
#ifndef WH_TEXT_JINJA_AST_H
#define WH_TEXT_JINJA_AST_H

#include "text/jinja_value.h"

typedef enum wh_jinja_node_kind {
  /* expressions */
  WH_JINJA_NODE_CONSTANT,
  WH_JINJA_NODE_NAME,
  WH_JINJA_NODE_LIST,
  WH_JINJA_NODE_TUPLE,
  WH_JINJA_NODE_DICT, /* list: key, value, key, value ... */
  WH_JINJA_NODE_ATTRIBUTE,
  WH_JINJA_NODE_ITEM,
  WH_JINJA_NODE_SLICE, /* only as the index of an ITEM */
  WH_JINJA_NODE_CALL,
  WH_JINJA_NODE_FILTER,
  WH_JINJA_NODE_TEST,
  WH_JINJA_NODE_NOT,
  WH_JINJA_NODE_NEGATE,
  WH_JINJA_NODE_POSITIVE,
  WH_JINJA_NODE_AND,
  WH_JINJA_NODE_OR,
  WH_JINJA_NODE_BINARY,
  WH_JINJA_NODE_COMPARE,
  WH_JINJA_NODE_CONCAT,
  WH_JINJA_NODE_CONDITIONAL,
  /* arguments that are not plain expressions */
  WH_JINJA_NODE_KEYWORD, /* name=value */
  WH_JINJA_NODE_STAR,    /* *value */
  WH_JINJA_NODE_STAR_STAR,
  /* assignment target */
  WH_JINJA_NODE_NAMESPACE_ATTRIBUTE,
  /* statements */
  WH_JINJA_NODE_TEXT,
  WH_JINJA_NODE_OUTPUT,
  WH_JINJA_NODE_IF,
  WH_JINJA_NODE_FOR,
  WH_JINJA_NODE_SET,
  WH_JINJA_NODE_SET_BLOCK,
  WH_JINJA_NODE_MACRO,
  WH_JINJA_NODE_CALL_BLOCK,
  WH_JINJA_NODE_FILTER_BLOCK,
  WH_JINJA_NODE_WITH,
  WH_JINJA_NODE_SCOPE, /* {% generation %} */
  WH_JINJA_NODE_BREAK,
  WH_JINJA_NODE_CONTINUE
} wh_jinja_node_kind;

typedef enum wh_jinja_operator {
  WH_JINJA_OP_ADD,
  WH_JINJA_OP_SUB,
  WH_JINJA_OP_MUL,
  WH_JINJA_OP_DIV,
  WH_JINJA_OP_FLOOR_DIV,
  WH_JINJA_OP_MOD,
  WH_JINJA_OP_POW,
  WH_JINJA_OP_EQ,
  WH_JINJA_OP_NE,
  WH_JINJA_OP_LT,
  WH_JINJA_OP_LE,
  WH_JINJA_OP_GT,
  WH_JINJA_OP_GE,
  WH_JINJA_OP_IN,
  WH_JINJA_OP_NOT_IN
} wh_jinja_operator;

typedef struct wh_jinja_node wh_jinja_node;

/* Nodes linked by `next`. */
typedef struct wh_jinja_nodes {
  wh_jinja_node *first, *last;
  size_t n;
} wh_jinja_nodes;

/* What macros and call blocks have in common. */
typedef struct wh_jinja_signature {
  wh_jinja_nodes params; /* KEYWORD nodes; value NULL: no default */
  wh_jinja_nodes body;
  bool uses_varargs, uses_kwargs, uses_caller;
} wh_jinja_signature;

struct wh_jinja_node {
  uint8_t kind; /* wh_jinja_node_kind */
  uint8_t op;   /* wh_jinja_operator of BINARY and of the operands of COMPARE */
  int line;
  wh_jinja_node *next;
  wh_str name; /* NAME, ATTRIBUTE, FILTER, TEST, KEYWORD, NAMESPACE_ATTRIBUTE (the namespace), MACRO */
  union {
    wh_jinja_value constant;
    wh_str text;
    wh_str attribute;     /* NAMESPACE_ATTRIBUTE */
    wh_jinja_nodes list;  /* LIST, TUPLE, DICT, CONCAT */
    wh_jinja_node *value; /* NOT, NEGATE, POSITIVE, KEYWORD, STAR, STAR_STAR, OUTPUT, ATTRIBUTE */
    struct {
      wh_jinja_node *left, *right;
    } binary; /* AND, OR, BINARY; ITEM: object and index */
    struct {
      wh_jinja_node *start, *stop, *step; /* each may be NULL */
    } slice;
    struct {
      wh_jinja_node *callee; /* FILTER, TEST: the operand; NULL in a filter block */
      wh_jinja_nodes args;
      const wh_jinja_builtin *builtin; /* FILTER, TEST: NULL when there is none of that name */
    } call;
    struct {
      wh_jinja_node *first;
      wh_jinja_nodes rest; /* each: KEYWORD-like with op and value */
    } compare;
    struct {
      wh_jinja_node *test, *then, *otherwise; /* otherwise may be NULL */
    } conditional;
    struct {
      wh_jinja_node *test; /* NULL: else */
      wh_jinja_nodes body;
      wh_jinja_node *otherwise; /* another IF or NULL */
    } branch;
    struct {
      wh_jinja_node *target, *iterable, *test; /* test may be NULL */
      wh_jinja_nodes body, otherwise;
    } loop;
    struct {
      wh_jinja_node *target;
      wh_jinja_node *value; /* SET; SET_BLOCK and FILTER_BLOCK: chain of FILTER nodes or NULL */
      wh_jinja_nodes body;  /* SET_BLOCK, FILTER_BLOCK, SCOPE */
    } set;
    struct {
      wh_jinja_nodes targets, values, body;
    } with;
    struct {
      wh_jinja_signature *signature;
      wh_jinja_node *call; /* CALL_BLOCK */
    } macro;
  } as;
};

/* Parses `source` (valid UTF-8, lines end with \n, kept alive by the caller) into `arena`. */
WH_NODISCARD wh_status wh_jinja_parse(wh_str source, wh_arena *arena, wh_jinja_nodes *out);

/* Evaluates a template's body; the text is left on run->out. */
WH_NODISCARD wh_status wh_jinja_evaluate(wh_jinja_run *run, const wh_jinja_nodes *body);

wh_str wh_jinja_macro_name(const wh_jinja_macro *macro);
/* Calls a function, method or macro. */
WH_NODISCARD wh_status wh_jinja_call(wh_jinja_run *run, const wh_jinja_value *callee,
                                     const wh_jinja_args *args, wh_jinja_value *out);
/* Calls a builtin under its name. */
WH_NODISCARD wh_status wh_jinja_call_builtin(wh_jinja_run *run, const wh_jinja_builtin *builtin,
                                             const wh_jinja_value *self, const wh_jinja_args *args,
                                             wh_jinja_value *out);

/* object.name and object[index] with Jinja's fallbacks to each other. */
WH_NODISCARD wh_status wh_jinja_get_attribute(wh_jinja_run *run, const wh_jinja_value *object, wh_str name,
                                              wh_jinja_value *out);
WH_NODISCARD wh_status wh_jinja_get_item(wh_jinja_run *run, const wh_jinja_value *object,
                                         const wh_jinja_value *index, wh_jinja_value *out);
/* object[start:stop:step]; each ABSENT or NONE where not given. */
WH_NODISCARD wh_status wh_jinja_get_slice(wh_jinja_run *run, const wh_jinja_value *object,
                                          const wh_jinja_value bounds[3], wh_jinja_value *out);
/* Attributes of `loop`; false when there is no such attribute. */
WH_NODISCARD wh_status wh_jinja_loop_attribute(wh_jinja_run *run, wh_jinja_loop *loop, wh_str name,
                                               wh_jinja_value *out, bool *found);
WH_NODISCARD wh_status wh_jinja_loop_changed(wh_jinja_run *run, wh_jinja_loop *loop,
                                             const wh_jinja_args *args, bool *out);

/* Operators: + - * / // % **, and in (jinja_ops.c). */
WH_NODISCARD wh_status wh_jinja_binary(wh_jinja_run *run, wh_jinja_operator op, const wh_jinja_value *a,
                                       const wh_jinja_value *b, wh_jinja_value *out);
WH_NODISCARD wh_status wh_jinja_contains(wh_jinja_run *run, const wh_jinja_value *container,
                                         const wh_jinja_value *item, bool *out);
WH_NODISCARD wh_status wh_jinja_compare_op(wh_jinja_run *run, wh_jinja_operator op, const wh_jinja_value *a,
                                           const wh_jinja_value *b, bool *out);
/* "format" % args (jinja_format.c). */
WH_NODISCARD wh_status wh_jinja_format_percent(wh_jinja_run *run, wh_str format, const wh_jinja_value *args,
                                               wh_jinja_value *out);
WH_NODISCARD wh_status wh_jinja_format_braces(wh_jinja_run *run, wh_str format, const wh_jinja_args *args,
                                              wh_jinja_value *out);

/* Tables of builtins; NULL when there is none of that name. */
const wh_jinja_builtin *wh_jinja_find_filter(wh_str name);
const wh_jinja_builtin *wh_jinja_find_test(wh_str name);
const wh_jinja_builtin *wh_jinja_find_function(wh_str name);
const wh_jinja_builtin *wh_jinja_find_method(wh_jinja_kind kind, wh_str name);

/* str methods that filters share (jinja_str_methods.c). */
wh_status wh_jinja_str_strip(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *, wh_jinja_value *);
wh_status wh_jinja_str_upper(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *, wh_jinja_value *);
wh_status wh_jinja_str_lower(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *, wh_jinja_value *);
wh_status wh_jinja_str_capitalize(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *,
                                  wh_jinja_value *);
wh_status wh_jinja_str_replace(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *,
                               wh_jinja_value *);
wh_status wh_jinja_str_center(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *,
                              wh_jinja_value *);
wh_status wh_jinja_str_splitlines(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *,
                                  wh_jinja_value *);
wh_status wh_jinja_str_title_words(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *,
                                   wh_jinja_value *);

/* JSON (jinja_json.c): text to an arena value; and the tojson filter. */
WH_NODISCARD wh_status wh_jinja_from_json(wh_jinja_run *run, wh_str json, wh_jinja_value *out);
wh_status wh_jinja_filter_tojson(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *,
                                 wh_jinja_value *);
/* HTML escaping of & < > ' " (jinja_filters.c). */
WH_NODISCARD wh_status wh_jinja_escape(wh_jinja_run *run, wh_str text, wh_jinja_value *out);

#endif
