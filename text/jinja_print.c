/* jinja_print.c - str() and repr() of values, byte for byte as Python prints them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_ast.h"
#include "text/jinja_number.h"
#include "text/jinja_utf8.h"
#include "text/jinja_value.h"

static wh_status print_text_repr(wh_jinja_run *run, wh_str s) {
  char quote = memchr(s.data, '\'', s.len) && !memchr(s.data, '"', s.len) ? '"' : '\'';
  WH_TRY(wh_jinja_step(run, s.len / 16));
  WH_TRY(wh_jinja_emit(run, &quote, 1));
  size_t pos = 0;
  while (pos < s.len) {
    size_t start = pos;
    int32_t c = wh_jinja_utf8_next(s, &pos);
    char escape[16];
    const char *known = c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : c == '\\' ? "\\\\" : NULL;
    if (known) {
      WH_TRY(wh_jinja_emit_z(run, known));
    } else if (c == quote) {
      WH_TRY(wh_jinja_emit(run, (char[]){'\\', quote}, 2));
    } else if (wh_jinja_utf8_is_printable(c)) {
      WH_TRY(wh_jinja_emit(run, s.data + start, pos - start));
    } else {
      (void)snprintf(escape, sizeof escape,
                     c < 0x100     ? "\\x%02x"
                     : c < 0x10000 ? "\\u%04x"
                                   : "\\U%08x",
                     (unsigned)c);
      WH_TRY(wh_jinja_emit_z(run, escape));
    }
  }
  return wh_jinja_emit(run, &quote, 1);
}

static wh_status print_items(wh_jinja_run *run, const wh_jinja_list *list, const char *open,
                             const char *close) {
  WH_TRY(wh_jinja_emit_z(run, open));
  for (size_t i = 0; i < list->n; i++) {
    if (i) WH_TRY(wh_jinja_emit(run, ", ", 2));
    WH_TRY(wh_jinja_print_repr(run, &list->items[i]));
  }
  return wh_jinja_emit_z(run, close);
}

static wh_status print_pairs(wh_jinja_run *run, const wh_jinja_dict *dict, const char *open,
                             const char *close) {
  WH_TRY(wh_jinja_emit_z(run, open));
  for (size_t i = 0; i < dict->n; i++) {
    if (i) WH_TRY(wh_jinja_emit(run, ", ", 2));
    WH_TRY(wh_jinja_print_repr(run, &dict->pairs[i].key));
    WH_TRY(wh_jinja_emit(run, ": ", 2));
    WH_TRY(wh_jinja_print_repr(run, &dict->pairs[i].value));
  }
  return wh_jinja_emit_z(run, close);
}

static wh_status print_range(wh_jinja_run *run, const wh_jinja_list *r) {
  char text[96];
  int n = snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64, r->start, r->stop);
  (void)snprintf(text + n, sizeof text - (size_t)n, r->step == 1 ? ")" : ", %" PRId64 ")", r->step);
  return wh_jinja_emit_z(run, text);
}

static wh_status print_nested(wh_jinja_run *run, const wh_jinja_value *v) {
  switch ((wh_jinja_kind)v->kind) {
    case WH_JINJA_LIST:
      return print_items(run, v->as.list, "[", "]");
    case WH_JINJA_TUPLE:
      return print_items(run, v->as.list, "(", v->as.list->n == 1 ? ",)" : ")");
    case WH_JINJA_KEYS:
      return print_items(run, v->as.list, "dict_keys([", "])");
    case WH_JINJA_VALUES:
      return print_items(run, v->as.list, "dict_values([", "])");
    case WH_JINJA_ITEMS:
      return print_items(run, v->as.list, "dict_items([", "])");
    case WH_JINJA_DICT:
      return print_pairs(run, v->as.dict, "{", "}");
    default:
      return print_pairs(run, v->as.dict, "<Namespace {", "}>");
  }
}

wh_status wh_jinja_print_repr(wh_jinja_run *run, const wh_jinja_value *v) {
  char number[WH_JINJA_NUMBER_BYTES];
  switch ((wh_jinja_kind)v->kind) {
    case WH_JINJA_ABSENT:
    case WH_JINJA_UNDEFINED:
      return wh_jinja_emit_z(run, "Undefined");
    case WH_JINJA_NONE:
      return wh_jinja_emit_z(run, "None");
    case WH_JINJA_BOOL:
      return wh_jinja_emit_z(run, v->as.boolean ? "True" : "False");
    case WH_JINJA_INT:
      (void)snprintf(number, sizeof number, "%" PRId64, v->as.integer);
      return wh_jinja_emit_z(run, number);
    case WH_JINJA_FLOAT:
      return wh_jinja_emit(run, number, wh_jinja_format_float(v->as.real, number));
    case WH_JINJA_STRING:
      if (!v->markup) return print_text_repr(run, wh_jinja_text(v));
      WH_TRY(wh_jinja_emit_z(run, "Markup("));
      WH_TRY(print_text_repr(run, wh_jinja_text(v)));
      return wh_jinja_emit_z(run, ")");
    case WH_JINJA_RANGE:
      return print_range(run, v->as.list);
    case WH_JINJA_LIST:
    case WH_JINJA_TUPLE:
    case WH_JINJA_KEYS:
    case WH_JINJA_VALUES:
    case WH_JINJA_ITEMS:
    case WH_JINJA_DICT:
    case WH_JINJA_NAMESPACE:
      WH_TRY(wh_jinja_enter(run));
      WH_TRY(wh_jinja_step(run, 1));
      WH_TRY(print_nested(run, v));
      wh_jinja_leave(run);
      return WH_OK;
    case WH_JINJA_MACRO:
      WH_TRY(wh_jinja_emit_z(run, "<Macro "));
      WH_TRY(print_text_repr(run, wh_jinja_macro_name(v->as.macro)));
      return wh_jinja_emit_z(run, ">");
    case WH_JINJA_GENERATOR:
    case WH_JINJA_FUNCTION:
    case WH_JINJA_METHOD:
    case WH_JINJA_LOOP: /* Python would print an address */
      break;
  }
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "a %s cannot be printed", wh_jinja_type_name(v));
}

wh_status wh_jinja_print(wh_jinja_run *run, const wh_jinja_value *v) {
  if (v->kind == WH_JINJA_STRING) return wh_jinja_emit(run, v->as.text, v->len);
  if (v->kind == WH_JINJA_UNDEFINED) return WH_OK;
  return wh_jinja_print_repr(run, v);
}
