/* reference_trees.c - trees, walk by walk: leaves are put into lanes, and lanes joined. */
#include <string.h>

#include "tests/backend/reference_nn.h"

static double number_at(const ref_value *v, int64_t i) {
  return v->dtype == WH_DTYPE_F64 ? ((const double *)v->data)[i] : (double)((const float *)v->data)[i];
}

static double threshold_of(const ref_value *nodes, int64_t i) {
  const char *words = (const char *)nodes->data + (i * nodes->dims[1] + 3) * 4;
  float narrow;
  double wide;
  memcpy(&narrow, words, sizeof narrow);
  if (nodes->dims[1] == 4) return (double)narrow;
  memcpy(&wide, words, sizeof wide);
  return wide;
}

/* The leaf of a tree, or -1. */
static int64_t leaf_of(const ref_node *n, int64_t row, int64_t tree) {
  const ref_value *x = &n->in[0], *nodes = &n->in[1], *leaves = &n->in[3];
  int64_t at = ((const int32_t *)n->in[2].data)[tree], before = -1;
  while (at >= 0) {
    if (at <= before || at >= nodes->dims[0]) return -1;
    const int32_t *node = (const int32_t *)nodes->data + at * nodes->dims[1];
    const int64_t feature = node[0] < 0 ? -1 - (int64_t)node[0] : node[0];
    if (feature >= x->dims[1]) return -1;
    const double v = number_at(x, row * x->dims[1] + feature);
    const bool yes = v != v ? node[0] < 0 : v <= threshold_of(nodes, at);
    before = at;
    at = yes ? node[1] : node[2];
  }
  return -1 - at < leaves->dims[0] ? -1 - at : -1;
}

static double larger(double a, double x) {
  if (a != a || x != x) return a + x;
  if (a == x) return copysign(1.0, a) < 0 ? x : a;
  return a < x ? x : a;
}

/* The sum of two f32 in f64, rounded to f32, is their sum in f32. */
static double joined(const ref_node *n, double a, double x) {
  const int64_t mode = wh_node_i(n->node, WH_ATTR_MODE);
  const double y = mode == 0 ? a + x : mode == 1 ? -larger(-a, -x) : larger(a, x);
  return n->out.dtype == WH_DTYPE_F64 ? y : (double)(float)y;
}

void ref_trees(ref_node *n) {
  const int64_t targets = n->out.dims[1], mode = wh_node_i(n->node, WH_ATTR_MODE);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    double lanes[64];
    for (int l = 0; l < 64; l++)
      lanes[l] = mode == 0 ? 0.0 : mode == 1 ? (double)INFINITY : -(double)INFINITY;
    for (int64_t tree = 0; tree < n->in[2].dims[0]; tree++) {
      const int64_t leaf = leaf_of(n, i / targets, tree);
      if (leaf >= 0)
        lanes[tree % 64] = joined(n, lanes[tree % 64], number_at(&n->in[3], leaf * targets + i % targets));
    }
    for (int h = 32; h > 0; h /= 2)
      for (int l = 0; l < h; l++) lanes[l] = joined(n, lanes[l], lanes[l + h]);
    if (n->out.dtype == WH_DTYPE_F64)
      ((double *)n->out.data)[i] = lanes[0];
    else
      ((float *)n->out.data)[i] = (float)lanes[0];
  }
}
