/* chat_template.c - see chat_template.h. The language itself is in jinja_*.c. */
#include "text/chat_template.h"

#include <string.h>

#include "text/jinja_ast.h"
#include "text/jinja_utf8.h"

struct wh_chat_template {
  wh_arena arena; /* holds the source, the syntax tree and this object's strings */
  wh_jinja_nodes body;
};

/* A copy with \n as the only line end; Jinja drops the one at the very end. */
static wh_status copy_source(wh_str source, wh_arena *arena, wh_str *out) {
  char *text = wh_arena_alloc(arena, source.len + 1);
  if (!text) return WH_OOM("chat template");
  size_t n = 0;
  for (size_t i = 0; i < source.len; i++) {
    if (source.data[i] == '\r') {
      if (i + 1 < source.len && source.data[i + 1] == '\n') i++;
      text[n++] = '\n';
    } else {
      text[n++] = source.data[i];
    }
  }
  if (n && text[n - 1] == '\n') n--;
  *out = (wh_str){text, n};
  return WH_OK;
}

static wh_status compile(wh_chat_template *t, wh_str source) {
  size_t bad;
  wh_str text;
  if (source.len > WH_JINJA_SOURCE_MAX)
    return WH_FAIL(ERR_LIMIT, "chat template is %zu bytes, at most %zu are allowed", source.len,
                   WH_JINJA_SOURCE_MAX);
  if (!wh_jinja_utf8_valid(source, &bad))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "chat template is not valid UTF-8 at byte %zu", bad);
  WH_TRY(copy_source(source, &t->arena, &text));
  return wh_jinja_parse(text, &t->arena, &t->body);
}

wh_status wh_chat_template_compile(wh_str source, const wh_allocator *alloc, wh_chat_template **out) {
  wh_chat_template *t = wh_alloc_zeroed(alloc, sizeof *t);
  if (!t) return WH_OOM("chat template");
  wh_arena_init(&t->arena, alloc, 0);
  wh_status status = compile(t, source);
  if (status != WH_OK) {
    wh_chat_template_destroy(t);
    return status;
  }
  *out = t;
  return WH_OK;
}

void wh_chat_template_destroy(wh_chat_template *t) {
  if (!t) return;
  const wh_allocator *alloc = t->arena.alloc;
  wh_arena_deinit(&t->arena);
  wh_free(alloc, t);
}

wh_status wh_chat_template_render(const wh_chat_template *t, wh_str context_json, int64_t now,
                                  wh_text_buffer *out) {
  wh_jinja_run run;
  wh_jinja_value context;
  wh_jinja_run_init(&run, t->arena.alloc, now);
  wh_status status = wh_jinja_from_json(&run, context_json, &context);
  if (status == WH_OK) {
    run.context = context.as.dict;
    status = wh_jinja_evaluate(&run, &t->body);
  }
  if (status == WH_OK) {
    wh_text_buffer_append(out, run.out.data, run.out.len);
    if (out->oom) status = WH_OOM("rendered chat template");
  }
  wh_jinja_run_deinit(&run);
  return status;
}
