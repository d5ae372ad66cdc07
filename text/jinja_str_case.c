/* jinja_str_case.c - the methods of str that change or test letter case, and the filters upper, lower,
 * capitalize and title, as Python defines them. */
#include <string.h>

#include "text/jinja_ast.h"
#include "text/jinja_case.h"
#include "text/jinja_methods.h"
#include "text/jinja_utf8.h"

#define METHOD(name)                                                                                      \
  wh_status wh_jinja_str_##name(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args, \
                                wh_jinja_value *out)

/* Emits the character of `word` at *pos, which moves behind it. Only `word` is looked at for a final sigma.
 */
static wh_status emit_case(wh_jinja_run *run, wh_str word, size_t *pos, wh_case to) {
  size_t at = *pos;
  int32_t c = wh_jinja_utf8_next(word, pos), mapped[WH_CASE_CHARS_MAX];
  char bytes[WH_CASE_CHARS_MAX * 4];
  size_t n = wh_case_map(c, to, mapped), n_bytes = 0;
  if (c == 0x3a3 && to == WH_CASE_LOWER && wh_case_is_final_sigma(word, at)) mapped[0] = 0x3c2;
  for (size_t i = 0; i < n; i++) n_bytes += wh_jinja_utf8_encode(mapped[i], bytes + n_bytes);
  return wh_jinja_emit(run, bytes, n_bytes);
}

static wh_status emit_cases(wh_jinja_run *run, wh_str word, size_t *pos, size_t end, wh_case to) {
  while (*pos < end) WH_TRY(emit_case(run, word, pos, to));
  return WH_OK;
}

typedef wh_status (*case_change)(wh_jinja_run *run, wh_str s);

static wh_status change_case(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                             case_change change, wh_jinja_value *out) {
  wh_str s;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  WH_TRY(wh_jinja_to_text(run, self, &s));
  WH_TRY(wh_jinja_step(run, s.len));
  bool markup = self->markup;
  size_t mark = wh_jinja_mark(run);
  WH_TRY(change(run, s));
  WH_TRY(wh_jinja_take_string(run, mark, out));
  out->markup = markup;
  return WH_OK;
}

static wh_status emit_upper(wh_jinja_run *run, wh_str s) {
  size_t pos = 0;
  return emit_cases(run, s, &pos, s.len, WH_CASE_UPPER);
}

static wh_status emit_lower(wh_jinja_run *run, wh_str s) {
  size_t pos = 0;
  return emit_cases(run, s, &pos, s.len, WH_CASE_LOWER);
}

static wh_status emit_fold(wh_jinja_run *run, wh_str s) {
  size_t pos = 0;
  return emit_cases(run, s, &pos, s.len, WH_CASE_FOLD);
}

static wh_status emit_capitalized(wh_jinja_run *run, wh_str s) {
  size_t pos = 0;
  if (s.len) WH_TRY(emit_case(run, s, &pos, WH_CASE_TITLE));
  return emit_cases(run, s, &pos, s.len, WH_CASE_LOWER);
}

static wh_status emit_swapped(wh_jinja_run *run, wh_str s) {
  for (size_t pos = 0; pos < s.len;) {
    size_t at = pos, next = pos;
    int32_t c = wh_jinja_utf8_next(s, &next);
    if (wh_case_is_upper(c) || wh_case_is_lower(c)) {
      WH_TRY(emit_case(run, s, &pos, wh_case_is_upper(c) ? WH_CASE_LOWER : WH_CASE_UPPER));
    } else {
      WH_TRY(wh_jinja_emit(run, s.data + at, next - at));
      pos = next;
    }
  }
  return WH_OK;
}

/* str.title(): a letter is upper case unless a cased letter is before it. */
static wh_status emit_title(wh_jinja_run *run, wh_str s) {
  bool inside = false;
  for (size_t pos = 0; pos < s.len;) {
    size_t next = pos;
    int32_t c = wh_jinja_utf8_next(s, &next);
    WH_TRY(emit_case(run, s, &pos, inside ? WH_CASE_LOWER : WH_CASE_TITLE));
    inside = wh_case_is_cased(c);
  }
  return WH_OK;
}

static bool separates_words(int32_t c) {
  return wh_jinja_utf8_is_space(c) || (c < 128 && c && strchr("-({[<", c));
}

/* The title filter: words are what blanks and -({[< separate; each becomes word[0].upper() +
 * word[1:].lower(). */
static wh_status emit_title_words(wh_jinja_run *run, wh_str s) {
  for (size_t pos = 0; pos < s.len;) {
    size_t end = pos, next = pos;
    bool separator = separates_words(wh_jinja_utf8_next(s, &next));
    do {
      end = next;
    } while (next < s.len && separates_words(wh_jinja_utf8_next(s, &next)) == separator);
    size_t first = 0, rest = 0;
    wh_str word = {s.data + pos, end - pos};
    WH_TRY(emit_case(run, word, &first, WH_CASE_UPPER));
    wh_str tail = {word.data + first, word.len - first};
    WH_TRY(emit_cases(run, tail, &rest, tail.len, WH_CASE_LOWER));
    pos = end;
  }
  return WH_OK;
}

METHOD(upper) { return change_case(run, self, args, emit_upper, out); }
METHOD(lower) { return change_case(run, self, args, emit_lower, out); }
METHOD(casefold) { return change_case(run, self, args, emit_fold, out); }
METHOD(capitalize) { return change_case(run, self, args, emit_capitalized, out); }
METHOD(swapcase) { return change_case(run, self, args, emit_swapped, out); }
METHOD(title) { return change_case(run, self, args, emit_title, out); }
METHOD(title_words) { return change_case(run, self, args, emit_title_words, out); }

/* Is there a cased letter, and are all of them of the wanted case? */
static wh_status test_case(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           bool (*wanted)(int32_t c), wh_jinja_value *out) {
  wh_str s = wh_jinja_text(self);
  bool any = false, all = true;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  WH_TRY(wh_jinja_step(run, s.len / 4));
  for (size_t pos = 0; pos < s.len;) {
    int32_t c = wh_jinja_utf8_next(s, &pos);
    if (!wh_case_is_cased(c)) continue;
    any = true;
    all &= wanted(c);
  }
  *out = wh_jinja_bool(any && all);
  return WH_OK;
}

METHOD(isupper) { return test_case(run, self, args, wh_case_is_upper, out); }
METHOD(islower) { return test_case(run, self, args, wh_case_is_lower, out); }

/* str.istitle(): a capital begins each run of cased letters, and nothing else is one. */
METHOD(istitle) {
  wh_str s = wh_jinja_text(self);
  bool any = false, all = true, inside = false;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  WH_TRY(wh_jinja_step(run, s.len / 4));
  for (size_t pos = 0; pos < s.len;) {
    int32_t c = wh_jinja_utf8_next(s, &pos);
    bool capital = wh_case_is_upper(c) || wh_case_is_title(c);
    if (capital || wh_case_is_lower(c)) all &= capital != inside;
    inside = wh_case_is_cased(c);
    any |= inside;
  }
  *out = wh_jinja_bool(any && all);
  return WH_OK;
}
