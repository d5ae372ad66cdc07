/* base/exact_activation.h - what the gates of recurrent layers are put through (docs/NUMERICS.md, "Recurrent
 * layers"); one scalar definition each, for hosts and, as exact_math.h, for devices. */
#ifndef WH_BASE_EXACT_ACTIVATION_H
#define WH_BASE_EXACT_ACTIVATION_H

#include "core/base/exact_math.h"

/* The numbers are the IR's. */
typedef enum wh_activation {
  WH_ACT_SIGMOID,
  WH_ACT_TANH,
  WH_ACT_RELU,
  WH_ACT_AFFINE,
  WH_ACT_LEAKY_RELU,
  WH_ACT_THRESHOLDED_RELU,
  WH_ACT_SCALED_TANH,
  WH_ACT_HARD_SIGMOID,
  WH_ACT_ELU,
  WH_ACT_SOFTSIGN,
  WH_ACT_SOFTPLUS,
  WH_ACT_COUNT
} wh_activation;

static inline float wh_act_softplus(float x) {
  if (x != x) return x;
  const double tail = wh_log_f64(1.0 + wh_exp_f64(-fabs((double)x)));
  return (float)((x > 0.0f ? (double)x : 0.0) + tail);
}

static inline float wh_act_hard_sigmoid(float x, float alpha, float beta) {
  const float y = fmaf(alpha, x, beta);
  return y < 0.0f ? 0.0f : y > 1.0f ? 1.0f : y;
}

/* Of x within -clip..clip; clip 0: of any x. */
static inline float wh_activate(int act, float alpha, float beta, float clip, float x) {
  if (clip > 0.0f) x = x < -clip ? -clip : x > clip ? clip : x;
  switch (act) {
    case WH_ACT_SIGMOID:
      return wh_sigmoid_f32(x);
    case WH_ACT_TANH:
      return wh_tanh_f32(x);
    case WH_ACT_RELU:
      return x <= 0.0f ? 0.0f : x;
    case WH_ACT_AFFINE:
      return fmaf(alpha, x, beta);
    case WH_ACT_LEAKY_RELU:
      return x < 0.0f ? alpha * x : x;
    case WH_ACT_THRESHOLDED_RELU:
      return x < alpha ? 0.0f : x;
    case WH_ACT_SCALED_TANH:
      return alpha * wh_tanh_f32(beta * x);
    case WH_ACT_HARD_SIGMOID:
      return wh_act_hard_sigmoid(x, alpha, beta);
    case WH_ACT_ELU:
      return x < 0.0f ? alpha * (wh_exp_f32(x) - 1.0f) : x;
    case WH_ACT_SOFTSIGN:
      return x / (1.0f + fabsf(x));
    case WH_ACT_SOFTPLUS:
      return wh_act_softplus(x);
    default:
      return x;
  }
}

#endif
