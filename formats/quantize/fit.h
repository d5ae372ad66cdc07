/* formats/quantize/fit.h - scales and codes of a few elements by least squares. For files of this folder
 * only. */
#ifndef WH_FORMATS_QUANTIZE_FIT_H
#define WH_FORMATS_QUANTIZE_FIT_H

#include <stdbool.h>
#include <stdint.h>

#define WH_FIT_MAX 32 /* elements; always a multiple of 8 */

/* What codes mean: themselves, from lo to hi, or the 16 ascending values of a table. */
typedef struct wh_fit_grid {
  float lo, hi;
  const int8_t *values; /* NULL: the integers between */
} wh_fit_grid;

/* The grid's value nearest to each x * inverse; as floats. */
void wh_fit_nearest(const wh_fit_grid *g, const float *x, float inverse, int n, float *q);
/* Sum of w (x - scale q + min)^2. */
float wh_fit_error(const float *x, const float *w, const float *q, float scale, float min, int n);
/* The scale, of either sign, with which x is nearly scale * q for q of the grid; 0 for zeros. */
float wh_fit_scale(const wh_fit_grid *g, const float *x, const float *w, int n);
/* The scale and min with which x is nearly scale * q - min for q from 0 to hi; both at least 0 if `positive`,
 * else the scale is. */
void wh_fit_affine(float hi, bool positive, const float *x, const float *w, int n, float *scale, float *min);

#endif
