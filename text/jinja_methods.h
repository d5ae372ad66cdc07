/* jinja_methods.h - the methods of str, and the tests of letter case that need them. */
#ifndef WH_TEXT_JINJA_METHODS_H
#define WH_TEXT_JINJA_METHODS_H

#include "text/jinja_value.h"

extern const wh_jinja_builtin wh_jinja_str_methods[]; /* ends with a NULL name */
wh_status wh_jinja_str_isupper(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *,
                               wh_jinja_value *);
wh_status wh_jinja_str_islower(wh_jinja_run *, const wh_jinja_value *, const wh_jinja_args *,
                               wh_jinja_value *);

#endif
