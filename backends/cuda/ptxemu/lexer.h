/* lexer.h - PTX text to tokens. Tokens point into the text; nothing is allocated. */
#ifndef PTXEMU_LEXER_H
#define PTXEMU_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
  TOKEN_END,
  TOKEN_WORD,   /* a name with its dots: ld.global.v4.f32, %tid.x, $L__BB0_2, .reg */
  TOKEN_NUMBER, /* value: an integer's, or the bits of 0f and 0d */
  TOKEN_STRING,
  TOKEN_PUNCT, /* one character */
  TOKEN_BAD
} token_kind;

typedef struct {
  token_kind kind;
  const char *at;
  size_t n;
  uint64_t value;
  unsigned line;
} token;

typedef struct {
  const char *at, *end;
  unsigned line;
} lexer;

token lexer_next(lexer *x);
void lexer_skip_line(lexer *x); /* to the end of the line that it is in */
bool token_is(const token *t, const char *text);

#endif
