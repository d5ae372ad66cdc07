/* ops_signal.c - Fourier transforms, windows, random numbers. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/base/twiddles.h"
#include "import/onnx/lowerings.h"

/* x[.., 1 or 2] at `axis`, made n long: its transform. */
static wh_datum *transform(ox *o, wh_datum *x, int axis, int64_t n, bool inverse) {
  int64_t pads[2 * WH_MAX_RANK] = {0};
  if (o->st != WH_OK) return x;
  if (n < 1 || n > INT32_MAX)
    OX_FAIL(o, ERR_INVALID_ARGUMENT, "a transform of %" PRId64 " numbers is not computed", n);
  if (x->dims[x->rank - 1] != 1 && x->dims[x->rank - 1] != 2)
    OX_FAIL(o, ERR_CORRUPT, "its last axis is neither 1 nor 2");
  if (o->st != WH_OK) return x;
  if (x->dims[axis] > n) x = ox_part(o, x, axis, 0, n);
  pads[x->rank + axis] = n - x->dims[axis];
  pads[2 * x->rank - 1] = 2 - x->dims[x->rank - 1];
  x = ox_pad(o, x, pads, 0, NULL);
  const int64_t dims[] = {n, 2};
  wh_datum *table = ox_new(o, WH_DTYPE_F32, 2, dims), *in[] = {x, table};
  if (o->st != WH_OK) return x;
  wh_twiddles(n, 0, n, (float *)(uintptr_t)table->data);
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, axis), ox_a_i(WH_ATTR_INVERSE, inverse)};
  return ox_node1(o, WH_OP_DFT, in, 2, attrs, 2);
}

/* The n numbers of a real signal's transform from the first n / 2 + 1: the others are their conjugates. */
static wh_datum *other_half(ox *o, wh_datum *x, int axis, int64_t n) {
  int64_t starts[WH_MAX_RANK] = {0}, steps[WH_MAX_RANK], counts[WH_MAX_RANK];
  if (o->st == WH_OK && (n < 1 || n > INT32_MAX || x->dims[axis] < 1 || x->dims[x->rank - 1] != 2))
    OX_FAIL(o, ERR_CORRUPT, "it is no half of a transform of %" PRId64 " numbers", n);
  if (o->st != WH_OK) return &o->nothing;
  const int64_t have = n / 2 + 1 < x->dims[axis] ? n / 2 + 1 : x->dims[axis], more = n - (n / 2 + 1);
  int64_t pads[2 * WH_MAX_RANK] = {0};
  pads[x->rank + axis] = n / 2 + 1 - have;
  x = ox_pad(o, ox_part(o, x, axis, 0, have), pads, 0, NULL);
  if (more <= 0 || o->st != WH_OK) return x;
  for (int i = 0; i < x->rank; i++) {
    steps[i] = 1;
    counts[i] = x->dims[i];
  }
  starts[axis] = more;
  steps[axis] = more > 1 ? -1 : 1;
  counts[axis] = more;
  wh_datum *mirrored = ox_slice(o, x, starts, steps, counts), *re = ox_part(o, mirrored, x->rank - 1, 0, 1);
  wh_datum *parts[] = {re, ox_unary(o, WH_OP_NEG, ox_part(o, mirrored, x->rank - 1, 1, 1))};
  wh_datum *halves[] = {x, ox_concat(o, x->rank - 1, parts, 2)};
  return ox_concat(o, axis, halves, 2);
}

void ox_lower_dft(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *x = ox_f32(o, x0);
  const bool onesided = ox_attr_i(o, "onesided", 0), inverse = ox_attr_i(o, "inverse", 0);
  const int64_t at = ox_opset(o) < 20 ? ox_attr_i(o, "axis", 1) : ox_has(o, 2) ? ox_int(o, ox_in(o, 2)) : -2;
  if (x->rank < 2) OX_FAIL(o, ERR_CORRUPT, "its input has rank %d", x->rank);
  const int axis = ox_axis(o, at, x->rank);
  if (axis == x->rank - 1) OX_FAIL(o, ERR_CORRUPT, "its axis is that of the parts of numbers");
  if (o->st != WH_OK) return;
  const int64_t given = onesided && inverse ? 2 * (x->dims[axis] - 1) : x->dims[axis],
                n = ox_has(o, 1) ? ox_int(o, ox_reshape(o, ox_in(o, 1), 0, NULL)) : given;
  if (onesided && inverse) x = other_half(o, x, axis, n);
  wh_datum *y = transform(o, x, axis, n, inverse);
  if (onesided && o->st == WH_OK)
    y = inverse ? ox_part(o, y, y->rank - 1, 0, 1) : ox_part(o, y, axis, 0, n / 2 + 1);
  ox_give(o, 0, ox_cast(o, y, x0->dtype));
}

/* Frames of the signal [batch, length, 1 or 2], times the window, transformed. */
void ox_lower_stft(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *x = ox_f32(o, x0), *window = ox_has(o, 2) ? ox_f32(o, ox_in(o, 2)) : NULL;
  const int64_t step = ox_int(o, ox_reshape(o, ox_in(o, 1), 0, NULL));
  if (o->st == WH_OK && x->rank == 2) x = ox_insert_axes(o, x, 4, 3);
  if (x->rank != 3) OX_FAIL(o, ERR_CORRUPT, "its signal has rank %d", x->rank);
  if (o->st != WH_OK) return;
  const int64_t size = ox_has(o, 3) ? ox_int(o, ox_reshape(o, ox_in(o, 3), 0, NULL))
                       : window     ? (int64_t)window->n
                                    : 0;
  if (size < 1 || step < 1 || size > x->dims[1])
    OX_FAIL(o, ERR_INVALID_ARGUMENT, "frames of %" PRId64 " at steps of %" PRId64 " are not in its signal",
            size, step);
  if (o->st != WH_OK) return;
  const int64_t n = (x->dims[1] - size) / step + 1, dims[] = {n, size};
  wh_datum *places = ox_new(o, WH_DTYPE_I64, 2, dims);
  for (int64_t i = 0; i < n * size && o->st == WH_OK; i++)
    ((int64_t *)(uintptr_t)places->data)[i] = i / size * step + i % size;
  wh_datum *frames = ox_gather(o, x, places, 1); /* [batch, n, size, parts] */
  if (window) frames = ox_mul(o, frames, ox_per_channel(o, window, 4, 2));
  wh_datum *y = transform(o, frames, 2, size, false);
  if (o->st == WH_OK && ox_attr_i(o, "onesided", 1)) y = ox_part(o, y, 2, 0, size / 2 + 1);
  ox_give(o, 0, ox_cast(o, y, x0->dtype));
}

/* a - b cos(2 pi k / n) + c cos(4 pi k / n) */
void ox_lower_window(ox *o) {
  static const double terms[][3] = {{0.5, 0.5, 0}, {25.0 / 46, 21.0 / 46, 0}, {0.42, 0.5, 0.08}};
  const double *a = terms[ox_arg(o)];
  const int64_t size = ox_int(o, ox_in(o, 0)), n = ox_attr_i(o, "periodic", 1) ? size : size - 1;
  if (size < 0 || size > INT32_MAX)
    OX_FAIL(o, ERR_INVALID_ARGUMENT, "a window of %" PRId64 " is not made", size);
  const wh_dtype dtype = ox_attr_dtype(o, "output_datatype", WH_DTYPE_F32);
  wh_datum *y = ox_new(o, dtype, 1, &size), *in = ox_in(o, 0);
  for (int64_t k = 0; k < size && o->st == WH_OK; k++) {
    float one[2], two[2];
    wh_twiddles(n > 0 ? n : 1, n > 0 ? k % n : 0, 1, one);
    wh_twiddles(n > 0 ? n : 1, n > 0 ? 2 * k % n : 0, 1, two);
    ox_store(dtype, (void *)(uintptr_t)y->data, (size_t)k,
             a[0] - a[1] * (double)one[0] + a[2] * (double)two[0]);
  }
  ox_give(o, 0, ox_from(o, y, &in, 1));
}

static double mel(double hertz) { return 2595 * log10(1 + hertz / 700); }
static double hertz_of(double m) { return 700 * (pow(10, m / 2595) - 1); }

void ox_lower_mel_weight_matrix(ox *o) {
  const int64_t n_mel = ox_int(o, ox_in(o, 0)), length = ox_int(o, ox_in(o, 1)),
                rate = ox_int(o, ox_in(o, 2)), rows = length / 2 + 1;
  const double low = mel(ox_double(o, ox_in(o, 3))), high = mel(ox_double(o, ox_in(o, 4)));
  if (n_mel < 1 || n_mel > 1 << 20 || length < 1 || length > 1 << 24 || rate < 1)
    OX_FAIL(o, ERR_INVALID_ARGUMENT, "its sizes are out of range");
  const int64_t dims[] = {rows, n_mel};
  wh_datum *y = o->st == WH_OK ? ox_new(o, WH_DTYPE_F32, 2, dims) : &o->nothing;
  double *bins = ox_array(o, (size_t)(n_mel > 0 && o->st == WH_OK ? n_mel : 0) + 2, sizeof *bins);
  if (!bins || o->st != WH_OK) return;
  for (int64_t i = 0; i < n_mel + 2; i++)
    bins[i] = floor((double)(length + 1) * hertz_of(low + (high - low) / (double)(n_mel + 2) * (double)i) /
                    (double)rate);
  float *w = (float *)(uintptr_t)y->data;
  for (int64_t i = 0; i < n_mel; i++) {
    const double a = bins[i], b = bins[i + 1], c = bins[i + 2];
    if (a == b && b >= 0 && b < (double)rows) w[(int64_t)b * n_mel + i] = 1;
    for (double j = a < 0 ? 0 : a; a < b && j <= b && j < (double)rows; j++)
      w[(int64_t)j * n_mel + i] = (float)((j - a) / (b - a));
    for (double j = b < 0 ? 0 : b; j < c && j < (double)rows; j++)
      w[(int64_t)j * n_mel + i] = (float)((c - j) / (c - b));
  }
  ox_give(o, 0, ox_cast(o, y, ox_attr_dtype(o, "output_datatype", WH_DTYPE_F32)));
}

/* ---- random numbers: numpy's of the seed (MT19937), or of seed 0, so that a model gives one answer ---- */

void ox_mt19937_uniform(uint32_t seed, double *out, size_t n) {
  uint32_t s[624];
  s[0] = seed;
  for (uint32_t i = 1; i < 624; i++) s[i] = 1812433253u * (s[i - 1] ^ s[i - 1] >> 30) + i;
  unsigned at = 624;
  for (size_t i = 0; i < n; i++) {
    uint32_t half[2];
    for (int k = 0; k < 2; k++) {
      if (at == 624) {
        for (unsigned j = 0; j < 624; j++) {
          const uint32_t y = (s[j] & 0x80000000u) | (s[(j + 1) % 624] & 0x7fffffffu);
          s[j] = s[(j + 397) % 624] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        at = 0;
      }
      uint32_t y = s[at++];
      y ^= y >> 11;
      y ^= y << 7 & 0x9d2c5680u;
      y ^= y << 15 & 0xefc60000u;
      half[k] = y ^ y >> 18;
    }
    out[i] = ((half[0] >> 5) * 67108864.0 + (half[1] >> 6)) / 9007199254740992.0;
  }
}

static const double *uniform(ox *o, size_t n, uint32_t seed) {
  double *v = ox_array(o, n, sizeof *v);
  if (v) ox_mt19937_uniform(seed, v, n);
  return v;
}

static uint32_t float_seed(ox *o) {
  const float f = ox_attr_f(o, "seed", 0);
  return f >= 0 && f < 0x1p32f ? (uint32_t)f : 0;
}

static wh_datum *filled(ox *o, wh_dtype dtype, int rank, const int64_t *dims) {
  const double low = ox_attr_f(o, "low", 0), high = ox_attr_f(o, "high", 1);
  wh_datum *y = ox_new(o, dtype, rank, dims);
  const double *u = o->st == WH_OK ? uniform(o, y->n, float_seed(o)) : NULL;
  for (size_t i = 0; u && i < y->n; i++)
    ox_store(dtype, (void *)(uintptr_t)y->data, i, low + (high - low) * u[i]);
  return y;
}

void ox_lower_random_uniform(ox *o) {
  size_t n;
  const int64_t *dims = ox_attr_ints(o, "shape", &n);
  ox_give(o, 0, filled(o, ox_attr_dtype(o, "dtype", WH_DTYPE_F32), (int)(n <= WH_MAX_RANK ? n : 99), dims));
}

void ox_lower_random_uniform_like(ox *o) {
  const wh_datum *x = ox_in(o, 0);
  ox_give(o, 0, filled(o, ox_attr_dtype(o, "dtype", x->dtype), x->rank, x->dims));
}

void ox_lower_bernoulli(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const double *u = uniform(o, x->n, float_seed(o));
  wh_datum *r = ox_new(o, WH_DTYPE_F64, x->rank, x->dims);
  for (size_t i = 0; u && o->st == WH_OK && i < x->n; i++) ((double *)(uintptr_t)r->data)[i] = u[i];
  wh_datum *hit = ox_binary(o, WH_OP_LESS, r, ox_cast(o, x, WH_DTYPE_F64));
  ox_give(o, 0, ox_cast(o, hit, ox_attr_dtype(o, "dtype", x->dtype)));
}

void ox_lower_dropout(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const bool trains = ox_opset(o) >= 12 && ox_has(o, 2) && ox_int(o, ox_in(o, 2)) != 0;
  const double ratio = ox_opset(o) < 12 ? ox_attr_f(o, "ratio", 0.5f)
                       : ox_has(o, 1)   ? ox_double(o, ox_in(o, 1))
                                        : 0.5;
  const wh_dtype mask_type = ox_opset(o) < 10 ? x->dtype : WH_DTYPE_BOOL;
  if (!trains || ratio == 0) {
    ox_give(o, 0, x);
    if (ox_wants(o, 1)) ox_give(o, 1, ox_expand(o, ox_scalar(o, mask_type, 1), x->rank, x->dims));
    return;
  }
  const double *u = uniform(o, x->n, (uint32_t)ox_attr_long(o, "seed", 0));
  wh_datum *mask = ox_new(o, WH_DTYPE_BOOL, x->rank, x->dims);
  for (size_t i = 0; u && o->st == WH_OK && i < x->n; i++)
    ((uint8_t *)(uintptr_t)mask->data)[i] = u[i] >= ratio;
  ox_give(o, 1, mask);
  ox_give(o, 0, ox_where(o, mask, ox_mul(o, x, ox_num(o, x, 1 / (1 - ratio))), ox_num(o, x, 0)));
}
