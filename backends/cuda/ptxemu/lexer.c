/* lexer.c - a hand-written scanner: PTX has no preprocessor by the time a driver sees it. */
#include "backends/cuda/ptxemu/lexer.h"

#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool starts_word(char c) { return is_letter(c) || c == '_' || c == '$' || c == '%' || c == '.'; }
static bool in_word(char c) { return starts_word(c) || is_digit(c); }

static void skip_blank(lexer *x) {
  while (x->at < x->end) {
    if (*x->at == '\n') {
      x->line++;
      x->at++;
    } else if (*x->at == ' ' || *x->at == '\t' || *x->at == '\r') {
      x->at++;
    } else if (x->end - x->at > 1 && x->at[0] == '/' && x->at[1] == '/') {
      while (x->at < x->end && *x->at != '\n') x->at++;
    } else if (x->end - x->at > 1 && x->at[0] == '/' && x->at[1] == '*') {
      x->at += 2;
      while (x->at < x->end && !(x->at[0] == '*' && x->end - x->at > 1 && x->at[1] == '/')) {
        x->line += *x->at == '\n';
        x->at++;
      }
      x->at += x->end - x->at > 1 ? 2 : x->end - x->at;
    } else {
      return;
    }
  }
}

void lexer_skip_line(lexer *x) {
  while (x->at < x->end && *x->at != '\n') x->at++;
}

static int digit_of(char c, unsigned base) {
  int v = is_digit(c)            ? c - '0'
          : c >= 'a' && c <= 'f' ? c - 'a' + 10
          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                 : -1;
  return v >= 0 && (unsigned)v < base ? v : -1;
}

/* Digits of a base; false when there is none, or when 64 bits do not hold them. */
static bool read_digits(lexer *x, unsigned base, size_t at_most, uint64_t *value) {
  size_t n = 0;
  *value = 0;
  for (; x->at < x->end && n < at_most && digit_of(*x->at, base) >= 0; n++, x->at++) {
    const uint64_t next = *value * base + (uint64_t)digit_of(*x->at, base);
    if (next / base != *value) return false;
    *value = next;
  }
  return n > 0;
}

static token number(lexer *x) {
  token t = {TOKEN_NUMBER, x->at, 0, 0, x->line};
  const char second = x->end - x->at > 1 ? x->at[1] : 0;
  bool fine;
  if (*x->at == '0' && (second == 'f' || second == 'F')) {
    x->at += 2;
    fine = read_digits(x, 16, 8, &t.value);
  } else if (*x->at == '0' && (second == 'd' || second == 'D')) {
    x->at += 2;
    fine = read_digits(x, 16, 16, &t.value);
  } else if (*x->at == '0' && (second == 'x' || second == 'X')) {
    x->at += 2;
    fine = read_digits(x, 16, 64, &t.value);
  } else {
    fine = read_digits(x, 10, 64, &t.value);
  }
  if (x->at < x->end && *x->at == 'U') x->at++;
  if (x->at < x->end && in_word(*x->at)) fine = false;
  t.n = (size_t)(x->at - t.at);
  if (!fine) t.kind = TOKEN_BAD;
  return t;
}

token lexer_next(lexer *x) {
  skip_blank(x);
  token t = {TOKEN_END, x->at, 0, 0, x->line};
  if (x->at >= x->end) return t;
  const char c = *x->at;
  if (is_digit(c)) return number(x);
  if (starts_word(c)) {
    t.kind = TOKEN_WORD;
    while (x->at < x->end) {
      if (in_word(*x->at))
        x->at++;
      else if (x->end - x->at > 2 && x->at[0] == ':' && x->at[1] == ':') /* shared::cta, L2::128B */
        x->at += 2;
      else
        break;
    }
  } else if (c == '"') {
    t.kind = TOKEN_STRING;
    x->at++;
    while (x->at < x->end && *x->at != '"' && *x->at != '\n') x->at++;
    if (x->at >= x->end || *x->at != '"')
      t.kind = TOKEN_BAD;
    else
      x->at++;
  } else {
    t.kind = strchr("{}[]()<>,;:+-=!@|*", c) && c ? TOKEN_PUNCT : TOKEN_BAD;
    x->at++;
  }
  t.n = (size_t)(x->at - t.at);
  return t;
}

bool token_is(const token *t, const char *text) { return t->n == strlen(text) && !memcmp(t->at, text, t->n); }
