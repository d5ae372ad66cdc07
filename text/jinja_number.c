/* jinja_number.c - see jinja_number.h. */
#include "text/jinja_number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

bool wh_jinja_parse_int(wh_str text, int base, int64_t *out) {
  size_t i = 0;
  bool negative = false;
  if (i < text.len && (text.data[i] == '-' || text.data[i] == '+')) negative = text.data[i++] == '-';
  bool prefixed = false;
  if (text.len - i >= 2 && text.data[i] == '0') {
    char c = (char)(text.data[i + 1] | 0x20);
    int prefix_base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
    if (prefix_base && (base == 0 || base == prefix_base)) {
      base = prefix_base;
      prefixed = true;
      i += 2;
    }
  }
  bool leading_zero_forbidden = base == 0 && i < text.len && text.data[i] == '0';
  if (base == 0) base = 10;
  int64_t value = 0;
  bool last_was_digit = prefixed, any = false;
  for (; i < text.len; i++) {
    if (text.data[i] == '_') {
      if (!last_was_digit) return false;
      last_was_digit = false;
      continue;
    }
    int digit = digit_value(text.data[i]);
    if (digit >= base) return false;
    if (__builtin_mul_overflow(value, (int64_t)base, &value) ||
        __builtin_sub_overflow(value, (int64_t)digit, &value)) /* negative side: it reaches one further */
      return false;
    last_was_digit = any = true;
  }
  if (!any || !last_was_digit || (leading_zero_forbidden && value != 0)) return false;
  if (!negative && __builtin_sub_overflow((int64_t)0, value, &value)) return false;
  *out = value;
  return true;
}

static bool is_word(wh_str s, const char *word) {
  if (s.len != strlen(word)) return false;
  for (size_t i = 0; i < s.len; i++)
    if ((s.data[i] | 0x20) != word[i]) return false;
  return true;
}

/* Digits with single underscores between them; returns where they end. */
static size_t scan_digits(wh_str text, size_t start) {
  size_t i = start;
  while (i < text.len) {
    bool separator =
        text.data[i] == '_' && i > start && i + 1 < text.len && digit_value(text.data[i + 1]) < 10;
    if (!separator && digit_value(text.data[i]) >= 10) break;
    i++;
  }
  return i;
}

bool wh_jinja_parse_float(wh_str text, double *out) {
  char buf[512];
  if (text.len >= sizeof buf / 2) return false;
  bool has_sign = text.len && (text.data[0] == '-' || text.data[0] == '+');
  size_t i = has_sign, end = scan_digits(text, i);
  if (end == i && i < text.len && text.data[i] != '.') {
    wh_str word = {text.data + i, text.len - i};
    bool infinite = is_word(word, "inf") || is_word(word, "infinity");
    if (!infinite && !is_word(word, "nan")) return false;
    double value = infinite ? HUGE_VAL : (double)NAN;
    *out = text.data[0] == '-' ? -value : value;
    return true;
  }
  size_t n_digits = end - i;
  i = end;
  if (i < text.len && text.data[i] == '.') {
    end = scan_digits(text, i + 1);
    n_digits += end - i - 1;
    i = end;
  }
  if (n_digits == 0) return false;
  if (i < text.len && (text.data[i] | 0x20) == 'e') {
    i++;
    if (i < text.len && (text.data[i] == '-' || text.data[i] == '+')) i++;
    end = scan_digits(text, i);
    if (end == i) return false;
    i = end;
  }
  if (i != text.len) return false;
  const char *point = localeconv()->decimal_point; /* strtod reads the locale's */
  size_t n = 0, point_bytes = strlen(point);
  if (point_bytes > 8) return false;
  for (i = 0; i < text.len; i++) {
    if (text.data[i] == '.') {
      memcpy(buf + n, point, point_bytes);
      n += point_bytes;
    } else if (text.data[i] != '_') {
      buf[n++] = text.data[i];
    }
  }
  buf[n] = '\0';
  *out = strtod(buf, NULL);
  return true;
}

static size_t format_special(double x, char *out) {
  const char *text = isnan(x) ? "nan" : x < 0 ? "-inf" : "inf";
  strcpy(out, text);
  return strlen(text);
}

size_t wh_jinja_format_float(double x, char out[WH_JINJA_NUMBER_BYTES]) {
  if (!isfinite(x)) return format_special(x, out);
  /* "d<point>ddde+XX" with the fewest digits that read back as x */
  char digits[32], text[48];
  int n_digits = 0, exponent = 0;
  for (int precision = 0; precision < 17; precision++) {
    (void)snprintf(text, sizeof text, "%.*e", precision, fabs(x));
    if (strtod(text, NULL) != fabs(x)) continue;
    const char *e = strchr(text, 'e');
    n_digits = 0;
    for (const char *p = text; p < e; p++)
      if (*p >= '0' && *p <= '9') digits[n_digits++] = *p;
    exponent = atoi(e + 1);
    break;
  }
  char *p = out;
  if (signbit(x)) *p++ = '-';
  if (exponent < -4 || exponent >= 16) {
    *p++ = digits[0];
    if (n_digits > 1) *p++ = '.';
    for (int i = 1; i < n_digits; i++) *p++ = digits[i];
    p += sprintf(p, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
  } else if (exponent < 0) {
    *p++ = '0';
    *p++ = '.';
    for (int i = -1; i > exponent; i--) *p++ = '0';
    for (int i = 0; i < n_digits; i++) *p++ = digits[i];
  } else {
    for (int i = 0; i <= exponent; i++) *p++ = i < n_digits ? digits[i] : '0';
    *p++ = '.';
    if (n_digits <= exponent + 1) *p++ = '0';
    for (int i = exponent + 1; i < n_digits; i++) *p++ = digits[i];
  }
  *p = '\0';
  return (size_t)(p - out);
}

size_t wh_jinja_format_fixed(double x, int precision, char conversion, bool alternate,
                             char out[WH_JINJA_NUMBER_BYTES]) {
  if (!isfinite(x)) return format_special(x, out);
  char format[8] = "%", *f = format + 1;
  if (alternate) *f++ = '#';
  *f++ = '.';
  *f++ = '*';
  *f++ = conversion;
  *f = '\0';
  int n = snprintf(out, WH_JINJA_NUMBER_BYTES, format, precision, x);
  const char *point = localeconv()->decimal_point;
  size_t point_bytes = strlen(point);
  char *found = strcmp(point, ".") != 0 && point_bytes ? strstr(out, point) : NULL;
  if (found) {
    *found = '.';
    memmove(found + 1, found + point_bytes, strlen(found + point_bytes) + 1);
    n -= (int)point_bytes - 1;
  }
  return (size_t)n;
}
