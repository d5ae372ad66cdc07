/* sequence.c - sequences as handles: their tokens, and the pages that hold what is computed of them. */
#include "lm/lm_internal.h"

/* ---- life ---- */

wh_status wh_lm_sequence_create(wh_lm *lm, wh_sequence **out) {
  wh_sequence *s = wh_alloc_zeroed(lm->alloc, sizeof *s);
  if (!s) return WH_OOM("sequence");
  s->lm = lm;
  s->age = ++lm->last_age;
  s->previous = lm->newest;
  *(lm->newest ? &lm->newest->next : &lm->sequences) = s;
  lm->newest = s;
  *out = s;
  return WH_OK;
}

void wh_lm_sequence_destroy(wh_sequence *s) {
  if (!s) return;
  wh_lm *lm = s->lm;
  if (s->is_numbered) {
    wh_lm_sequence_shorten(s, 0);
    return;
  }
  wh_lm_sequence_cut(s, 0);
  *(s->previous ? &s->previous->next : &lm->sequences) = s->next;
  *(s->next ? &s->next->previous : &lm->newest) = s->previous;
  wh_free(lm->alloc, s->tokens);
  wh_free(lm->alloc, s->pages);
  wh_free(lm->alloc, s);
}

bool wh_lm_sequence_is_numbered(const wh_sequence *s) { return s->is_numbered; }
wh_lm *wh_lm_of(const wh_sequence *s) { return s->lm; }

static wh_status room_for_tokens(wh_sequence *s, size_t n) {
  return wh_grow_array(s->lm->alloc, (void **)&s->tokens, &s->tokens_capacity, s->n_tokens, n,
                       sizeof *s->tokens)
             ? WH_OK
             : WH_OOM("tokens of a sequence");
}

static wh_status room_for_pages(wh_sequence *s, size_t n) {
  return wh_grow_array(s->lm->alloc, (void **)&s->pages, &s->pages_capacity, s->n_pages, n, sizeof *s->pages)
             ? WH_OK
             : WH_OOM("pages of a sequence");
}

wh_status wh_lm_sequence_create_roomy(wh_lm *lm, uint32_t n, wh_sequence **out) {
  wh_sequence *s = NULL;
  WH_TRY(wh_lm_sequence_create(lm, &s));
  wh_status st = room_for_tokens(s, n);
  if (st == WH_OK) st = room_for_pages(s, wh_lm_pages_for(n));
  if (st == WH_OK)
    *out = s;
  else
    wh_lm_sequence_destroy(s);
  return st;
}

wh_status wh_lm_sequence_fork(const wh_sequence *from, uint32_t length, wh_sequence **out) {
  if (length > from->n_tokens)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "a fork at %u: the sequence holds %u tokens", length,
                   from->n_tokens);
  const uint32_t n_computed = length < from->n_computed ? length : from->n_computed,
                 n_pages = wh_lm_pages_for(n_computed);
  wh_sequence *s = NULL;
  WH_TRY(wh_lm_sequence_create_roomy(from->lm, length, &s));
  if (length) memcpy(s->tokens, from->tokens, length * sizeof *s->tokens);
  for (uint32_t i = 0; i < n_pages; i++) {
    s->pages[i] = from->pages[i];
    wh_kv_pool_retain(s->lm->pool, s->pages[i]);
  }
  s->n_tokens = s->first_row = length;
  s->n_computed = n_computed;
  s->n_pages = n_pages;
  s->n_named = from->n_named < n_computed / WH_KV_PAGE ? from->n_named : n_computed / WH_KV_PAGE;
  s->set = from->set;
  *out = s;
  return WH_OK;
}

/* ---- tokens ---- */

wh_status wh_lm_sequence_check(const wh_sequence *s, const int32_t *tokens, size_t n) {
  const wh_lm *lm = s->lm;
  for (size_t i = 0; i < n; i++)
    if (tokens[i] < 0 || tokens[i] >= lm->n_vocab_in)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "token %d at %zu: the vocabulary has %lld", tokens[i], i,
                     (long long)lm->n_vocab_in);
  if (n > lm->options.context - s->n_tokens)
    return WH_FAIL(ERR_LIMIT, "the context of %u tokens is full; use a larger context or a shorter text",
                   lm->options.context);
  return WH_OK;
}

wh_status wh_lm_sequence_extend(wh_sequence *s, const int32_t *tokens, size_t n) {
  WH_TRY(room_for_tokens(s, s->n_tokens + n));
  if (n) memcpy(s->tokens + s->n_tokens, tokens, n * sizeof *tokens);
  s->n_tokens += (uint32_t)n;
  s->first_row = s->n_tokens;
  return WH_OK;
}

wh_status wh_lm_sequence_append(wh_sequence *s, const int32_t *tokens, size_t n, uint32_t n_rows) {
  wh_lm *lm = s->lm;
  WH_TRY(wh_lm_raise(&s->failure));
  WH_TRY(wh_lm_sequence_check(s, tokens, n));
  if (n_rows > n || n_rows > lm->options.max_outputs || n_rows > lm->options.max_batch)
    return WH_FAIL(
        ERR_INVALID_ARGUMENT, "%u rows of logits wanted of %zu tokens: at most one of each, and %u in a run",
        n_rows, n,
        lm->options.max_outputs < lm->options.max_batch ? lm->options.max_outputs : lm->options.max_batch);
  const uint64_t end = s->n_tokens + (uint64_t)n;
  if (n_rows && wh_lm_set_at(lm, end - n_rows) != wh_lm_set_at(lm, end - 1))
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   "rows of logits on both sides of %u tokens, where the model's rotary frequencies change: "
                   "append them one after the other",
                   lm->options.long_rope_border);
  WH_TRY(wh_lm_sequence_extend(s, tokens, n));
  s->first_row = s->n_tokens - n_rows;
  s->rows_step = 0;
  s->waiting = n_rows > 0;
  return WH_OK;
}

void wh_lm_sequence_shorten(wh_sequence *s, uint32_t length) {
  if (length > s->n_tokens) return;
  s->n_tokens = s->first_row = length;
  if (s->n_computed > length) wh_lm_sequence_cut(s, length);
  s->waiting = false;
  s->rows_step = 0;
  s->failure = (wh_lm_failure){0};
}

wh_status wh_lm_sequence_truncate(wh_sequence *s, uint32_t length) {
  if (length > s->n_tokens)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "the sequence holds %u tokens; cannot keep %u", s->n_tokens, length);
  wh_lm_sequence_shorten(s, length);
  return WH_OK;
}

const int32_t *wh_lm_sequence_tokens(const wh_sequence *s, uint32_t *n) {
  if (n) *n = s->n_tokens;
  return s->tokens;
}

uint32_t wh_lm_sequence_n_computed(const wh_sequence *s) { return s->n_computed; }
wh_status wh_lm_sequence_status(const wh_sequence *s) { return wh_lm_raise(&s->failure); }

/* ---- pages ---- */

/* From the last to the first: of pages that are kept the longest unused goes first, and a page without the
 * one before it is of no use. */
void wh_lm_sequence_cut(wh_sequence *s, uint32_t n_computed) {
  const uint32_t n_pages = wh_lm_pages_for(n_computed);
  while (s->n_pages > n_pages) wh_kv_pool_release(s->lm->pool, s->pages[--s->n_pages]);
  if (s->n_computed > n_computed) s->n_computed = n_computed;
  if (s->n_named > s->n_computed / WH_KV_PAGE) s->n_named = s->n_computed / WH_KV_PAGE;
}

void wh_lm_sequence_evict(wh_sequence *s) { wh_lm_sequence_cut(s, 0); }

/* The name of what comes before its page i. */
static wh_kv_name name_before(const wh_sequence *s, uint32_t i) {
  return i ? wh_kv_pool_name(s->lm->pool, s->pages[i - 1]) : wh_kv_beginning(s->set);
}

void wh_lm_sequence_find_pages(wh_sequence *s, uint32_t end) {
  const uint32_t n_full = end / WH_KV_PAGE;
  if (s->is_private || s->n_computed / WH_KV_PAGE != s->n_named || s->n_named >= n_full) return;
  if (room_for_pages(s, n_full) != WH_OK) return; /* the pages can be computed */
  for (uint32_t i = s->n_named; i < n_full; i++) {
    const uint32_t page = wh_kv_pool_find(s->lm->pool, name_before(s, i), s->tokens + (size_t)i * WH_KV_PAGE);
    if (page == WH_KV_NO_PAGE) return;
    wh_lm_sequence_cut(s, i * WH_KV_PAGE); /* what is computed of this page, and pages reserved behind it */
    s->pages[s->n_pages++] = page;
    s->n_computed = ++s->n_named * WH_KV_PAGE;
    s->lm->n_found += WH_KV_PAGE;
  }
}

void wh_lm_sequence_publish(wh_sequence *s) {
  if (s->is_private) return;
  for (uint32_t i = s->n_named; (i + 1) * WH_KV_PAGE <= s->n_computed; i++) {
    s->pages[i] =
        wh_kv_pool_publish(s->lm->pool, s->pages[i], name_before(s, i), s->tokens + (size_t)i * WH_KV_PAGE);
    s->n_named = i + 1;
  }
}

wh_status wh_lm_sequence_reserve(wh_sequence *s, uint32_t n, bool *reserved) {
  wh_kv_pool *pool = s->lm->pool;
  const uint32_t n_pages = wh_lm_pages_for(n), at = s->n_computed / WH_KV_PAGE;
  *reserved = false;
  WH_TRY(room_for_pages(s, n_pages));
  if (n > s->n_computed && at < s->n_pages) { /* goes on within a page */
    if (!wh_kv_pool_is_shared(pool, s->pages[at])) {
      wh_kv_pool_withdraw(pool, s->pages[at]);
    } else {
      const uint32_t copy = wh_kv_pool_take(pool);
      if (copy == WH_KV_NO_PAGE) return WH_OK;
      wh_status st =
          s->n_computed % WH_KV_PAGE ? wh_run_copy_state_row(s->lm->run, s->pages[at], copy) : WH_OK;
      if (st != WH_OK) {
        wh_kv_pool_release(pool, copy);
        return st;
      }
      wh_kv_pool_release(pool, s->pages[at]);
      s->pages[at] = copy;
    }
  }
  while (s->n_pages < n_pages) {
    const uint32_t page = wh_kv_pool_take(pool);
    if (page == WH_KV_NO_PAGE) return WH_OK;
    s->pages[s->n_pages++] = page;
  }
  *reserved = true;
  return WH_OK;
}
