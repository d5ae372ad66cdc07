/* jinja_format.c - "..." % values and "...".format(values). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_ast.h"
#include "text/jinja_number.h"
#include "text/jinja_utf8.h"

#define WIDTH_MAX 10000

/* A conversion's layout, of both languages. */
typedef struct layout {
  wh_str fill;
  char align;               /* '<' '>' '^' '=' */
  char sign;                /* '+', ' ' or 0 */
  bool alternate, grouped;  /* # and , */
  int64_t width, precision; /* precision -1: not given */
  char type;
} layout;

/* Emits `sign` and `body` padded to the width. */
static wh_status emit_aligned(wh_jinja_run *run, const layout *l, wh_str sign, wh_str body) {
  int64_t n = (int64_t)(wh_jinja_utf8_count(sign) + wh_jinja_utf8_count(body)),
          space = l->width > n ? l->width - n : 0;
  int64_t left = l->align == '>'   ? space
                 : l->align == '^' ? space / 2
                                   : 0,
          inside = l->align == '=' ? space : 0;
  WH_TRY(wh_jinja_step(run, (size_t)space / 4));
  for (int64_t i = 0; i < left; i++) WH_TRY(wh_jinja_emit(run, l->fill.data, l->fill.len));
  WH_TRY(wh_jinja_emit(run, sign.data, sign.len));
  for (int64_t i = 0; i < inside; i++) WH_TRY(wh_jinja_emit(run, l->fill.data, l->fill.len));
  WH_TRY(wh_jinja_emit(run, body.data, body.len));
  for (int64_t i = left + inside; i < space; i++) WH_TRY(wh_jinja_emit(run, l->fill.data, l->fill.len));
  return WH_OK;
}

/* Puts commas between groups of three digits of the integer part. */
static size_t group_digits(char *text, size_t n, size_t bytes) {
  size_t digits = 0;
  while (digits < n && text[digits] >= '0' && text[digits] <= '9') digits++;
  for (size_t at = digits; at > 3;) {
    at -= 3;
    if (n + 1 >= bytes) break;
    memmove(text + at + 1, text + at, n - at);
    text[at] = ',';
    n++;
  }
  return n;
}

static wh_status emit_number(wh_jinja_run *run, const layout *l, bool negative, const char *prefix,
                             char *digits, size_t n, size_t bytes) {
  char sign[8];
  if (l->grouped) n = group_digits(digits, n, bytes);
  (void)snprintf(sign, sizeof sign, "%s%s",
                 negative         ? "-"
                 : l->sign == '+' ? "+"
                 : l->sign == ' ' ? " "
                                  : "",
                 prefix);
  return emit_aligned(run, l, wh_str_from(sign), (wh_str){digits, n});
}

static wh_status emit_int(wh_jinja_run *run, const layout *l, int64_t value) {
  char digits[160];
  uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  const char *prefix = "";
  int n = 0, precision = l->precision < 0 ? 1 : (int)l->precision;
  switch (l->type) {
    case 'x':
    case 'X':
      n = snprintf(digits, sizeof digits, l->type == 'x' ? "%.*" PRIx64 : "%.*" PRIX64, precision, magnitude);
      if (l->alternate) prefix = l->type == 'x' ? "0x" : "0X";
      break;
    case 'o':
      n = snprintf(digits, sizeof digits, "%.*" PRIo64, precision, magnitude);
      if (l->alternate) prefix = "0o";
      break;
    case 'b':
      for (uint64_t m = magnitude; m || !n; m >>= 1) digits[n++] = (char)('0' + (m & 1));
      for (int i = 0; i < n / 2; i++) {
        char t = digits[i];
        digits[i] = digits[n - 1 - i];
        digits[n - 1 - i] = t;
      }
      if (l->alternate) prefix = "0b";
      break;
    default:
      n = snprintf(digits, sizeof digits, "%.*" PRIu64, precision, magnitude);
  }
  return emit_number(run, l, value < 0, prefix, digits, (size_t)n, sizeof digits);
}

static wh_status emit_real(wh_jinja_run *run, const layout *l, double value) {
  char digits[WH_JINJA_NUMBER_BYTES + 160];
  bool negative = __builtin_signbit(value) && value == value;
  double magnitude = negative ? -value : value;
  bool percent = l->type == '%';
  size_t n;
  if (l->type == 0 && l->precision < 0) {
    n = wh_jinja_format_float(magnitude, digits);
  } else {
    char type = percent ? 'f' : l->type ? l->type : 'g';
    n = wh_jinja_format_fixed(percent ? 100 * magnitude : magnitude, l->precision < 0 ? 6 : (int)l->precision,
                              type, l->alternate, digits);
  }
  if (percent) digits[n++] = '%';
  return emit_number(run, l, negative, "", digits, n, sizeof digits);
}

static wh_status check_layout(const wh_jinja_run *run, const layout *l) {
  if (l->width > WIDTH_MAX) return WH_JINJA_FAIL(run, ERR_LIMIT, "format: width beyond %d", WIDTH_MAX);
  bool is_text = l->type == 's' || l->type == 'r' || l->type == 'a';
  if (!is_text && l->precision > WH_JINJA_PRECISION_MAX)
    return WH_JINJA_FAIL(run, ERR_LIMIT, "format: precision beyond %d", WH_JINJA_PRECISION_MAX);
  return WH_OK;
}

static wh_status emit_text(wh_jinja_run *run, const layout *l, wh_str text) {
  if (l->precision >= 0) text.len = wh_jinja_utf8_offset(text, (size_t)l->precision);
  return emit_aligned(run, l, (wh_str){"", 0}, text);
}

static bool read_number(wh_str s, size_t *pos, int64_t *out) {
  size_t start = *pos;
  int64_t n = 0;
  for (; *pos < s.len && s.data[*pos] >= '0' && s.data[*pos] <= '9'; (*pos)++)
    if (n < 1000000) n = 10 * n + (s.data[*pos] - '0');
  if (*pos > start) *out = n;
  return *pos > start;
}

/* What follows % up to and with the conversion's letter. */
static wh_status parse_percent(wh_jinja_run *run, wh_str s, size_t *pos, layout *l) {
  *l = (layout){.fill = {" ", 1}, .align = '>', .precision = -1};
  bool left = false, zero = false;
  for (; *pos < s.len; (*pos)++) {
    char c = s.data[*pos];
    if (c == '-')
      left = true;
    else if (c == '0')
      zero = true;
    else if (c == '#')
      l->alternate = true;
    else if (c == '+')
      l->sign = '+';
    else if (c != ' ')
      break;
    else if (!l->sign)
      l->sign = ' ';
  }
  (void)read_number(s, pos, &l->width);
  if (*pos < s.len && s.data[*pos] == '.') {
    ++*pos;
    if (!read_number(s, pos, &l->precision)) l->precision = 0;
  }
  if (*pos >= s.len) return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "incomplete format");
  l->type = s.data[(*pos)++];
  bool is_number = memchr("diuxXoeEfFgG", l->type, 12) != NULL;
  if (!is_number && l->type != 's' && l->type != 'r')
    return WH_JINJA_FAIL(run, ERR_UNSUPPORTED, "unsupported format character '%c'", l->type);
  if (zero && is_number) {
    l->fill = wh_str_from("0");
    l->align = '=';
  }
  if (left) {
    l->fill = wh_str_from(" ");
    l->align = '<';
  }
  return check_layout(run, l);
}

static wh_status emit_percent(wh_jinja_run *run, const layout *l, const wh_jinja_value *v) {
  int64_t i;
  double x;
  if (l->type == 's' || l->type == 'r') {
    size_t mark = wh_jinja_mark(run);
    wh_str text;
    WH_TRY(l->type == 's' ? wh_jinja_print(run, v) : wh_jinja_print_repr(run, v));
    WH_TRY(wh_jinja_take(run, mark, &text));
    return emit_text(run, l, text);
  }
  if (strchr("eEfFgG", l->type)) {
    if (wh_jinja_as_real(v, &x)) return emit_real(run, l, x);
  } else {
    if (wh_jinja_as_int(v, &i)) return emit_int(run, l, i);
    if (v->kind == WH_JINJA_FLOAT && strchr("diu", l->type) && v->as.real > -0x1p63 && v->as.real < 0x1p63)
      return emit_int(run, l, (int64_t)v->as.real);
  }
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%%%c format: a number is required, not %s", l->type,
                       wh_jinja_type_name(v));
}

wh_status wh_jinja_format_percent(wh_jinja_run *run, wh_str s, const wh_jinja_value *args,
                                  wh_jinja_value *out) {
  const wh_jinja_value *items = args;
  size_t n = 1, used = 0, mark = wh_jinja_mark(run);
  if (args->kind == WH_JINJA_TUPLE) {
    items = args->as.list->items;
    n = args->as.list->n;
  }
  for (size_t pos = 0; pos < s.len;) {
    size_t plain = pos;
    while (pos < s.len && s.data[pos] != '%') pos++;
    WH_TRY(wh_jinja_emit(run, s.data + plain, pos - plain));
    if (pos >= s.len) break;
    WH_TRY(wh_jinja_step(run, 1));
    pos++;
    const wh_jinja_value *v = NULL;
    if (pos < s.len && s.data[pos] == '(') {
      size_t start = ++pos;
      while (pos < s.len && s.data[pos] != ')') pos++;
      if (pos >= s.len) return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "incomplete format key");
      if (args->kind != WH_JINJA_DICT)
        return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "format requires a mapping");
      wh_str name = {s.data + start, pos++ - start};
      wh_jinja_value *found;
      WH_TRY(wh_jinja_dict_find_text(run, args->as.dict, name, &found));
      if (!found)
        return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "format: no key '" WH_STR_FMT "'", WH_STR_ARG(name));
      v = found;
      used = n;
    } else if (pos < s.len && s.data[pos] == '%') {
      WH_TRY(wh_jinja_emit(run, "%", 1));
      pos++;
      continue;
    }
    layout l;
    WH_TRY(parse_percent(run, s, &pos, &l));
    if (!v && used >= n)
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "not enough arguments for format string");
    WH_TRY(emit_percent(run, &l, v ? v : &items[used++]));
  }
  if (used < n && args->kind != WH_JINJA_DICT)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "not all arguments converted during string formatting");
  return wh_jinja_take_string(run, mark, out);
}

/* NUL is a character that a format may hold, and the end of what strchr looks through. */
static bool is_one_of(char c, const char *set) { return c && strchr(set, c); }

/* [[fill]align][sign][#][0][width][,][.precision][type] */
static wh_status parse_spec(wh_jinja_run *run, wh_str spec, bool is_number, layout *l) {
  size_t pos = 0, next = 0;
  *l = (layout){.fill = {" ", 1}, .align = is_number ? '>' : '<', .precision = -1};
  if (spec.len) (void)wh_jinja_utf8_next(spec, &next);
  if (next < spec.len && is_one_of(spec.data[next], "<>^=")) {
    l->fill = (wh_str){spec.data, next};
    l->align = spec.data[next];
    pos = next + 1;
  } else if (spec.len && is_one_of(spec.data[0], "<>^=")) {
    l->align = spec.data[pos++];
  }
  bool aligned = pos > 0;
  if (pos < spec.len && is_one_of(spec.data[pos], "+- ")) l->sign = spec.data[pos++];
  if (pos < spec.len && spec.data[pos] == '#') {
    l->alternate = true;
    pos++;
  }
  if (pos < spec.len && spec.data[pos] == '0') {
    if (!aligned) l->align = is_number ? '=' : '<';
    if (!aligned) l->fill = wh_str_from("0");
    pos++;
  }
  (void)read_number(spec, &pos, &l->width);
  if (pos < spec.len && spec.data[pos] == ',') {
    l->grouped = true;
    pos++;
  }
  if (pos < spec.len && spec.data[pos] == '.') {
    pos++;
    if (!read_number(spec, &pos, &l->precision))
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "format specifier misses its precision");
  }
  const char *types = is_number ? "dxXobeEfFgG%" : "s";
  bool known = pos == spec.len || is_one_of(spec.data[pos], types);
  if (known && pos < spec.len) l->type = spec.data[pos++];
  if (!known || pos != spec.len)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "invalid format specifier '" WH_STR_FMT "'",
                         WH_STR_ARG(spec));
  return check_layout(run, l);
}

static wh_status emit_field(wh_jinja_run *run, const wh_jinja_value *v, char conversion, wh_str spec) {
  layout l;
  int64_t i;
  double x;
  bool is_number = !conversion && (v->kind == WH_JINJA_INT || v->kind == WH_JINJA_FLOAT ||
                                   (v->kind == WH_JINJA_BOOL && spec.len > 0));
  if (spec.len == 0 && conversion != 'r') return wh_jinja_print(run, v);
  WH_TRY(parse_spec(run, spec, is_number, &l));
  if (is_number) {
    if (wh_jinja_as_int(v, &i) && (!l.type || strchr("dxXob", l.type))) {
      if (l.precision >= 0)
        return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "precision not allowed in integer format");
      return emit_int(run, &l, i);
    }
    if (wh_jinja_as_real(v, &x) && (!l.type || !strchr("dxXob", l.type))) return emit_real(run, &l, x);
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "format code '%c' is not for '%s'", l.type,
                         wh_jinja_type_name(v));
  }
  if (v->kind != WH_JINJA_STRING && !conversion && spec.len)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "unsupported format string passed to %s",
                         wh_jinja_type_name(v));
  size_t mark = wh_jinja_mark(run);
  wh_str text;
  WH_TRY(conversion == 'r' ? wh_jinja_print_repr(run, v) : wh_jinja_print(run, v));
  WH_TRY(wh_jinja_take(run, mark, &text));
  return emit_text(run, &l, text);
}

/* name(.attribute | [index])* */
static wh_status find_field(wh_jinja_run *run, wh_str field, const wh_jinja_args *args, int64_t *next_index,
                            wh_jinja_value *out) {
  size_t end = 0, pos = 0;
  int64_t index = 0;
  while (end < field.len && field.data[end] != '.' && field.data[end] != '[') end++;
  wh_str name = {field.data, end};
  bool is_index = end == 0 || (read_number(name, &pos, &index) && pos == end);
  if (end == 0) index = (*next_index)++;
  const wh_jinja_value *found = NULL;
  if (is_index && (uint64_t)index < args->n) found = &args->values[index];
  for (size_t i = 0; !is_index && i < args->n_named; i++)
    if (wh_str_equal(wh_jinja_text(&args->named[i].key), name)) found = &args->named[i].value;
  if (!found)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "format: no argument for {" WH_STR_FMT "}",
                         WH_STR_ARG(field));
  *out = *found;
  while (end < field.len) {
    bool subscript = field.data[end++] == '[';
    size_t start = end;
    while (end < field.len &&
           (subscript ? field.data[end] != ']' : field.data[end] != '.' && field.data[end] != '['))
      end++;
    wh_str part = {field.data + start, end - start};
    wh_jinja_value object = *out, key = wh_jinja_string(part);
    if (subscript) {
      if (end++ >= field.len) return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "format: missing ']'");
      pos = 0;
      if (read_number(part, &pos, &index) && pos == part.len) key = wh_jinja_int(index);
      WH_TRY(wh_jinja_get_item(run, &object, &key, out));
    } else {
      WH_TRY(wh_jinja_get_attribute(run, &object, part, out));
    }
  }
  return WH_OK;
}

wh_status wh_jinja_format_braces(wh_jinja_run *run, wh_str s, const wh_jinja_args *args,
                                 wh_jinja_value *out) {
  int64_t next_index = 0;
  size_t mark = wh_jinja_mark(run);
  for (size_t pos = 0; pos < s.len;) {
    size_t plain = pos;
    while (pos < s.len && s.data[pos] != '{' && s.data[pos] != '}') pos++;
    WH_TRY(wh_jinja_emit(run, s.data + plain, pos - plain));
    if (pos >= s.len) break;
    WH_TRY(wh_jinja_step(run, 1));
    if (pos + 1 < s.len && s.data[pos + 1] == s.data[pos]) {
      WH_TRY(wh_jinja_emit(run, s.data + pos, 1));
      pos += 2;
      continue;
    }
    const char *close = memchr(s.data + pos, '}', s.len - pos);
    if (s.data[pos] == '}' || !close)
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "single '%c' encountered in format string",
                           s.data[pos]);
    size_t start = pos + 1;
    pos = (size_t)(close - s.data) + 1;
    wh_str field = {s.data + start, pos - 1 - start}, spec = {"", 0};
    if (memchr(field.data, '{', field.len))
      return WH_JINJA_FAIL(run, ERR_UNSUPPORTED, "format: fields inside format specifiers are not supported");
    const char *colon = memchr(field.data, ':', field.len);
    if (colon) {
      spec = (wh_str){colon + 1, field.len - (size_t)(colon + 1 - field.data)};
      field.len = (size_t)(colon - field.data);
    }
    char conversion = 0;
    if (field.len >= 2 && field.data[field.len - 2] == '!') {
      conversion = field.data[field.len - 1];
      field.len -= 2;
      if (conversion != 'r' && conversion != 's')
        return WH_JINJA_FAIL(run, ERR_UNSUPPORTED, "format: unknown conversion '!%c'", conversion);
    }
    wh_jinja_value value;
    WH_TRY(find_field(run, field, args, &next_index, &value));
    WH_TRY(emit_field(run, &value, conversion, spec));
  }
  return wh_jinja_take_string(run, mark, out);
}
