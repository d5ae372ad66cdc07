/* jinja_functions.c - the global functions of a chat template: Jinja's range, dict and namespace, and what
 * transformers adds: raise_exception and strftime_now. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_ast.h"

static wh_status function_range(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                                wh_jinja_value *out) {
  (void)self;
  int64_t start = 0, stop = 0, step = 1;
  wh_jinja_value bound[3];
  WH_TRY(wh_jinja_bind(run, args, "start stop step", 1, bound));
  for (int i = 0; i < 3; i++) {
    int64_t value;
    if (bound[i].kind == WH_JINJA_ABSENT) continue;
    if (bound[i].kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, &bound[i]);
    if (!wh_jinja_as_int(&bound[i], &value))
      return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "'%s' object cannot be interpreted as an integer",
                           wh_jinja_type_name(&bound[i]));
    *(i == 0 ? &start : i == 1 ? &stop : &step) = value;
  }
  if (bound[1].kind == WH_JINJA_ABSENT) {
    stop = start;
    start = 0;
  }
  if (step == 0) return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "range() step must not be zero");
  uint64_t n = 0;
  if (step > 0 && start < stop) n = ((uint64_t)stop - (uint64_t)start - 1) / (uint64_t)step + 1;
  if (step < 0 && start > stop) n = ((uint64_t)start - (uint64_t)stop - 1) / (0 - (uint64_t)step) + 1;
  if (n > WH_JINJA_RANGE_MAX)
    return WH_JINJA_FAIL(run, ERR_LIMIT, "range too big: %" PRIu64 " items, at most %d are allowed", n,
                         WH_JINJA_RANGE_MAX);
  WH_TRY(wh_jinja_new_list(run, WH_JINJA_RANGE, (size_t)n, out));
  wh_jinja_list *list = out->as.list;
  list->start = start;
  list->stop = stop;
  list->step = step;
  for (uint64_t i = 0; i < n; i++)
    list->items[i] = wh_jinja_int((int64_t)((uint64_t)start + i * (uint64_t)step));
  return WH_OK;
}

/* dict(mapping or pairs, name=value ...), also the constructor of namespaces. */
static wh_status make_dict(wh_jinja_run *run, const wh_jinja_args *args, wh_jinja_kind kind,
                           wh_jinja_value *out) {
  wh_jinja_value dict;
  WH_TRY(wh_jinja_new_dict(run, kind, args->n_named, &dict));
  if (args->n > 1)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s() takes at most 1 positional argument", run->callee);
  if (args->n == 1 && args->values[0].kind == WH_JINJA_DICT) {
    const wh_jinja_dict *from = args->values[0].as.dict;
    for (size_t i = 0; i < from->n; i++)
      WH_TRY(wh_jinja_dict_append(run, dict.as.dict, &from->pairs[i].key, &from->pairs[i].value));
  } else if (args->n == 1) {
    wh_jinja_value *items, *pair;
    size_t n, n_pair;
    if (args->values[0].kind == WH_JINJA_UNDEFINED) return wh_jinja_fail_undefined(run, &args->values[0]);
    WH_TRY(wh_jinja_iterate(run, &args->values[0], &items, &n));
    for (size_t i = 0; i < n; i++) {
      WH_TRY(wh_jinja_iterate(run, &items[i], &pair, &n_pair));
      if (n_pair != 2)
        return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s(): element %zu has length %zu, 2 is required",
                             run->callee, i, n_pair);
      WH_TRY(wh_jinja_dict_put(run, dict.as.dict, &pair[0], &pair[1]));
    }
  }
  for (size_t i = 0; i < args->n_named; i++)
    WH_TRY(wh_jinja_dict_put(run, dict.as.dict, &args->named[i].key, &args->named[i].value));
  *out = dict;
  return WH_OK;
}

static wh_status function_dict(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                               wh_jinja_value *out) {
  (void)self;
  return make_dict(run, args, WH_JINJA_DICT, out);
}

static wh_status function_namespace(wh_jinja_run *run, const wh_jinja_value *self, const wh_jinja_args *args,
                                    wh_jinja_value *out) {
  (void)self;
  return make_dict(run, args, WH_JINJA_NAMESPACE, out);
}

static wh_status function_raise_exception(wh_jinja_run *run, const wh_jinja_value *self,
                                          const wh_jinja_args *args, wh_jinja_value *out) {
  (void)self;
  (void)out;
  wh_jinja_value message;
  wh_str text;
  WH_TRY(wh_jinja_bind(run, args, "message", 1, &message));
  WH_TRY(wh_jinja_to_text(run, &message, &text));
  /* The message is a C string, and has room for the start of a long text. */
  char shown[401];
  size_t n = text.len < sizeof shown ? text.len : sizeof shown - 1;
  while (n && n < text.len && ((unsigned char)text.data[n] & 0xc0) == 0x80) n--;
  for (size_t i = 0; i < n; i++) shown[i] = text.data[i] ? text.data[i] : '?';
  shown[n] = '\0';
  return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "%s", shown);
}

typedef struct civil_time {
  int64_t year, day_of_year;                     /* day_of_year from 0 */
  int month, day, hour, minute, second, weekday; /* month from 0, weekday 0 = Sunday */
} civil_time;

/* Seconds since 1970 to the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible low-level date
 * algorithms"). */
static civil_time civil_from_unix(int64_t now) {
  const int64_t limit = INT64_C(253402300799); /* the end of year 9999, where Python's datetime ends too */
  if (now > limit) now = limit;
  if (now < -62135596800) now = -62135596800; /* the start of year 1 */
  int64_t days = now / 86400, second = now % 86400;
  if (second < 0) {
    second += 86400;
    days--;
  }
  int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
  int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  civil_time t = {.year = yoe + era * 400 + (mp >= 10), .hour = (int)(second / 3600)};
  t.month = (int)(mp < 10 ? mp + 2 : mp - 10);
  t.day = (int)(doy - (153 * mp + 2) / 5 + 1);
  t.minute = (int)(second / 60 % 60);
  t.second = (int)(second % 60);
  t.weekday = (int)(((days + 4) % 7 + 7) % 7);
  static const int before_month[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  bool leap = t.year % 4 == 0 && (t.year % 100 != 0 || t.year % 400 == 0);
  t.day_of_year = before_month[t.month] + (leap && t.month > 1) + t.day - 1;
  return t;
}

/* One conversion of strftime; `pad` is 0 (as usual), '-' (none), '_' (blanks), '0'. False: no such
 * conversion. */
static bool format_time(const civil_time *t, char conversion, char pad, char *out, size_t out_bytes) {
  static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                       "July",    "August",   "September", "October", "November", "December"};
  static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                     "Thursday", "Friday", "Saturday"};
  int64_t number;
  int width = 2, hour12 = t->hour % 12 ? t->hour % 12 : 12;
  switch (conversion) {
    case 'a':
    case 'A':
      (void)snprintf(out, out_bytes, "%.*s", conversion == 'a' ? 3 : 16, days[t->weekday]);
      return true;
    case 'b':
    case 'h':
    case 'B':
      (void)snprintf(out, out_bytes, "%.*s", conversion == 'B' ? 16 : 3, months[t->month]);
      return true;
    case 'p':
      (void)snprintf(out, out_bytes, "%s", t->hour < 12 ? "AM" : "PM");
      return true;
    case 'F':
      (void)snprintf(out, out_bytes, "%04" PRId64 "-%02d-%02d", t->year, t->month + 1, t->day);
      return true;
    case 'D':
    case 'x':
      (void)snprintf(out, out_bytes, "%02d/%02d/%02d", t->month + 1, t->day, (int)(t->year % 100));
      return true;
    case 'T':
    case 'X':
      (void)snprintf(out, out_bytes, "%02d:%02d:%02d", t->hour, t->minute, t->second);
      return true;
    case 'R':
      (void)snprintf(out, out_bytes, "%02d:%02d", t->hour, t->minute);
      return true;
    case 'c':
      (void)snprintf(out, out_bytes, "%.3s %.3s %2d %02d:%02d:%02d %" PRId64, days[t->weekday],
                     months[t->month], t->day, t->hour, t->minute, t->second, t->year);
      return true;
    case 'f':
      (void)snprintf(out, out_bytes, "000000");
      return true;
    case 'z':
    case 'Z': /* a time without zone prints nothing */
      out[0] = '\0';
      return true;
    case 'n':
    case 't':
    case '%':
      (void)snprintf(out, out_bytes, "%c", conversion == 'n' ? '\n' : conversion == 't' ? '\t' : '%');
      return true;
    case 'Y':
      number = t->year;
      width = 1;
      break;
    case 'C':
      number = t->year / 100;
      break;
    case 'y':
      number = t->year % 100;
      break;
    case 'm':
      number = t->month + 1;
      break;
    case 'd':
      number = t->day;
      break;
    case 'e':
      number = t->day;
      if (!pad) pad = '_';
      break;
    case 'H':
      number = t->hour;
      break;
    case 'I':
      number = hour12;
      break;
    case 'M':
      number = t->minute;
      break;
    case 'S':
      number = t->second;
      break;
    case 'j':
      number = t->day_of_year + 1;
      width = 3;
      break;
    case 'u':
      number = t->weekday ? t->weekday : 7;
      width = 1;
      break;
    case 'w':
      number = t->weekday;
      width = 1;
      break;
    case 'U':
      number = (t->day_of_year + 7 - t->weekday) / 7;
      break;
    case 'W':
      number = (t->day_of_year + 7 - (t->weekday + 6) % 7) / 7;
      break;
    default:
      return false;
  }
  (void)snprintf(out, out_bytes, pad == '_' ? "%*" PRId64 : "%0*" PRId64, pad == '-' ? 1 : width, number);
  return true;
}

static wh_status function_strftime_now(wh_jinja_run *run, const wh_jinja_value *self,
                                       const wh_jinja_args *args, wh_jinja_value *out) {
  (void)self;
  wh_jinja_value format;
  WH_TRY(wh_jinja_bind(run, args, "format", 1, &format));
  if (format.kind != WH_JINJA_STRING)
    return WH_JINJA_FAIL(run, ERR_INVALID_ARGUMENT, "strftime_now() needs a string, not '%s'",
                         wh_jinja_type_name(&format));
  civil_time t = civil_from_unix(run->now);
  wh_str s = wh_jinja_text(&format);
  size_t mark = wh_jinja_mark(run);
  for (size_t i = 0; i < s.len; i++) {
    char text[64], pad = 0;
    if (s.data[i] != '%' || i + 1 >= s.len) {
      WH_TRY(wh_jinja_emit(run, s.data + i, 1));
      continue;
    }
    i++;
    if (i + 1 < s.len && (s.data[i] == '-' || s.data[i] == '_' || s.data[i] == '0')) pad = s.data[i++];
    if (!format_time(&t, s.data[i], pad, text, sizeof text))
      return WH_JINJA_FAIL(run, ERR_UNSUPPORTED, "strftime_now: no conversion '%%%c'", s.data[i]);
    WH_TRY(wh_jinja_emit_z(run, text));
  }
  return wh_jinja_take_string(run, mark, out);
}

const wh_jinja_builtin *wh_jinja_find_function(wh_str name) {
  static const wh_jinja_builtin functions[] = {
      {"range", function_range},
      {"dict", function_dict},
      {"namespace", function_namespace},
      {"raise_exception", function_raise_exception},
      {"strftime_now", function_strftime_now},
  };
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
    if (wh_str_is(name, functions[i].name)) return &functions[i];
  return NULL;
}
