/* jinja_lex.c - see jinja_lex.h.
 *
 * Three modes: text, inside a tag, inside {% raw %}. Rules of whitespace, as Jinja has them: "-" strips all
 * whitespace on its side; without a sign, a block or comment that starts a line loses the blanks before it
 * (lstrip_blocks) and one line end after it (trim_blocks); "+" keeps both. Variables {{ }} know only "-". */
#include "text/jinja_lex.h"

#include <string.h>

#include "text/jinja_number.h"
#include "text/jinja_utf8.h"

#define BRACKETS_MAX 256

typedef struct lexer {
  wh_str src;
  size_t pos;
  int line;
  wh_arena *arena;
  wh_jinja_tokens *tokens;
  char brackets[BRACKETS_MAX]; /* closing brackets that are awaited */
  size_t n_brackets;
} lexer;

static wh_status fail_at_line(int line, wh_status status) {
  (void)wh_fail_prefix("chat template line %d", line);
  return status;
}
#define LEX_FAIL(line, ...) fail_at_line(line, WH_FAIL(ERR_INVALID_ARGUMENT, __VA_ARGS__))

static bool at(const lexer *lx, size_t pos, const char *z) {
  size_t n = strlen(z);
  return n <= lx->src.len - pos && memcmp(lx->src.data + pos, z, n) == 0;
}

static void advance_to(lexer *lx, size_t pos) {
  for (; lx->pos < pos; lx->pos++) lx->line += lx->src.data[lx->pos] == '\n';
}

static size_t skip_space(const lexer *lx, size_t pos) {
  wh_str rest = {lx->src.data + pos, lx->src.len - pos};
  return lx->src.len - wh_jinja_utf8_strip_left(rest).len;
}

static wh_status push(lexer *lx, wh_jinja_token token) {
  wh_jinja_tokens *t = lx->tokens;
  if (!wh_grow_array(t->alloc, (void **)&t->items, &t->capacity, t->n, t->n + 1, sizeof *t->items))
    return WH_OOM("template tokens");
  t->items[t->n++] = token;
  return WH_OK;
}

static wh_status push_at(lexer *lx, wh_jinja_token_type type, size_t start, size_t end) {
  return push(lx, (wh_jinja_token){type, lx->line, {lx->src.data + start, end - start}, {0}});
}

/* Text before a tag whose sign is `sign` ('-', '+' or 0). */
static wh_status push_data(lexer *lx, size_t start, size_t end, char sign, bool is_variable) {
  wh_str text = {lx->src.data + start, end - start};
  if (sign == '-') {
    text = wh_jinja_utf8_strip_right(text);
  } else if (sign != '+' && !is_variable) {
    wh_str kept = wh_jinja_utf8_strip_right(text);
    size_t line_start = text.len;
    while (line_start > 0 && text.data[line_start - 1] != '\n') line_start--;
    bool starts_line = line_start > 0 || start == 0 || lx->src.data[start - 1] == '\n';
    if (starts_line && kept.len <= line_start) text.len = line_start;
  }
  if (text.len) WH_TRY(push(lx, (wh_jinja_token){WH_JINJA_TOK_DATA, lx->line, text, {0}}));
  return WH_OK;
}

static char sign_at(const lexer *lx, size_t pos) {
  return pos < lx->src.len && (lx->src.data[pos] == '-' || lx->src.data[pos] == '+') ? lx->src.data[pos] : 0;
}

/* The end of a block tag at `pos` ("%}" with its sign): where the text goes on, or 0. */
static size_t block_end(const lexer *lx, size_t pos, const char *closer) {
  char sign = sign_at(lx, pos);
  if (!at(lx, pos + (sign != 0), closer)) return 0;
  size_t end = pos + (sign != 0) + 2;
  if (sign == '-') return skip_space(lx, end);
  if (sign == 0 && at(lx, end, "\n")) end++;
  return end;
}

static wh_status lex_comment(lexer *lx, size_t start) {
  for (size_t p = start; p + 2 <= lx->src.len; p++) {
    size_t end = block_end(lx, p, "#}");
    if (end) {
      advance_to(lx, end);
      return WH_OK;
    }
  }
  return LEX_FAIL(lx->line, "comment is not closed");
}

/* A tag that opens raw text: returns where that begins, or 0. `pos` is behind the sign. */
static size_t raw_begin(const lexer *lx, size_t pos) {
  pos = skip_space(lx, pos);
  if (!at(lx, pos, "raw")) return 0;
  pos = skip_space(lx, pos + 3);
  if (at(lx, pos, "-%}")) return skip_space(lx, pos + 3);
  return at(lx, pos, "%}") ? pos + 2 : 0;
}

static wh_status lex_raw(lexer *lx) {
  size_t start = lx->pos;
  for (size_t p = start; p + 2 <= lx->src.len; p++) {
    if (!at(lx, p, "{%")) continue;
    char sign = sign_at(lx, p + 2);
    size_t word = skip_space(lx, p + 2 + (sign != 0));
    if (!at(lx, word, "endraw")) continue;
    size_t end = block_end(lx, skip_space(lx, word + 6), "%}");
    if (!end) continue;
    WH_TRY(push_data(lx, start, p, sign, false));
    advance_to(lx, end);
    return WH_OK;
  }
  return LEX_FAIL(lx->line, "{%% raw %%} is not closed");
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Resolves Python's escapes; `body` is what stands between the quotes. */
static wh_status unescape(lexer *lx, wh_str body, wh_str *out) {
  char *text = wh_arena_alloc(lx->arena, body.len + 4); /* no escape is shorter than what it stands for */
  if (!text) return WH_OOM("template string");
  size_t n = 0;
  for (size_t i = 0; i < body.len; i++) {
    if (body.data[i] != '\\' || i + 1 >= body.len) {
      text[n++] = body.data[i];
      continue;
    }
    static const char letters[] = "abfnrtv\\'\"", values[] = "\a\b\f\n\r\t\v\\'\"";
    char c = body.data[++i];
    const char *known = memchr(letters, c, sizeof letters - 1);
    size_t n_hex = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (known) {
      text[n++] = values[known - letters];
    } else if (c == '\n') {
      continue;
    } else if (n_hex || (c >= '0' && c <= '7')) {
      uint32_t code = 0;
      if (n_hex) {
        for (size_t k = 0; k < n_hex; k++) {
          int digit = i + 1 < body.len ? hex_digit(body.data[i + 1]) : -1;
          if (digit < 0) return LEX_FAIL(lx->line, "truncated \\%c escape in a string", c);
          code = code << 4 | (uint32_t)digit;
          i++;
        }
      } else {
        code = (uint32_t)(c - '0');
        for (int k = 0; k < 2 && i + 1 < body.len && body.data[i + 1] >= '0' && body.data[i + 1] <= '7'; k++)
          code = code << 3 | (uint32_t)(body.data[++i] - '0');
      }
      if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return LEX_FAIL(lx->line, "escape of U+%04X, which is not a character", (unsigned)code);
      n += wh_jinja_utf8_encode((int32_t)code, text + n);
    } else if (c == 'N') {
      return LEX_FAIL(lx->line, "\\N{...} escapes are not supported");
    } else {
      text[n++] = '\\';
      text[n++] = c;
    }
  }
  *out = (wh_str){text, n};
  return WH_OK;
}

static wh_status lex_string(lexer *lx) {
  char quote = lx->src.data[lx->pos];
  size_t start = lx->pos + 1, p = start;
  bool escaped = false;
  while (p < lx->src.len && lx->src.data[p] != quote) {
    if (lx->src.data[p] == '\\') {
      escaped = true;
      p++;
    }
    p++;
  }
  if (p >= lx->src.len) return LEX_FAIL(lx->line, "string is not closed");
  wh_str text = {lx->src.data + start, p - start};
  if (escaped) WH_TRY(unescape(lx, text, &text));
  WH_TRY(push(lx, (wh_jinja_token){WH_JINJA_TOK_STRING, lx->line, text, {0}}));
  advance_to(lx, p + 1);
  return WH_OK;
}

/* Digits with single underscores between them; returns where they end (== pos: none). */
static size_t digits_end(const lexer *lx, size_t pos) {
  size_t p = pos;
  while (p < lx->src.len) {
    char c = lx->src.data[p];
    if (c >= '0' && c <= '9') {
      p++;
    } else if (c == '_' && p > pos && p + 1 < lx->src.len && lx->src.data[p + 1] >= '0' &&
               lx->src.data[p + 1] <= '9') {
      p++;
    } else {
      break;
    }
  }
  return p;
}

static wh_status lex_number(lexer *lx) {
  size_t start = lx->pos, end = digits_end(lx, start), float_end = 0;
  bool after_dot = start > 0 && lx->src.data[start - 1] == '.'; /* foo.1.2 are two subscripts */
  if (!after_dot) {
    size_t p = end;
    if (at(lx, p, ".")) {
      size_t fraction = digits_end(lx, p + 1);
      if (fraction > p + 1) p = float_end = fraction;
    }
    if (at(lx, p, "e") || at(lx, p, "E")) {
      size_t digits = p + 1 + (sign_at(lx, p + 1) != 0), exponent = digits_end(lx, digits);
      if (exponent > digits) float_end = exponent;
    }
  }
  wh_jinja_token token = {WH_JINJA_TOK_INTEGER, lx->line, {lx->src.data + start, 0}, {0}};
  if (float_end) {
    token.type = WH_JINJA_TOK_FLOAT;
    end = float_end;
    token.text.len = end - start;
    if (!wh_jinja_parse_float(token.text, &token.number.real))
      return LEX_FAIL(lx->line, "number '" WH_STR_FMT "' cannot be read", WH_STR_ARG(token.text));
  } else {
    int base = 10;
    if (lx->src.data[start] == '0' && start + 1 < lx->src.len) {
      char c = (char)(lx->src.data[start + 1] | 0x20);
      base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 10;
    }
    if (base != 10) {
      size_t p = start + 2;
      while (p < lx->src.len && (lx->src.data[p] == '_' ||
                                 (hex_digit(lx->src.data[p]) >= 0 && hex_digit(lx->src.data[p]) < base)))
        p++;
      end = p;
    }
    token.text.len = end - start;
    if (!wh_jinja_parse_int(token.text, 0, &token.number.integer))
      return LEX_FAIL(lx->line, "integer '" WH_STR_FMT "' is malformed or does not fit 64 bits",
                      WH_STR_ARG(token.text));
  }
  WH_TRY(push(lx, token));
  lx->pos = end;
  return WH_OK;
}

static bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         (unsigned char)c >= 0x80;
}

static wh_status lex_operator(lexer *lx) {
  static const struct {
    char text[3];
    wh_jinja_token_type type;
  } operators[] = {
      {"//", WH_JINJA_TOK_FLOOR_DIV}, {"**", WH_JINJA_TOK_POW},     {"==", WH_JINJA_TOK_EQ},
      {"!=", WH_JINJA_TOK_NE},        {"<=", WH_JINJA_TOK_LE},      {">=", WH_JINJA_TOK_GE},
      {"+", WH_JINJA_TOK_ADD},        {"-", WH_JINJA_TOK_SUB},      {"*", WH_JINJA_TOK_MUL},
      {"/", WH_JINJA_TOK_DIV},        {"%", WH_JINJA_TOK_MOD},      {"~", WH_JINJA_TOK_TILDE},
      {"<", WH_JINJA_TOK_LT},         {">", WH_JINJA_TOK_GT},       {"=", WH_JINJA_TOK_ASSIGN},
      {".", WH_JINJA_TOK_DOT},        {",", WH_JINJA_TOK_COMMA},    {":", WH_JINJA_TOK_COLON},
      {";", WH_JINJA_TOK_SEMICOLON},  {"|", WH_JINJA_TOK_PIPE},     {"(", WH_JINJA_TOK_LPAREN},
      {")", WH_JINJA_TOK_RPAREN},     {"[", WH_JINJA_TOK_LBRACKET}, {"]", WH_JINJA_TOK_RBRACKET},
      {"{", WH_JINJA_TOK_LBRACE},     {"}", WH_JINJA_TOK_RBRACE},
  };
  for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
    if (!at(lx, lx->pos, operators[i].text)) continue;
    char c = operators[i].text[0];
    if (c == '(' || c == '[' || c == '{') {
      if (lx->n_brackets == BRACKETS_MAX)
        return LEX_FAIL(lx->line, "more than %d brackets are open", BRACKETS_MAX);
      lx->brackets[lx->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (lx->n_brackets == 0) return LEX_FAIL(lx->line, "unexpected '%c'", c);
      char expected = lx->brackets[--lx->n_brackets];
      if (c != expected) return LEX_FAIL(lx->line, "unexpected '%c', expected '%c'", c, expected);
    }
    size_t n = strlen(operators[i].text);
    WH_TRY(push_at(lx, operators[i].type, lx->pos, lx->pos + n));
    lx->pos += n;
    return WH_OK;
  }
  return LEX_FAIL(lx->line, "unexpected character '%c' in a tag", lx->src.data[lx->pos]);
}

/* From behind the opening of a tag to behind its end. */
static wh_status lex_tag(lexer *lx, bool is_variable) {
  int opened_at = lx->line;
  lx->n_brackets = 0;
  for (;;) {
    advance_to(lx, skip_space(lx, lx->pos));
    if (lx->pos >= lx->src.len) return LEX_FAIL(opened_at, "tag is not closed");
    if (lx->n_brackets == 0) {
      size_t end = 0;
      if (!is_variable) {
        end = block_end(lx, lx->pos, "%}");
      } else if (at(lx, lx->pos, "-}}")) {
        end = skip_space(lx, lx->pos + 3);
      } else if (at(lx, lx->pos, "}}")) {
        end = lx->pos + 2;
      }
      if (end) {
        WH_TRY(push_at(lx, is_variable ? WH_JINJA_TOK_VARIABLE_END : WH_JINJA_TOK_BLOCK_END, lx->pos, end));
        advance_to(lx, end);
        return WH_OK;
      }
    }
    char c = lx->src.data[lx->pos];
    if (c >= '0' && c <= '9') {
      WH_TRY(lex_number(lx));
    } else if (is_name_byte(c)) {
      size_t p = lx->pos;
      while (p < lx->src.len && is_name_byte(lx->src.data[p])) p++;
      WH_TRY(push_at(lx, WH_JINJA_TOK_NAME, lx->pos, p));
      lx->pos = p;
    } else if (c == '\'' || c == '"') {
      WH_TRY(lex_string(lx));
    } else {
      WH_TRY(lex_operator(lx));
    }
  }
}

static wh_status lex_text(lexer *lx) {
  while (lx->pos < lx->src.len) {
    size_t start = lx->pos, p = start;
    while (p < lx->src.len && !at(lx, p, "{%") && !at(lx, p, "{{") && !at(lx, p, "{#")) p++;
    if (p >= lx->src.len) {
      WH_TRY(push_at(lx, WH_JINJA_TOK_DATA, start, p));
      return WH_OK;
    }
    char kind = lx->src.data[p + 1], sign = sign_at(lx, p + 2);
    WH_TRY(push_data(lx, start, p, sign, kind == '{'));
    advance_to(lx, p);
    size_t inside = p + 2 + (sign != 0), raw = kind == '%' ? raw_begin(lx, inside) : 0;
    if (raw) {
      advance_to(lx, raw);
      WH_TRY(lex_raw(lx));
    } else if (kind == '#') {
      WH_TRY(lex_comment(lx, inside));
    } else {
      WH_TRY(push_at(lx, kind == '%' ? WH_JINJA_TOK_BLOCK_BEGIN : WH_JINJA_TOK_VARIABLE_BEGIN, p, inside));
      lx->pos = inside;
      WH_TRY(lex_tag(lx, kind == '{'));
    }
  }
  return WH_OK;
}

wh_status wh_jinja_tokenize(wh_str source, wh_arena *arena, wh_jinja_tokens *out) {
  wh_jinja_tokens tokens = {.alloc = arena->alloc};
  lexer lx = {.src = source, .line = 1, .arena = arena, .tokens = &tokens};
  wh_status status = lex_text(&lx);
  if (status == WH_OK) status = push_at(&lx, WH_JINJA_TOK_EOF, source.len, source.len);
  if (status != WH_OK) {
    wh_jinja_tokens_deinit(&tokens);
    return status;
  }
  *out = tokens;
  return WH_OK;
}

void wh_jinja_tokens_deinit(wh_jinja_tokens *tokens) {
  wh_free(tokens->alloc, tokens->items);
  *tokens = (wh_jinja_tokens){.alloc = tokens->alloc};
}
