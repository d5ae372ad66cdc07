/* jinja_run.c - see jinja_run.h. */
#include "text/jinja_run.h"

#include <string.h>

void wh_jinja_run_init(wh_jinja_run *run, const wh_allocator *alloc, int64_t now) {
  *run = (wh_jinja_run){.now = now, .line = 1, .callee = ""};
  wh_arena_init(&run->arena, alloc, 0);
  wh_text_buffer_init(&run->out, alloc);
}

void wh_jinja_run_deinit(wh_jinja_run *run) {
  wh_text_buffer_deinit(&run->out);
  wh_arena_deinit(&run->arena);
}

wh_status wh_jinja_fail(const wh_jinja_run *run, wh_status status) {
  (void)wh_fail_prefix("chat template line %d", run->line);
  return status;
}

wh_status wh_jinja_step(wh_jinja_run *run, size_t n) {
  if (n > WH_JINJA_STEPS_MAX - run->n_steps) {
    run->n_steps = WH_JINJA_STEPS_MAX;
    return WH_JINJA_FAIL(run, ERR_LIMIT, "rendering takes more than %llu steps",
                         (unsigned long long)WH_JINJA_STEPS_MAX);
  }
  run->n_steps += n;
  return WH_OK;
}

wh_status wh_jinja_enter(wh_jinja_run *run) {
  if (run->depth >= WH_JINJA_DEPTH_MAX)
    return WH_JINJA_FAIL(run, ERR_LIMIT, "expressions, macros or values nest deeper than %d",
                         WH_JINJA_DEPTH_MAX);
  run->depth++;
  return WH_OK;
}

wh_status wh_jinja_alloc(wh_jinja_run *run, size_t n, size_t elem_size, void *out_pointer) {
  size_t bytes;
  if (!wh_mul_size(n, elem_size, &bytes) || bytes > WH_JINJA_MEMORY_MAX - run->memory_bytes)
    return WH_JINJA_FAIL(run, ERR_LIMIT, "rendering needs more than %zu bytes of memory",
                         WH_JINJA_MEMORY_MAX);
  WH_TRY(wh_jinja_step(run, bytes / 64));
  void *p = wh_arena_alloc(&run->arena, bytes);
  if (!p) return WH_JINJA_FAIL(run, ERR_OUT_OF_MEMORY, "out of memory: %zu bytes for a value", bytes);
  bytes = (bytes + 15) & ~(size_t)15;
  run->memory_bytes =
      bytes > WH_JINJA_MEMORY_MAX - run->memory_bytes ? WH_JINJA_MEMORY_MAX : run->memory_bytes + bytes;
  memcpy(out_pointer, &p, sizeof p);
  return WH_OK;
}

wh_status wh_jinja_emit(wh_jinja_run *run, const char *s, size_t n) {
  if (n > WH_JINJA_OUTPUT_MAX - run->out.len)
    return WH_JINJA_FAIL(run, ERR_LIMIT, "the text grows beyond %zu bytes", WH_JINJA_OUTPUT_MAX);
  WH_TRY(wh_jinja_step(run, n / 64));
  wh_text_buffer_append(&run->out, s, n);
  if (run->out.oom) return WH_JINJA_FAIL(run, ERR_OUT_OF_MEMORY, "out of memory: rendered text");
  return WH_OK;
}

wh_status wh_jinja_emit_z(wh_jinja_run *run, const char *s) { return wh_jinja_emit(run, s, strlen(s)); }

wh_status wh_jinja_take(wh_jinja_run *run, size_t mark, wh_str *out) {
  size_t n = run->out.len - mark;
  char *copy;
  WH_TRY(wh_jinja_alloc(run, n + 1, 1, &copy));
  if (n) memcpy(copy, run->out.data + mark, n);
  run->out.len = mark;
  if (run->out.data) run->out.data[mark] = '\0';
  *out = (wh_str){copy, n};
  return WH_OK;
}
