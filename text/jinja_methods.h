/* jinja_methods.h - the methods of str, and the tests of letter case that need them. */
#ifndef WH_TEXT_JINJA_METHODS_H
#define WH_TEXT_JINJA_METHODS_H

#include "text/jinja_value.h"

extern const wh_jinja_builtin wh_jinja_str_methods[]; /* ends with a NULL name */

/* jinja_str_case.c */
#define WH_JINJA_METHOD(name) \
  wh_status name(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *, wh_jinja_value *)
WH_JINJA_METHOD(wh_jinja_str_casefold);
WH_JINJA_METHOD(wh_jinja_str_swapcase);
WH_JINJA_METHOD(wh_jinja_str_title);
WH_JINJA_METHOD(wh_jinja_str_isupper);
WH_JINJA_METHOD(wh_jinja_str_islower);
WH_JINJA_METHOD(wh_jinja_str_istitle);
#undef WH_JINJA_METHOD

#endif
