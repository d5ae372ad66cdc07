/* jinja_number.h - numbers to text and back exactly as Python writes and reads them, whatever the C locale.
 */
#ifndef WH_TEXT_JINJA_NUMBER_H
#define WH_TEXT_JINJA_NUMBER_H

#include <stdint.h>

#include "core/base/str.h"

#define WH_JINJA_NUMBER_BYTES 400 /* enough for %f of the largest double with the precision limit below */
#define WH_JINJA_PRECISION_MAX 60

/* int(text, base): sign, underscores between digits, base 0 = from the prefix. False if malformed or not 64
 * bits. */
bool wh_jinja_parse_int(wh_str text, int base, int64_t *out);
/* float(text): decimal with underscores, inf, infinity, nan. */
bool wh_jinja_parse_float(wh_str text, double *out);

/* repr(float): the shortest digits that read back as the same double. Returns the length. */
size_t wh_jinja_format_float(double x, char out[WH_JINJA_NUMBER_BYTES]);
/* '%.{precision}{conversion}' with conversion one of e f g E F G; precision <= WH_JINJA_PRECISION_MAX. */
size_t wh_jinja_format_fixed(double x, int precision, char conversion, bool alternate,
                             char out[WH_JINJA_NUMBER_BYTES]);

#endif
