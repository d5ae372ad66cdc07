/* base/resample.h - tables for resampling an axis (docs/NUMERICS.md, "resample"), as ONNX's Resize and
 * Upsample define it: which elements an output is made of, and with what weights. Pure functions in binary64
 * without libm's elementary functions, so that every host makes the same tables. */
#ifndef WH_BASE_RESAMPLE_H
#define WH_BASE_RESAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

typedef enum wh_resample_mode { WH_RESAMPLE_NEAREST, WH_RESAMPLE_LINEAR, WH_RESAMPLE_CUBIC } wh_resample_mode;

/* Where output x of n_out lies in the input, in elements. */
typedef enum wh_resample_place {
  WH_RESAMPLE_HALF_PIXEL,           /* (x + 1/2) / scale - 1/2 */
  WH_RESAMPLE_HALF_PIXEL_SYMMETRIC, /* the same, with the centres of both in one place */
  WH_RESAMPLE_PYTORCH_HALF_PIXEL,   /* the same, but -1/2 when there is one output */
  WH_RESAMPLE_ALIGN_CORNERS,        /* x * (n_in - 1) / (n_out - 1) */
  WH_RESAMPLE_ASYMMETRIC,           /* x / scale */
  WH_RESAMPLE_HALF_PIXEL_NEAREST,   /* (x + 1/2) / scale */
  WH_RESAMPLE_CROP                  /* over begin..end of the input, 1 being its last element; outside: -1 */
} wh_resample_place;

typedef enum wh_resample_nearest {
  WH_RESAMPLE_ROUND_PREFER_FLOOR,
  WH_RESAMPLE_ROUND_PREFER_CEIL,
  WH_RESAMPLE_FLOOR,
  WH_RESAMPLE_CEIL
} wh_resample_nearest;

typedef struct wh_resample_spec {
  wh_resample_mode mode;
  wh_resample_place place;
  wh_resample_nearest nearest; /* of mode nearest */
  int64_t n_in, n_out;         /* at least 1; n_in below 2^31 */
  double scale;                /* as the model has it, else n_out / n_in; above 0 */
  double begin, end;           /* of place crop */
  double cubic_a;              /* of mode cubic: -0.75 as a rule */
  bool antialias;              /* linear, cubic: wider when outputs are fewer */
  bool exclude_outside;        /* elements outside have weight 0; else they are the nearest inside */
} wh_resample_spec;

/* Elements per output. ERR_INVALID_ARGUMENT for a spec that is none, ERR_LIMIT above 2^20. */
WH_NODISCARD wh_status wh_resample_taps(const wh_resample_spec *spec, int64_t *taps);
/* index[n_out][taps] in -1..n_in-1, weight[n_out][taps]; the caller's. An output that lies outside (place
 * crop) has indices -1 and weights 1, 0, 0 .. */
void wh_resample_tables(const wh_resample_spec *spec, int32_t *index, float *weight);

#endif
