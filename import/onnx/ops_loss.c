/* ops_loss.c - losses, and the steps of training. */
#include <math.h>
#include <string.h>

#include "import/onnx/lowerings.h"

/* -w[t] * logp at t, for each place; where t is to be ignored, 0 with weight 0. */
static wh_datum *losses(ox *o, wh_datum *logp, wh_datum *target, wh_datum *weights, wh_datum **own_weights) {
  wh_datum *t = ox_cast(o, target, WH_DTYPE_I64), *ignored = NULL;
  if (ox_attr(o, "ignore_index")) {
    ignored = ox_binary(o, WH_OP_EQUAL, t, ox_num(o, t, (double)ox_attr_long(o, "ignore_index", 0)));
    t = ox_where(o, ignored, ox_num(o, t, 0), t);
  }
  wh_datum *in[] = {logp, ox_insert_axes(o, t, 2, logp->rank)};
  const wh_attr a = ox_a_i(WH_ATTR_AXIS, 1);
  wh_datum *picked = ox_drop_axes(o, ox_node1(o, WH_OP_GATHER_ELEMENTS, in, 2, &a, 1), 2);
  wh_datum *w = weights ? ox_gather(o, weights, t, 0) : NULL;
  if (ignored) w = ox_where(o, ignored, ox_num(o, picked, 0), w ? w : ox_num(o, picked, 1));
  *own_weights = w;
  picked = ox_unary(o, WH_OP_NEG, picked);
  return w ? ox_mul(o, picked, w) : picked;
}

static wh_datum *reduced(ox *o, wh_datum *loss, wh_datum *w) {
  const wh_str how = ox_attr_s(o, "reduction", "mean");
  const unsigned all = (1u << loss->rank) - 1;
  const bool mean = wh_str_is(how, "mean"), sums = wh_str_is(how, "sum");
  if (wh_str_is(how, "none")) return loss;
  if (!mean && !sums)
    OX_FAIL(o, ERR_CORRUPT, "its reduction is '" WH_STR_FMT "': none, mean and sum are known",
            WH_STR_ARG(how));
  if (o->st != WH_OK) return loss;
  if (mean && !w) return ox_mean(o, loss, all, false);
  wh_datum *sum = ox_reduce(o, WH_OP_REDUCE_SUM, loss, all, false);
  return sums ? sum : ox_div(o, sum, ox_reduce(o, WH_OP_REDUCE_SUM, w, all, false));
}

static void loss(ox *o, wh_datum *logp) {
  wh_datum *w, *each = losses(o, logp, ox_in(o, 1), ox_has(o, 2) ? ox_wide(o, ox_in(o, 2)) : NULL, &w);
  ox_give(o, 0, ox_cast(o, reduced(o, each, w), ox_in(o, 0)->dtype));
}

void ox_lower_nll_loss(ox *o) {
  if (ox_in(o, 0)->rank < 2) OX_FAIL(o, ERR_CORRUPT, "its input has no axis of classes");
  if (o->st == WH_OK) loss(o, ox_wide(o, ox_in(o, 0)));
}

void ox_lower_softmax_cross_entropy_loss(ox *o) {
  wh_datum *x = ox_wide(o, ox_in(o, 0));
  if (x->rank < 2) OX_FAIL(o, ERR_CORRUPT, "its input has no axis of classes");
  if (o->st != WH_OK) return;
  x = ox_sub(o, x, ox_reduce(o, WH_OP_REDUCE_MAX, x, 2, true));
  x = ox_sub(o, x,
             ox_unary(o, WH_OP_LOG, ox_reduce(o, WH_OP_REDUCE_SUM, ox_unary(o, WH_OP_EXP, x), 2, true)));
  ox_give(o, 1, ox_cast(o, x, ox_in(o, 0)->dtype));
  loss(o, x);
}

/* ---- steps: R, T, then the tensors, their gradients and their states, group by group ---- */

typedef struct training {
  size_t n; /* tensors */
  wh_datum *rate;
  double step;
} training;

static training begin(ox *o, size_t n_groups) {
  training t = {(ox_n_in(o) - 2) / n_groups, ox_f32(o, ox_in(o, 0)), 0};
  if (ox_n_in(o) < 2 || (ox_n_in(o) - 2) % n_groups)
    OX_FAIL(o, ERR_CORRUPT, "its tensors and states do not go together");
  if (o->st == WH_OK) t.rate = ox_reshape(o, t.rate, 0, NULL);
  t.step = (double)ox_int(o, ox_in(o, 1));
  return t;
}

static wh_datum *scaled(ox *o, wh_datum *x, double by) { return ox_mul(o, x, ox_num(o, x, by)); }
static wh_datum *member(ox *o, const training *t, size_t group, size_t i) {
  return ox_in(o, 2 + group * t->n + i);
}
/* The gradient with weight decay. */
static wh_datum *gradient(ox *o, const training *t, size_t i) {
  return ox_add(o, scaled(o, member(o, t, 0, i), ox_attr_f(o, "norm_coefficient", 0)), member(o, t, 1, i));
}

void ox_lower_adagrad(ox *o) {
  const training t = begin(o, 3);
  wh_datum *rate = ox_div(o, t.rate, ox_num(o, t.rate, 1 + t.step * ox_attr_f(o, "decay_factor", 0)));
  for (size_t i = 0; i < t.n && o->st == WH_OK; i++) {
    wh_datum *g = gradient(o, &t, i), *h = ox_add(o, member(o, &t, 2, i), ox_mul(o, g, g));
    wh_datum *down = ox_add(o, ox_unary(o, WH_OP_SQRT, h), ox_num(o, h, ox_attr_f(o, "epsilon", 0)));
    ox_give(o, i, ox_sub(o, member(o, &t, 0, i), ox_div(o, ox_mul(o, rate, g), down)));
    ox_give(o, t.n + i, h);
  }
}

void ox_lower_momentum(ox *o) {
  const training t = begin(o, 3);
  const double alpha = ox_attr_f(o, "alpha", 0), beta = t.step > 0 ? ox_attr_f(o, "beta", 0) : 1;
  const bool nesterov = wh_str_is(ox_attr_s(o, "mode", "standard"), "nesterov");
  for (size_t i = 0; i < t.n && o->st == WH_OK; i++) {
    wh_datum *g = gradient(o, &t, i),
             *v = ox_add(o, scaled(o, member(o, &t, 2, i), alpha), scaled(o, g, beta));
    wh_datum *move = nesterov ? ox_add(o, g, scaled(o, v, alpha)) : v;
    ox_give(o, i, ox_sub(o, member(o, &t, 0, i), ox_mul(o, t.rate, move)));
    ox_give(o, t.n + i, v);
  }
}

void ox_lower_adam(ox *o) {
  const training t = begin(o, 4);
  const double a = ox_attr_f(o, "alpha", 0.9f), b = ox_attr_f(o, "beta", 0.999f);
  double correction = 1, pa = 1, pb = 1;
  for (double k = 0; k < t.step && k < 1e6; k++) {
    pa *= a;
    pb *= b;
  }
  if (t.step > 0) correction = sqrt(1 - pb) / (1 - pa);
  wh_datum *rate = scaled(o, t.rate, correction);
  for (size_t i = 0; i < t.n && o->st == WH_OK; i++) {
    wh_datum *g = gradient(o, &t, i);
    wh_datum *v = ox_add(o, scaled(o, member(o, &t, 2, i), a), scaled(o, g, 1 - a));
    wh_datum *h = ox_add(o, scaled(o, member(o, &t, 3, i), b), scaled(o, ox_mul(o, g, g), 1 - b));
    wh_datum *down = ox_add(o, ox_unary(o, WH_OP_SQRT, h), ox_num(o, h, ox_attr_f(o, "epsilon", 1e-6f)));
    wh_datum *x = ox_sub(o, member(o, &t, 0, i), ox_div(o, ox_mul(o, rate, v), down));
    ox_give(o, i, scaled(o, x, 1 - ox_attr_f(o, "norm_coefficient_post", 0)));
    ox_give(o, t.n + i, v);
    ox_give(o, 2 * t.n + i, h);
  }
}
