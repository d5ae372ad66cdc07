/* jinja_parser.h - what the statement half and the expression half of the parser share. */
#ifndef WH_TEXT_JINJA_PARSER_H
#define WH_TEXT_JINJA_PARSER_H

#include "text/jinja_ast.h"
#include "text/jinja_lex.h"

typedef struct wh_jinja_parser {
  wh_arena *arena;
  const wh_jinja_token *tokens;
  size_t pos;
  unsigned depth, n_loops;
  wh_jinja_signature *signature; /* of the macro being parsed, or NULL */
} wh_jinja_parser;

static inline const wh_jinja_token *wh_jinja_peek(const wh_jinja_parser *p) { return &p->tokens[p->pos]; }
/* The token behind the current one; EOF stays EOF. */
static inline const wh_jinja_token *wh_jinja_peek_next(const wh_jinja_parser *p) {
  return &p->tokens[p->pos + (p->tokens[p->pos].type != WH_JINJA_TOK_EOF)];
}
static inline const wh_jinja_token *wh_jinja_advance(wh_jinja_parser *p) {
  const wh_jinja_token *t = &p->tokens[p->pos];
  if (t->type != WH_JINJA_TOK_EOF) p->pos++;
  return t;
}
static inline bool wh_jinja_accept(wh_jinja_parser *p, wh_jinja_token_type type) {
  if (wh_jinja_peek(p)->type != type) return false;
  (void)wh_jinja_advance(p);
  return true;
}
static inline bool wh_jinja_at_name(const wh_jinja_token *t, const char *name) {
  return t->type == WH_JINJA_TOK_NAME && wh_str_is(t->text, name);
}
static inline bool wh_jinja_accept_name(wh_jinja_parser *p, const char *name) {
  if (!wh_jinja_at_name(wh_jinja_peek(p), name)) return false;
  (void)wh_jinja_advance(p);
  return true;
}

WH_NODISCARD wh_status wh_jinja_parse_node(wh_jinja_parser *p, wh_jinja_node_kind kind, int line,
                                           wh_jinja_node **out);
void wh_jinja_nodes_push(wh_jinja_nodes *list, wh_jinja_node *node);
wh_status wh_jinja_parse_fail(int line,
                              wh_status status); /* puts the line in front of the error just raised */
#define WH_JINJA_PARSE_FAIL(line, ...) wh_jinja_parse_fail(line, WH_FAIL(ERR_INVALID_ARGUMENT, __VA_ARGS__))
wh_status wh_jinja_parse_unexpected(const wh_jinja_parser *p, const char *expected);
WH_NODISCARD wh_status wh_jinja_expect(wh_jinja_parser *p, wh_jinja_token_type type, const char *what);
WH_NODISCARD wh_status wh_jinja_expect_name(wh_jinja_parser *p, wh_str *out);
WH_NODISCARD wh_status wh_jinja_parse_enter(wh_jinja_parser *p); /* undone by p->depth-- */

/* Tuple grammar: how an unparenthesised list of expressions ends and what it may hold. */
#define WH_JINJA_TUPLE_NO_CONDITION 1u  /* "a if b" belongs to the statement */
#define WH_JINJA_TUPLE_UNTIL_IN 2u      /* targets of for */
#define WH_JINJA_TUPLE_NAMESPACE 4u     /* targets of set: ns.attribute */
#define WH_JINJA_TUPLE_PRIMARIES 8u     /* targets: names only */
#define WH_JINJA_TUPLE_MAY_BE_EMPTY 16u /* in parentheses */

WH_NODISCARD wh_status wh_jinja_parse_expression(wh_jinja_parser *p, wh_jinja_node **out);
WH_NODISCARD wh_status wh_jinja_parse_tuple(wh_jinja_parser *p, unsigned flags, wh_jinja_node **out);
WH_NODISCARD wh_status wh_jinja_parse_target(wh_jinja_parser *p, unsigned flags, wh_jinja_node **out);
/* Name and arguments of a filter; *node is its operand and becomes the filter. */
WH_NODISCARD wh_status wh_jinja_parse_filter(wh_jinja_parser *p, wh_jinja_node **node);

#endif
