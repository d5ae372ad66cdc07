/* jinja_tests.c - what may follow "is". */
#include <math.h>

#include "text/jinja_ast.h"
#include "text/jinja_methods.h"

#define TEST(name)                                                                                       \
  static wh_status test_##name(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args, \
                               wh_jinja_value *out)
/* A test that looks at its operand only. */
#define SIMPLE_TEST(name, condition)              \
  TEST(name) {                                    \
    WH_TRY(wh_jinja_bind(run, args, "", 0, out)); \
    *out = wh_jinja_bool(condition);              \
    return WH_OK;                                 \
  }
#define KIND(k) (self->kind == WH_JINJA_##k)

SIMPLE_TEST(defined, !KIND(UNDEFINED))
SIMPLE_TEST(undefined, KIND(UNDEFINED))
SIMPLE_TEST(none, KIND(NONE))
SIMPLE_TEST(boolean, KIND(BOOL))
SIMPLE_TEST(is_true, KIND(BOOL) && self->as.boolean)
SIMPLE_TEST(is_false, KIND(BOOL) && !self->as.boolean)
SIMPLE_TEST(integer, KIND(INT))
SIMPLE_TEST(float, KIND(FLOAT))
SIMPLE_TEST(number, KIND(INT) || KIND(FLOAT) || KIND(BOOL))
SIMPLE_TEST(string, KIND(STRING))
SIMPLE_TEST(mapping, KIND(DICT))
SIMPLE_TEST(iterable, wh_jinja_is_iterable(self))
SIMPLE_TEST(sequence,
            KIND(STRING) || KIND(LIST) || KIND(TUPLE) || KIND(RANGE) || KIND(DICT) || KIND(UNDEFINED))
SIMPLE_TEST(callable, KIND(MACRO) || KIND(FUNCTION) || KIND(METHOD) || KIND(LOOP) || KIND(UNDEFINED))
SIMPLE_TEST(escaped, KIND(STRING) && self->markup)

static wh_status test_modulo(wh_jinja_run *run, const wh_jinja_value *self, int64_t divisor, int64_t wanted,
                             wh_jinja_value *out) {
  wh_jinja_value by = wh_jinja_int(divisor), rest, want = wh_jinja_int(wanted);
  bool same;
  WH_TRY(wh_jinja_binary(run, WH_JINJA_OP_MOD, self, &by, &rest));
  WH_TRY(wh_jinja_equal(run, &rest, &want, &same));
  *out = wh_jinja_bool(same);
  return WH_OK;
}

TEST(odd) {
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  return test_modulo(run, self, 2, 1, out);
}

TEST(even) {
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  return test_modulo(run, self, 2, 0, out);
}

TEST(divisibleby) {
  wh_jinja_value by, rest, zero = wh_jinja_int(0);
  bool same;
  WH_TRY(wh_jinja_bind(run, args, "num", 1, &by));
  WH_TRY(wh_jinja_binary(run, WH_JINJA_OP_MOD, self, &by, &rest));
  WH_TRY(wh_jinja_equal(run, &rest, &zero, &same));
  *out = wh_jinja_bool(same);
  return WH_OK;
}

TEST(sameas) {
  wh_jinja_value other;
  WH_TRY(wh_jinja_bind(run, args, "other", 1, &other));
  bool same = self->kind == other.kind;
  if (same && self->kind >= WH_JINJA_LIST) {
    same = self->as.list == other.as.list;
  } else if (same) {
    WH_TRY(wh_jinja_equal(run, self, &other, &same));
  }
  *out = wh_jinja_bool(same);
  return WH_OK;
}

TEST(in) {
  wh_jinja_value container;
  bool found;
  WH_TRY(wh_jinja_bind(run, args, "seq", 1, &container));
  WH_TRY(wh_jinja_contains(run, &container, self, &found));
  *out = wh_jinja_bool(found);
  return WH_OK;
}

TEST(filter) {
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  *out = wh_jinja_bool(KIND(STRING) && wh_jinja_find_filter(wh_jinja_text(self)) != NULL);
  return WH_OK;
}

TEST(test) {
  WH_TRY(wh_jinja_bind(run, args, "", 0, out));
  *out = wh_jinja_bool(KIND(STRING) && wh_jinja_find_test(wh_jinja_text(self)) != NULL);
  return WH_OK;
}

static wh_status text_of(wh_jinja_run *run, const wh_jinja_value *self, wh_jinja_value *out) {
  wh_str text;
  WH_TRY(wh_jinja_to_text(run, self, &text));
  *out = wh_jinja_string(text);
  return WH_OK;
}

TEST(upper) {
  wh_jinja_value text;
  WH_TRY(text_of(run, self, &text));
  return wh_jinja_str_isupper(run, &text, args, out);
}

TEST(lower) {
  wh_jinja_value text;
  WH_TRY(text_of(run, self, &text));
  return wh_jinja_str_islower(run, &text, args, out);
}

static wh_status compare_with(wh_jinja_run *run, wh_jinja_operator op, const wh_jinja_value *self,
                              const wh_jinja_args *args, wh_jinja_value *out) {
  wh_jinja_value other;
  bool holds;
  WH_TRY(wh_jinja_bind(run, args, "other", 1, &other));
  WH_TRY(wh_jinja_compare_op(run, op, self, &other, &holds));
  *out = wh_jinja_bool(holds);
  return WH_OK;
}

TEST(eq) { return compare_with(run, WH_JINJA_OP_EQ, self, args, out); }
TEST(ne) { return compare_with(run, WH_JINJA_OP_NE, self, args, out); }
TEST(lt) { return compare_with(run, WH_JINJA_OP_LT, self, args, out); }
TEST(le) { return compare_with(run, WH_JINJA_OP_LE, self, args, out); }
TEST(gt) { return compare_with(run, WH_JINJA_OP_GT, self, args, out); }
TEST(ge) { return compare_with(run, WH_JINJA_OP_GE, self, args, out); }

const wh_jinja_builtin *wh_jinja_find_test(wh_str name) {
  static const wh_jinja_builtin tests[] = {
      {"defined", test_defined},
      {"undefined", test_undefined},
      {"none", test_none},
      {"boolean", test_boolean},
      {"true", test_is_true},
      {"false", test_is_false},
      {"integer", test_integer},
      {"float", test_float},
      {"number", test_number},
      {"string", test_string},
      {"mapping", test_mapping},
      {"iterable", test_iterable},
      {"sequence", test_sequence},
      {"callable", test_callable},
      {"escaped", test_escaped},
      {"odd", test_odd},
      {"even", test_even},
      {"divisibleby", test_divisibleby},
      {"sameas", test_sameas},
      {"in", test_in},
      {"filter", test_filter},
      {"test", test_test},
      {"upper", test_upper},
      {"lower", test_lower},
      {"==", test_eq},
      {"eq", test_eq},
      {"equalto", test_eq},
      {"!=", test_ne},
      {"ne", test_ne},
      {"<", test_lt},
      {"lt", test_lt},
      {"lessthan", test_lt},
      {"<=", test_le},
      {"le", test_le},
      {">", test_gt},
      {"gt", test_gt},
      {"greaterthan", test_gt},
      {">=", test_ge},
      {"ge", test_ge},
  };
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
    if (wh_str_is(name, tests[i].name)) return &tests[i];
  return NULL;
}
