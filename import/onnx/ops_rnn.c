/* ops_rnn.c - recurrent layers: both directions, and the layouts around them. */
#include <inttypes.h>
#include <string.h>

#include "import/onnx/lowerings.h"

static const struct {
  const char *name;
  float alpha, beta;
} activations[] = {{"sigmoid", 0, 0},       {"tanh", 0, 0},
                   {"relu", 0, 0},          {"affine", 1, 0},
                   {"leakyrelu", 0.01f, 0}, {"thresholdedrelu", 1, 0},
                   {"scaledtanh", 1, 1},    {"hardsigmoid", 0.2f, 0.5f},
                   {"elu", 1, 0},           {"softsign", 0, 0},
                   {"softplus", 0, 0}};
#define N_ACTIVATIONS (sizeof activations / sizeof activations[0])

static int activation_of(ox *o, wh_str s) {
  for (size_t i = 0; i < N_ACTIVATIONS; i++) {
    size_t k = 0;
    for (; k < s.len && activations[i].name[k]; k++) {
      const char c = s.data[k];
      if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != activations[i].name[k]) break;
    }
    if (k == s.len && !activations[i].name[k]) return (int)i;
  }
  OX_FAIL(o, ERR_UNSUPPORTED, "activation '" WH_STR_FMT "' is not known", WH_STR_ARG(s));
  return 0;
}

static bool takes_alpha(int a) { return a >= 3 && a <= 8; }
static bool takes_beta(int a) { return a == 3 || a == 6 || a == 7; }

/* The activations of one direction, with their two numbers. */
static void read_activations(ox *o, int n, int direction, int64_t *kinds, float *factors) {
  size_t n_names, n_alpha, n_beta, at_alpha = 0, at_beta = 0;
  const wh_str *names = ox_attr_strings(o, "activations", &n_names);
  const float *alpha = ox_attr_floats(o, "activation_alpha", &n_alpha),
              *beta = ox_attr_floats(o, "activation_beta", &n_beta);
  if (names && n_names < (size_t)(n * (direction + 1)))
    OX_FAIL(o, ERR_CORRUPT, "it has %zu activations", n_names);
  for (int i = 0; i < n * (direction + 1) && o->st == WH_OK; i++) {
    const int usual = ox_arg(o) == OX_RNN ? 1 : i % n == 0 ? 0 : 1;
    const int kind = names ? activation_of(o, names[i]) : usual;
    float a = activations[kind].alpha, b = activations[kind].beta;
    if (takes_alpha(kind) && at_alpha < n_alpha) a = alpha[at_alpha++];
    if (takes_beta(kind) && at_beta < n_beta) b = beta[at_beta++];
    if (i < n * direction) continue;
    kinds[i % n] = kind;
    factors[2 * (i % n)] = a;
    factors[2 * (i % n) + 1] = b;
  }
}

/* Row `direction` of the first axis. */
static wh_datum *row(ox *o, wh_datum *x, int direction) {
  return x ? ox_drop_axes(o, ox_part(o, x, 0, direction, 1), 1) : NULL;
}

void ox_lower_recurrent(ox *o) {
  static const int gates_of[] = {1, 3, 4}, acts_of[] = {1, 2, 3}, states_of[] = {1, 1, 2};
  static const wh_op ops[] = {WH_OP_RNN, WH_OP_GRU, WH_OP_LSTM};
  const int kind = ox_arg(o), gates = gates_of[kind], n_states = states_of[kind];
  static const int64_t swap[] = {1, 0}, front[] = {1, 0, 2};
  wh_datum *x = ox_f32(o, ox_in(o, 0)), *w = ox_f32(o, ox_in(o, 1)), *r = ox_f32(o, ox_in(o, 2)),
           *b = ox_maybe(o, 3), *lengths = ox_maybe(o, 4);
  wh_datum *start[] = {ox_maybe(o, 5), kind == OX_LSTM ? ox_maybe(o, 6) : NULL},
           *peepholes = kind == OX_LSTM ? ox_maybe(o, 7) : NULL;
  const bool batch_first = ox_attr_i(o, "layout", 0) != 0;
  if (x->rank != 3 || w->rank != 3 || r->rank != 3)
    OX_FAIL(o, ERR_CORRUPT, "its operands have other ranks than 3");
  if (o->st != WH_OK) return;
  if (batch_first) {
    x = ox_transpose(o, x, front);
    for (int i = 0; i < 2; i++)
      if (start[i]) start[i] = ox_transpose(o, start[i], front);
  }
  const wh_str way = ox_attr_s(o, "direction", "forward");
  const bool both = wh_str_is(way, "bidirectional"), reverse = wh_str_is(way, "reverse");
  const int n_dir = both ? 2 : 1;
  const int64_t t = x->dims[0], batch = x->dims[1], h = r->dims[2], width = gates * h;
  if (w->dims[0] != n_dir || r->dims[0] != n_dir)
    OX_FAIL(o, ERR_CORRUPT, "it has weights of %" PRId64 " directions", w->dims[0]);
  wh_datum *ys[2], *states[2][2];
  for (int d = 0; d < n_dir && o->st == WH_OK; d++) {
    wh_datum *wd = ox_transpose(o, row(o, w, d), swap), *rd = row(o, r, d), *bd = row(o, b, d), *br = NULL;
    wh_datum *xg = ox_matmul(o, ox_flatten_to(o, x, t * batch, x->dims[2]), wd);
    if (bd) {
      if (bd->rank != 1 || bd->dims[0] != 2 * width)
        OX_FAIL(o, ERR_CORRUPT, "its biases have another size than its gates");
      wh_datum *bw = ox_part(o, bd, 0, 0, width);
      br = ox_part(o, bd, 0, width, width);
      xg = ox_add(o, xg, kind == OX_GRU ? bw : ox_add(o, bw, br));
    }
    const int64_t three[] = {t, batch, width};
    xg = ox_reshape(o, xg, 3, three);
    wh_datum *len = lengths ? ox_cast(o, lengths, WH_DTYPE_I32) : NULL, *h0 = row(o, start[0], d),
             *c0 = row(o, start[1], d);
    wh_datum *rnn[] = {xg, rd, h0, len}, *gru[] = {xg, rd, kind == OX_GRU ? br : NULL, h0, len},
             *lstm[] = {xg, rd, h0, c0, len, row(o, peepholes, d)};
    wh_datum *const *in = kind == OX_RNN ? rnn : kind == OX_GRU ? gru : lstm;
    int64_t acts[3];
    float factors[6];
    read_activations(o, acts_of[kind], d, acts, factors);
    const size_t n_acts = (size_t)acts_of[kind];
    wh_attr attrs[6] = {ox_a_i(WH_ATTR_REVERSE, reverse || d == 1),
                        ox_a_f(WH_ATTR_CLIP, ox_attr_f(o, "clip", 0)),
                        ox_a_ints(WH_ATTR_ACTIVATIONS, acts, n_acts),
                        {.key = WH_ATTR_FACTORS, .n = 2 * n_acts, .floats = factors}};
    size_t n_attrs = 4;
    if (kind == OX_GRU)
      attrs[n_attrs++] = ox_a_i(WH_ATTR_RESET_AFTER, ox_attr_i(o, "linear_before_reset", 0) != 0);
    if (kind == OX_LSTM) attrs[n_attrs++] = ox_a_i(WH_ATTR_COUPLED, ox_attr_i(o, "input_forget", 0) != 0);
    wh_datum *outs[3];
    ox_node_n(o, ops[kind], in,
              kind == OX_RNN   ? 4
              : kind == OX_GRU ? 5
                               : 6,
              attrs, n_attrs, outs, (size_t)(1 + n_states));
    ys[d] = ox_insert_axes(o, outs[0], 2, 4);
    for (int s = 0; s < n_states; s++) states[s][d] = ox_insert_axes(o, outs[1 + s], 1, 3);
  }
  if (o->st != WH_OK) return;
  wh_datum *y = ox_concat(o, 1, ys, (size_t)n_dir);
  if (batch_first) { /* [t, dir, batch, h] -> [batch, t, dir, h] */
    static const int64_t perm[] = {2, 0, 1, 3};
    y = ox_transpose(o, y, perm);
  }
  ox_give(o, 0, y);
  for (int s = 0; s < n_states; s++) {
    wh_datum *last = ox_concat(o, 0, states[s], (size_t)n_dir);
    ox_give(o, 1 + (size_t)s, batch_first ? ox_transpose(o, last, front) : last);
  }
}
