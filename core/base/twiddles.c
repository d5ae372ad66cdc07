/* twiddles.c - see twiddles.h. The angle is brought into an eighth of a turn in integers; series in binary64
 * do the rest, so that every host makes the same numbers. */
#include "core/base/twiddles.h"

/* sin and cos of 0 <= x <= pi / 4 */
static double series(double x, int first) {
  double sum = 0.0;
  for (int i = first + 18; i > first; i -= 2) sum = -(sum + 1.0) * x * x / (double)(i * (i - 1));
  return first ? x * (1.0 + sum) : 1.0 + sum;
}

void wh_twiddles(int64_t n, int64_t first, int64_t count, float *out) {
  for (int64_t j = 0; j < count; j++) {
    int64_t k = (first + j) % n;
    const int64_t half = k > n - k;
    if (half) k = n - k; /* below: 0 .. 1/2 turn */
    const int obtuse = 4.0 * (double)k > (double)n;
    double turn = (double)k / (double)n, c, s;
    if (obtuse) turn = (double)(n - 2 * k) / (double)n / 2.0; /* 0 .. 1/4 */
    const int steep = turn > 0.125;
    if (steep) turn = 0.25 - turn;
    const double x = 6.283185307179586 * turn;
    c = series(x, steep);
    s = series(x, !steep);
    out[2 * j] = (float)(obtuse ? -c : c);
    out[2 * j + 1] = (float)(s == 0.0 || half ? s : -s);
  }
}
