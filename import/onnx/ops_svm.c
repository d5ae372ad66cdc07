/* ops_svm.c - support vector machines: kernels as products, votes and probabilities of pairs on the host. */
#include <inttypes.h>
#include <math.h>

#include "import/onnx/lowerings.h"

static double kernel_param(ox *o, size_t i) {
  size_t n;
  const float *v = ox_attr_floats(o, "kernel_params", &n);
  return i < n ? (double)v[i] : 0;
}

static wh_datum *squares(ox *o, wh_datum *x) { return ox_reduce(o, WH_OP_REDUCE_SUM_SQUARE, x, 2, true); }

/* x[rows, f] with each of v[n, f]: [rows, n] */
static wh_datum *kernel(ox *o, wh_datum *x, wh_datum *v) {
  static const int64_t swap[] = {1, 0};
  const wh_str type = ox_attr_s(o, "kernel_type", "LINEAR");
  wh_datum *dot = ox_matmul(o, x, ox_transpose(o, v, swap)), *gamma = ox_num(o, dot, kernel_param(o, 0)),
           *more = ox_num(o, dot, kernel_param(o, 1));
  if (o->st != WH_OK || wh_str_is(type, "LINEAR")) return dot;
  if (wh_str_is(type, "RBF")) {
    wh_datum *d = ox_add(o, ox_sub(o, squares(o, x), ox_mul(o, dot, ox_num(o, dot, 2))),
                         ox_transpose(o, squares(o, v), swap));
    return ox_unary(o, WH_OP_EXP, ox_unary(o, WH_OP_NEG, ox_mul(o, gamma, d)));
  }
  dot = ox_add(o, ox_mul(o, gamma, dot), more);
  if (wh_str_is(type, "SIGMOID")) return ox_unary(o, WH_OP_TANH, dot);
  if (!wh_str_is(type, "POLY")) OX_FAIL(o, ERR_UNSUPPORTED, "its kernel_type is not known");
  wh_datum *in[] = {dot, ox_num(o, dot, kernel_param(o, 2))};
  return ox_node1(o, WH_OP_POW, in, 2, NULL, 0);
}

static wh_datum *rows_in(ox *o) {
  wh_datum *x = ox_f32(o, ox_in(o, 0));
  if (x->rank == 1) x = ox_insert_axes(o, x, 1, 2);
  if (x->rank != 2 || x->dims[1] < 1) OX_FAIL(o, ERR_CORRUPT, "its input has rank %d", x->rank);
  return o->st == WH_OK ? x : &o->nothing;
}

static wh_datum *matrix(ox *o, const char *name, int64_t columns) {
  size_t n;
  const float *v = ox_attr_floats(o, name, &n);
  if (!v || n == 0 || columns < 1 || (int64_t)n % columns)
    OX_FAIL(o, ERR_CORRUPT, "%s has %zu entries, which are no rows of %" PRId64, name, n, columns);
  return o->st == WH_OK ? ox_flatten_to(o, ox_const_floats(o, v, n), (int64_t)n / columns, columns)
                        : &o->nothing;
}

void ox_lower_svm_regressor(ox *o) {
  static const int64_t swap[] = {1, 0};
  wh_datum *x = rows_in(o), *k = x;
  const int64_t n = ox_attr_i(o, "n_supports", 0);
  size_t n_rho;
  const float *rho = ox_attr_floats(o, "rho", &n_rho);
  if (n > 0 && o->st == WH_OK) {
    wh_datum *v = matrix(o, "support_vectors", x->dims[1]);
    if (o->st == WH_OK && v->dims[0] != n)
      OX_FAIL(o, ERR_CORRUPT, "it has %" PRId64 " support vectors, not %" PRId64, v->dims[0], n);
    k = kernel(o, x, v);
  }
  if (o->st != WH_OK) return;
  wh_datum *y = ox_matmul(o, k, ox_transpose(o, matrix(o, "coefficients", k->dims[1]), swap));
  if (n_rho) y = ox_add(o, y, ox_num(o, y, rho[0]));
  if (ox_attr_i(o, "one_class", 0))
    y = ox_where(o, ox_binary(o, WH_OP_LESS, ox_num(o, y, 0), y), ox_num(o, y, 1), ox_num(o, y, -1));
  ox_give(o, 0, ox_post_transform(o, y, ox_attr_s(o, "post_transform", "NONE")));
}

/* ---- classes ---- */

typedef struct svm {
  size_t n_classes, n_vectors, n_rho, n_a, n_b, n_coefficients;
  const int64_t *per_class;
  int64_t *starts; /* of each class's vectors */
  const float *coefficients, *rho, *a, *b;
} svm;

static void read_svm(ox *o, svm *s) {
  s->per_class = ox_attr_ints(o, "vectors_per_class", &s->n_classes);
  s->coefficients = ox_attr_floats(o, "coefficients", &s->n_coefficients);
  s->rho = ox_attr_floats(o, "rho", &s->n_rho);
  s->a = ox_attr_floats(o, "prob_a", &s->n_a);
  s->b = ox_attr_floats(o, "prob_b", &s->n_b);
  s->starts = ox_array(o, s->n_classes + 1, sizeof *s->starts);
  if (!s->starts) return;
  for (size_t i = 0; i < s->n_classes; i++) {
    if (s->per_class[i] < 0 || s->per_class[i] > INT32_MAX)
      OX_FAIL(o, ERR_CORRUPT, "vectors_per_class is out of range");
    s->starts[i + 1] = s->starts[i] + s->per_class[i];
  }
  s->n_vectors = (size_t)s->starts[s->n_classes];
  const size_t pairs = s->n_classes * (s->n_classes - 1) / 2;
  if (s->n_classes < 2 || s->n_classes > 4096 || s->n_rho != pairs ||
      s->n_coefficients != (s->n_classes - 1) * s->n_vectors ||
      (s->n_a && (s->n_a != pairs || s->n_b != pairs)))
    OX_FAIL(o, ERR_CORRUPT, "its vectors, coefficients, rho and probabilities do not go together");
}

/* What tells classes i < j apart. */
static double decision(const svm *s, const float *k, size_t i, size_t j, size_t pair) {
  double sum = 0;
  for (int64_t v = s->starts[i]; v < s->starts[i + 1]; v++)
    sum += (double)s->coefficients[(j - 1) * s->n_vectors + (size_t)v] * (double)k[v];
  for (int64_t v = s->starts[j]; v < s->starts[j + 1]; v++)
    sum += (double)s->coefficients[i * s->n_vectors + (size_t)v] * (double)k[v];
  return sum + (double)s->rho[pair];
}

static double sigmoid_of(double x, double a, double b) {
  const double t = x * a + b;
  return t >= 0 ? exp(-t) / (1 + exp(-t)) : 1 / (1 + exp(t));
}

/* Probabilities of classes from those of pairs r[i][j] (Wu, Lin and Weng 2004). q and qp: room for n * n and
 * n. */
static void couple(size_t n, const double *r, double *q, double *qp, double *p) {
  for (size_t t = 0; t < n; t++) {
    p[t] = 1.0 / (double)n;
    q[t * n + t] = 0;
    for (size_t j = 0; j < n; j++) {
      if (j == t) continue;
      q[t * n + t] += r[j * n + t] * r[j * n + t];
      q[t * n + j] = -r[j * n + t] * r[t * n + j];
    }
  }
  for (int iteration = 0; iteration < 100; iteration++) {
    double pqp = 0, worst = 0;
    for (size_t t = 0; t < n; t++) {
      qp[t] = 0;
      for (size_t j = 0; j < n; j++) qp[t] += q[t * n + j] * p[j];
      pqp += p[t] * qp[t];
    }
    for (size_t t = 0; t < n; t++) worst = fmax(worst, fabs(qp[t] - pqp));
    if (worst < 0.005 / (double)n) return;
    for (size_t t = 0; t < n; t++) {
      const double d = (pqp - qp[t]) / q[t * n + t];
      p[t] += d;
      pqp = (pqp + d * (d * q[t * n + t] + 2 * qp[t])) / (1 + d) / (1 + d);
      for (size_t j = 0; j < n; j++) {
        qp[j] = (qp[j] + d * q[t * n + j]) / (1 + d);
        p[j] /= 1 + d;
      }
    }
  }
}

/* Scores of one row, pair after pair or class after class; the class that wins. `room`: 2 n n + 3 n. */
static size_t classify(const svm *s, const float *k, double *room, float *scores) {
  const size_t n = s->n_classes;
  double *r = room, *q = r + n * n, *p = q + n * n, *qp = p + n, *votes = qp + n;
  size_t best = 0, pair = 0;
  for (size_t i = 0; i < n; i++) votes[i] = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = i + 1; j < n; j++, pair++) {
      const double sum = decision(s, k, i, j, pair);
      votes[sum > 0 ? i : j]++;
      if (!s->n_a) {
        scores[pair] = (float)sum;
        continue;
      }
      const double one = sigmoid_of(sum, (double)s->a[pair], (double)s->b[pair]);
      r[i * n + j] = fmin(fmax(one, 1e-7), 1 - 1e-7);
      r[j * n + i] = 1 - r[i * n + j];
    }
  if (s->n_a) couple(n, r, q, qp, p);
  for (size_t i = 0; i < n; i++) {
    if (s->n_a) scores[i] = (float)p[i];
    if (votes[i] > votes[best]) best = i;
  }
  return best;
}

void ox_lower_svm_classifier(ox *o) {
  wh_datum *x = rows_in(o);
  svm s = {.n_classes = 0};
  if (!ox_attr(o, "vectors_per_class")) { /* a linear one: rows of coefficients */
    ox_lower_linear_classifier(o);
    return;
  }
  read_svm(o, &s);
  wh_datum *v = o->st == WH_OK ? matrix(o, "support_vectors", x->dims[1]) : x;
  if (o->st == WH_OK && v->dims[0] != (int64_t)s.n_vectors)
    OX_FAIL(o, ERR_CORRUPT, "it has %" PRId64 " support vectors, not %zu", v->dims[0], s.n_vectors);
  wh_datum *all = o->st == WH_OK ? kernel(o, x, v) : x;
  const float *k = ox_data(o, all);
  const size_t n = s.n_classes, width = s.n_a ? n : s.n_rho;
  double *room = ox_array(o, 2 * n * n + 3 * n, sizeof *room);
  const int64_t dims[] = {x->dims[0], (int64_t)width};
  wh_datum *scores = ox_from(o, o->st == WH_OK ? ox_new(o, WH_DTYPE_F32, 2, dims) : x, &all, 1),
           *ids = ox_from(o, o->st == WH_OK ? ox_new(o, WH_DTYPE_I64, 1, dims) : x, &all, 1);
  for (int64_t i = 0; k && room && o->st == WH_OK && i < dims[0]; i++)
    ((int64_t *)(uintptr_t)ids->data)[i] = (int64_t)classify(
        &s, k + (size_t)i * s.n_vectors, room, (float *)(uintptr_t)scores->data + (size_t)i * width);
  if (o->st != WH_OK) return;
  const bool two = n == 2 && !s.n_a; /* the second's score is that of the first with the other sign */
  wh_datum *pair[] = {scores, ox_unary(o, WH_OP_NEG, scores)};
  if (two) scores = ox_concat(o, 1, pair, 2);
  ox_give(o, 0, ox_labels(o, ids));
  ox_give(o, 1, ox_post_transform(o, scores, ox_attr_s(o, "post_transform", "NONE")));
}
