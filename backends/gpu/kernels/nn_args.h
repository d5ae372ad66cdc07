/* nn_args.h - the argument structs of the ops of neural networks that look at neighbours. */
#ifndef WH_GPU_NN_ARGS_H
#define WH_GPU_NN_ARGS_H

#include <stdbool.h>

#include "backends/gpu/kernels/elements.h"
#include "backends/gpu/kernels/walk.h"
#include "core/base/exact_sampling.h"

/* How windows lie over the space of a plane: always three axes, of size 1 in front where there are fewer. Tap
 * k of output o reads element o * stride + k * dilation - pad. */
#define GPU_WINDOW_AXES 3
typedef struct gpu_window {
  int64_t in[GPU_WINDOW_AXES], stride[GPU_WINDOW_AXES], dilation[GPU_WINDOW_AXES];
  int64_t pad[GPU_WINDOW_AXES], pad_end[GPU_WINDOW_AXES];
  gpu_divisor out[GPU_WINDOW_AXES], kernel[GPU_WINDOW_AXES];
} gpu_window;

/* x[n][group * c][in], w[group * m][c][kernel] (transposed: w[group * c][m][kernel]), y[n][group * m][out] */
typedef struct gpu_conv_args {
  uint64_t x, w, bias, residual, y; /* bias and residual: 0: none */
  uint64_t x_zero, w_zero;          /* of integers: 0: none */
  int64_t n, group, c, m;           /* images; groups; channels and outputs of one */
  int64_t space_in, space_out, taps;
  gpu_divisor by_space_out, by_outputs; /* elements of a plane of y; planes of an image */
  gpu_divisor down, across, by_group;   /* tiles of a group of an image */
  uint32_t x_type, w_type, w_zero_step;
  uint32_t reserved;
  gpu_window win;
} gpu_conv_args;

/* 3 x 3 windows of two axes in tiles of 2 x 2 outputs. `across` and `down` of the conv are blocks' sides. */
#define GPU_WINOGRAD_SIDE 32 /* outputs, and tiles, of a block */
#define GPU_WINOGRAD_THREADS 512
typedef struct gpu_winograd_args {
  gpu_conv_args conv;
  gpu_divisor tile_rows, tile_columns; /* of an image */
  int64_t tiles;                       /* of all images */
} gpu_winograd_args;

typedef enum gpu_pool { GPU_POOL_MAX, GPU_POOL_INDEX, GPU_POOL_AVERAGE, GPU_POOL_LP } gpu_pool;
typedef struct gpu_pool_args {
  uint64_t x, y;
  int64_t n, space_in, p;
  gpu_divisor by_space_out;
  uint32_t pool, type;
  bool count_pads, column_major;
  uint8_t reserved[6];
  gpu_window win;
} gpu_pool_args;

/* y[outer][j][inner] from x[outer][index[j][t]][inner] over the taps t */
typedef struct gpu_resample_args {
  uint64_t x, index, weight, y;
  int64_t n, n_in, taps;
  gpu_divisor inner, n_out;
  float outside;
  uint32_t reserved;
} gpu_resample_args;

/* y[n][c][out] from x[n][c][in] at grid[n][out][axes] */
typedef struct gpu_grid_sample_args {
  uint64_t x, grid, y;
  int64_t n, c; /* n: places of all images */
  int64_t in[GPU_WINDOW_AXES], space_out;
  gpu_divisor by_space_out;
  int32_t axes;
  wh_grid_rule rule;
} gpu_grid_sample_args;

/* y[r][c][out] from boxes[r][4] of image image[r] of x[n][c][in] */
typedef struct gpu_roi_align_args {
  uint64_t x, boxes, image, y;
  int64_t n, images, sampling, in[2];
  gpu_divisor c, out[2];
  uint32_t image_type;
  float scale;
  bool half_pixel, largest;
  uint8_t reserved[6];
} gpu_roi_align_args;

/* y[row][target] of the leaves that x[rows][features] comes to */
typedef struct gpu_trees_args {
  uint64_t x, nodes, roots, leaves, y;
  int64_t n, features, trees; /* n: outputs */
  int64_t n_nodes, n_leaves;
  gpu_divisor targets;
  uint32_t mode, reserved;
} gpu_trees_args;

/* x[n][c][inner], over `size` channels */
typedef struct gpu_lrn_args {
  uint64_t x, y;
  int64_t n, size;
  gpu_divisor inner, c;
  float factor, beta, bias; /* factor: alpha / size */
  uint32_t reserved;
} gpu_lrn_args;

/* Lines of n complex numbers; buffers hold them one behind the other, a value has them `inner` apart. The
 * factors of n are prime, ascending: the transform of the whole is put together from factor[0] parts, each
 * from factor[1] ... */
#define GPU_DFT_MAX_FACTORS 48
typedef struct gpu_dft_args {
  uint64_t from, to, twiddles;
  int64_t n;       /* of a line */
  int64_t numbers; /* of all lines */
  gpu_divisor by_n, inner;
  gpu_divisor whole; /* of a stage: numbers that it puts together */
  gpu_divisor part;  /* and how many of them each of its parts has */
  int32_t n_factors;
  bool inverse, last; /* last: `to` is the value */
  uint8_t reserved[2];
  int64_t factor[GPU_DFT_MAX_FACTORS];
} gpu_dft_args;

/* A block a matrix x[n][n], which is worked on in scratch. */
typedef struct gpu_det_args {
  uint64_t x, y, scratch;
  int64_t n;
} gpu_det_args;

typedef enum gpu_recurrent { GPU_RECURRENT_RNN, GPU_RECURRENT_GRU, GPU_RECURRENT_LSTM } gpu_recurrent;
/* One step of b sequences of h units: x[t][b][gates * h], products gate[b][gates * h], states [b][h]. */
typedef struct gpu_recurrent_args {
  uint64_t x, r_bias, h0, c0, length, peephole; /* 0: none, but x */
  uint64_t h, c, reset, gate;                   /* scratch */
  uint64_t y, last_h, last_c;
  int64_t t, b, step, gates;
  gpu_divisor by_h;
  uint32_t kind, act[3];
  float factor[3][2], clip;
  bool reverse, coupled, reset_after;
  bool resets; /* gru's reset state, not the new one */
  uint8_t reserved[4];
} gpu_recurrent_args;

/* gate[b][first .. first + rows) = v[b][h] times rows of r */
typedef struct gpu_recurrent_product_args {
  uint64_t v, r, gate; /* r, gate: of the first row */
  int64_t b, rows, h, pitch;
  gpu_divisor across;
} gpu_recurrent_product_args;

/* x[outer][n][inner], whose scale lies at outer * by_outer + n / block * by_axis + inner * by_inner */
typedef struct gpu_quantize_args {
  uint64_t x, y, scale, zero; /* zero 0: none */
  int64_t threads;            /* elements, or bytes that hold two of them */
  int64_t row, zero_row;      /* elements of a row, where rows of half bytes end */
  gpu_divisor inner, n, block;
  int64_t by_outer, by_axis, by_inner;
  uint32_t type; /* of codes and zeros */
  int32_t least, most;
  uint32_t reserved;
} gpu_quantize_args;

#endif
