/* lm/speculate.h - speculative decoding, a client of batches: whimbrel/speculate.h says what the functions
 * do. */
#ifndef WH_LM_SPECULATE_H
#define WH_LM_SPECULATE_H

#include "lm/lm.h"
#include "whimbrel/speculate.h"

typedef struct wh_lm_speculator wh_lm_speculator;

/* As wh_speculator_options. The draft model knows the same tokens. */
typedef struct wh_lm_speculator_options {
  uint32_t sequence, max_lookup, max_draft;
  wh_lm *draft; /* NULL: none */
  uint32_t draft_sequence;
  float min_probability;
} wh_lm_speculator_options;

WH_NODISCARD wh_status wh_lm_speculator_create(wh_lm *lm, const wh_lm_speculator_options *options,
                                               wh_lm_speculator **out);
void wh_lm_speculator_destroy(wh_lm_speculator *s);
wh_lm *wh_lm_speculator_lm(const wh_lm_speculator *s);
WH_NODISCARD wh_status wh_lm_speculator_append(wh_lm_speculator *s, const int32_t *tokens, size_t n,
                                               bool logits);
void wh_lm_speculator_expect(wh_lm_speculator *s, size_t n);
WH_NODISCARD wh_status wh_lm_speculator_advance(wh_lm_speculator *s, int32_t token, uint32_t n_wanted);
const float *wh_lm_speculator_logits(const wh_lm_speculator *s);
bool wh_lm_speculator_best(const wh_lm_speculator *s, wh_lm_best *out); /* as wh_lm_row_best */
const int32_t *wh_lm_speculator_tokens(const wh_lm_speculator *s, uint32_t *n);
WH_NODISCARD wh_status wh_lm_speculator_truncate(wh_lm_speculator *s, uint32_t length);
wh_speculator_stats wh_lm_speculator_get_stats(const wh_lm_speculator *s);

#endif
