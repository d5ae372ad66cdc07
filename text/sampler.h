/* text/sampler.h - from logits to the next token. The result is a pure function of the logits, the history,
 * the options and the seed, on every machine: arithmetic is fixed by docs/NUMERICS.md, no libm. */
#ifndef WH_TEXT_SAMPLER_H
#define WH_TEXT_SAMPLER_H

#include "core/base/allocator.h"

typedef struct wh_sampler_options {
  float temperature;        /* 0: greedy (ties go to the lowest id) */
  uint32_t top_k;           /* 0: off */
  float top_p;              /* 1: off; smallest set whose probability reaches top_p */
  float min_p;              /* 0: off; keeps p >= min_p * max p */
  float repetition_penalty; /* 1: off; Keskar et al. 2019 (CTRL) */
  float presence_penalty;   /* 0: off; OpenAI API definition */
  float frequency_penalty;  /* 0: off */
  uint32_t penalty_window;  /* how many of the last tokens the penalties see; at most WH_SAMPLER_WINDOW_MAX */
  uint64_t seed;
} wh_sampler_options;
#define WH_SAMPLER_WINDOW_MAX (1u << 16)
#define WH_SAMPLER_OPTIONS_INIT \
  { 0.0f, 0, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f, 64, 0 }

typedef struct wh_sampler wh_sampler;

/* All memory is taken here; sampling allocates nothing. Options out of range are ERR_INVALID_ARGUMENT. */
WH_NODISCARD wh_status wh_sampler_create(const wh_sampler_options *options, size_t n_vocab,
                                         const wh_allocator *alloc, wh_sampler **out);
void wh_sampler_destroy(wh_sampler *s);
void wh_sampler_reset(wh_sampler *s);                 /* empty history, generator back to the seed */
void wh_sampler_accept(wh_sampler *s, int32_t token); /* a token enters the history (prompt or generated) */
/* Picks from logits[n_vocab] (untouched) and accepts the pick. Order of the steps: penalties, temperature,
 * top-k, min-p, top-p, draw; sampler.c defines each. Logits of +inf share the chance among them. A NaN logit,
 * or all logits -inf, is ERR_INVALID_ARGUMENT. */
WH_NODISCARD wh_status wh_sampler_sample(wh_sampler *s, const float *logits, int32_t *out);

/* As wh_sampler_sample, from the n largest logits alone, in falling order and of equals the lower ids first.
 * *decided false: they do not decide, and nothing has changed. They do where what the options leave is among
 * them, whatever the other logits are: greedy; top_k below n; a min_p or weights that reach 0 before the
 * n-th; a top_p that is reached even if all others weigh as much as the n-th. Penalties that raise a logit
 * leave it open, and so do those after which none of the n is surely the largest. */
WH_NODISCARD wh_status wh_sampler_sample_best(wh_sampler *s, const float *logits, const int64_t *ids,
                                              size_t n, int32_t *out, bool *decided);

/* Stop strings over a stream: text that could be the beginning of a stop string is held back. */
typedef struct wh_stop_matcher wh_stop_matcher;
WH_NODISCARD wh_status wh_stop_matcher_create(const char *const *stops, size_t n_stops,
                                              const wh_allocator *alloc, wh_stop_matcher **out);
void wh_stop_matcher_destroy(wh_stop_matcher *m);
struct wh_text_buffer;
/* Stop strings are bytes, 1 to 4096 each, at most 64. The one that is complete first ends the text; of those
 * that the same byte completes, the one that takes the most of it away. After that, pushed text is ignored.
 *
 * Feeds text; appends to `out` what may be shown now. `shown` false: text that is there but never appears, as
 * that of control tokens. A stop string may lie in such text, reach into it, or have it in its midst: both
 * the whole stream and what is shown of it are searched. *stopped: a stop string was completed (shown text
 * before it has been appended; the stop string and what follows have not). */
WH_NODISCARD wh_status wh_stop_matcher_push(wh_stop_matcher *m, const char *text, size_t n, bool shown,
                                            struct wh_text_buffer *out, bool *stopped);
/* The held-back rest. */
WH_NODISCARD wh_status wh_stop_matcher_finish(wh_stop_matcher *m, struct wh_text_buffer *out);

#endif
