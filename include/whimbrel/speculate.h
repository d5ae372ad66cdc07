/* speculate.h - speculative decoding (Leviathan et al. 2023) by exact match: a drafter guesses the next
 * tokens, and one run of the model checks all of them.
 *
 *   wh_speculator_append(s, prompt, n_prompt, true);
 *   for (;;) {
 *     wh_speculator_sample(s, generator, &token);
 *     ... token is the answer's next; leave the loop when it is the last ...
 *     wh_speculator_advance(s, token, UINT32_MAX);
 *   }
 *
 * The logits are those behind the tokens given so far, whatever was drafted; the sampler is called once for
 * each token of the answer, with or without drafts. In exact mode a row's bits do not depend on the batch
 * that it is computed in, so drafts change the number of runs and nothing else.
 *
 * Threads: a speculator is used by one thread at a time, and with it its sessions; their device may be shared
 * (device.h). */
#ifndef WHIMBREL_SPECULATE_H
#define WHIMBREL_SPECULATE_H

#include <stdbool.h>

#include "whimbrel/session.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WH_SPECULATE_MAX_DRAFT 16

/* The speculator holds references to the sessions, and takes its memory from the first one's allocator; until
 * it is destroyed, their sequences are its own. */
typedef struct wh_speculator_options {
  uint32_t struct_size;
  uint32_t sequence;       /* of the session; empty */
  uint32_t max_lookup;     /* most tokens drafted from what followed the same words earlier; 0: none */
  uint32_t max_draft;      /* most tokens drafted by the draft session; 0: none */
  wh_session *draft;       /* of a smaller model with the same vocabulary; NULL: none */
  uint32_t draft_sequence; /* of the draft session; empty */
  float min_probability;   /* the draft model stops at a token that it holds less likely than this */
} wh_speculator_options;
#define WH_SPECULATOR_OPTIONS_INIT \
  { sizeof(wh_speculator_options), 0, 0, 0, NULL, 0, 0.5f }

typedef struct wh_speculator wh_speculator;

/* The session must give one row of logits, and hold one token in a run, more than the longest draft. With
 * both drafters the model drafts when earlier text has nothing to say. Drafts get shorter where they are
 * rejected, and pause where they always are. */
WH_API WH_NODISCARD wh_status wh_speculator_create(wh_session *session, const wh_speculator_options *options,
                                                   wh_speculator **out);
WH_API void wh_speculator_destroy(wh_speculator *speculator);

/* Puts tokens at the end of the sequence, in as many runs as it takes. With `logits`, those behind the last
 * one are the next. After a failure the sequence holds the tokens whose runs succeeded. */
WH_API WH_NODISCARD wh_status wh_speculator_append(wh_speculator *speculator, const int32_t *tokens, size_t n,
                                                   bool logits);
/* A hint for the next calls of append, which changes the time and nothing else: n tokens will be appended
 * before logits are wanted (wh_batch.n_to_follow). */
WH_API void wh_speculator_expect(wh_speculator *speculator, size_t n);
/* As append for one token with logits, which may be there already. At most `n_wanted` tokens behind it will
 * be asked for: longer drafts would be waste. */
WH_API WH_NODISCARD wh_status wh_speculator_advance(wh_speculator *speculator, int32_t token,
                                                    uint32_t n_wanted);
/* Logits [n_vocab] behind the last token; NULL when there are none, as after a run that failed. Valid until
 * the next call that adds or forgets tokens. */
WH_API const float *wh_speculator_logits(const wh_speculator *speculator);
/* The generator's pick from them, as wh_session_sample. */
WH_API WH_NODISCARD wh_status wh_speculator_sample(const wh_speculator *speculator, wh_generator *generator,
                                                   int32_t *token);

/* The tokens given so far; drafts do not count. Valid until the next call. `n` may be NULL. */
WH_API const int32_t *wh_speculator_tokens(const wh_speculator *speculator, uint32_t *n);
/* Forgets all tokens from `length` on, and what was drafted. There are no logits then. */
WH_API WH_NODISCARD wh_status wh_speculator_truncate(wh_speculator *speculator, uint32_t length);

/* Of all calls of advance. */
typedef struct wh_speculator_stats {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t n_advanced;            /* tokens */
  uint64_t n_runs;                /* runs of the model that they took */
  uint64_t n_drafted, n_accepted; /* tokens drafted; of these, taken into the answer */
  uint64_t n_draft_runs;          /* runs of the draft model, whose prompt is among them */
} wh_speculator_stats;
#define WH_SPECULATOR_STATS_INIT \
  { sizeof(wh_speculator_stats), 0, 0, 0, 0, 0, 0 }
WH_API wh_status wh_speculator_get_stats(const wh_speculator *speculator, wh_speculator_stats *stats);

/* ERR_INVALID_ARGUMENT unless both models' tokens are the same, each with the same text and kind; the message
 * names both files and the first difference. */
WH_API WH_NODISCARD wh_status wh_model_check_same_vocabulary(const wh_model *a, const wh_model *b);

#ifdef __cplusplus
}
#endif
#endif
