/* jinja_value.h - the values of a rendering, with the meaning that Python and Jinja2 give them.
 *
 * Values are small and copied freely; what they point to lives in the rendering's arena (or in the
 * template's, for constants) and never changes, except for namespaces: the sandbox that chat templates run in
 * forbids list.append and its like. */
#ifndef WH_TEXT_JINJA_VALUE_H
#define WH_TEXT_JINJA_VALUE_H

#include "text/jinja_run.h"

typedef enum wh_jinja_kind {
  WH_JINJA_ABSENT, /* not a value: an argument that was not given */
  WH_JINJA_UNDEFINED,
  WH_JINJA_NONE,
  WH_JINJA_BOOL,
  WH_JINJA_INT,
  WH_JINJA_FLOAT,
  WH_JINJA_STRING,
  WH_JINJA_LIST,
  WH_JINJA_TUPLE,
  WH_JINJA_RANGE,
  WH_JINJA_KEYS, /* views of a dict */
  WH_JINJA_VALUES,
  WH_JINJA_ITEMS,
  WH_JINJA_GENERATOR, /* what lazy filters give: can be iterated once, always true */
  WH_JINJA_DICT,
  WH_JINJA_NAMESPACE,
  WH_JINJA_MACRO,
  WH_JINJA_FUNCTION,
  WH_JINJA_METHOD,
  WH_JINJA_LOOP
} wh_jinja_kind;

typedef struct wh_jinja_value wh_jinja_value;
typedef struct wh_jinja_dict wh_jinja_dict;
typedef struct wh_jinja_macro wh_jinja_macro; /* jinja_eval.c */
typedef struct wh_jinja_loop wh_jinja_loop;   /* jinja_eval.c */
typedef struct wh_jinja_builtin wh_jinja_builtin;

/* The items of every kind from LIST to GENERATOR. */
typedef struct wh_jinja_list {
  wh_jinja_value *items;
  size_t n;
  int64_t start, stop, step; /* RANGE */
} wh_jinja_list;

typedef struct wh_jinja_method {
  const wh_jinja_builtin *builtin;
  const wh_jinja_value *self;
} wh_jinja_method;

struct wh_jinja_value {
  uint8_t kind; /* wh_jinja_kind */
  bool markup;  /* STRING: marked by safe or escape; + escapes what it joins to it */
  uint8_t
      owner; /* UNDEFINED: kind of the object that lacks `text`; 0: a variable; NONE: `text` is the reason */
  union {
    bool boolean;
    int64_t integer;
    double real;
    const char *text; /* STRING, UNDEFINED */
    wh_jinja_list *list;
    wh_jinja_dict *dict; /* DICT, NAMESPACE */
    const wh_jinja_macro *macro;
    const wh_jinja_builtin *function;
    const wh_jinja_method *method;
    wh_jinja_loop *loop;
  } as;
  size_t len; /* STRING, UNDEFINED: bytes of text */
};

typedef struct wh_jinja_pair {
  wh_jinja_value key, value;
} wh_jinja_pair;

struct wh_jinja_dict { /* in order of insertion */
  wh_jinja_pair *pairs;
  size_t n, capacity;
};

/* The arguments of a call. */
typedef struct wh_jinja_args {
  const wh_jinja_value *values;
  size_t n;
  const wh_jinja_pair *named; /* keys are strings */
  size_t n_named;
} wh_jinja_args;

/* A filter, test, method or global function. `self` is what stands before the |, "is" or dot; NULL for a
 * global function. */
typedef wh_status (*wh_jinja_builtin_fn)(wh_jinja_run *run, const wh_jinja_value *self,
                                         const wh_jinja_args *args, wh_jinja_value *out);
struct wh_jinja_builtin {
  const char *name;
  wh_jinja_builtin_fn call;
};

static inline wh_jinja_value wh_jinja_none(void) { return (wh_jinja_value){.kind = WH_JINJA_NONE}; }
static inline wh_jinja_value wh_jinja_bool(bool b) {
  return (wh_jinja_value){.kind = WH_JINJA_BOOL, .as.boolean = b};
}
static inline wh_jinja_value wh_jinja_int(int64_t i) {
  return (wh_jinja_value){.kind = WH_JINJA_INT, .as.integer = i};
}
static inline wh_jinja_value wh_jinja_float(double x) {
  return (wh_jinja_value){.kind = WH_JINJA_FLOAT, .as.real = x};
}
static inline wh_jinja_value wh_jinja_string(wh_str s) {
  return (wh_jinja_value){.kind = WH_JINJA_STRING, .as.text = s.data, .len = s.len};
}
static inline wh_jinja_value wh_jinja_undefined(wh_jinja_kind owner, wh_str name) {
  return (wh_jinja_value){
      .kind = WH_JINJA_UNDEFINED, .owner = (uint8_t)owner, .as.text = name.data, .len = name.len};
}
static inline wh_str wh_jinja_text(const wh_jinja_value *v) { return (wh_str){v->as.text, v->len}; }
static inline bool wh_jinja_has_items(const wh_jinja_value *v) {
  return v->kind >= WH_JINJA_LIST && v->kind <= WH_JINJA_GENERATOR;
}

/* Python's name of the type, for messages. */
const char *wh_jinja_type_name(const wh_jinja_value *v);
/* Raises "'x' is undefined" or its like. */
wh_status wh_jinja_fail_undefined(const wh_jinja_run *run, const wh_jinja_value *v);
bool wh_jinja_truthy(const wh_jinja_value *v);
/* bool and int as int64; false for other kinds. */
bool wh_jinja_as_int(const wh_jinja_value *v, int64_t *out);
/* bool, int and float as double; false for other kinds. */
bool wh_jinja_as_real(const wh_jinja_value *v, double *out);

WH_NODISCARD wh_status wh_jinja_equal(wh_jinja_run *run, const wh_jinja_value *a, const wh_jinja_value *b,
                                      bool *out);
typedef enum wh_jinja_order {
  WH_JINJA_LESS,
  WH_JINJA_SAME,
  WH_JINJA_GREATER,
  WH_JINJA_UNORDERED
} wh_jinja_order;
/* For < and its like; `op` is its spelling for the message when the types cannot be compared. */
WH_NODISCARD wh_status wh_jinja_compare(wh_jinja_run *run, const wh_jinja_value *a, const wh_jinja_value *b,
                                        const char *op, wh_jinja_order *out);

/* Appends str(v) or repr(v) to the text under construction. */
WH_NODISCARD wh_status wh_jinja_print(wh_jinja_run *run, const wh_jinja_value *v);
WH_NODISCARD wh_status wh_jinja_print_repr(wh_jinja_run *run, const wh_jinja_value *v);
/* str(v); a string stays as it is. */
WH_NODISCARD wh_status wh_jinja_to_text(wh_jinja_run *run, const wh_jinja_value *v, wh_str *out);
/* The text since `mark` becomes a string value. */
WH_NODISCARD wh_status wh_jinja_take_string(wh_jinja_run *run, size_t mark, wh_jinja_value *out);

/* A list-like value of `n` undefined slots to be filled by the caller before anyone sees it. */
WH_NODISCARD wh_status wh_jinja_new_list(wh_jinja_run *run, wh_jinja_kind kind, size_t n,
                                         wh_jinja_value *out);
/* Everything that `for` can iterate: *items is a view (strings: one string per code point). A generator is
 * spent. */
WH_NODISCARD wh_status wh_jinja_iterate(wh_jinja_run *run, const wh_jinja_value *v, wh_jinja_value **items,
                                        size_t *n);
bool wh_jinja_is_iterable(const wh_jinja_value *v);
/* len(v) */
WH_NODISCARD wh_status wh_jinja_length(wh_jinja_run *run, const wh_jinja_value *v, size_t *out);

WH_NODISCARD wh_status wh_jinja_new_dict(wh_jinja_run *run, wh_jinja_kind kind, size_t capacity,
                                         wh_jinja_value *out);
/* *out is NULL when there is no such key. */
WH_NODISCARD wh_status wh_jinja_dict_find(wh_jinja_run *run, const wh_jinja_dict *dict,
                                          const wh_jinja_value *key, wh_jinja_value **out);
WH_NODISCARD wh_status wh_jinja_dict_find_text(wh_jinja_run *run, const wh_jinja_dict *dict, wh_str key,
                                               wh_jinja_value **out);
WH_NODISCARD wh_status wh_jinja_dict_put(wh_jinja_run *run, wh_jinja_dict *dict, const wh_jinja_value *key,
                                         const wh_jinja_value *value);
/* Only for keys known to be new. */
WH_NODISCARD wh_status wh_jinja_dict_append(wh_jinja_run *run, wh_jinja_dict *dict, const wh_jinja_value *key,
                                            const wh_jinja_value *value);
/* dict.items() and its like as a list of `kind`. */
WH_NODISCARD wh_status wh_jinja_dict_view(wh_jinja_run *run, const wh_jinja_dict *dict, wh_jinja_kind kind,
                                          wh_jinja_value *out);

/* A builtin's parameters: `names` is "width first blank"; out[i] is ABSENT where none was given. The first
 * `n_min` must be given. */
WH_NODISCARD wh_status wh_jinja_bind(wh_jinja_run *run, const wh_jinja_args *args, const char *names,
                                     size_t n_min, wh_jinja_value *out);

#endif
