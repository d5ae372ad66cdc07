/* sequence.c - the public face of sequences (lm/). */
#include "api/api_internal.h"
#include "core/base/file.h"

static wh_session *session_of(const wh_sequence *s) { return wh_lm_owner(wh_lm_of(s)); }
static wh_status name_file(const wh_sequence *s, wh_status st) {
  return wh_session_name_file(session_of(s), st);
}

wh_status wh_sequence_create(wh_session *session, wh_sequence **out) {
  WH_WANT(session, "session");
  WH_WANT(out, "out");
  WH_TRY(wh_lm_sequence_create(wh_session_get_lm(session), out));
  (void)wh_session_retain(session);
  return WH_OK;
}

wh_status wh_sequence_fork(const wh_sequence *sequence, uint32_t length, wh_sequence **out) {
  WH_WANT(sequence, "sequence");
  WH_WANT(out, "out");
  WH_TRY(wh_lm_sequence_fork(sequence, length, out));
  (void)wh_session_retain(session_of(sequence));
  return WH_OK;
}

void wh_sequence_destroy(wh_sequence *sequence) {
  if (!sequence) return;
  wh_session *session = wh_lm_sequence_is_numbered(sequence) ? NULL : session_of(sequence);
  wh_lm_sequence_destroy(sequence);
  wh_session_destroy(session);
}

wh_status wh_session_get_sequence(wh_session *session, uint32_t number, wh_sequence **out) {
  WH_WANT(session, "session");
  WH_WANT(out, "out");
  wh_sequence *s = wh_lm_numbered(wh_session_get_lm(session), number);
  if (!s)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "no sequence %u: the session has %u", number,
                   wh_session_get_options(session)->max_sequences);
  *out = s;
  return WH_OK;
}

wh_status wh_sequence_append(wh_sequence *sequence, const int32_t *tokens, size_t n, uint32_t n_rows) {
  WH_WANT(sequence, "sequence");
  WH_WANT(tokens || !n, "tokens");
  return wh_lm_sequence_append(sequence, tokens, n, n_rows);
}

wh_status wh_sequence_truncate(wh_sequence *sequence, uint32_t length) {
  WH_WANT(sequence, "sequence");
  return wh_lm_sequence_truncate(sequence, length);
}

wh_status wh_sequence_evict(wh_sequence *sequence) {
  WH_WANT(sequence, "sequence");
  wh_lm_sequence_evict(sequence);
  return WH_OK;
}

const int32_t *wh_sequence_tokens(const wh_sequence *sequence, uint32_t *n) {
  if (sequence) return wh_lm_sequence_tokens(sequence, n);
  if (n) *n = 0;
  return NULL;
}

uint32_t wh_sequence_computed(const wh_sequence *sequence) {
  return sequence ? wh_lm_sequence_n_computed(sequence) : 0;
}

wh_status wh_session_step(wh_session *session, uint32_t *n_waiting) {
  WH_WANT(session, "session");
  return wh_session_name_file(session, wh_lm_step(wh_session_get_lm(session), n_waiting));
}

wh_status wh_sequence_status(const wh_sequence *sequence) {
  WH_WANT(sequence, "sequence");
  return name_file(sequence, wh_lm_sequence_status(sequence));
}

const float *wh_sequence_logits(const wh_sequence *sequence, uint32_t row) {
  return sequence ? wh_lm_sequence_row(sequence, row) : NULL;
}

wh_status wh_sequence_sample(const wh_sequence *sequence, uint32_t row, wh_generator *generator,
                             int32_t *token) {
  wh_lm_best best;
  bool decided = false;
  WH_WANT(sequence, "sequence");
  WH_WANT(generator, "generator");
  WH_WANT(token, "token");
  if (wh_lm_sequence_row_best(sequence, row, &best))
    WH_TRY(wh_generator_sample_best(generator, &best, token, &decided));
  if (decided) return WH_OK;
  const float *logits = wh_lm_sequence_row(sequence, row);
  if (!logits) return WH_FAIL(ERR_NOT_FOUND, "the last step gave the sequence no row of logits %u", row);
  return wh_generator_sample(generator, logits, token);
}

wh_status wh_session_get_pages(const wh_session *session, wh_session_pages *pages) {
  WH_WANT(session, "session");
  WH_WANT_INFO(pages, "pages", WH_SESSION_PAGES_INIT);
  wh_lm *lm = wh_session_get_lm(session);
  const wh_kv_pool_counts n = wh_lm_count_pages(lm);
  wh_session_pages full = WH_SESSION_PAGES_INIT;
  full.n_pages = n.n_pages;
  full.n_used = n.n_used;
  full.n_kept = n.n_kept;
  full.n_free = n.n_free;
  full.page_bytes = wh_run_state_row_bytes(wh_lm_run_of(lm));
  full.n_found = wh_lm_n_found(lm);
  WH_WRITE_INFO(pages, full);
  return WH_OK;
}

/* ---- saved ---- */

wh_status wh_sequence_save_to(wh_sequence *sequence, wh_write_fn write, void *ctx) {
  wh_lm_identity id;
  WH_WANT(sequence, "sequence");
  WH_WANT(write, "write");
  WH_TRY(wh_session_identity(session_of(sequence), &id));
  return wh_lm_save(sequence, &id, write, ctx);
}

static int write_file(void *ctx, const void *data, size_t n) {
  return wh_file_writer_append(ctx, data, n) != WH_OK;
}

wh_status wh_sequence_save(wh_sequence *sequence, const char *path) {
  wh_file_writer *writer = NULL;
  WH_WANT(sequence, "sequence");
  WH_WANT(path, "path");
  WH_TRY(wh_file_writer_begin(path, wh_session_get_options(session_of(sequence))->allocator, &writer));
  wh_status st = wh_sequence_save_to(sequence, write_file, writer);
  if (st == WH_OK) return wh_file_writer_commit(writer);
  if (st == WH_ERR_IO) return wh_file_writer_commit(writer); /* says what the failed append met */
  wh_file_writer_abort(writer);
  return st;
}

static wh_status load(wh_session *session, const void *data, size_t n_bytes, const char *name,
                      wh_sequence **out) {
  wh_lm_identity id;
  WH_TRY(wh_session_identity(session, &id));
  WH_TRY(wh_lm_load(wh_session_get_lm(session), &id, data, n_bytes, name, out));
  (void)wh_session_retain(session);
  return WH_OK;
}

wh_status wh_sequence_load_bytes(wh_session *session, const void *data, size_t n_bytes, wh_sequence **out) {
  WH_WANT(session, "session");
  WH_WANT(data || !n_bytes, "data");
  WH_WANT(out, "out");
  return load(session, data ? data : "", n_bytes, "the saved sequence", out);
}

wh_status wh_sequence_load(wh_session *session, const char *path, wh_sequence **out) {
  wh_file *file = NULL;
  WH_WANT(session, "session");
  WH_WANT(path, "path");
  WH_WANT(out, "out");
  WH_TRY(wh_file_open(path, wh_session_get_options(session)->allocator, &file));
  wh_status st = load(session, wh_file_data(file), wh_file_size(file), path, out);
  wh_file_close(file);
  return st;
}
