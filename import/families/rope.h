/* import/families/rope.h - rotary frequencies (Su et al. 2021) with their context extensions: linear
 * interpolation (Chen et al. 2023), YaRN (Peng et al. 2023), LongRoPE (Ding et al. 2024) and per-frequency
 * factors from the file (Llama 3.1).
 *
 * Pure. Binary64 with exact_math.h, then rounded: every host gets the same bits (docs/NUMERICS.md). */
#ifndef WH_FAMILIES_ROPE_H
#define WH_FAMILIES_ROPE_H

#include "import/families/model.h"

/* inv_freq[n_rot / 2]; `factors` (as many, or NULL) divide the frequencies. */
void wh_rope_frequencies(const wh_rope_params *params, const float *factors, float *inv_freq);
/* What cosines and sines are multiplied with. */
float wh_rope_magnitude(const wh_rope_params *params);

#endif
