/* rowops_quantize_vec.h - quantize_act and the ops that end in it, one group of 256 at a time. Included by
 * each rowops_quantize_<isa>.c behind its quantize_256(x, group); KERNEL(op) is a kernel's name. */
#ifndef WH_CPU_ROWOPS_QUANTIZE_VEC_H
#define WH_CPU_ROWOPS_QUANTIZE_VEC_H

/* Zeros from y[n] to the end of the group. n is a multiple of 32. */
static inline void pad_group(float y[WH_UNIT], int64_t n) {
  for (int64_t j = n; j < WH_UNIT; j += VF_LANES) vf_store(y + j, vf_zero());
}

void KERNEL(quantize_act)(const wh_quantize_act_args *a, const wh_worker *w) {
  wh_q8a_group g;
  float padded[WH_UNIT];
  for (wh_unit u = wh_unit_first(w, a->rows, a->k); wh_unit_valid(&u); wh_unit_advance(&u)) {
    const float *x = a->x + u.row * a->ldx + u.column;
    if (u.count < WH_UNIT) {
      memcpy(padded, x, (size_t)u.count * sizeof *x);
      pad_group(padded, u.count);
      x = padded;
    }
    quantize_256(x, &g);
    wh_q8a_group_store(&g, a->q8a, a->rows, &u);
  }
}

void KERNEL(rms_norm_q8a)(const wh_norm_args *a, const wh_worker *w) {
  wh_q8a_group g;
  float y[WH_UNIT], r = 0.0f;
  int64_t r_row = -1; /* the row that r belongs to: workers that share a row each sum it, without a barrier */
  for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {
    const float *x = a->x + u.row * a->ldx;
    if (u.row != r_row) r = rms_factor(x, a->n, a->eps);
    r_row = u.row;
    rms_apply(y, x + u.column, a->w ? a->w + u.column : NULL, r, u.count);
    pad_group(y, u.count);
    quantize_256(y, &g);
    wh_q8a_group_store(&g, a->q8a, a->rows, &u);
  }
}

#define GATED_Q8A(op, activation)                                                                   \
  void KERNEL(op)(const wh_gated_args *a, const wh_worker *w) {                                     \
    wh_q8a_group g;                                                                                 \
    float y[WH_UNIT];                                                                               \
    for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {     \
      const float *gate = a->a + u.row * a->lda + u.column, *up = a->b + u.row * a->ldb + u.column; \
      for (int64_t j = 0; j < u.count; j += VF_LANES)                                               \
        vf_store(y + j, vf_mul(activation(vf_load(gate + j)), vf_load(up + j)));                    \
      pad_group(y, u.count);                                                                        \
      quantize_256(y, &g);                                                                          \
      wh_q8a_group_store(&g, a->q8a, a->rows, &u);                                                  \
    }                                                                                               \
  }
GATED_Q8A(swiglu_q8a, vf_silu)
GATED_Q8A(geglu_q8a, vf_gelu_tanh)

#endif
