// conv_winograd.cu - docs/NUMERICS.md, "conv", F(2 x 2, 3 x 3): 16 products where sums of taps have 36.
//
// A block has 32 outputs of a group and 32 tiles of 2 x 2 places, of any images; each of its 16 warps has one of the 16
// positions of a tile, a thread 8 outputs x 4 tiles of it. 8 channels at a time go into shared memory, transformed: by half of
// the threads elements, one channel and tile each, by the others weights, which are first copied there as the model has
// them. What comes next is on its way while those are multiplied. In the end the sums of all positions meet there.
#include "backends/gpu/kernels/conv.h"

#include "backends/gpu/kernels/tile.h"

#define SIDE GPU_WINOGRAD_SIDE   /* outputs, and tiles, of a block */
#define STEP 8                   /* channels at a time */
#define POSITIONS 16             /* 4 x 4 elements of a tile */
#define PITCH (SIDE + 4)         /* floats: so that no lanes meet in a bank */
#define RAW (STEP * 9)           /* floats: of an output, before the transform; 8 modulo 32 for the same reason */
#define JOBS (GPU_WINOGRAD_THREADS / 2)
#define ROWS 8                   /* a thread's, of the warp's 32 x 32 sums */
#define PASS 16                  /* outputs of which all positions fit at once */

static_assert(SIDE * STEP == JOBS && PASS * SIDE == GPU_WINOGRAD_THREADS, "a job for each thread");
static_assert(GPU_CHAIN % STEP == 0, "chunks end with a step");
static_assert(RAW / 3 <= GPU_WARP, "a lane for each weight of a run");

/* The 4 x 4 elements of a thread's tile, of one channel. */
struct elements {
  const float *p;
  uint32_t inside; /* bit i: element i exists */
};

GPU_FN elements elements_of(const gpu_winograd_args &a, int64_t group, int64_t tile, int64_t channel) {
  const gpu_conv_args &c = a.conv;
  uint64_t rest = (uint64_t)tile;
  const int64_t column = 2 * gpu_split(a.tile_columns, &rest) - c.win.pad[2];
  const int64_t row = 2 * gpu_split(a.tile_rows, &rest) - c.win.pad[1];
  const int64_t plane = ((int64_t)rest * c.group + group) * c.c + channel;
  elements e = {gpu_at<const float>(c.x) + plane * c.space_in + row * c.win.in[2] + column, 0};
  for (int i = 0; i < 16 && tile < a.tiles; i++) {
    const bool has = (uint64_t)(row + i / 4) < (uint64_t)c.win.in[1] && (uint64_t)(column + i % 4) < (uint64_t)c.win.in[2];
    e.inside |= (uint32_t)has << i;
  }
  return e;
}

/* +0 where there are none; then on to the thread's next channel. */
GPU_FN void fetch(const gpu_winograd_args &a, bool exists, elements &e, float v[16]) {
  const uint32_t inside = exists ? e.inside : 0;
  GPU_UNROLL
  for (int i = 0; i < 16; i++) v[i] = inside >> i & 1 ? e.p[i / 4 * a.conv.win.in[2] + i % 4] : 0.0f;
  e.p += STEP * a.conv.space_in;
}

/* A step's weights as the model has them, of all outputs of the block: of a row three runs of a warp. */
GPU_FN void copy_weights(const gpu_winograd_args &a, int64_t output, int64_t n_outputs, int64_t channel, float *raw) {
  enum { RUN = RAW / 3, WARPS = JOBS / GPU_WARP };
  const int64_t n = (a.conv.c - channel) * 9;
  const int warp = (int)gpu_warp() % WARPS, lane = (int)gpu_lane();
  const float *from = gpu_at<const float>(a.conv.w) + ((output + warp) * a.conv.c + channel) * 9 + lane;
  if (lane < RUN) {
    GPU_UNROLL
    for (int i = 0; i < SIDE / WARPS * 3; i++) {
      const int row = warp + i / 3 * WARPS, column = i % 3 * RUN + lane;
      float *to = raw + row * RAW + column;
      if (row < n_outputs && column < n)
        gpu_copy_async<4>(to, from + i / 3 * WARPS * 9 * a.conv.c + i % 3 * RUN);
      else
        *to = 0.0f;
    }
  }
  gpu_copy_commit();
}

GPU_FN gpu_quad<float> &quad_at(float *p) { return *(gpu_quad<float> *)p; }

/* One direction of each transform: numbers `by` apart. */
GPU_FN void transform_elements(float *v, int by) {
  const float d0 = v[0], d1 = v[by], d2 = v[2 * by], d3 = v[3 * by];
  v[0] = d0 - d2;
  v[by] = d1 + d2;
  v[2 * by] = d2 - d1;
  v[3 * by] = d1 - d3;
}
GPU_FN void transform_weights(const float *g, int by, float *u, int u_by) {
  const float g0 = g[0], g1 = g[by], g2 = g[2 * by], s = g0 + g2;
  u[0] = g0;
  u[u_by] = 0.5f * (s + g1);
  u[2 * u_by] = 0.5f * (s - g1);
  u[3 * u_by] = g2;
}
GPU_FN void transform_sums(const float *m, int by, float *z, int z_by) {
  z[0] = (m[0] + m[by]) + m[2 * by];
  z[z_by] = (m[by] - m[2 * by]) - m[3 * by];
}

/* To [position][channel][side], from the place of a channel and side on. */
GPU_FN void stage_elements(float v[16], float *to) {
  GPU_UNROLL
  for (int c = 0; c < 4; c++) transform_elements(v + c, 4);
  GPU_UNROLL
  for (int r = 0; r < 4; r++) transform_elements(v + 4 * r, 1);
  GPU_UNROLL
  for (int p = 0; p < POSITIONS; p++) to[p * STEP * PITCH] = v[p];
}
GPU_FN void stage_weights(const float *raw, float *to) {
  float g[9], half[12], u[16];
  GPU_UNROLL
  for (int i = 0; i < 9; i++) g[i] = raw[i];
  GPU_UNROLL
  for (int c = 0; c < 3; c++) transform_weights(g + c, 3, half + c, 3);
  GPU_UNROLL
  for (int r = 0; r < 4; r++) transform_weights(half + 3 * r, 1, u + 4 * r, 1);
  GPU_UNROLL
  for (int p = 0; p < POSITIONS; p++) to[p * STEP * PITCH] = u[p];
}

/* The 2 x 2 outputs of a tile, whose sums are PASS * PITCH floats apart. */
GPU_FN void store_tile(const gpu_winograd_args &a, int64_t group, int64_t row, int64_t tile, const float *sums) {
  const gpu_conv_args &c = a.conv;
  float m[POSITIONS], half[8], y[4];
  uint64_t rest = (uint64_t)tile;
  if (row >= c.m || tile >= a.tiles) return;
  GPU_UNROLL
  for (int p = 0; p < POSITIONS; p++) m[p] = sums[p * PASS * PITCH];
  GPU_UNROLL
  for (int i = 0; i < 4; i++) transform_sums(m + i, 4, half + i, 4);
  GPU_UNROLL
  for (int i = 0; i < 2; i++) transform_sums(half + 4 * i, 1, y + 2 * i, 1);
  const int64_t height = c.win.out[1].n, width = c.win.out[2].n, output = group * c.m + row;
  const int64_t at_column = 2 * gpu_split(a.tile_columns, &rest), at_row = 2 * gpu_split(a.tile_rows, &rest);
  const int64_t at = ((int64_t)rest * c.group * c.m + output) * c.space_out + at_row * width + at_column;
  GPU_UNROLL
  for (int i = 0; i < 4; i++)
    if (at_row + i / 2 < height && at_column + i % 2 < width)
      gpu_conv_store(c, output, at + i / 2 * width + i % 2, y[i]);
}

GPU_BOUNDED_KERNEL_FN(conv_winograd, gpu_winograd_args, GPU_WINOGRAD_THREADS, 1) {
  __shared__ __align__(16) float room[2 * POSITIONS * STEP * PITCH]; /* elements and weights; then sums */
  __shared__ float raw[SIDE * RAW];
  const gpu_conv_args &c = a.conv;
  uint64_t rest = blockIdx.x;
  const int64_t tile = gpu_split(c.across, &rest) * SIDE, row = gpu_split(c.down, &rest) * SIDE, group = (int64_t)rest;
  const int thread = (int)threadIdx.x, job = thread % JOBS, position = (int)gpu_warp();
  const int down = (int)gpu_lane() / 8 * ROWS, across = (int)gpu_lane() % 8 * 4; /* the thread's sums */
  const bool has_elements = thread < JOBS;
  /* Neighbours are tiles, or channels of an output's weights. */
  const int channel = has_elements ? job / SIDE : job % STEP, side = has_elements ? job % SIDE : job / STEP;
  float *const weights = room + POSITIONS * STEP * PITCH;
  float *const to = (has_elements ? room : weights) + channel * PITCH + side;
  elements own = elements_of(a, group, tile + side, channel);
  float next[16], y[ROWS][4] = {}, sum[ROWS][4] = {};
  const auto ask = [&](int64_t k0) { /* for the channels from k0 on */
    if (has_elements)
      fetch(a, k0 + channel < c.c, own, next);
    else
      copy_weights(a, group * c.m + row, c.m - row, k0, raw);
  };
  ask(0);
  gpu_copy_wait<0>();
  gpu_barrier();
  for (int64_t k0 = 0; k0 < c.c; k0 += STEP) {
    if (has_elements)
      stage_elements(next, to);
    else
      stage_weights(raw + side * RAW + channel * 9, to);
    gpu_barrier();
    if (k0 + STEP < c.c) ask(k0 + STEP);
    GPU_UNROLL
    for (int k = 0; k < STEP; k++) {
      const int at = (position * STEP + k) * PITCH;
      const gpu_quad<float> v = quad_at(room + at + across);
      const gpu_quad<float> u[2] = {quad_at(weights + at + down), quad_at(weights + at + down + 4)};
      for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < 4; j++) sum[i][j] = fmaf(v.v[j], u[i / 4].v[i % 4], sum[i][j]);
    }
    gpu_copy_wait<0>();
    gpu_barrier();
    if ((k0 + STEP) % GPU_CHAIN && k0 + STEP < c.c) continue;
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < 4; j++) {
        y[i][j] = y[i][j] + sum[i][j];
        sum[i][j] = 0;
      }
  }
  GPU_UNROLL
  for (int half = 0; half < 2; half++) { /* of each thread's outputs, for which there is room */
    GPU_UNROLL
    for (int i = 0; i < 4; i++) {
      gpu_quad<float> q;
      for (int j = 0; j < 4; j++) q.v[j] = y[4 * half + i][j];
      quad_at(room + (position * PASS + down / 2 + i) * PITCH + across) = q;
    }
    gpu_barrier();
    const int i = thread / SIDE, j = thread % SIDE;
    store_tile(a, group, row + i / 4 * ROWS + 4 * half + i % 4, tile + j, room + i * PITCH + j);
    gpu_barrier();
  }
}
