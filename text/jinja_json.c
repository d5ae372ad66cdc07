/* jinja_json.c - JSON in (jansson parses, the result is copied into the arena at once) and out (tojson, as
 * Python's json.dumps writes it). */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_ast.h"
#include "text/jinja_number.h"
#include "text/jinja_utf8.h"

static wh_status copy_text(wh_jinja_run *run, const char *s, size_t n, wh_jinja_value *out) {
  char *copy;
  WH_TRY(wh_jinja_alloc(run, n + 1, 1, &copy));
  memcpy(copy, s, n);
  *out = wh_jinja_string((wh_str){copy, n});
  return WH_OK;
}

static wh_status convert(wh_jinja_run *run, const json_t *json, wh_jinja_value *out);

static wh_status convert_object(wh_jinja_run *run, const json_t *json, wh_jinja_value *out) {
  WH_TRY(wh_jinja_new_dict(run, WH_JINJA_DICT, json_object_size(json), out));
  /* jansson's iteration API is not const-qualified, but reads only */
  json_t *object = (json_t *)(uintptr_t)json;
  for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
    const char *name = json_object_iter_key(it);
    wh_jinja_value key, value;
    WH_TRY(copy_text(run, name, strlen(name), &key));
    WH_TRY(convert(run, json_object_iter_value(it), &value));
    WH_TRY(wh_jinja_dict_append(run, out->as.dict, &key, &value));
  }
  return WH_OK;
}

static wh_status convert_array(wh_jinja_run *run, const json_t *json, wh_jinja_value *out) {
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_LIST, json_array_size(json), out));
  for (size_t i = 0; i < out->as.list->n; i++)
    WH_TRY(convert(run, json_array_get(json, i), &out->as.list->items[i]));
  return WH_OK;
}

static wh_status convert(wh_jinja_run *run, const json_t *json, wh_jinja_value *out) {
  wh_status status = WH_OK;
  WH_TRY(wh_jinja_enter(run));
  switch (json_typeof(json)) {
    case JSON_OBJECT:
      status = convert_object(run, json, out);
      break;
    case JSON_ARRAY:
      status = convert_array(run, json, out);
      break;
    case JSON_STRING:
      status = copy_text(run, json_string_value(json), json_string_length(json), out);
      break;
    case JSON_INTEGER:
      *out = wh_jinja_int(json_integer_value(json));
      break;
    case JSON_REAL:
      *out = wh_jinja_float(json_real_value(json));
      break;
    case JSON_TRUE:
    case JSON_FALSE:
      *out = wh_jinja_bool(json_is_true(json));
      break;
    case JSON_NULL:
      *out = wh_jinja_none();
      break;
  }
  wh_jinja_leave(run);
  return status;
}

wh_status wh_jinja_from_json(wh_jinja_run *run, wh_str text, wh_jinja_value *out) {
  if (text.len > WH_JINJA_CONTEXT_MAX)
    return WH_FAIL(ERR_LIMIT, "chat context is %zu bytes, at most %zu are allowed", text.len,
                   WH_JINJA_CONTEXT_MAX);
  json_error_t error;
  json_t *json = json_loadb(text.data ? text.data : "", text.len, JSON_ALLOW_NUL, &error);
  if (!json) {
    if (json_error_code(&error) == json_error_out_of_memory) return WH_OOM("chat context");
    return WH_FAIL(ERR_INVALID_ARGUMENT, "chat context is not valid JSON: line %d column %d: %s", error.line,
                   error.column, error.text);
  }
  wh_jinja_value value;
  wh_status status = json_is_object(json)
                         ? convert(run, json, &value)
                         : WH_FAIL(ERR_INVALID_ARGUMENT, "chat context is not a JSON object");
  json_decref(json);
  if (status == WH_OK) *out = value;
  return status;
}

typedef struct dump_options {
  bool ensure_ascii, sort_keys, indented;
  wh_str indent, item_separator, key_separator;
} dump_options;

static wh_status dump_text(wh_jinja_run *run, wh_str s, bool ensure_ascii) {
  WH_TRY(wh_jinja_step(run, s.len / 16));
  WH_TRY(wh_jinja_emit(run, "\"", 1));
  size_t plain = 0;
  for (size_t pos = 0; pos < s.len;) {
    size_t start = pos;
    int32_t c = wh_jinja_utf8_next(s, &pos);
    if (c >= 0x20 && c != '"' && c != '\\' && (c < 0x7f || !ensure_ascii)) continue;
    WH_TRY(wh_jinja_emit(run, s.data + plain, start - plain));
    plain = pos;
    static const char letters[] = "\"\\\n\r\t\b\f", escapes[] = "\"\\nrtbf";
    const char *known = c < 128 && c ? strchr(letters, c) : NULL;
    char text[16];
    if (known) {
      (void)snprintf(text, sizeof text, "\\%c", escapes[known - letters]);
    } else if (c < 0x10000) {
      (void)snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    } else {
      unsigned pair = (unsigned)c - 0x10000;
      (void)snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + (pair >> 10), 0xdc00 + (pair & 0x3ff));
    }
    WH_TRY(wh_jinja_emit_z(run, text));
  }
  WH_TRY(wh_jinja_emit(run, s.data + plain, s.len - plain));
  return wh_jinja_emit(run, "\"", 1);
}

static wh_status new_line(wh_jinja_run *run, const dump_options *o, unsigned depth) {
  if (!o->indented) return WH_OK;
  WH_TRY(wh_jinja_emit(run, "\n", 1));
  for (unsigned i = 0; i < depth; i++) WH_TRY(wh_jinja_emit(run, o->indent.data, o->indent.len));
  return WH_OK;
}

static wh_status dump_real(wh_jinja_run *run, double x) {
  char number[WH_JINJA_NUMBER_BYTES];
  if (isnan(x)) return wh_jinja_emit_z(run, "NaN");
  if (isinf(x)) return wh_jinja_emit_z(run, x < 0 ? "-Infinity" : "Infinity");
  return wh_jinja_emit(run, number, wh_jinja_format_float(x, number));
}

static wh_status dump(wh_jinja_run *run, const dump_options *o, unsigned depth, const wh_jinja_value *v);

static wh_status dump_key(wh_jinja_run *run, const dump_options *o, const wh_jinja_value *key) {
  if (key->kind == WH_JINJA_STRING) return dump_text(run, wh_jinja_text(key), o->ensure_ascii);
  if (key->kind < WH_JINJA_NONE || key->kind > WH_JINJA_FLOAT)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT,
                         "tojson: keys must be str, int, float, bool or None, not %s",
                         wh_jinja_type_name(key));
  WH_TRY(wh_jinja_emit(run, "\"", 1));
  WH_TRY(dump(run, o, 0, key));
  return wh_jinja_emit(run, "\"", 1);
}

static wh_status sorted_pairs(wh_jinja_run *run, const wh_jinja_dict *dict, const wh_jinja_pair **out) {
  wh_jinja_pair *pairs;
  WH_TRY(wh_jinja_alloc(run, dict->n, sizeof *pairs, &pairs));
  for (size_t i = 0; i < dict->n; i++) {
    size_t at = i;
    for (; at > 0; at--) { /* insertion sort: objects are small, and each step is paid for */
      wh_jinja_order order;
      WH_TRY(wh_jinja_compare(run, &dict->pairs[i].key, &pairs[at - 1].key, "<", &order));
      if (order != WH_JINJA_LESS) break;
      pairs[at] = pairs[at - 1];
    }
    pairs[at] = dict->pairs[i];
  }
  *out = pairs;
  return WH_OK;
}

static wh_status dump_dict(wh_jinja_run *run, const dump_options *o, unsigned depth,
                           const wh_jinja_dict *dict) {
  const wh_jinja_pair *pairs = dict->pairs;
  if (!dict->n) return wh_jinja_emit(run, "{}", 2);
  if (o->sort_keys) WH_TRY(sorted_pairs(run, dict, &pairs));
  WH_TRY(wh_jinja_emit(run, "{", 1));
  for (size_t i = 0; i < dict->n; i++) {
    if (i) WH_TRY(wh_jinja_emit(run, o->item_separator.data, o->item_separator.len));
    WH_TRY(new_line(run, o, depth + 1));
    WH_TRY(dump_key(run, o, &pairs[i].key));
    WH_TRY(wh_jinja_emit(run, o->key_separator.data, o->key_separator.len));
    WH_TRY(dump(run, o, depth + 1, &pairs[i].value));
  }
  WH_TRY(new_line(run, o, depth));
  return wh_jinja_emit(run, "}", 1);
}

static wh_status dump_list(wh_jinja_run *run, const dump_options *o, unsigned depth,
                           const wh_jinja_list *list) {
  if (!list->n) return wh_jinja_emit(run, "[]", 2);
  WH_TRY(wh_jinja_emit(run, "[", 1));
  for (size_t i = 0; i < list->n; i++) {
    if (i) WH_TRY(wh_jinja_emit(run, o->item_separator.data, o->item_separator.len));
    WH_TRY(new_line(run, o, depth + 1));
    WH_TRY(dump(run, o, depth + 1, &list->items[i]));
  }
  WH_TRY(new_line(run, o, depth));
  return wh_jinja_emit(run, "]", 1);
}

static wh_status dump(wh_jinja_run *run, const dump_options *o, unsigned depth, const wh_jinja_value *v) {
  WH_TRY(wh_jinja_enter(run));
  WH_TRY(wh_jinja_step(run, 1));
  switch ((wh_jinja_kind)v->kind) {
    case WH_JINJA_NONE:
      WH_TRY(wh_jinja_emit_z(run, "null"));
      break;
    case WH_JINJA_BOOL:
      WH_TRY(wh_jinja_emit_z(run, v->as.boolean ? "true" : "false"));
      break;
    case WH_JINJA_INT:
      WH_TRY(wh_jinja_print(run, v));
      break;
    case WH_JINJA_FLOAT:
      WH_TRY(dump_real(run, v->as.real));
      break;
    case WH_JINJA_STRING:
      WH_TRY(dump_text(run, wh_jinja_text(v), o->ensure_ascii));
      break;
    case WH_JINJA_LIST:
    case WH_JINJA_TUPLE:
      WH_TRY(dump_list(run, o, depth, v->as.list));
      break;
    case WH_JINJA_DICT:
      WH_TRY(dump_dict(run, o, depth, v->as.dict));
      break;
    case WH_JINJA_UNDEFINED:
      return wh_jinja_fail_undefined(run, v);
    default:
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "tojson: object of type %s is not JSON serializable",
                           wh_jinja_type_name(v));
  }
  wh_jinja_leave(run);
  return WH_OK;
}

static wh_status read_indent(wh_jinja_run *run, const wh_jinja_value *v, dump_options *o) {
  int64_t n;
  o->indented = v->kind != WH_JINJA_ABSENT && v->kind != WH_JINJA_NONE;
  if (!o->indented) return WH_OK;
  if (v->kind == WH_JINJA_STRING) {
    o->indent = wh_jinja_text(v);
  } else if (wh_jinja_as_int(v, &n)) {
    char *blanks;
    n = n < 0 ? 0 : n;
    if (n > 1000) return WH_JINJA_FAIL(run, ERR_LIMIT, "tojson: an indent of more than 1000 blanks");
    WH_TRY(wh_jinja_alloc(run, (size_t)n, 1, &blanks));
    if (n) memset(blanks, ' ', (size_t)n);
    o->indent = (wh_str){blanks, (size_t)n};
  } else {
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "tojson: indent must be an integer or a string");
  }
  return WH_OK;
}

wh_status wh_jinja_filter_tojson(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                                 wh_jinja_value *out) {
  enum { ENSURE_ASCII, INDENT, SEPARATORS, SORT_KEYS, N_OPTIONS };
  wh_jinja_value bound[N_OPTIONS];
  WH_TRY(wh_jinja_bind(run, args, "ensure_ascii indent separators sort_keys", 0, bound));
  dump_options o = {.ensure_ascii = wh_jinja_truthy(&bound[ENSURE_ASCII]),
                    .sort_keys = wh_jinja_truthy(&bound[SORT_KEYS])};
  WH_TRY(read_indent(run, &bound[INDENT], &o));
  o.item_separator = wh_str_from(o.indented ? "," : ", ");
  o.key_separator = wh_str_from(": ");
  if (bound[SEPARATORS].kind != WH_JINJA_ABSENT && bound[SEPARATORS].kind != WH_JINJA_NONE) {
    wh_jinja_value *pair;
    size_t n;
    WH_TRY(wh_jinja_iterate(run, &bound[SEPARATORS], &pair, &n));
    if (n != 2 || pair[0].kind != WH_JINJA_STRING || pair[1].kind != WH_JINJA_STRING)
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "tojson: separators must be two strings");
    o.item_separator = wh_jinja_text(&pair[0]);
    o.key_separator = wh_jinja_text(&pair[1]);
  }
  size_t mark = wh_jinja_mark(run);
  WH_TRY(dump(run, &o, 0, self));
  return wh_jinja_take_string(run, mark, out);
}
