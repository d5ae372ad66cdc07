/* jinja_parse.c - statements of the template language; expressions are in jinja_parse_expr.c. */
#include <string.h>

#include "text/jinja_parser.h"

wh_status wh_jinja_parse_node(wh_jinja_parser *p, wh_jinja_node_kind kind, int line, wh_jinja_node **out) {
  wh_jinja_node *node = wh_arena_alloc(p->arena, sizeof *node);
  if (!node) return WH_OOM("template syntax tree");
  node->kind = (uint8_t)kind;
  node->line = line;
  *out = node;
  return WH_OK;
}

void wh_jinja_nodes_push(wh_jinja_nodes *list, wh_jinja_node *node) {
  if (list->last) {
    list->last->next = node;
  } else {
    list->first = node;
  }
  list->last = node;
  list->n++;
}

wh_status wh_jinja_parse_fail(int line, wh_status status) {
  (void)wh_fail_prefix("chat template line %d", line);
  return status;
}

wh_status wh_jinja_parse_unexpected(const wh_jinja_parser *p, const char *expected) {
  const wh_jinja_token *t = wh_jinja_peek(p);
  if (t->type == WH_JINJA_TOK_EOF)
    return WH_JINJA_PARSE_FAIL(t->line, "template ends, expected %s", expected);
  return WH_JINJA_PARSE_FAIL(t->line, "unexpected '" WH_STR_FMT "', expected %s", WH_STR_ARG(t->text),
                             expected);
}

wh_status wh_jinja_expect(wh_jinja_parser *p, wh_jinja_token_type type, const char *what) {
  if (!wh_jinja_accept(p, type)) return wh_jinja_parse_unexpected(p, what);
  return WH_OK;
}

wh_status wh_jinja_expect_name(wh_jinja_parser *p, wh_str *out) {
  if (wh_jinja_peek(p)->type != WH_JINJA_TOK_NAME) return wh_jinja_parse_unexpected(p, "a name");
  *out = wh_jinja_advance(p)->text;
  return WH_OK;
}

wh_status wh_jinja_parse_enter(wh_jinja_parser *p) {
  if (p->depth >= WH_JINJA_NESTING_MAX)
    return wh_jinja_parse_fail(wh_jinja_peek(p)->line,
                               WH_FAIL(ERR_LIMIT, "template nests deeper than %d", WH_JINJA_NESTING_MAX));
  p->depth++;
  return WH_OK;
}

static wh_status parse_body(wh_jinja_parser *p, const char *const *ends, wh_jinja_nodes *out);

/* The body of a tag up to one of `ends` (NULL-terminated), which becomes the current token. */
static wh_status parse_block(wh_jinja_parser *p, const char *const *ends, wh_jinja_nodes *out) {
  (void)wh_jinja_accept(p, WH_JINJA_TOK_COLON);
  WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_BLOCK_END, "'%}'"));
  int line = wh_jinja_peek(p)->line;
  WH_TRY(parse_body(p, ends, out));
  if (wh_jinja_peek(p)->type == WH_JINJA_TOK_EOF)
    return WH_JINJA_PARSE_FAIL(line, "the block that starts here misses its {%% %s %%}", ends[0]);
  return WH_OK;
}

/* ... and past the end tag's name. */
static wh_status parse_whole_block(wh_jinja_parser *p, const char *end, wh_jinja_nodes *out) {
  const char *const ends[] = {end, NULL};
  WH_TRY(parse_block(p, ends, out));
  (void)wh_jinja_advance(p);
  return WH_OK;
}

static wh_status parse_if(wh_jinja_parser *p, int line, wh_jinja_node **out) {
  static const char *const ends[] = {"endif", "elif", "else", NULL};
  wh_jinja_node *node, *first;
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_IF, line, &node));
  first = node;
  for (;;) {
    WH_TRY(wh_jinja_parse_tuple(p, WH_JINJA_TUPLE_NO_CONDITION, &node->as.branch.test));
    WH_TRY(parse_block(p, ends, &node->as.branch.body));
    wh_str end = wh_jinja_advance(p)->text;
    if (wh_str_is(end, "endif")) break;
    WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_IF, wh_jinja_peek(p)->line, &node->as.branch.otherwise));
    node = node->as.branch.otherwise;
    if (wh_str_is(end, "elif")) continue;
    WH_TRY(parse_whole_block(p, "endif", &node->as.branch.body));
    break;
  }
  *out = first;
  return WH_OK;
}

static wh_status parse_for(wh_jinja_parser *p, int line, wh_jinja_node **out) {
  static const char *const ends[] = {"endfor", "else", NULL};
  wh_jinja_node *node;
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_FOR, line, &node));
  WH_TRY(wh_jinja_parse_target(p, WH_JINJA_TUPLE_UNTIL_IN, &node->as.loop.target));
  if (!wh_jinja_accept_name(p, "in")) return wh_jinja_parse_unexpected(p, "'in'");
  WH_TRY(wh_jinja_parse_tuple(p, WH_JINJA_TUPLE_NO_CONDITION, &node->as.loop.iterable));
  if (wh_jinja_accept_name(p, "if")) WH_TRY(wh_jinja_parse_expression(p, &node->as.loop.test));
  if (wh_jinja_accept_name(p, "recursive"))
    return wh_jinja_parse_fail(line, WH_FAIL(ERR_UNSUPPORTED, "recursive for loops are not supported"));
  p->n_loops++;
  WH_TRY(parse_block(p, ends, &node->as.loop.body));
  p->n_loops--;
  if (wh_str_is(wh_jinja_advance(p)->text, "else"))
    WH_TRY(parse_whole_block(p, "endfor", &node->as.loop.otherwise));
  *out = node;
  return WH_OK;
}

static wh_status parse_set(wh_jinja_parser *p, int line, wh_jinja_node **out) {
  wh_jinja_node *node;
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_SET, line, &node));
  WH_TRY(wh_jinja_parse_target(p, WH_JINJA_TUPLE_NAMESPACE, &node->as.set.target));
  if (wh_jinja_accept(p, WH_JINJA_TOK_ASSIGN)) {
    WH_TRY(wh_jinja_parse_tuple(p, 0, &node->as.set.value));
  } else {
    node->kind = WH_JINJA_NODE_SET_BLOCK;
    while (wh_jinja_accept(p, WH_JINJA_TOK_PIPE)) WH_TRY(wh_jinja_parse_filter(p, &node->as.set.value));
    WH_TRY(parse_whole_block(p, "endset", &node->as.set.body));
  }
  *out = node;
  return WH_OK;
}

static wh_status parse_filter_block(wh_jinja_parser *p, int line, wh_jinja_node **out) {
  wh_jinja_node *node;
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_FILTER_BLOCK, line, &node));
  do {
    WH_TRY(wh_jinja_parse_filter(p, &node->as.set.value));
  } while (wh_jinja_accept(p, WH_JINJA_TOK_PIPE));
  WH_TRY(parse_whole_block(p, "endfilter", &node->as.set.body));
  *out = node;
  return WH_OK;
}

static wh_status parse_params(wh_jinja_parser *p, wh_jinja_nodes *out) {
  WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_LPAREN, "'('"));
  bool defaults = false;
  while (wh_jinja_peek(p)->type != WH_JINJA_TOK_RPAREN) {
    wh_jinja_node *param;
    if (out->n) WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_COMMA, "',' or ')'"));
    WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_KEYWORD, wh_jinja_peek(p)->line, &param));
    WH_TRY(wh_jinja_expect_name(p, &param->name));
    if (wh_jinja_accept(p, WH_JINJA_TOK_ASSIGN)) {
      WH_TRY(wh_jinja_parse_expression(p, &param->as.value));
      defaults = true;
    } else if (defaults) {
      return WH_JINJA_PARSE_FAIL(param->line,
                                 "parameter '" WH_STR_FMT "' without default follows one with default",
                                 WH_STR_ARG(param->name));
    }
    wh_jinja_nodes_push(out, param);
  }
  return wh_jinja_expect(p, WH_JINJA_TOK_RPAREN, "')'");
}

/* Parameters and body of a macro or call block. Notes which implicit variables the body mentions. */
static wh_status parse_callable(wh_jinja_parser *p, wh_jinja_node *node, const char *end) {
  wh_jinja_signature *outer = p->signature, *inner = node->as.macro.signature;
  unsigned outer_loops = p->n_loops;
  p->signature = inner;
  p->n_loops = 0;
  WH_TRY(parse_whole_block(p, end, &inner->body));
  p->signature = outer;
  p->n_loops = outer_loops;
  return WH_OK;
}

static wh_status parse_macro(wh_jinja_parser *p, int line, bool is_call, wh_jinja_node **out) {
  wh_jinja_node *node;
  WH_TRY(wh_jinja_parse_node(p, is_call ? WH_JINJA_NODE_CALL_BLOCK : WH_JINJA_NODE_MACRO, line, &node));
  wh_jinja_signature *signature = wh_arena_alloc(p->arena, sizeof *signature);
  if (!signature) return WH_OOM("template macro");
  node->as.macro.signature = signature;
  node->name = wh_str_from("caller");
  if (!is_call) WH_TRY(wh_jinja_expect_name(p, &node->name));
  if (!is_call || wh_jinja_peek(p)->type == WH_JINJA_TOK_LPAREN) WH_TRY(parse_params(p, &signature->params));
  if (is_call) {
    WH_TRY(wh_jinja_parse_expression(p, &node->as.macro.call));
    if (node->as.macro.call->kind != WH_JINJA_NODE_CALL)
      return WH_JINJA_PARSE_FAIL(line, "{%% call %%} needs a call");
  }
  WH_TRY(parse_callable(p, node, is_call ? "endcall" : "endmacro"));
  *out = node;
  return WH_OK;
}

static wh_status parse_with(wh_jinja_parser *p, int line, wh_jinja_node **out) {
  wh_jinja_node *node;
  WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_WITH, line, &node));
  while (wh_jinja_peek(p)->type != WH_JINJA_TOK_BLOCK_END) {
    wh_jinja_node *target, *value;
    if (node->as.with.targets.n) WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_COMMA, "',' or '%}'"));
    WH_TRY(wh_jinja_parse_target(p, 0, &target));
    WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_ASSIGN, "'='"));
    WH_TRY(wh_jinja_parse_expression(p, &value));
    wh_jinja_nodes_push(&node->as.with.targets, target);
    wh_jinja_nodes_push(&node->as.with.values, value);
  }
  WH_TRY(parse_whole_block(p, "endwith", &node->as.with.body));
  *out = node;
  return WH_OK;
}

static wh_status parse_print(wh_jinja_parser *p, wh_jinja_nodes *out) {
  bool first = true;
  while (wh_jinja_peek(p)->type != WH_JINJA_TOK_BLOCK_END) {
    wh_jinja_node *node;
    if (!first) WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_COMMA, "',' or '%}'"));
    first = false;
    WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_OUTPUT, wh_jinja_peek(p)->line, &node));
    WH_TRY(wh_jinja_parse_expression(p, &node->as.value));
    wh_jinja_nodes_push(out, node);
  }
  return WH_OK;
}

/* Tags that end or divide a block: where they stand alone the template is broken, nothing is missing here. */
static bool belongs_to_a_block(wh_str tag) {
  return wh_str_is(tag, "else") || wh_str_is(tag, "elif") || (tag.len > 3 && memcmp(tag.data, "end", 3) == 0);
}

static wh_status parse_statement(wh_jinja_parser *p, wh_jinja_nodes *out) {
  wh_str tag = {NULL, 0};
  int line = wh_jinja_peek(p)->line;
  WH_TRY(wh_jinja_expect_name(p, &tag));
  wh_jinja_node *node = NULL;
  if (wh_str_is(tag, "if")) {
    WH_TRY(parse_if(p, line, &node));
  } else if (wh_str_is(tag, "for")) {
    WH_TRY(parse_for(p, line, &node));
  } else if (wh_str_is(tag, "set")) {
    WH_TRY(parse_set(p, line, &node));
  } else if (wh_str_is(tag, "macro")) {
    WH_TRY(parse_macro(p, line, false, &node));
  } else if (wh_str_is(tag, "call")) {
    WH_TRY(parse_macro(p, line, true, &node));
  } else if (wh_str_is(tag, "filter")) {
    WH_TRY(parse_filter_block(p, line, &node));
  } else if (wh_str_is(tag, "with")) {
    WH_TRY(parse_with(p, line, &node));
  } else if (wh_str_is(tag, "print")) {
    return parse_print(p, out);
  } else if (wh_str_is(tag,
                       "generation")) { /* marks what the assistant wrote, for training; renders its body */
    WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_SCOPE, line, &node));
    WH_TRY(parse_whole_block(p, "endgeneration", &node->as.set.body));
  } else if (wh_str_is(tag, "break") || wh_str_is(tag, "continue")) {
    bool is_break = wh_str_is(tag, "break");
    if (p->n_loops == 0)
      return WH_JINJA_PARSE_FAIL(line, "{%% %s %%} outside of a loop", is_break ? "break" : "continue");
    WH_TRY(wh_jinja_parse_node(p, is_break ? WH_JINJA_NODE_BREAK : WH_JINJA_NODE_CONTINUE, line, &node));
  } else if (belongs_to_a_block(tag)) {
    return WH_JINJA_PARSE_FAIL(line, "tag '" WH_STR_FMT "' without its block", WH_STR_ARG(tag));
  } else {
    return wh_jinja_parse_fail(line,
                               WH_FAIL(ERR_UNSUPPORTED, "unknown tag '" WH_STR_FMT "'", WH_STR_ARG(tag)));
  }
  wh_jinja_nodes_push(out, node);
  return WH_OK;
}

static bool at_end_tag(const wh_jinja_parser *p, const char *const *ends) {
  const wh_jinja_token *t = wh_jinja_peek(p);
  if (t->type != WH_JINJA_TOK_NAME) return false;
  for (; ends && *ends; ends++)
    if (wh_str_is(t->text, *ends)) return true;
  return false;
}

static wh_status parse_body(wh_jinja_parser *p, const char *const *ends, wh_jinja_nodes *out) {
  WH_TRY(wh_jinja_parse_enter(p));
  for (;;) {
    const wh_jinja_token *t = wh_jinja_peek(p);
    wh_jinja_node *node;
    if (t->type == WH_JINJA_TOK_DATA) {
      WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_TEXT, t->line, &node));
      node->as.text = wh_jinja_advance(p)->text;
      wh_jinja_nodes_push(out, node);
    } else if (t->type == WH_JINJA_TOK_VARIABLE_BEGIN) {
      (void)wh_jinja_advance(p);
      WH_TRY(wh_jinja_parse_node(p, WH_JINJA_NODE_OUTPUT, t->line, &node));
      WH_TRY(wh_jinja_parse_tuple(p, 0, &node->as.value));
      WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_VARIABLE_END, "'}}'"));
      wh_jinja_nodes_push(out, node);
    } else if (t->type == WH_JINJA_TOK_BLOCK_BEGIN) {
      (void)wh_jinja_advance(p);
      if (at_end_tag(p, ends)) break;
      WH_TRY(parse_statement(p, out));
      WH_TRY(wh_jinja_expect(p, WH_JINJA_TOK_BLOCK_END, "'%}'"));
    } else {
      break; /* EOF: the caller complains where it must */
    }
  }
  p->depth--;
  return WH_OK;
}

wh_status wh_jinja_parse(wh_str source, wh_arena *arena, wh_jinja_nodes *out) {
  wh_jinja_tokens tokens;
  WH_TRY(wh_jinja_tokenize(source, arena, &tokens));
  wh_jinja_parser parser = {.arena = arena, .tokens = tokens.items};
  wh_jinja_nodes body = {0};
  wh_status status = parse_body(&parser, NULL, &body);
  wh_jinja_tokens_deinit(&tokens);
  if (status == WH_OK) *out = body;
  return status;
}
