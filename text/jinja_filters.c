/* jinja_filters.c - filters of single values and texts, and the table of all filters. Those of sequences are
 * in jinja_filters_seq.c. */
#include "text/jinja_filters.h"

#include <math.h>
#include <string.h>

#include "text/jinja_number.h"
#include "text/jinja_utf8.h"

bool wh_jinja_is_given(const wh_jinja_value *v) {
  return v->kind != WH_JINJA_ABSENT && v->kind != WH_JINJA_NONE;
}

wh_status wh_jinja_want_int(wh_jinja_run *run, const wh_jinja_value *v, int64_t fallback, int64_t *out) {
  *out = fallback;
  if (v->kind == WH_JINJA_ABSENT || wh_jinja_as_int(v, out)) return WH_OK;
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s: needs an integer, not '%s'", run->callee,
                       wh_jinja_type_name(v));
}

FILTER(default) {
  wh_jinja_value bound[2];
  WH_TRY(wh_jinja_bind(run, args, "default_value boolean", 0, bound));
  bool take = self->kind == WH_JINJA_UNDEFINED || (wh_jinja_truthy(&bound[1]) && !wh_jinja_truthy(self));
  if (bound[0].kind == WH_JINJA_ABSENT) bound[0] = wh_jinja_string((wh_str){"", 0});
  *out = take ? bound[0] : *self;
  return WH_OK;
}

FILTER(string) {
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  if (self->kind == WH_JINJA_STRING) {
    *out = *self;
    return WH_OK;
  }
  wh_str text;
  WH_TRY(wh_jinja_to_text(run, self, &text));
  *out = wh_jinja_string(text);
  return WH_OK;
}

FILTER(safe) {
  WH_TRY(filter_string(run, self, args, out));
  out->markup = true;
  return WH_OK;
}

wh_status wh_jinja_escape(wh_jinja_run *run, wh_str text, wh_jinja_value *out) {
  static const char specials[] = "&<>'\"";
  static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  size_t mark = wh_jinja_mark(run), plain = 0;
  WH_TRY(wh_jinja_step(run, text.len / 4));
  for (size_t i = 0; i < text.len; i++) {
    const char *special = memchr(specials, text.data[i], sizeof specials - 1);
    if (!special) continue;
    WH_TRY(wh_jinja_emit(run, text.data + plain, i - plain));
    WH_TRY(wh_jinja_emit_z(run, entities[special - specials]));
    plain = i + 1;
  }
  WH_TRY(wh_jinja_emit(run, text.data + plain, text.len - plain));
  WH_TRY(wh_jinja_take_string(run, mark, out));
  out->markup = true;
  return WH_OK;
}

FILTER(forceescape) {
  wh_str text;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  WH_TRY(wh_jinja_to_text(run, self, &text));
  return wh_jinja_escape(run, text, out);
}

FILTER(escape) {
  if (self->kind != WH_JINJA_STRING || !self->markup) return filter_forceescape(run, self, args, out);
  *out = *self;
  return WH_OK;
}

static bool real_to_int(double x, int64_t *out) {
  if (!(x > -0x1p63 && x < 0x1p63)) return false;
  *out = (int64_t)x;
  return true;
}

FILTER(int) {
  wh_jinja_value bound[2];
  int64_t value, base;
  double real;
  WH_TRY(wh_jinja_bind(run, args, "default base", 0, bound));
  WH_TRY(wh_jinja_want_int(run, &bound[1], 10, &base));
  if (base != 0 && (base < 2 || base > 36))
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "int: base %d", (int)base);
  if (self->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, self);
  bool ok = wh_jinja_as_int(self, &value);
  if (self->kind == WH_JINJA_FLOAT) {
    if (isinf(self->as.real))
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "cannot convert float infinity to integer");
    ok = real_to_int(self->as.real, &value);
    if (!ok && !isnan(self->as.real))
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "int: the value does not fit a 64-bit integer");
  } else if (self->kind == WH_JINJA_STRING) {
    wh_str text = wh_jinja_utf8_strip_left(wh_jinja_utf8_strip_right(wh_jinja_text(self)));
    ok = wh_jinja_parse_int(text, (int)base, &value) ||
         (wh_jinja_parse_float(text, &real) && real_to_int(real, &value));
  }
  *out = ok ? wh_jinja_int(value) : bound[0].kind != WH_JINJA_ABSENT ? bound[0] : wh_jinja_int(0);
  return WH_OK;
}

FILTER(float) {
  wh_jinja_value fallback;
  double value;
  WH_TRY(wh_jinja_bind(run, args, "default", 0, &fallback));
  if (self->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, self);
  bool ok = wh_jinja_as_real(self, &value);
  if (self->kind == WH_JINJA_STRING)
    ok = wh_jinja_parse_float(wh_jinja_utf8_strip_left(wh_jinja_utf8_strip_right(wh_jinja_text(self))),
                              &value);
  *out = ok ? wh_jinja_float(value) : fallback.kind != WH_JINJA_ABSENT ? fallback : wh_jinja_float(0);
  return WH_OK;
}

FILTER(abs) {
  int64_t i;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  if (self->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, self);
  if (self->kind == WH_JINJA_FLOAT) {
    *out = wh_jinja_float(fabs(self->as.real));
  } else if (wh_jinja_as_int(self, &i)) {
    if (i < 0 && __builtin_sub_overflow((int64_t)0, i, &i))
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "abs: the value does not fit a 64-bit integer");
    *out = wh_jinja_int(i);
  } else {
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "bad operand type for abs(): '%s'",
                         wh_jinja_type_name(self));
  }
  return WH_OK;
}

/* round(x, n) by way of the decimal digits, as Python: exact halves go to the even neighbour. */
static double round_common(double x, int64_t precision) {
  char text[WH_JINJA_NUMBER_BYTES];
  double r = x;
  if (!isfinite(x) || precision > 22) return x;
  if (precision < 0) {
    double scale = pow(10, precision < -308 ? 308 : (double)-precision);
    return rint(x / scale) * scale;
  }
  size_t n = wh_jinja_format_fixed(x, (int)precision, 'f', false, text);
  (void)wh_jinja_parse_float((wh_str){text, n}, &r);
  return r;
}

FILTER(round) {
  wh_jinja_value bound[2];
  int64_t precision, whole;
  double x;
  WH_TRY(wh_jinja_bind(run, args, "precision method", 0, bound));
  WH_TRY(wh_jinja_want_int(run, &bound[0], 0, &precision));
  wh_str method = bound[1].kind == WH_JINJA_STRING ? wh_jinja_text(&bound[1]) : wh_str_from("common");
  if (self->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, self);
  if (!wh_jinja_as_real(self, &x))
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "round: needs a number, not '%s'",
                         wh_jinja_type_name(self));
  if (wh_str_is(method, "common")) {
    if (wh_jinja_as_int(self, &whole) && precision >= 0) {
      *out = wh_jinja_int(whole);
    } else if (wh_jinja_as_int(self, &whole)) {
      *out = wh_jinja_int((int64_t)round_common(x, precision));
    } else {
      *out = wh_jinja_float(round_common(x, precision));
    }
    return WH_OK;
  }
  bool up = wh_str_is(method, "ceil");
  if (!up && !wh_str_is(method, "floor"))
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "round: method must be common, ceil or floor");
  if (precision > 300 || precision < -300)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "round: precision too large");
  double scale = pow(10, (double)precision), scaled = up ? ceil(x * scale) : floor(x * scale);
  *out = wh_jinja_float(scaled / scale);
  return WH_OK;
}

FILTER(length) {
  size_t n;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  WH_TRY(wh_jinja_length(run, self, &n));
  *out = wh_jinja_int((int64_t)n);
  return WH_OK;
}

FILTER(format) {
  wh_jinja_value values;
  wh_str format;
  WH_TRY(wh_jinja_to_text(run, self, &format));
  if (args->n && args->n_named)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT,
                         "format: positional and keyword arguments at the same time");
  if (args->n_named) {
    WH_TRY(wh_jinja_new_dict(run, WH_JINJA_DICT, args->n_named, &values));
    for (size_t i = 0; i < args->n_named; i++)
      WH_TRY(wh_jinja_dict_append(run, values.as.dict, &args->named[i].key, &args->named[i].value));
  } else {
    WH_TRY(wh_jinja_new_list(run, WH_JINJA_TUPLE, args->n, &values));
    if (args->n) memcpy(values.as.list->items, args->values, args->n * sizeof values);
  }
  return wh_jinja_format_percent(run, format, &values, out);
}

FILTER(indent) {
  wh_jinja_value bound[3], lines, text = *self;
  int64_t width;
  WH_TRY(wh_jinja_bind(run, args, "width first blank", 0, bound));
  bool first = wh_jinja_truthy(&bound[1]), blank = wh_jinja_truthy(&bound[2]);
  wh_str unit = {" ", 1};
  if (bound[0].kind == WH_JINJA_STRING) {
    unit = wh_jinja_text(&bound[0]);
    width = 1;
  } else {
    WH_TRY(wh_jinja_want_int(run, &bound[0], 4, &width));
  }
  if (self->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, self);
  if (self->kind != WH_JINJA_STRING)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "indent: needs a string, not '%s'",
                         wh_jinja_type_name(self));
  if (width > 10000) return WH_JINJA_FAIL(run, ERR_LIMIT, "indent: width beyond 10000");
  wh_jinja_args none = {0};
  size_t mark = wh_jinja_mark(run);
  WH_TRY(wh_jinja_emit(run, text.as.text, text.len));
  WH_TRY(wh_jinja_emit(run, "\n", 1)); /* so that a line end at the end of the text counts */
  WH_TRY(wh_jinja_take_string(run, mark, &text));
  WH_TRY(wh_jinja_str_splitlines(run, &text, &none, &lines));
  for (size_t i = 0; i < lines.as.list->n; i++) {
    const wh_jinja_value *line = &lines.as.list->items[i];
    bool indented = i == 0 ? first : blank || line->len;
    if (i) WH_TRY(wh_jinja_emit(run, "\n", 1));
    for (int64_t k = 0; indented && k < width; k++) WH_TRY(wh_jinja_emit(run, unit.data, unit.len));
    WH_TRY(wh_jinja_step(run, 1 + (indented && width > 0 ? (size_t)width / 8 : 0)));
    WH_TRY(wh_jinja_emit(run, line->as.text, line->len));
  }
  WH_TRY(wh_jinja_take_string(run, mark, out));
  out->markup = self->markup;
  return WH_OK;
}

FILTER(truncate) {
  wh_jinja_value bound[4];
  int64_t length, leeway;
  WH_TRY(wh_jinja_bind(run, args, "length killwords end leeway", 0, bound));
  WH_TRY(wh_jinja_want_int(run, &bound[0], 255, &length));
  WH_TRY(wh_jinja_want_int(run, &bound[3], 5, &leeway));
  wh_str end = bound[2].kind == WH_JINJA_STRING ? wh_jinja_text(&bound[2]) : wh_str_from("...");
  wh_str s;
  WH_TRY(wh_jinja_to_text(run, self, &s));
  int64_t n = (int64_t)wh_jinja_utf8_count(s), n_end = (int64_t)wh_jinja_utf8_count(end);
  if (length < n_end || leeway < 0 || length > INT64_MAX - leeway)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT,
                         "truncate: length shorter than its end mark, or bad leeway");
  if (n <= length + leeway) {
    *out = *self;
    return WH_OK;
  }
  s.len = wh_jinja_utf8_offset(s, (size_t)(length - n_end));
  if (!wh_jinja_truthy(&bound[1])) {
    size_t cut = s.len;
    while (cut > 0 && s.data[cut - 1] != ' ') cut--;
    if (cut > 0) s.len = cut - 1;
  }
  size_t mark = wh_jinja_mark(run);
  WH_TRY(wh_jinja_emit(run, s.data, s.len));
  WH_TRY(wh_jinja_emit(run, end.data, end.len));
  return wh_jinja_take_string(run, mark, out);
}

FILTER(urlencode) {
  static const char hex[] = "0123456789ABCDEF";
  wh_str s;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  if (self->kind != WH_JINJA_STRING && wh_jinja_is_iterable(self))
    return WH_JINJA_FAIL(run, ERR_UNSUPPORTED, "urlencode of a '%s' is not supported",
                         wh_jinja_type_name(self));
  WH_TRY(wh_jinja_to_text(run, self, &s));
  WH_TRY(wh_jinja_step(run, s.len / 4));
  size_t mark = wh_jinja_mark(run);
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.data[i];
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 memchr("_.-~/", c, 5) != NULL;
    char text[3] = {'%', hex[c >> 4], hex[c & 15]};
    WH_TRY(wh_jinja_emit(run, plain ? s.data + i : text, plain ? 1 : 3));
  }
  return wh_jinja_take_string(run, mark, out);
}

FILTER(wordcount) {
  wh_str s;
  int64_t n = 0;
  bool inside = false;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  WH_TRY(wh_jinja_to_text(run, self, &s));
  WH_TRY(wh_jinja_step(run, s.len / 4));
  for (size_t pos = 0; pos < s.len;) {
    int32_t c = wh_jinja_utf8_next(s, &pos);
    bool word = c >= 0x80
                    ? !wh_jinja_utf8_is_space(c)
                    : (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    n += word && !inside;
    inside = word;
  }
  *out = wh_jinja_int(n);
  return WH_OK;
}

FILTER(attr) {
  wh_jinja_value name;
  WH_TRY(wh_jinja_bind(run, args, "name", 1, &name));
  if (name.kind != WH_JINJA_STRING) return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "attr: needs a name");
  if (self->kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, self);
  wh_str text = wh_jinja_text(&name);
  if (self->kind == WH_JINJA_DICT &&
      !wh_jinja_find_method(WH_JINJA_DICT, text)) { /* keys are no attributes */
    *out = wh_jinja_undefined(WH_JINJA_DICT, text);
    return WH_OK;
  }
  return wh_jinja_get_attribute(run, self, text, out);
}

const wh_jinja_builtin *wh_jinja_find_filter(wh_str name) {
  static const wh_jinja_builtin filters[] = {
      {"tojson", wh_jinja_filter_tojson},
      {"trim", wh_jinja_str_strip},
      {"length", filter_length},
      {"count", filter_length},
      {"default", filter_default},
      {"d", filter_default},
      {"string", filter_string},
      {"safe", filter_safe},
      {"escape", filter_escape},
      {"e", filter_escape},
      {"forceescape", filter_forceescape},
      {"upper", wh_jinja_str_upper},
      {"lower", wh_jinja_str_lower},
      {"capitalize", wh_jinja_str_capitalize},
      {"title", wh_jinja_str_title_words},
      {"replace", wh_jinja_str_replace},
      {"center", wh_jinja_str_center},
      {"int", filter_int},
      {"float", filter_float},
      {"abs", filter_abs},
      {"round", filter_round},
      {"format", filter_format},
      {"indent", filter_indent},
      {"truncate", filter_truncate},
      {"urlencode", filter_urlencode},
      {"wordcount", filter_wordcount},
      {"attr", filter_attr},
  };
  for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
    if (wh_str_is(name, filters[i].name)) return &filters[i];
  for (const wh_jinja_builtin *f = wh_jinja_sequence_filters; f->name; f++)
    if (wh_str_is(name, f->name)) return f;
  return NULL;
}
