/* rope.c - rotary frequencies. */
#include "import/families/rope.h"

#include "core/base/exact_math.h"

#define TWO_PI 6.283185307179586

/* The (fractional) index of the frequency that turns `turns` times within the original context. */
static double index_of_turns(const wh_rope_params *p, double turns) {
  double turns_at_first = (double)p->original_context / (turns * TWO_PI);
  return (double)p->n_rot * wh_log_f64(turns_at_first) / (2.0 * wh_log_f64(p->base));
}

void wh_rope_frequencies(const wh_rope_params *p, const float *factors, float *inv_freq) {
  double low = 0.0, high = 0.0;
  if (p->scaling == WH_ROPE_YARN) {
    low = fmax(floor(index_of_turns(p, p->beta_fast)), 0.0);
    high = fmin(ceil(index_of_turns(p, p->beta_slow)), (double)(p->n_rot - 1));
  }
  double log_base = wh_log_f64(p->base);
  for (int64_t i = 0; i < p->n_rot / 2; i++) {
    double freq = wh_exp_f64(-(2.0 * (double)i / (double)p->n_rot) * log_base);
    if (factors) freq = freq / (double)factors[i];
    if (p->scaling == WH_ROPE_LINEAR) freq = freq / p->factor;
    if (p->scaling == WH_ROPE_YARN) {
      /* fast frequencies are kept, slow ones interpolated, a ramp between them */
      double ramp = ((double)i - low) / fmax(high - low, 1e-3);
      double keep = (1.0 - fmin(fmax(ramp, 0.0), 1.0)) * p->ext_factor;
      freq = freq / p->factor * (1.0 - keep) + freq * keep;
    }
    inv_freq[i] = (float)freq;
  }
}

float wh_rope_magnitude(const wh_rope_params *p) {
  double m = p->attn_factor;
  if (p->scaling == WH_ROPE_YARN && p->ext_factor != 0.0) m = m * (1.0 + 0.1 * wh_log_f64(p->factor));
  return (float)m;
}
