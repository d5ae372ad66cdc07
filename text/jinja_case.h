/* jinja_case.h - letter case and digits of Unicode characters, as Python's str has them. Pure functions. */
#ifndef WH_TEXT_JINJA_CASE_H
#define WH_TEXT_JINJA_CASE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/str.h"

typedef enum wh_case { WH_CASE_UPPER, WH_CASE_LOWER, WH_CASE_TITLE, WH_CASE_FOLD } wh_case;

#define WH_CASE_CHARS_MAX 3
/* The full mapping of a character without regard to its neighbours; returns how many characters it becomes.
 */
size_t wh_case_map(int32_t c, wh_case to, int32_t out[WH_CASE_CHARS_MAX]);
/* Is the capital sigma at byte `at` of the text the last letter of a word, and so U+03C2 when lowered? */
bool wh_case_is_final_sigma(wh_str text, size_t at);

bool wh_case_is_upper(int32_t c); /* the property Uppercase */
bool wh_case_is_lower(int32_t c); /* the property Lowercase */
bool wh_case_is_title(int32_t c); /* category Lt */
bool wh_case_is_cased(int32_t c); /* any of them */

bool wh_char_is_decimal(int32_t c);
bool wh_char_is_digit(int32_t c);   /* also superscripts, circled digits ... */
bool wh_char_is_numeric(int32_t c); /* also fractions, Roman and Chinese numbers ... */

#endif
