/* pretokenizer.c - see pretokenizer.h. Runs the patterns with PCRE2: compiled to machine code where PCRE2
 * can, interpreted otherwise, with the same result. All of PCRE2's heap goes through wh_allocator. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pretokenizer.h"

#include <pcre2.h>

#include "text/unicode.h"

/* The patterns are linear in the length of a match; these bounds only stop a text that proves otherwise. */
#define MATCH_STEPS_MAX 200000000u
#define MATCH_HEAP_KIB_MAX (256u * 1024u)
#define JIT_STACK_BYTES_MIN (32u * 1024u)
#define JIT_STACK_BYTES_MAX (4u * 1024u * 1024u)

struct wh_pretokenizer {
  const wh_allocator *alloc;
  pcre2_general_context *general;
  pcre2_code *codes[WH_PRE_STAGES_MAX];
  unsigned cuts[WH_PRE_STAGES_MAX];
  size_t n_stages;
};

struct wh_pre_scratch {
  const wh_allocator *alloc;
  pcre2_match_context *match_context;
  pcre2_match_data *match_data;
  pcre2_jit_stack *jit_stack;
};

static void *regex_alloc(size_t size, void *ctx) { return wh_alloc_uninit(ctx, size, WH_ALIGN_DEFAULT); }
static void regex_free(void *ptr, void *ctx) { wh_free(ctx, ptr); }

static wh_status compile_stage(wh_pretokenizer *p, const char *pattern, unsigned cuts) {
  int error;
  PCRE2_SIZE offset;
  pcre2_compile_context *context = pcre2_compile_context_create(p->general);
  if (!context) return WH_OOM("a pre-tokenizer pattern");
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_NO_UTF_CHECK,
                                   &error, &offset, context);
  pcre2_compile_context_free(context);
  if (!code) {
    if (error == PCRE2_ERROR_HEAP_FAILED) return WH_OOM("a pre-tokenizer pattern");
    return WH_FAIL(ERR_INTERNAL, "pre-tokenizer pattern: PCRE2 error %d at %zu", error, (size_t)offset);
  }
  (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it the interpreter runs the pattern */
  p->codes[p->n_stages] = code;
  p->cuts[p->n_stages++] = cuts;
  return WH_OK;
}

wh_status wh_pretokenizer_create(const wh_pre_rule *rule, const wh_allocator *alloc, wh_pretokenizer **out) {
  wh_pretokenizer *p = wh_alloc_zeroed(alloc, sizeof *p);
  if (!p) return WH_OOM("the pre-tokenizer");
  p->alloc = alloc ? alloc : wh_allocator_default();
  /* PCRE2's callbacks take a plain pointer; the allocator is only read through it. */
  p->general = pcre2_general_context_create(regex_alloc, regex_free, (void *)(uintptr_t)p->alloc);
  wh_status status = p->general ? WH_OK : WH_OOM("the pre-tokenizer");
  for (size_t i = 0; status == WH_OK && i < WH_PRE_STAGES_MAX && rule->stages[i].pattern; i++)
    status = compile_stage(p, rule->stages[i].pattern, rule->stages[i].cuts);
  if (status != WH_OK) {
    wh_pretokenizer_destroy(p);
    return status;
  }
  *out = p;
  return WH_OK;
}

void wh_pretokenizer_destroy(wh_pretokenizer *p) {
  if (!p) return;
  for (size_t i = 0; i < p->n_stages; i++) pcre2_code_free(p->codes[i]);
  pcre2_general_context_free(p->general);
  wh_free(p->alloc, p);
}

wh_status wh_pre_scratch_create(const wh_pretokenizer *p, wh_pre_scratch **out) {
  wh_pre_scratch *s = wh_alloc_zeroed(p->alloc, sizeof *s);
  if (!s) return WH_OOM("pattern matching");
  s->alloc = p->alloc;
  s->match_context = pcre2_match_context_create(p->general);
  s->match_data = pcre2_match_data_create(1, p->general);
  if (!s->match_context || !s->match_data) {
    wh_pre_scratch_destroy(s);
    return WH_OOM("pattern matching");
  }
  pcre2_set_match_limit(s->match_context, MATCH_STEPS_MAX);
  pcre2_set_heap_limit(s->match_context, MATCH_HEAP_KIB_MAX);
  *out = s;
  return WH_OK;
}

void wh_pre_scratch_destroy(wh_pre_scratch *s) {
  if (!s) return;
  pcre2_jit_stack_free(s->jit_stack);
  pcre2_match_data_free(s->match_data);
  pcre2_match_context_free(s->match_context);
  wh_free(s->alloc, s);
}

typedef struct split {
  const wh_pretokenizer *p;
  wh_pre_scratch *s;
  wh_piece_fn sink;
  void *ctx;
} split;

/* One match of stage `stage` in text at or after `from`: *found with its bounds. */
static wh_status match_once(const split *x, size_t stage, wh_str text, size_t from, bool *found,
                            size_t *start, size_t *end) {
  const pcre2_code *code = x->p->codes[stage];
  wh_pre_scratch *s = x->s;
  int rc = pcre2_match(code, (PCRE2_SPTR)text.data, text.len, from, PCRE2_NO_UTF_CHECK, s->match_data,
                       s->match_context);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !s->jit_stack) {
    /* PCRE2's default is 32 KiB of the caller's stack, enough for all but strange text. */
    s->jit_stack = pcre2_jit_stack_create(JIT_STACK_BYTES_MIN, JIT_STACK_BYTES_MAX, x->p->general);
    if (!s->jit_stack) return WH_OOM("pattern matching");
    pcre2_jit_stack_assign(s->match_context, NULL, s->jit_stack);
    rc = pcre2_match(code, (PCRE2_SPTR)text.data, text.len, from, PCRE2_NO_UTF_CHECK, s->match_data,
                     s->match_context);
  }
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
    rc = pcre2_match(code, (PCRE2_SPTR)text.data, text.len, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                     s->match_data, s->match_context);
  if (rc == PCRE2_ERROR_NOMATCH) {
    *found = false;
    return WH_OK;
  }
  if (rc == PCRE2_ERROR_NOMEMORY) return WH_OOM("pattern matching");
  if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT)
    return WH_FAIL(ERR_LIMIT, "the pre-tokenizer pattern needs too many steps at byte %zu of the text", from);
  if (rc < 0) return WH_FAIL(ERR_INTERNAL, "pre-tokenizer pattern: PCRE2 error %d", rc);
  const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(s->match_data);
  *found = true;
  *start = bounds[0];
  *end = bounds[1];
  return WH_OK;
}

static wh_status split_stage(const split *x, size_t stage, const char *data, size_t n);

static wh_status emit(const split *x, size_t stage, const char *data, size_t n) {
  if (n == 0) return WH_OK;
  return stage + 1 < x->p->n_stages ? split_stage(x, stage + 1, data, n) : x->sink(x->ctx, data, n);
}

/* Emits text[*cut..) up to `end`, cut where the digits text[start..end) fall into threes. */
static wh_status cut_threes(const split *x, size_t stage, const char *data, size_t start, size_t end,
                            size_t *cut) {
  size_t n_chars = 0;
  for (size_t i = start; i < end; i++) n_chars += ((unsigned char)data[i] & 0xc0) != 0x80;
  for (size_t i = start; i < end; i++) {
    if (((unsigned char)data[i] & 0xc0) == 0x80) continue;
    if (n_chars % 3 == 0) {
      WH_TRY(emit(x, stage, data + *cut, i - *cut));
      *cut = i;
    }
    n_chars--;
  }
  return WH_OK;
}

static wh_status split_stage(const split *x, size_t stage, const char *data, size_t n) {
  unsigned cuts = x->p->cuts[stage];
  size_t cut = 0; /* everything before is emitted */
  for (size_t from = 0; from < n;) {
    bool found;
    size_t start = n, end = n;
    WH_TRY(match_once(x, stage, (wh_str){data, n}, from, &found, &start, &end));
    if (!found) break;
    if (end <= start) return WH_FAIL(ERR_INTERNAL, "a pre-tokenizer pattern matches nothing");
    if (cuts & WH_CUT_MATCH) {
      WH_TRY(emit(x, stage, data + cut, start - cut));
      cut = start;
    }
    if (cuts & WH_CUT_THREES) WH_TRY(cut_threes(x, stage, data, start, end, &cut));
    if (cuts & WH_CUT_MATCH) {
      WH_TRY(emit(x, stage, data + cut, end - cut));
      cut = end;
    }
    from = end;
  }
  return emit(x, stage, data + cut, n - cut);
}

wh_status wh_pretokenizer_split(const wh_pretokenizer *p, wh_pre_scratch *s, wh_str text, wh_piece_fn sink,
                                void *ctx) {
  split x = {p, s, sink, ctx};
  const unsigned char *bytes = (const unsigned char *)text.data;
  for (size_t i = 0; i < text.len;) {
    size_t n = wh_utf8_valid_length(bytes + i, text.len - i);
    if (n && p->n_stages == 0) WH_TRY(sink(ctx, text.data + i, n));
    if (n && p->n_stages) WH_TRY(split_stage(&x, 0, text.data + i, n));
    i += n;
    size_t bad = i;
    uint32_t cp;
    while (bad < text.len && wh_utf8_decode(bytes + bad, text.len - bad, &cp) == 0) bad++;
    if (bad > i) WH_TRY(sink(ctx, text.data + i, bad - i));
    i = bad;
  }
  return WH_OK;
}
