/* lm/long_rope.h - sequences of a model with two sets of rotary frequencies (LongRoPE).
 *
 * A row of logits at position p is computed with set 0 when p + 1 <= border, and with set 1 for all positions
 * of its sequence when it lies beyond (docs/NUMERICS.md). The states hold a sequence in one set at a time, so
 * its tokens are kept, and a run that needs the other set computes it again from its first token. What a
 * sequence holds (s->lengths) and how much of it is computed, and in which set, are two things: a run that
 * fails half way leaves the first as it was, and the next run computes what is missing. */
#ifndef WH_LM_LONG_ROPE_H
#define WH_LM_LONG_ROPE_H

#include "lm/run_session_internal.h"

/* Takes all memory that runs will need; sets s->long_rope and s->filled. */
WH_NODISCARD wh_status wh_long_rope_create(wh_run_session *s);
void wh_long_rope_destroy(wh_run_session *s); /* does nothing without s->long_rope */
size_t wh_long_rope_bytes(const wh_run_session *s);

/* A batch that was checked, in as many steps as it takes; sets s->output. On failure s->lengths are as
 * before. */
WH_NODISCARD wh_status wh_long_rope_run(wh_run_session *s, const wh_batch *b);
/* Writes the input rope_sets of a step. */
void wh_long_rope_load(wh_run_session *s, const wh_batch *b);

#endif
