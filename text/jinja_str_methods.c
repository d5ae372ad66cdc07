/* jinja_str_methods.c - methods of str, but for letter case (jinja_str_case.c). Filters of the same meaning
 * (trim, replace ...) call these. */
#define _GNU_SOURCE /* memmem */
#include <string.h>
#include <utf8proc.h>

#include "text/jinja_ast.h"
#include "text/jinja_case.h"
#include "text/jinja_methods.h"
#include "text/jinja_utf8.h"

/* The text a method works on; filters hand over any value. */
static wh_status self_text(wh_jinja_run *run, const wh_jinja_value *self, wh_str *out) {
  WH_TRY(wh_jinja_to_text(run, self, out));
  return wh_jinja_step(run, out->len / 16);
}

static wh_status want_text(wh_jinja_run *run, const wh_jinja_value *v, wh_str *out) {
  if (v->kind != WH_JINJA_STRING)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s() needs a string, not '%s'", run->callee,
                         wh_jinja_type_name(v));
  *out = wh_jinja_text(v);
  return WH_OK;
}

static bool is_given(const wh_jinja_value *v) {
  return v->kind != WH_JINJA_ABSENT && v->kind != WH_JINJA_NONE;
}

static wh_status want_int(wh_jinja_run *run, const wh_jinja_value *v, int64_t fallback, int64_t *out) {
  *out = fallback;
  if (!is_given(v) || wh_jinja_as_int(v, out)) return WH_OK;
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s() needs an integer, not '%s'", run->callee,
                       wh_jinja_type_name(v));
}

static bool contains_character(wh_str set, int32_t c) {
  for (size_t pos = 0; pos < set.len;)
    if (wh_jinja_utf8_next(set, &pos) == c) return true;
  return false;
}

static wh_status strip(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args, bool left,
                       bool right, wh_jinja_value *out) {
  wh_jinja_value chars;
  wh_str s, set = {NULL, 0};
  WH_TRY(wh_jinja_bind(run, args, "chars", 0, &chars));
  WH_TRY(self_text(run, self, &s));
  bool whitespace = !is_given(&chars), markup = self->markup;
  if (!whitespace) WH_TRY(want_text(run, &chars, &set));
  size_t worst;
  if (!wh_mul_size(s.len, set.len, &worst)) worst = SIZE_MAX;
  WH_TRY(wh_jinja_step(run,
                       set.len > 16 ? worst / 16 : 0)); /* each character may be looked up in the whole set */
  for (size_t pos = 0; left && s.len; pos = 0) {
    int32_t c = wh_jinja_utf8_next(s, &pos);
    if (whitespace ? !wh_jinja_utf8_is_space(c) : !contains_character(set, c)) break;
    s = (wh_str){s.data + pos, s.len - pos};
  }
  for (size_t start = s.len; right && s.len; start = s.len) {
    int32_t c = wh_jinja_utf8_before(s, &start);
    if (whitespace ? !wh_jinja_utf8_is_space(c) : !contains_character(set, c)) break;
    s.len = start;
  }
  *out = wh_jinja_string(s);
  out->markup = markup;
  return WH_OK;
}

wh_status wh_jinja_str_strip(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                             wh_jinja_value *out) {
  return strip(run, self, args, true, true, out);
}

static wh_status str_lstrip(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                            wh_jinja_value *out) {
  return strip(run, self, args, true, false, out);
}

static wh_status str_rstrip(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                            wh_jinja_value *out) {
  return strip(run, self, args, false, true, out);
}

static bool find_text(wh_str s, size_t from, wh_str part, size_t *out) {
  if (part.len > s.len - from) return false;
  const char *p = part.len ? memmem(s.data + from, s.len - from, part.data, part.len) : s.data + from;
  if (!p) return false;
  *out = (size_t)(p - s.data);
  return true;
}

/* Pays for searching `part` in `s`, from the left in linear time, from the right by trying each place. */
static wh_status pay_search(wh_jinja_run *run, wh_str s, wh_str part, bool from_right) {
  size_t places = s.len > part.len ? s.len - part.len : 1, bytes;
  WH_TRY(wh_jinja_step(run, s.len / 8));
  if (!from_right) return WH_OK;
  if (!wh_mul_size(places, part.len, &bytes)) bytes = SIZE_MAX;
  return wh_jinja_step(run, bytes / 1024);
}

static bool find_text_from_right(wh_str s, wh_str part, size_t *out) {
  if (part.len > s.len) return false;
  for (size_t i = s.len - part.len + 1; i-- > 0;) {
    if (memcmp(s.data + i, part.data, part.len) != 0) continue;
    *out = i;
    return true;
  }
  return false;
}

wh_status wh_jinja_str_replace(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                               wh_jinja_value *out) {
  wh_jinja_value bound[3];
  wh_str s, old, new;
  int64_t count;
  WH_TRY(wh_jinja_bind(run, args, "old new count", 2, bound));
  WH_TRY(self_text(run, self, &s));
  WH_TRY(wh_jinja_to_text(run, &bound[0], &old));
  WH_TRY(wh_jinja_to_text(run, &bound[1], &new));
  WH_TRY(want_int(run, &bound[2], -1, &count));
  WH_TRY(pay_search(run, s, old, false));
  size_t mark = wh_jinja_mark(run), pos = 0, found;
  while (count != 0 && find_text(s, pos, old, &found)) {
    WH_TRY(wh_jinja_step(run, 1));
    WH_TRY(wh_jinja_emit(run, s.data + pos, found - pos));
    WH_TRY(wh_jinja_emit(run, new.data, new.len));
    pos = found + old.len;
    if (count > 0) count--;
    if (old.len) continue;
    if (pos >= s.len) break; /* an empty `old` is found before each character and at the end */
    size_t next = pos;
    (void)wh_jinja_utf8_next(s, &next);
    WH_TRY(wh_jinja_emit(run, s.data + pos, next - pos));
    pos = next;
  }
  WH_TRY(wh_jinja_emit(run, s.data + pos, s.len - pos));
  return wh_jinja_take_string(run, mark, out);
}

/* Collects parts without knowing their number. */
typedef struct parts {
  wh_jinja_value *items;
  size_t n, capacity;
} parts;

static wh_status add_part(wh_jinja_run *run, parts *p, wh_str text) {
  if (p->n == p->capacity) {
    size_t capacity = p->capacity ? 2 * p->capacity : 8;
    wh_jinja_value *items;
    WH_TRY(wh_jinja_alloc(run, capacity, sizeof *items, &items));
    if (p->n) memcpy(items, p->items, p->n * sizeof *items);
    p->items = items;
    p->capacity = capacity;
  }
  p->items[p->n++] = wh_jinja_string(text);
  return WH_OK;
}

static wh_status take_parts(wh_jinja_run *run, const parts *p, wh_jinja_value *out) {
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_LIST, 0, out));
  out->as.list->items = p->items;
  out->as.list->n = p->n;
  return WH_OK;
}

static void reverse_parts(parts *p) {
  for (size_t i = 0; i < p->n / 2; i++) {
    wh_jinja_value t = p->items[i];
    p->items[i] = p->items[p->n - 1 - i];
    p->items[p->n - 1 - i] = t;
  }
}

static wh_status split_space(wh_jinja_run *run, wh_str s, int64_t max, parts *out) {
  for (;;) {
    s = wh_jinja_utf8_strip_left(s);
    if (!s.len) return WH_OK;
    if (max == 0) return add_part(run, out, s);
    size_t end = 0, next = 0;
    while (end < s.len && !wh_jinja_utf8_is_space(wh_jinja_utf8_next(s, &next))) end = next;
    WH_TRY(add_part(run, out, (wh_str){s.data, end}));
    s = (wh_str){s.data + end, s.len - end};
    if (max > 0) max--;
  }
}

static wh_status rsplit_space(wh_jinja_run *run, wh_str s, int64_t max, parts *out) {
  for (;;) {
    s = wh_jinja_utf8_strip_right(s);
    if (!s.len) return WH_OK;
    if (max == 0) return add_part(run, out, s);
    size_t start = s.len, before = s.len;
    while (start > 0 && !wh_jinja_utf8_is_space(wh_jinja_utf8_before(s, &before))) start = before;
    WH_TRY(add_part(run, out, (wh_str){s.data + start, s.len - start}));
    s.len = start;
    if (max > 0) max--;
  }
}

static wh_status split(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                       bool from_right, wh_jinja_value *out) {
  wh_jinja_value bound[2];
  wh_str s = wh_jinja_text(self), separator;
  int64_t max;
  parts p = {0};
  size_t pos = 0, found;
  WH_TRY(wh_jinja_bind(run, args, "sep maxsplit", 0, bound));
  WH_TRY(want_int(run, &bound[1], -1, &max));
  WH_TRY(wh_jinja_step(run, s.len / 16));
  if (!is_given(&bound[0])) {
    WH_TRY(from_right ? rsplit_space(run, s, max, &p) : split_space(run, s, max, &p));
    if (from_right) reverse_parts(&p);
    return take_parts(run, &p, out);
  }
  WH_TRY(want_text(run, &bound[0], &separator));
  if (!separator.len)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "split() needs a separator that is not empty");
  WH_TRY(pay_search(run, s, separator, from_right && max >= 0));
  if (from_right && max >= 0) {
    while (max-- > 0 && find_text_from_right(s, separator, &found)) {
      WH_TRY(add_part(run, &p, (wh_str){s.data + found + separator.len, s.len - found - separator.len}));
      s.len = found;
    }
    WH_TRY(add_part(run, &p, s));
    reverse_parts(&p);
    return take_parts(run, &p, out);
  }
  while (max != 0 && find_text(s, pos, separator, &found)) {
    WH_TRY(add_part(run, &p, (wh_str){s.data + pos, found - pos}));
    pos = found + separator.len;
    if (max > 0) max--;
  }
  WH_TRY(add_part(run, &p, (wh_str){s.data + pos, s.len - pos}));
  return take_parts(run, &p, out);
}

static wh_status str_split(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           wh_jinja_value *out) {
  return split(run, self, args, false, out);
}

static wh_status str_rsplit(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                            wh_jinja_value *out) {
  return split(run, self, args, true, out);
}

static bool is_line_end(int32_t c) {
  return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

wh_status wh_jinja_str_splitlines(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                                  wh_jinja_value *out) {
  wh_jinja_value keep;
  wh_str s;
  parts p = {0};
  WH_TRY(wh_jinja_bind(run, args, "keepends", 0, &keep));
  WH_TRY(self_text(run, self, &s));
  bool keep_ends = keep.kind != WH_JINJA_ABSENT && wh_jinja_truthy(&keep);
  size_t start = 0;
  for (size_t pos = 0; pos < s.len;) {
    size_t end = pos;
    int32_t c = wh_jinja_utf8_next(s, &pos);
    if (!is_line_end(c)) continue;
    if (c == '\r' && pos < s.len && s.data[pos] == '\n') pos++;
    WH_TRY(add_part(run, &p, (wh_str){s.data + start, (keep_ends ? pos : end) - start}));
    start = pos;
  }
  if (start < s.len) WH_TRY(add_part(run, &p, (wh_str){s.data + start, s.len - start}));
  return take_parts(run, &p, out);
}

static wh_status str_partition(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                               bool from_right, wh_jinja_value *out) {
  wh_jinja_value bound;
  wh_str s = wh_jinja_text(self), separator;
  WH_TRY(wh_jinja_bind(run, args, "sep", 1, &bound));
  WH_TRY(want_text(run, &bound, &separator));
  WH_TRY(pay_search(run, s, separator, from_right));
  if (!separator.len) return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "partition() needs a separator");
  size_t found = 0;
  bool any = from_right ? find_text_from_right(s, separator, &found) : find_text(s, 0, separator, &found);
  wh_str empty = {"", 0}, parts_[3] = {s, empty, empty};
  if (any) {
    parts_[0].len = found;
    parts_[1] = separator;
    parts_[2] = (wh_str){s.data + found + separator.len, s.len - found - separator.len};
  } else if (from_right) {
    parts_[0] = empty;
    parts_[2] = s;
  }
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_TUPLE, 3, out));
  for (int i = 0; i < 3; i++) out->as.list->items[i] = wh_jinja_string(parts_[i]);
  return WH_OK;
}

static wh_status str_partition_left(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                                    wh_jinja_value *out) {
  return str_partition(run, self, args, false, out);
}

static wh_status str_partition_right(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                                     wh_jinja_value *out) {
  return str_partition(run, self, args, true, out);
}

/* self[start:end] in bytes; false when start lies behind the end of the text. */
static wh_status clip(wh_jinja_run *run, const wh_jinja_value *start, const wh_jinja_value *end, wh_str s,
                      size_t *first, size_t *last, bool *valid) {
  int64_t n = (int64_t)wh_jinja_utf8_count(s), from, to;
  WH_TRY(want_int(run, start, 0, &from));
  WH_TRY(want_int(run, end, n, &to));
  if (from < 0) from = from + n < 0 ? 0 : from + n;
  if (to < 0) to = to + n < 0 ? 0 : to + n;
  if (to > n) to = n;
  *valid = from <= to;
  *first = wh_jinja_utf8_offset(s, from > n ? (size_t)n : (size_t)from);
  *last = wh_jinja_utf8_offset(s, (size_t)to);
  return WH_OK;
}

static bool has_affix(wh_str s, wh_str affix, bool at_end) {
  return affix.len <= s.len &&
         memcmp(at_end ? s.data + s.len - affix.len : s.data, affix.data, affix.len) == 0;
}

static wh_status test_affix(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                            bool at_end, wh_jinja_value *out) {
  wh_jinja_value bound[3];
  wh_str s = wh_jinja_text(self), affix;
  size_t first, last;
  bool valid, found = false;
  WH_TRY(wh_jinja_bind(run, args, "affix start end", 1, bound));
  WH_TRY(clip(run, &bound[1], &bound[2], s, &first, &last, &valid));
  WH_TRY(wh_jinja_step(run, s.len / 64));
  wh_str part = {s.data + first, valid ? last - first : 0};
  if (bound[0].kind == WH_JINJA_TUPLE) {
    for (size_t i = 0; i < bound[0].as.list->n && !found; i++) {
      WH_TRY(want_text(run, &bound[0].as.list->items[i], &affix));
      found = valid && has_affix(part, affix, at_end);
    }
  } else {
    WH_TRY(want_text(run, &bound[0], &affix));
    found = valid && has_affix(part, affix, at_end);
  }
  *out = wh_jinja_bool(found);
  return WH_OK;
}

static wh_status str_startswith(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                                wh_jinja_value *out) {
  return test_affix(run, self, args, false, out);
}

static wh_status str_endswith(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                              wh_jinja_value *out) {
  return test_affix(run, self, args, true, out);
}

static wh_status remove_affix(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                              bool at_end, wh_jinja_value *out) {
  wh_jinja_value bound;
  wh_str s = wh_jinja_text(self), affix;
  WH_TRY(wh_jinja_bind(run, args, "affix", 1, &bound));
  WH_TRY(want_text(run, &bound, &affix));
  if (has_affix(s, affix, at_end)) {
    s.len -= affix.len;
    if (!at_end) s.data += affix.len;
  }
  *out = wh_jinja_string(s);
  return WH_OK;
}

static wh_status str_removeprefix(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                                  wh_jinja_value *out) {
  return remove_affix(run, self, args, false, out);
}

static wh_status str_removesuffix(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                                  wh_jinja_value *out) {
  return remove_affix(run, self, args, true, out);
}

static wh_status find(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                      bool from_right, int64_t *out) {
  wh_jinja_value bound[3];
  wh_str s = wh_jinja_text(self), part;
  size_t first, last, found = 0;
  bool valid;
  WH_TRY(wh_jinja_bind(run, args, "sub start end", 1, bound));
  WH_TRY(want_text(run, &bound[0], &part));
  WH_TRY(clip(run, &bound[1], &bound[2], s, &first, &last, &valid));
  WH_TRY(pay_search(run, s, part, from_right));
  wh_str inside = {s.data + first, valid ? last - first : 0};
  bool any =
      valid && (from_right ? find_text_from_right(inside, part, &found) : find_text(inside, 0, part, &found));
  *out = any ? (int64_t)wh_jinja_utf8_count((wh_str){s.data, first + found}) : -1;
  return WH_OK;
}

static wh_status str_find(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                          wh_jinja_value *out) {
  int64_t index;
  WH_TRY(find(run, self, args, false, &index));
  *out = wh_jinja_int(index);
  return WH_OK;
}

static wh_status str_rfind(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           wh_jinja_value *out) {
  int64_t index;
  WH_TRY(find(run, self, args, true, &index));
  *out = wh_jinja_int(index);
  return WH_OK;
}

static wh_status str_index(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           wh_jinja_value *out) {
  int64_t index;
  WH_TRY(find(run, self, args, false, &index));
  if (index < 0) return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "substring not found");
  *out = wh_jinja_int(index);
  return WH_OK;
}

static wh_status str_count(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           wh_jinja_value *out) {
  wh_jinja_value bound[3];
  wh_str s = wh_jinja_text(self), part;
  size_t first, last, pos = 0, found;
  bool valid;
  int64_t n = 0;
  WH_TRY(wh_jinja_bind(run, args, "sub start end", 1, bound));
  WH_TRY(want_text(run, &bound[0], &part));
  WH_TRY(clip(run, &bound[1], &bound[2], s, &first, &last, &valid));
  WH_TRY(pay_search(run, s, part, false));
  wh_str inside = {s.data + first, valid ? last - first : 0};
  if (part.len == 0) {
    n = valid ? (int64_t)wh_jinja_utf8_count(inside) + 1 : 0;
  } else {
    for (; valid && find_text(inside, pos, part, &found); pos = found + part.len) n++;
  }
  *out = wh_jinja_int(n);
  return WH_OK;
}

static wh_status str_join(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                          wh_jinja_value *out) {
  wh_jinja_value bound, *items;
  wh_str s = wh_jinja_text(self), part;
  size_t n;
  WH_TRY(wh_jinja_bind(run, args, "iterable", 1, &bound));
  WH_TRY(wh_jinja_iterate(run, &bound, &items, &n));
  size_t mark = wh_jinja_mark(run);
  for (size_t i = 0; i < n; i++) {
    WH_TRY(want_text(run, &items[i], &part));
    WH_TRY(wh_jinja_step(run, 1));
    if (i) WH_TRY(wh_jinja_emit(run, s.data, s.len));
    WH_TRY(wh_jinja_emit(run, part.data, part.len));
  }
  return wh_jinja_take_string(run, mark, out);
}

/* Pads to `width` characters; a fraction `left_share`/2 of the padding goes to the left. */
static wh_status pad(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args, int left_share,
                     wh_jinja_value *out) {
  wh_jinja_value bound[2];
  wh_str s, fill = {" ", 1};
  int64_t width;
  WH_TRY(wh_jinja_bind(run, args, "width fillchar", 0, bound));
  WH_TRY(self_text(run, self, &s));
  WH_TRY(want_int(run, &bound[0], 80, &width));
  if (bound[1].kind != WH_JINJA_ABSENT) WH_TRY(want_text(run, &bound[1], &fill));
  if (wh_jinja_utf8_count(fill) != 1)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "the fill character must be exactly one character long");
  int64_t n = (int64_t)wh_jinja_utf8_count(s), space = width > n ? width - n : 0;
  if ((uint64_t)space > WH_JINJA_OUTPUT_MAX) return WH_JINJA_FAIL(run, ERR_LIMIT, "text is padded too far");
  int64_t left = left_share == 1 ? space / 2 + (space & width & 1) : left_share == 2 ? space : 0;
  WH_TRY(wh_jinja_step(run, (size_t)space / 4));
  size_t mark = wh_jinja_mark(run);
  for (int64_t i = 0; i < left; i++) WH_TRY(wh_jinja_emit(run, fill.data, fill.len));
  WH_TRY(wh_jinja_emit(run, s.data, s.len));
  for (int64_t i = left; i < space; i++) WH_TRY(wh_jinja_emit(run, fill.data, fill.len));
  return wh_jinja_take_string(run, mark, out);
}

wh_status wh_jinja_str_center(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                              wh_jinja_value *out) {
  return pad(run, self, args, 1, out);
}

static wh_status str_ljust(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           wh_jinja_value *out) {
  return pad(run, self, args, 0, out);
}

static wh_status str_rjust(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           wh_jinja_value *out) {
  return pad(run, self, args, 2, out);
}

static wh_status str_zfill(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                           wh_jinja_value *out) {
  wh_jinja_value bound;
  wh_str s = wh_jinja_text(self);
  int64_t width;
  WH_TRY(wh_jinja_bind(run, args, "width", 1, &bound));
  WH_TRY(want_int(run, &bound, 0, &width));
  if (width > (int64_t)WH_JINJA_OUTPUT_MAX) return WH_JINJA_FAIL(run, ERR_LIMIT, "text is padded too far");
  size_t mark = wh_jinja_mark(run), sign = s.len && (s.data[0] == '-' || s.data[0] == '+');
  WH_TRY(wh_jinja_step(run, width > 0 ? (size_t)width / 4 : 0));
  WH_TRY(wh_jinja_emit(run, s.data, sign));
  for (int64_t i = (int64_t)wh_jinja_utf8_count(s); i < width; i++) WH_TRY(wh_jinja_emit(run, "0", 1));
  WH_TRY(wh_jinja_emit(run, s.data + sign, s.len - sign));
  return wh_jinja_take_string(run, mark, out);
}

typedef bool (*character_test)(int32_t c);
static bool is_alpha(int32_t c) {
  utf8proc_category_t category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}
static bool is_alnum(int32_t c) { return is_alpha(c) || wh_char_is_numeric(c); }

static wh_status test_all(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                          character_test test, wh_jinja_value *out) {
  wh_str s = wh_jinja_text(self);
  bool holds = s.len > 0;
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  WH_TRY(wh_jinja_step(run, s.len / 4));
  for (size_t pos = 0; holds && pos < s.len;) holds = test(wh_jinja_utf8_next(s, &pos));
  *out = wh_jinja_bool(holds);
  return WH_OK;
}

#define CHARACTER_TEST(name, test)                                                                \
  static wh_status name(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args, \
                        wh_jinja_value *out) {                                                    \
    return test_all(run, self, args, test, out);                                                  \
  }
CHARACTER_TEST(str_isdecimal, wh_char_is_decimal)
CHARACTER_TEST(str_isdigit, wh_char_is_digit)
CHARACTER_TEST(str_isnumeric, wh_char_is_numeric)
CHARACTER_TEST(str_isalpha, is_alpha)
CHARACTER_TEST(str_isalnum, is_alnum)
CHARACTER_TEST(str_isspace, wh_jinja_utf8_is_space)

static wh_status str_format(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                            wh_jinja_value *out) {
  return wh_jinja_format_braces(run, wh_jinja_text(self), args, out);
}

const wh_jinja_builtin wh_jinja_str_methods[] = {
    {"strip", wh_jinja_str_strip},
    {"lstrip", str_lstrip},
    {"rstrip", str_rstrip},
    {"split", str_split},
    {"rsplit", str_rsplit},
    {"splitlines", wh_jinja_str_splitlines},
    {"partition", str_partition_left},
    {"rpartition", str_partition_right},
    {"startswith", str_startswith},
    {"endswith", str_endswith},
    {"removeprefix", str_removeprefix},
    {"removesuffix", str_removesuffix},
    {"replace", wh_jinja_str_replace},
    {"join", str_join},
    {"format", str_format},
    {"find", str_find},
    {"rfind", str_rfind},
    {"index", str_index},
    {"count", str_count},
    {"upper", wh_jinja_str_upper},
    {"lower", wh_jinja_str_lower},
    {"casefold", wh_jinja_str_casefold},
    {"capitalize", wh_jinja_str_capitalize},
    {"title", wh_jinja_str_title},
    {"swapcase", wh_jinja_str_swapcase},
    {"center", wh_jinja_str_center},
    {"ljust", str_ljust},
    {"rjust", str_rjust},
    {"zfill", str_zfill},
    {"isdigit", str_isdigit},
    {"isdecimal", str_isdecimal},
    {"isnumeric", str_isnumeric},
    {"isalpha", str_isalpha},
    {"isalnum", str_isalnum},
    {"isspace", str_isspace},
    {"isupper", wh_jinja_str_isupper},
    {"islower", wh_jinja_str_islower},
    {"istitle", wh_jinja_str_istitle},
    {NULL, NULL},
};
