/* jinja_parse_expr.c - expressions, by recursive descent with one function per level of precedence. */
#include <string.h>

#include "text/jinja_parser.h"

static wh_status parse_unary(wh_jinja_parser *p, bool with_filters, wh_jinja_node **out);
static wh_status parse_or(wh_jinja_parser *p, wh_jinja_node **out);

static wh_status make_binary(wh_jinja_parser *p, wh_jinja_node_kind kind, wh_jinja_operator op, int line,
                             wh_jinja_node *left, wh_jinja_node *right, wh_jinja_node **out) {
  wh_jinja_node *node;
  WH_TRY(wh_jinja_parse_node(p, kind, line, &node));
  node->op = (uint8_t)op;
  node->as.binary.left = left;
  node->as.binary.right = right;
  *out = node;
  return WH_OK;
}

static wh_status make_constant(wh_jinja_parser *p, int line, wh_jinja_value value, wh_jinja_node **out) {
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_CONSTANT, line, out));
  (*out)->as.constant = value;
  return WH_OK;
}

/* An operator that joins its level's operands from the left, or -1. */
static int sum_operator(wh_jinja_token_type type) {
  return type == WH_JINJA_TOK_ADD ? WH_JINJA_OP_ADD : type == WH_JINJA_TOK_SUB ? WH_JINJA_OP_SUB : -1;
}

static int product_operator(wh_jinja_token_type type) {
  switch (type) {
    case WH_JINJA_TOK_MUL:
      return WH_JINJA_OP_MUL;
    case WH_JINJA_TOK_DIV:
      return WH_JINJA_OP_DIV;
    case WH_JINJA_TOK_FLOOR_DIV:
      return WH_JINJA_OP_FLOOR_DIV;
    case WH_JINJA_TOK_MOD:
      return WH_JINJA_OP_MOD;
    default:
      return -1;
  }
}

static int compare_operator(wh_jinja_token_type type) {
  switch (type) {
    case WH_JINJA_TOK_EQ:
      return WH_JINJA_OP_EQ;
    case WH_JINJA_TOK_NE:
      return WH_JINJA_OP_NE;
    case WH_JINJA_TOK_LT:
      return WH_JINJA_OP_LT;
    case WH_JINJA_TOK_LE:
      return WH_JINJA_OP_LE;
    case WH_JINJA_TOK_GT:
      return WH_JINJA_OP_GT;
    case WH_JINJA_TOK_GE:
      return WH_JINJA_OP_GE;
    default:
      return -1;
  }
}

static wh_status parse_pow(wh_jinja_parser *p, wh_jinja_node **out) {
  WH_TRY(parse_unary(p, true, out));
  while (wh_jinja_peek(p)->type == WH_JINJA_TOK_POW) { /* Jinja's ** is left-associative */
    int line = wh_jinja_advance(p)->line;
    wh_jinja_node *right;
    WH_TRY(parse_unary(p, true, &right));
    WH_TRY(make_binary(p, WH_JINJA_NODE_BINARY, WH_JINJA_OP_POW, line, *out, right, out));
  }
  return WH_OK;
}

static wh_status parse_product(wh_jinja_parser *p, wh_jinja_node **out) {
  WH_TRY(parse_pow(p, out));
  int op;
  while ((op = product_operator(wh_jinja_peek(p)->type)) >= 0) {
    int line = wh_jinja_advance(p)->line;
    wh_jinja_node *right;
    WH_TRY(parse_pow(p, &right));
    WH_TRY(make_binary(p, WH_JINJA_NODE_BINARY, (wh_jinja_operator)op, line, *out, right, out));
  }
  return WH_OK;
}

static wh_status parse_concat(wh_jinja_parser *p, wh_jinja_node **out) {
  WH_TRY(parse_product(p, out));
  if (wh_jinja_peek(p)->type != WH_JINJA_TOK_TILDE) return WH_OK;
  wh_jinja_node *node;
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_CONCAT, wh_jinja_peek(p)->line, &node));
  wh_jinja_nodes_push(&node->as.list, *out);
  while (wh_jinja_accept(p, WH_JINJA_TOK_TILDE)) {
    wh_jinja_node *item;
    WH_TRY(parse_product(p, &item));
    wh_jinja_nodes_push(&node->as.list, item);
  }
  *out = node;
  return WH_OK;
}

static wh_status parse_sum(wh_jinja_parser *p, wh_jinja_node **out) {
  WH_TRY(parse_concat(p, out));
  int op;
  while ((op = sum_operator(wh_jinja_peek(p)->type)) >= 0) {
    int line = wh_jinja_advance(p)->line;
    wh_jinja_node *right;
    WH_TRY(parse_concat(p, &right));
    WH_TRY(make_binary(p, WH_JINJA_NODE_BINARY, (wh_jinja_operator)op, line, *out, right, out));
  }
  return WH_OK;
}

static wh_status parse_compare(wh_jinja_parser *p, wh_jinja_node **out) {
  WH_TRY(parse_sum(p, out));
  wh_jinja_node *node = NULL;
  for (;;) {
    int line = wh_jinja_peek(p)->line, op = compare_operator(wh_jinja_peek(p)->type);
    if (op >= 0) {
      (void)wh_jinja_advance(p);
    } else if (wh_jinja_accept_name(p, "in")) {
      op = WH_JINJA_OP_IN;
    } else if (wh_jinja_at_name(wh_jinja_peek(p), "not") && wh_jinja_at_name(wh_jinja_peek_next(p), "in")) {
      p->pos += 2;
      op = WH_JINJA_OP_NOT_IN;
    } else {
      return WH_OK;
    }
    if (!node) {
      WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_COMPARE, line, &node));
      node->as.compare.first = *out;
      *out = node;
    }
    wh_jinja_node *operand;
    WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_KEYWORD, line, &operand));
    operand->op = (uint8_t)op;
    WH_TRY(parse_sum(p, &operand->as.value));
    wh_jinja_nodes_push(&node->as.compare.rest, operand);
  }
}

static wh_status parse_not(wh_jinja_parser *p, wh_jinja_node **out) {
  if (!wh_jinja_at_name(wh_jinja_peek(p), "not")) return parse_compare(p, out);
  wh_jinja_node *node;
  WH_TRY(wh_jinja_parse_enter(p));
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_NOT, wh_jinja_advance(p)->line, &node));
  WH_TRY(parse_not(p, &node->as.value));
  p->depth--;
  *out = node;
  return WH_OK;
}

static wh_status parse_and(wh_jinja_parser *p, wh_jinja_node **out) {
  WH_TRY(parse_not(p, out));
  while (wh_jinja_at_name(wh_jinja_peek(p), "and")) {
    int line = wh_jinja_advance(p)->line;
    wh_jinja_node *right;
    WH_TRY(parse_not(p, &right));
    WH_TRY(make_binary(p, WH_JINJA_NODE_AND, 0, line, *out, right, out));
  }
  return WH_OK;
}

static wh_status parse_or(wh_jinja_parser *p, wh_jinja_node **out) {
  WH_TRY(wh_jinja_parse_enter(p));
  WH_TRY(parse_and(p, out));
  while (wh_jinja_at_name(wh_jinja_peek(p), "or")) {
    int line = wh_jinja_advance(p)->line;
    wh_jinja_node *right;
    WH_TRY(parse_and(p, &right));
    WH_TRY(make_binary(p, WH_JINJA_NODE_OR, 0, line, *out, right, out));
  }
  p->depth--;
  return WH_OK;
}

wh_status wh_jinja_parse_expression(wh_jinja_parser *p, wh_jinja_node **out) {
  WH_TRY(wh_jinja_parse_enter(p));
  wh_jinja_node *value;
  WH_TRY(parse_or(p, &value));
  while (wh_jinja_at_name(wh_jinja_peek(p), "if")) {
    wh_jinja_node *node;
    WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_CONDITIONAL, wh_jinja_advance(p)->line, &node));
    node->as.conditional.then = value;
    WH_TRY(parse_or(p, &node->as.conditional.test));
    if (wh_jinja_accept_name(p, "else"))
      WH_TRY(wh_jinja_parse_expression(p, &node->as.conditional.otherwise));
    value = node;
  }
  p->depth--;
  *out = value;
  return WH_OK;
}

static void note_implicit(wh_jinja_parser *p, wh_str name) {
  if (!p->signature) return;
  p->signature->uses_varargs |= wh_str_is(name, "varargs");
  p->signature->uses_kwargs |= wh_str_is(name, "kwargs");
  p->signature->uses_caller |= wh_str_is(name, "caller");
}

/* Adjacent string literals are one string. */
static wh_status parse_strings(wh_jinja_parser *p, wh_jinja_node **out) {
  const wh_jinja_token *first = wh_jinja_advance(p);
  size_t n_bytes = first->text.len, end = p->pos;
  while (p->tokens[end].type == WH_JINJA_TOK_STRING)
    n_bytes += p->tokens[end++].text.len; /* bounded by the source */
  wh_str text = first->text;
  if (end != p->pos) {
    char *joined = wh_arena_alloc(p->arena, n_bytes + 1);
    if (!joined) return WH_OOM("template string");
    memcpy(joined, first->text.data, first->text.len);
    size_t n = first->text.len;
    for (; p->pos < end; p->pos++) {
      wh_str part = p->tokens[p->pos].text;
      memcpy(joined + n, part.data, part.len);
      n += part.len;
    }
    text = (wh_str){joined, n};
  }
  return make_constant(p, first->line, wh_jinja_string(text), out);
}

static wh_status parse_name(wh_jinja_parser *p, bool with_namespace, wh_jinja_node **out) {
  const wh_jinja_token *t = wh_jinja_advance(p);
  bool is_true = wh_str_is(t->text, "true") || wh_str_is(t->text, "True");
  if (is_true || wh_str_is(t->text, "false") || wh_str_is(t->text, "False"))
    return make_constant(p, t->line, wh_jinja_bool(is_true), out);
  if (wh_str_is(t->text, "none") || wh_str_is(t->text, "None"))
    return make_constant(p, t->line, wh_jinja_none(), out);
  bool is_namespace = with_namespace && wh_jinja_accept(p, WH_JINJA_TOK_DOT);
  wh_jinja_node *node;
  WH_TRY(wh_jinja_parse_node(p, is_namespace ? WH_JINJA_NODE_NAMESPACE_ATTRIBUTE : WH_JINJA_NODE_NAME,
                             t->line, &node));
  node->name = t->text;
  if (is_namespace) WH_TRY(wh_jinja_expect_name(p, &node->as.attribute));
  note_implicit(p, t->text);
  *out = node;
  return WH_OK;
}

static wh_status parse_list_or_dict(wh_jinja_parser *p, bool is_dict, wh_jinja_node **out) {
  wh_jinja_token_type close = is_dict ? WH_JINJA_TOK_RBRACE : WH_JINJA_TOK_RBRACKET;
  wh_jinja_node *node, *item;
  WH_TRY(wh_jinja_parse_node(p, is_dict ? WH_JINJA_NODE_DICT : WH_JINJA_NODE_LIST, wh_jinja_advance(p)->line,
                             &node));
  while (wh_jinja_peek(p)->type != close) {
    if (node->as.list.n)
      WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_COMMA, is_dict ? "',' or '}'" : "',' or ']'"));
    if (wh_jinja_peek(p)->type == close) break;
    WH_TRY(wh_jinja_parse_expression(p, &item));
    wh_jinja_nodes_push(&node->as.list, item);
    if (!is_dict) continue;
    WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_COLON, "':'"));
    WH_TRY(wh_jinja_parse_expression(p, &item));
    wh_jinja_nodes_push(&node->as.list, item);
  }
  (void)wh_jinja_advance(p);
  *out = node;
  return WH_OK;
}

static wh_status parse_primary(wh_jinja_parser *p, bool with_namespace, wh_jinja_node **out) {
  const wh_jinja_token *t = wh_jinja_peek(p);
  switch (t->type) {
    case WH_JINJA_TOK_NAME:
      return parse_name(p, with_namespace, out);
    case WH_JINJA_TOK_STRING:
      return parse_strings(p, out);
    case WH_JINJA_TOK_INTEGER:
      (void)wh_jinja_advance(p);
      return make_constant(p, t->line, wh_jinja_int(t->number.integer), out);
    case WH_JINJA_TOK_FLOAT:
      (void)wh_jinja_advance(p);
      return make_constant(p, t->line, wh_jinja_float(t->number.real), out);
    case WH_JINJA_TOK_LPAREN:
      (void)wh_jinja_advance(p);
      WH_TRY(wh_jinja_parse_tuple(p, WH_JINJA_TUPLE_MAY_BE_EMPTY, out));
      return wh_jinja_expect(p, WH_JINJA_TOK_RPAREN, "')'");
    case WH_JINJA_TOK_LBRACKET:
      return parse_list_or_dict(p, false, out);
    case WH_JINJA_TOK_LBRACE:
      return parse_list_or_dict(p, true, out);
    default:
      return wh_jinja_parse_unexpected(p, "an expression");
  }
}

static bool at_tuple_end(const wh_jinja_parser *p, unsigned flags) {
  const wh_jinja_token *t = wh_jinja_peek(p);
  return t->type == WH_JINJA_TOK_VARIABLE_END || t->type == WH_JINJA_TOK_BLOCK_END ||
         t->type == WH_JINJA_TOK_RPAREN || ((flags & WH_JINJA_TUPLE_UNTIL_IN) && wh_jinja_at_name(t, "in"));
}

wh_status wh_jinja_parse_tuple(wh_jinja_parser *p, unsigned flags, wh_jinja_node **out) {
  int line = wh_jinja_peek(p)->line;
  wh_jinja_nodes items = {0};
  bool is_tuple = false;
  WH_TRY(wh_jinja_parse_enter(p));
  for (;;) {
    if (items.n) WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_COMMA, "','"));
    if (at_tuple_end(p, flags)) break;
    wh_jinja_node *item;
    if (flags & WH_JINJA_TUPLE_PRIMARIES) {
      WH_TRY(parse_primary(p, (flags & WH_JINJA_TUPLE_NAMESPACE) != 0, &item));
    } else if (flags & WH_JINJA_TUPLE_NO_CONDITION) {
      WH_TRY(parse_or(p, &item));
    } else {
      WH_TRY(wh_jinja_parse_expression(p, &item));
    }
    wh_jinja_nodes_push(&items, item);
    if (wh_jinja_peek(p)->type != WH_JINJA_TOK_COMMA) break;
    is_tuple = true;
  }
  p->depth--;
  if (!is_tuple && items.n) {
    *out = items.first;
    return WH_OK;
  }
  if (!is_tuple && !(flags & WH_JINJA_TUPLE_MAY_BE_EMPTY))
    return wh_jinja_parse_unexpected(p, "an expression");
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_TUPLE, line, out));
  (*out)->as.list = items;
  return WH_OK;
}

static wh_status check_target(const wh_jinja_node *node) {
  static const char *const reserved[] = {"true", "false", "none", "True", "False", "None"};
  if (node->kind == WH_JINJA_NODE_TUPLE) {
    for (const wh_jinja_node *item = node->as.list.first; item; item = item->next) WH_TRY(check_target(item));
    return WH_OK;
  }
  if (node->kind != WH_JINJA_NODE_NAME && node->kind != WH_JINJA_NODE_NAMESPACE_ATTRIBUTE)
    return WH_JINJA_PARSE_FAIL(node->line, "cannot assign to this expression");
  for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
    if (wh_str_is(node->name, reserved[i]))
      return WH_JINJA_PARSE_FAIL(node->line, "cannot assign to '%s'", reserved[i]);
  return WH_OK;
}

wh_status wh_jinja_parse_target(wh_jinja_parser *p, unsigned flags, wh_jinja_node **out) {
  WH_TRY(wh_jinja_parse_tuple(p, flags | WH_JINJA_TUPLE_PRIMARIES, out));
  return check_target(*out);
}

static wh_status parse_args(wh_jinja_parser *p, wh_jinja_nodes *out) {
  int line = wh_jinja_advance(p)->line; /* ( */
  bool star = false, star_star = false, keyword = false;
  while (wh_jinja_peek(p)->type != WH_JINJA_TOK_RPAREN) {
    if (out->n) WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_COMMA, "',' or ')'"));
    const wh_jinja_token *t = wh_jinja_peek(p);
    if (t->type == WH_JINJA_TOK_RPAREN) break;
    wh_jinja_node *arg;
    bool in_order;
    if (t->type == WH_JINJA_TOK_MUL || t->type == WH_JINJA_TOK_POW) {
      bool twice = wh_jinja_advance(p)->type == WH_JINJA_TOK_POW;
      in_order = !star_star && (twice || !star);
      star |= !twice;
      star_star |= twice;
      WH_TRY(wh_jinja_parse_node(p, twice ? WH_JINJA_NODE_STAR_STAR : WH_JINJA_NODE_STAR, t->line, &arg));
      WH_TRY(wh_jinja_parse_expression(p, &arg->as.value));
    } else if (t->type == WH_JINJA_TOK_NAME && wh_jinja_peek_next(p)->type == WH_JINJA_TOK_ASSIGN) {
      in_order = !star_star;
      keyword = true;
      WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_KEYWORD, t->line, &arg));
      arg->name = t->text;
      p->pos += 2;
      WH_TRY(wh_jinja_parse_expression(p, &arg->as.value));
    } else {
      in_order = !star && !star_star && !keyword;
      WH_TRY(wh_jinja_parse_expression(p, &arg));
    }
    if (!in_order) return WH_JINJA_PARSE_FAIL(line, "arguments of a call are in the wrong order");
    wh_jinja_nodes_push(out, arg);
  }
  (void)wh_jinja_advance(p);
  return WH_OK;
}

static wh_status parse_call(wh_jinja_parser *p, wh_jinja_node **node) {
  wh_jinja_node *call;
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_CALL, wh_jinja_peek(p)->line, &call));
  call->as.call.callee = *node;
  WH_TRY(parse_args(p, &call->as.call.args));
  *node = call;
  return WH_OK;
}

static wh_status parse_slice_bound(wh_jinja_parser *p, wh_jinja_node **out) {
  wh_jinja_token_type type = wh_jinja_peek(p)->type;
  if (type == WH_JINJA_TOK_COLON || type == WH_JINJA_TOK_RBRACKET || type == WH_JINJA_TOK_COMMA) return WH_OK;
  return wh_jinja_parse_expression(p, out);
}

/* What stands in brackets: an index or start:stop:step. */
static wh_status parse_index(wh_jinja_parser *p, wh_jinja_node **out) {
  int line = wh_jinja_peek(p)->line;
  wh_jinja_node *start = NULL, *slice;
  if (wh_jinja_peek(p)->type != WH_JINJA_TOK_COLON) {
    WH_TRY(wh_jinja_parse_expression(p, &start));
    if (wh_jinja_peek(p)->type != WH_JINJA_TOK_COLON) {
      *out = start;
      return WH_OK;
    }
  }
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_SLICE, line, &slice));
  slice->as.slice.start = start;
  (void)wh_jinja_advance(p);
  WH_TRY(parse_slice_bound(p, &slice->as.slice.stop));
  if (wh_jinja_accept(p, WH_JINJA_TOK_COLON)) WH_TRY(parse_slice_bound(p, &slice->as.slice.step));
  *out = slice;
  return WH_OK;
}

static wh_status parse_subscript(wh_jinja_parser *p, wh_jinja_node **node) {
  const wh_jinja_token *t = wh_jinja_advance(p);
  wh_jinja_node *index;
  if (t->type == WH_JINJA_TOK_DOT) {
    const wh_jinja_token *name = wh_jinja_peek(p);
    if (name->type == WH_JINJA_TOK_INTEGER) {
      (void)wh_jinja_advance(p);
      WH_TRY(make_constant(p, name->line, wh_jinja_int(name->number.integer), &index));
      return make_binary(p, WH_JINJA_NODE_ITEM, 0, t->line, *node, index, node);
    }
    wh_jinja_node *attribute;
    WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_ATTRIBUTE, t->line, &attribute));
    WH_TRY(wh_jinja_expect_name(p, &attribute->name));
    attribute->as.value = *node;
    *node = attribute;
    return WH_OK;
  }
  wh_jinja_nodes items = {0};
  while (wh_jinja_peek(p)->type != WH_JINJA_TOK_RBRACKET) {
    if (items.n) WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_COMMA, "',' or ']'"));
    WH_TRY(parse_index(p, &index));
    wh_jinja_nodes_push(&items, index);
  }
  (void)wh_jinja_advance(p);
  if (items.n == 1) return make_binary(p, WH_JINJA_NODE_ITEM, 0, t->line, *node, items.first, node);
  for (const wh_jinja_node *item = items.first; item; item = item->next)
    if (item->kind == WH_JINJA_NODE_SLICE)
      return WH_JINJA_PARSE_FAIL(t->line, "a slice cannot be part of a tuple");
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_TUPLE, t->line, &index));
  index->as.list = items;
  return make_binary(p, WH_JINJA_NODE_ITEM, 0, t->line, *node, index, node);
}

static wh_status parse_postfix(wh_jinja_parser *p, wh_jinja_node **node) {
  for (;;) {
    wh_jinja_token_type type = wh_jinja_peek(p)->type;
    if (type == WH_JINJA_TOK_DOT || type == WH_JINJA_TOK_LBRACKET) {
      WH_TRY(parse_subscript(p, node));
    } else if (type == WH_JINJA_TOK_LPAREN) {
      WH_TRY(parse_call(p, node));
    } else {
      return WH_OK;
    }
  }
}

/* Filter and test names may be dotted; none of ours is, so a dot ends in "no filter named". */
wh_status wh_jinja_parse_filter(wh_jinja_parser *p, wh_jinja_node **node) {
  wh_jinja_node *filter;
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_FILTER, wh_jinja_peek(p)->line, &filter));
  WH_TRY(wh_jinja_expect_name(p, &filter->name));
  if (wh_jinja_peek(p)->type == WH_JINJA_TOK_LPAREN) WH_TRY(parse_args(p, &filter->as.call.args));
  filter->as.call.callee = *node;
  filter->as.call.builtin = wh_jinja_find_filter(filter->name);
  *node = filter;
  return WH_OK;
}

static wh_status parse_test(wh_jinja_parser *p, wh_jinja_node **node) {
  wh_jinja_node *test, *arg;
  int line = wh_jinja_advance(p)->line; /* is */
  bool negated = wh_jinja_accept_name(p, "not");
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_TEST, line, &test));
  WH_TRY(wh_jinja_expect_name(p, &test->name));
  const wh_jinja_token *t = wh_jinja_peek(p);
  bool ends = wh_jinja_at_name(t, "else") || wh_jinja_at_name(t, "or") || wh_jinja_at_name(t, "and");
  if (t->type == WH_JINJA_TOK_LPAREN) {
    WH_TRY(parse_args(p, &test->as.call.args));
  } else if (!ends && (t->type == WH_JINJA_TOK_NAME || t->type == WH_JINJA_TOK_STRING ||
                       t->type == WH_JINJA_TOK_INTEGER || t->type == WH_JINJA_TOK_FLOAT ||
                       t->type == WH_JINJA_TOK_LBRACKET || t->type == WH_JINJA_TOK_LBRACE)) {
    if (wh_jinja_at_name(t, "is")) return WH_JINJA_PARSE_FAIL(t->line, "tests with 'is' cannot be chained");
    WH_TRY(parse_primary(p, false, &arg));
    WH_TRY(parse_postfix(p, &arg));
    wh_jinja_nodes_push(&test->as.call.args, arg);
  }
  test->as.call.callee = *node;
  test->as.call.builtin = wh_jinja_find_test(test->name);
  *node = test;
  if (!negated) return WH_OK;
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_NOT, line, node));
  (*node)->as.value = test;
  return WH_OK;
}

static wh_status parse_filters(wh_jinja_parser *p, wh_jinja_node **node) {
  for (;;) {
    if (wh_jinja_accept(p, WH_JINJA_TOK_PIPE)) {
      WH_TRY(wh_jinja_parse_filter(p, node));
    } else if (wh_jinja_at_name(wh_jinja_peek(p), "is")) {
      WH_TRY(parse_test(p, node));
    } else if (wh_jinja_peek(p)->type == WH_JINJA_TOK_LPAREN) {
      WH_TRY(parse_call(p, node));
    } else {
      return WH_OK;
    }
  }
}

static wh_status parse_unary(wh_jinja_parser *p, bool with_filters, wh_jinja_node **out) {
  const wh_jinja_token *t = wh_jinja_peek(p);
  wh_jinja_node *node;
  if (t->type == WH_JINJA_TOK_SUB || t->type == WH_JINJA_TOK_ADD) {
    (void)wh_jinja_advance(p);
    WH_TRY(wh_jinja_parse_enter(p));
    WH_TRY(wh_jinja_parse_node(p, t->type == WH_JINJA_TOK_SUB ? WH_JINJA_NODE_NEGATE : WH_JINJA_NODE_POSITIVE,
                               t->line, &node));
    WH_TRY(parse_unary(p, false, &node->as.value));
    p->depth--;
  } else {
    WH_TRY(parse_primary(p, false, &node));
  }
  WH_TRY(parse_postfix(p, &node));
  if (with_filters) WH_TRY(parse_filters(p, &node));
  *out = node;
  return WH_OK;
}
