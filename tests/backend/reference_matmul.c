/* reference_matmul.c - products of activations, an output at a time. */
#include "tests/backend/reference_elements.h"

/* Where row or column vectors of an operand begin for an output: its batch broadcasts. */
static int64_t batch_start(const ref_value *y, const int64_t *at, const ref_value *x) {
  int64_t mine[WH_MAX_RANK] = {0};
  for (int d = 0; d < x->rank - 2; d++) mine[d] = x->dims[d] == 1 ? 0 : at[d + y->rank - x->rank];
  return ref_flat(x, mine);
}

void ref_matmul(ref_node *n) {
  const ref_value *a = &n->in[0], *b = &n->in[1];
  const int64_t k = ref_length(a), columns = ref_length(b);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t at[WH_MAX_RANK];
    ref_coordinates(&n->out, i, at);
    const int64_t x = batch_start(&n->out, at, a) + at[n->out.rank - 2] * k,
                  w = batch_start(&n->out, at, b) + at[n->out.rank - 1];
    double sum = 0;
    for (int64_t j0 = 0; j0 < k; j0 += 512) {
      double chain = 0;
      for (int64_t j = j0; j < k && j < j0 + 512; j++) {
        const double p = ref_float(a, x + j), q = ref_float(b, w + j * columns);
        chain = a->dtype == WH_DTYPE_F32 ? (double)fmaf((float)p, (float)q, (float)chain) : fma(p, q, chain);
      }
      sum = a->dtype == WH_DTYPE_F32 ? (double)((float)sum + (float)chain) : sum + chain;
    }
    ref_set_float(&n->out, i, sum);
  }
}

static __int128 zero_point(const ref_value *z, int64_t i) {
  return z->data ? ref_integer(z, z->rank ? i : 0) : 0;
}

void ref_matmul_integer(ref_node *n) {
  const ref_value *a = &n->in[0], *b = &n->in[1];
  const int64_t k = ref_length(a), columns = ref_length(b);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t at[WH_MAX_RANK];
    ref_coordinates(&n->out, i, at);
    const int64_t row = at[n->out.rank - 2], column = at[n->out.rank - 1];
    const int64_t x = batch_start(&n->out, at, a) + row * k, w = batch_start(&n->out, at, b) + column;
    __int128 sum = 0;
    for (int64_t j = 0; j < k; j++)
      sum += (ref_integer(a, x + j) - zero_point(&n->in[2], row)) *
             (ref_integer(b, w + j * columns) - zero_point(&n->in[3], column));
    ref_set_integer(&n->out, i, sum);
  }
}

/* Code (i, column) of panels of 32 columns, less its zero point; words hold codes that follow each other
 * along i in turns in their lower and upper halves. */
static int64_t block_code(const ref_node *n, int64_t block, int64_t i, int64_t column, float *scale) {
  const int64_t words = n->in[1].dims[1], blocks = n->in[2].dims[1], bits = 32 * words / (blocks * block),
                per = 32 / bits, panel = column / 32, lane = column % 32;
  const int64_t word = (panel * words + i / per) * 32 + lane, cell = (panel * blocks + i / block) * 32 + lane;
  const int64_t shift = i % per / 2 * bits + i % 2 * 16, mask = (1 << bits) - 1;
  *scale = (float)ref_float(&n->in[2], cell);
  return ((int64_t)ref_integer(&n->in[1], word) >> shift & mask) - (int64_t)ref_integer(&n->in[3], cell);
}

static float block_weight(const ref_node *n, int64_t block, int64_t i, int64_t column) {
  float scale;
  return (float)block_code(n, block, i, column, &scale) * scale;
}

/* An output of a row of q13a: its codes, then a scale for 128 of them. */
static float block_output(const ref_node *n, int64_t block, const char *row, int64_t column) {
  const int64_t k = ref_length(&n->in[0]), piece = block < 128 ? block : 128;
  float y = 0, s, scale = 0;
  for (int64_t from = 0; from < k; from += piece) {
    int64_t dot = 0;
    for (int64_t i = from; i < k && i < from + piece; i++) {
      int16_t q;
      memcpy(&q, row + 2 * i, sizeof q);
      dot += q * block_code(n, block, i, column, &scale);
    }
    memcpy(&s, row + 2 * k + from / 128 * 4, sizeof s);
    y = fmaf(s * scale, (float)dot, y);
  }
  return y;
}

void ref_matmul_blocks(ref_node *n) {
  const int64_t k = ref_length(&n->in[0]), columns = ref_length(&n->out),
                block = wh_node_i(n->node, WH_ATTR_BLOCK), row_bytes = k * 2 + (k + 127) / 128 * 4;
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    float sum = 0;
    if (n->in[0].dtype == WH_DTYPE_Q13A) {
      const char *row = (const char *)n->in[0].data + i / columns * row_bytes;
      ref_set_float(&n->out, i, (double)block_output(n, block, row, i % columns));
      continue;
    }
    for (int64_t j0 = 0; j0 < k; j0 += 512) {
      float chain = 0;
      for (int64_t j = j0; j < k && j < j0 + 512; j++)
        chain = fmaf((float)ref_float(&n->in[0], i / columns * k + j), block_weight(n, block, j, i % columns),
                     chain);
      sum += chain;
    }
    ref_set_float(&n->out, i, (double)sum);
  }
}
