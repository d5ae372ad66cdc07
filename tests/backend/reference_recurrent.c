/* reference_recurrent.c - recurrent layers: one sequence after the other, step by step. */
#include <stdlib.h>

#include "tests/backend/reference_nn.h"

static float limit(float x, float clip) {
  if (clip == 0.0f) return x;
  return x > clip ? clip : x < -clip ? -clip : x;
}

static float act(const ref_node *n, int which, float x) {
  const float a = wh_node_attr(n->node, WH_ATTR_FACTORS)->floats[2 * which],
              b = wh_node_attr(n->node, WH_ATTR_FACTORS)->floats[2 * which + 1];
  if (isnan(x)) return x;
  switch (wh_node_attr(n->node, WH_ATTR_ACTIVATIONS)->ints[which]) {
    case 0:
      return wh_sigmoid_f32(x);
    case 1:
      return wh_tanh_f32(x);
    case 2:
      return x > 0.0f ? x : 0.0f;
    case 3:
      return fmaf(a, x, b);
    case 4:
      return x >= 0.0f ? x : a * x;
    case 5:
      return x >= a ? x : 0.0f;
    case 6:
      return a * wh_tanh_f32(b * x);
    case 7:
      return fminf(fmaxf(fmaf(a, x, b), 0.0f), 1.0f);
    case 8:
      return x >= 0.0f ? x : a * (wh_exp_f32(x) - 1.0f);
    case 9:
      return x / (1.0f + fabsf(x));
    default:
      return (float)((x > 0.0f ? (double)x : 0.0) + wh_log_f64(1.0 + wh_exp_f64(-fabs((double)x))));
  }
}

static float gate(const ref_node *n, int which, float x) {
  return act(n, which, limit(x, wh_node_f(n->node, WH_ATTR_CLIP)));
}

/* What one sequence is made of. */
typedef struct sequence {
  const ref_node *n;
  int64_t units, at; /* units; the step's row of x and y */
  float *h, *c, *next, *mixed;
  const float *bias, *peephole;
} sequence;

static float input_of(const sequence *s, int g, int64_t i) {
  const int64_t width = s->n->in[0].dims[2];
  return ((const float *)s->n->in[0].data)[s->at * width + g * s->units + i];
}

static float product_of(const sequence *s, int g, int64_t i, const float *h) {
  const float p = ref_chain512(h, (const float *)s->n->in[1].data + (g * s->units + i) * s->units, s->units);
  return s->bias ? p + s->bias[g * s->units + i] : p;
}

static void rnn_step(sequence *s) {
  for (int64_t i = 0; i < s->units; i++)
    s->next[i] = gate(s->n, 0, input_of(s, 0, i) + product_of(s, 0, i, s->h));
}

static void gru_step(sequence *s) {
  const bool after = wh_node_i(s->n->node, WH_ATTR_RESET_AFTER) != 0;
  for (int64_t i = 0; i < s->units; i++)
    s->mixed[i] = gate(s->n, 0, input_of(s, 1, i) + product_of(s, 1, i, s->h)) * s->h[i];
  for (int64_t i = 0; i < s->units; i++) {
    const float z = gate(s->n, 0, input_of(s, 0, i) + product_of(s, 0, i, s->h));
    float x = input_of(s, 2, i);
    if (after) {
      const float r = gate(s->n, 0, input_of(s, 1, i) + product_of(s, 1, i, s->h));
      x = fmaf(r, product_of(s, 2, i, s->h), x);
    } else {
      x = x + product_of(s, 2, i, s->mixed);
    }
    s->next[i] = fmaf(z, s->h[i], (1.0f - z) * gate(s->n, 1, x));
  }
}

static float with_peephole(const sequence *s, int g, int64_t i, float x, float c) {
  return s->peephole ? fmaf(s->peephole[g * s->units + i], c, x) : x;
}

static void lstm_step(sequence *s) {
  for (int64_t k = 0; k < s->units; k++) {
    float x[4];
    for (int g = 0; g < 4; g++) x[g] = input_of(s, g, k) + product_of(s, g, k, s->h);
    const float i = gate(s->n, 0, with_peephole(s, 0, k, x[0], s->c[k]));
    const float f = wh_node_i(s->n->node, WH_ATTR_COUPLED)
                        ? 1.0f - i
                        : gate(s->n, 0, with_peephole(s, 2, k, x[2], s->c[k]));
    s->c[k] = fmaf(f, s->c[k], i * gate(s->n, 1, x[3]));
    s->next[k] = gate(s->n, 0, with_peephole(s, 1, k, x[1], s->c[k])) * act(s->n, 2, s->c[k]);
  }
}

static void copy(float *to, const float *from, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = from ? from[i] : 0.0f;
}

static void run(ref_node *n, void (*step)(sequence *), int h0, int c0, int bias, int lengths, int peephole) {
  const int64_t t = n->in[0].dims[0], batch = n->in[0].dims[1], units = n->in[1].dims[1];
  float *memory = calloc((size_t)(4 * units + 1), sizeof *memory), *y = n->out.data;
  if (!memory) abort();
  for (int64_t b = 0; b < batch; b++) {
    sequence s = {n, units, 0, memory, memory + units, memory + 2 * units, memory + 3 * units, NULL, NULL};
    if (bias) s.bias = n->in[bias].data;
    if (peephole) s.peephole = n->in[peephole].data;
    int64_t length = t;
    if (n->in[lengths].data) {
      length = ((const int32_t *)n->in[lengths].data)[b];
      if (length < 0 || length > t) ref_fault(n, length);
      length = length < 0 ? 0 : length > t ? t : length;
    }
    copy(s.h, n->in[h0].data ? (const float *)n->in[h0].data + b * units : NULL, units);
    copy(s.c, c0 && n->in[c0].data ? (const float *)n->in[c0].data + b * units : NULL, units);
    for (int64_t i = 0; i < t; i++) copy(y + (i * batch + b) * units, NULL, units);
    for (int64_t i = 0; i < length; i++) {
      s.at = (wh_node_i(n->node, WH_ATTR_REVERSE) ? length - 1 - i : i) * batch + b;
      step(&s);
      copy(s.h, s.next, units);
      copy(y + s.at * units, s.next, units);
    }
    copy((float *)n->more[0].data + b * units, s.h, units);
    if (c0) copy((float *)n->more[1].data + b * units, s.c, units);
  }
  free(memory);
}

void ref_rnn(ref_node *n) { run(n, rnn_step, 2, 0, 0, 3, 0); }
void ref_gru(ref_node *n) { run(n, gru_step, 3, 0, 2, 4, 0); }
void ref_lstm(ref_node *n) { run(n, lstm_step, 2, 3, 0, 4, 5); }
