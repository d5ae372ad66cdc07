/* jinja_utf8.h - code points, whitespace and letter case as Python's str sees them. All strings of a
 * rendering are valid UTF-8: the template is checked when compiled, the context by the JSON parser, slices
 * cut at code points. */
#ifndef WH_TEXT_JINJA_UTF8_H
#define WH_TEXT_JINJA_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/str.h"

bool wh_jinja_utf8_valid(wh_str s, size_t *bad_offset);
/* Decodes the code point at s[*pos] (valid UTF-8, *pos < len) and moves *pos behind it. */
int32_t wh_jinja_utf8_next(wh_str s, size_t *pos);
int32_t wh_jinja_utf8_before(wh_str s,
                             size_t *pos); /* the one that ends at *pos > 0; moves *pos to its start */
size_t wh_jinja_utf8_encode(int32_t code_point, char out[4]);
size_t wh_jinja_utf8_count(wh_str s);
/* Byte offset of the index-th code point; s.len when there are fewer. */
size_t wh_jinja_utf8_offset(wh_str s, size_t index);

bool wh_jinja_utf8_is_space(int32_t code_point);     /* str.isspace() */
bool wh_jinja_utf8_is_printable(int32_t code_point); /* str.isprintable(): decides what repr() escapes */

/* Strip whitespace; the result is a view into s. */
wh_str wh_jinja_utf8_strip_left(wh_str s);
wh_str wh_jinja_utf8_strip_right(wh_str s);

#endif
