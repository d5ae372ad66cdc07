/* jinja_filters.h - what the two files of filters share. */
#ifndef WH_TEXT_JINJA_FILTERS_H
#define WH_TEXT_JINJA_FILTERS_H

#include "text/jinja_ast.h"

#define FILTER(name)                                                                                       \
  static wh_status filter_##name(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args, \
                                 wh_jinja_value *out)

extern const wh_jinja_builtin wh_jinja_sequence_filters[]; /* ends with a NULL name */

bool wh_jinja_is_given(const wh_jinja_value *v); /* neither absent nor none */
WH_NODISCARD wh_status wh_jinja_want_int(wh_jinja_run *run, const wh_jinja_value *v, int64_t fallback,
                                         int64_t *out);

#endif
