/* jinja_lex.h - template text to tokens, with Jinja's whitespace control (trim_blocks and lstrip_blocks on).
 */
#ifndef WH_TEXT_JINJA_LEX_H
#define WH_TEXT_JINJA_LEX_H

#include "core/base/arena.h"
#include "core/base/str.h"

typedef enum wh_jinja_token_type {
  WH_JINJA_TOK_EOF,
  WH_JINJA_TOK_DATA, /* text outside of tags */
  WH_JINJA_TOK_VARIABLE_BEGIN,
  WH_JINJA_TOK_VARIABLE_END,
  WH_JINJA_TOK_BLOCK_BEGIN,
  WH_JINJA_TOK_BLOCK_END,
  WH_JINJA_TOK_NAME,
  WH_JINJA_TOK_STRING, /* text: escapes already resolved */
  WH_JINJA_TOK_INTEGER,
  WH_JINJA_TOK_FLOAT,
  WH_JINJA_TOK_ADD,
  WH_JINJA_TOK_SUB,
  WH_JINJA_TOK_MUL,
  WH_JINJA_TOK_DIV,
  WH_JINJA_TOK_FLOOR_DIV,
  WH_JINJA_TOK_MOD,
  WH_JINJA_TOK_POW,
  WH_JINJA_TOK_TILDE,
  WH_JINJA_TOK_EQ,
  WH_JINJA_TOK_NE,
  WH_JINJA_TOK_LT,
  WH_JINJA_TOK_LE,
  WH_JINJA_TOK_GT,
  WH_JINJA_TOK_GE,
  WH_JINJA_TOK_ASSIGN,
  WH_JINJA_TOK_DOT,
  WH_JINJA_TOK_COMMA,
  WH_JINJA_TOK_COLON,
  WH_JINJA_TOK_SEMICOLON,
  WH_JINJA_TOK_PIPE,
  WH_JINJA_TOK_LPAREN,
  WH_JINJA_TOK_RPAREN,
  WH_JINJA_TOK_LBRACKET,
  WH_JINJA_TOK_RBRACKET,
  WH_JINJA_TOK_LBRACE,
  WH_JINJA_TOK_RBRACE
} wh_jinja_token_type;

typedef struct wh_jinja_token {
  wh_jinja_token_type type;
  int line;
  wh_str text; /* as written, except STRING; points into the source or the arena */
  union {
    int64_t integer;
    double real;
  } number;
} wh_jinja_token;

typedef struct wh_jinja_tokens {
  const wh_allocator *alloc;
  wh_jinja_token *items; /* ends with EOF; free with wh_jinja_tokens_deinit */
  size_t n, capacity;
} wh_jinja_tokens;

/* `source` is valid UTF-8 with \n as its only line end, and outlives the tokens, as does the arena. */
WH_NODISCARD wh_status wh_jinja_tokenize(wh_str source, wh_arena *arena, wh_jinja_tokens *out);
void wh_jinja_tokens_deinit(wh_jinja_tokens *tokens);

#endif
