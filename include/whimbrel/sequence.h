/* sequence.h - sequences as handles, for programs that serve many: created, forked, truncated, saved,
 * computed together.
 *
 *   wh_sequence_create(session, &s);
 *   wh_sequence_append(s, prompt, n_prompt, 1);
 *   do {
 *     wh_session_step(session, &n_waiting);
 *     for each sequence with wh_sequence_sample(s, 0, generator, &token) == WH_OK:
 *       ... the answer's next ...
 *       wh_sequence_append(s, &token, 1, 1), or wh_sequence_destroy(s) when the answer is complete
 *   } while (n_waiting or something was appended);
 *
 * A sequence is its tokens. Keys and values lie in pages of 64 positions that sequences with the same
 * beginning share, whether one was forked from another or they merely begin alike, while both live or after
 * one is gone: pages that nobody uses are kept until they are needed. A lack of pages makes sequences wait,
 * or be computed again later. In exact mode none of it can be seen in the logits: the row behind n tokens has
 * the bits that it has in a session which computes these n tokens and nothing else.
 *
 * Threads: a session and its sequences are used by one thread at a time. */
#ifndef WHIMBREL_SEQUENCE_H
#define WHIMBREL_SEQUENCE_H

#include "whimbrel/session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wh_sequence wh_sequence;

/* An empty sequence of the session, which lives as long as it. Any number of them: they take memory for their
 * tokens, and pages once they are computed. */
WH_API WH_NODISCARD wh_status wh_sequence_create(wh_session *session, wh_sequence **out);
/* A new sequence with the first `length` tokens of another. Shares its pages; the first one to go on within a
 * page gets a copy of it. */
WH_API WH_NODISCARD wh_status wh_sequence_fork(const wh_sequence *sequence, uint32_t length,
                                               wh_sequence **out);
WH_API void wh_sequence_destroy(wh_sequence *sequence);
/* The sequence that wh_session_run knows by a number, to fork or save it; the session's, which destroys it.
 */
WH_API WH_NODISCARD wh_status wh_session_get_sequence(wh_session *session, uint32_t number,
                                                      wh_sequence **out);

/* Puts tokens at the end; they are computed by later calls of wh_session_step. Rows of logits are wanted
 * behind the last n_rows tokens (0: they need not be computed before more are appended; at most the session's
 * max_outputs, and all in one run). What was wanted and not computed yet is replaced. ERR_LIMIT: the context
 * is full. After an error the sequence is as before. */
WH_API WH_NODISCARD wh_status wh_sequence_append(wh_sequence *sequence, const int32_t *tokens, size_t n,
                                                 uint32_t n_rows);
/* Forgets all tokens from `length` on, what was wanted of them, and a failure. */
WH_API WH_NODISCARD wh_status wh_sequence_truncate(wh_sequence *sequence, uint32_t length);
/* Gives its pages back; its tokens stay and are computed again when they are needed. */
WH_API WH_NODISCARD wh_status wh_sequence_evict(wh_sequence *sequence);

/* Its tokens, computed or not; valid until the next call that changes them. `n` may be NULL. */
WH_API const int32_t *wh_sequence_tokens(const wh_sequence *sequence, uint32_t *n);
/* How many of them have keys and values in pages now. */
WH_API uint32_t wh_sequence_computed(const wh_sequence *sequence);

/* One run for the sequences that wait for logits: first those that need few tokens, then long ones in parts,
 * in the order in which they began to wait. As many as max_batch, max_outputs, max_sequences and the pages
 * allow. *n_waiting (may be NULL): sequences that still wait. WH_OK with none waiting: there was nothing to
 * do. A sequence that cannot go on gets a status, the others go on; an error here is the run's and concerns
 * all. */
WH_API WH_NODISCARD wh_status wh_session_step(wh_session *session, uint32_t *n_waiting);
/* Why a sequence cannot go on (fills the error record); WH_OK: it can. */
WH_API wh_status wh_sequence_status(const wh_sequence *sequence);
/* Logits [n_vocab] of row 0..n_rows-1 that it waited for; NULL unless the last step gave them. Valid until
 * the session runs again. */
WH_API const float *wh_sequence_logits(const wh_sequence *sequence, uint32_t row);
/* The generator's pick from that row, as wh_session_sample. */
WH_API WH_NODISCARD wh_status wh_sequence_sample(const wh_sequence *sequence, uint32_t row,
                                                 wh_generator *generator, int32_t *token);

/* Pages of a session; the three parts sum to n_pages. */
typedef struct wh_session_pages {
  uint32_t struct_size;
  uint32_t n_pages;
  uint32_t n_used; /* by sequences, shared ones counted once */
  uint32_t n_kept; /* full pages that no sequence uses but one that begins alike will */
  uint32_t n_free;
  uint32_t reserved;
  uint64_t page_bytes; /* of one */
  uint64_t n_found; /* positions, since the session was made, that were found in pages instead of computed */
} wh_session_pages;
#define WH_SESSION_PAGES_INIT \
  { sizeof(wh_session_pages), 0, 0, 0, 0, 0, 0, 0 }
WH_API wh_status wh_session_get_pages(const wh_session *session, wh_session_pages *pages);

/* Saved sequences: tokens and full pages, with a hash over all of it, bound to the model's weights, the type
 * of the cache and the version of the numerics. What another device computed in another form is computed
 * again. The first call of a model hashes its weights. */
typedef int (*wh_write_fn)(void *ctx, const void *data, size_t n_bytes); /* non-zero ends it: ERR_IO */
WH_API WH_NODISCARD wh_status wh_sequence_save(wh_sequence *sequence, const char *path); /* all or nothing */
WH_API WH_NODISCARD wh_status wh_sequence_save_to(wh_sequence *sequence, wh_write_fn write, void *ctx);
/* A new sequence. ERR_CORRUPT: cut short or damaged; ERR_UNSUPPORTED: of another version or model. */
WH_API WH_NODISCARD wh_status wh_sequence_load(wh_session *session, const char *path, wh_sequence **out);
WH_API WH_NODISCARD wh_status wh_sequence_load_bytes(wh_session *session, const void *data, size_t n_bytes,
                                                     wh_sequence **out);

#ifdef __cplusplus
}
#endif
#endif
