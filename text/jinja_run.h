/* jinja_run.h - what one rendering owns: its memory, its budget of steps, its output, and how it reports
 * errors.
 *
 * Everything a rendering creates lies in one arena and dies with it. Text is built on one buffer used as a
 * stack: what is captured (a macro's result, a filter's, a repr) is appended behind the output written so
 * far, copied into the arena and cut off again. Every loop and every copy is paid for in steps, so that any
 * template ends. */
#ifndef WH_TEXT_JINJA_RUN_H
#define WH_TEXT_JINJA_RUN_H

#include "core/base/arena.h"
#include "core/base/str.h"
#include "core/base/text_buffer.h"

#define WH_JINJA_SOURCE_MAX ((size_t)1 << 20)   /* bytes of a template */
#define WH_JINJA_CONTEXT_MAX ((size_t)64 << 20) /* bytes of context JSON */
#define WH_JINJA_NESTING_MAX 300                /* parser: expressions and blocks inside each other */
#define WH_JINJA_DEPTH_MAX 400 /* evaluator: expressions, blocks, macros, values inside each other */
#define WH_JINJA_STEPS_MAX UINT64_C(20000000)   /* about a second */
#define WH_JINJA_OUTPUT_MAX ((size_t)64 << 20)  /* bytes of text under construction */
#define WH_JINJA_MEMORY_MAX ((size_t)256 << 20) /* bytes of values of one rendering */
#define WH_JINJA_RANGE_MAX 100000               /* items of range(): Jinja's sandbox has the same limit */

struct wh_jinja_value;
struct wh_jinja_dict;
struct wh_jinja_scope;

typedef struct wh_jinja_run {
  wh_arena arena;
  size_t memory_bytes;
  uint64_t n_steps;
  unsigned depth;
  int line; /* of the node being evaluated; errors name it */
  wh_text_buffer out;
  int64_t now;
  const struct wh_jinja_dict *context; /* the caller's variables */
  const char *callee;                  /* name of the builtin being called, for messages */
} wh_jinja_run;

void wh_jinja_run_init(wh_jinja_run *run, const wh_allocator *alloc, int64_t now);
void wh_jinja_run_deinit(wh_jinja_run *run);

/* Puts "chat template line N: " in front of the error just raised. */
wh_status wh_jinja_fail(const wh_jinja_run *run, wh_status status);
/* A constant for the compiler, which then knows that the outputs of a successful call are set. */
#define WH_JINJA_FAIL(run, code, ...) ((void)wh_jinja_fail(run, WH_FAIL(code, __VA_ARGS__)), WH_##code)

/* Pays for work; ERR_LIMIT when the budget is spent. */
WH_NODISCARD wh_status wh_jinja_step(wh_jinja_run *run, size_t n);
/* Every recursion over expressions or values goes through these. */
WH_NODISCARD wh_status wh_jinja_enter(wh_jinja_run *run);
static inline void wh_jinja_leave(wh_jinja_run *run) { run->depth--; }

/* Zeroed memory that lives as long as the rendering. */
WH_NODISCARD wh_status wh_jinja_alloc(wh_jinja_run *run, size_t n, size_t elem_size, void *out_pointer);

/* Text on the stack: mark, emit, take. */
static inline size_t wh_jinja_mark(const wh_jinja_run *run) { return run->out.len; }
WH_NODISCARD wh_status wh_jinja_emit(wh_jinja_run *run, const char *s, size_t n);
WH_NODISCARD wh_status wh_jinja_emit_z(wh_jinja_run *run, const char *s);
/* *out becomes the text emitted since `mark`, which is cut off. */
WH_NODISCARD wh_status wh_jinja_take(wh_jinja_run *run, size_t mark, wh_str *out);

#endif
