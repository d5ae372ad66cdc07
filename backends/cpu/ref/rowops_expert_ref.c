/* ref/rowops_expert_ref.c - docs/NUMERICS.md, "mixture of experts", in plain C. A router has few scores, so
 * only the sum over experts has faster forms. */
#include <math.h>

#include "backends/cpu/rowops_kernels.h"

/* What a score is compared as: nothing is below a NaN. */
static float rank_of(float score) { return score == score ? score : -INFINITY; }

void wh_k_expert_select__ref(const wh_expert_select_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t r = begin; r < end; r++) {
    const float *scores = a->scores + r * a->n;
    int32_t *best = a->selected + r * a->used;
    int64_t n_best = 0;
    for (int64_t j = 0; j < a->n; j++) { /* in index order, so that equal scores stay in it */
      const float score = rank_of(scores[j]);
      if (n_best == a->used && !(score > rank_of(scores[best[n_best - 1]]))) continue;
      int64_t at = n_best < a->used ? n_best++ : n_best - 1;
      for (; at > 0 && score > rank_of(scores[best[at - 1]]); at--) best[at] = best[at - 1];
      best[at] = (int32_t)j;
    }
  }
}

void wh_k_expert_weights__ref(const wh_expert_weights_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t r = begin; r < end; r++) {
    const float *p = a->p + r * a->n;
    const int32_t *selected = a->selected + r * a->used;
    float *y = a->y + r * a->used, sum = p[selected[0]];
    for (int64_t i = 1; i < a->used; i++) sum = sum + p[selected[i]];
    for (int64_t i = 0; i < a->used; i++) {
      const float v = p[selected[i]];
      y[i] = (a->normalise ? v / sum : v) * a->scale;
    }
  }
}

void wh_k_expert_sum__ref(const wh_expert_sum_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t r = begin; r < end; r++) {
    const float *x = a->x + r * a->slots * a->n, *weights = a->weights + r * a->slots;
    for (int64_t j = 0; j < a->n; j++) {
      float sum = weights[0] * x[j];
      for (int64_t i = 1; i < a->slots; i++) sum = fmaf(weights[i], x[i * a->n + j], sum);
      a->y[r * a->n + j] = a->residual ? a->residual[r * a->n + j] + sum : sum;
    }
  }
}
