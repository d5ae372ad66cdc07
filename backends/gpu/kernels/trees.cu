// trees.cu - docs/NUMERICS.md, "trees". A warp has an output: its thread t goes down the trees of the lanes t and t + 32.
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/nn_args.h"

#define NOWHERE INT32_MIN /* ~ of a leaf that no table has */

GPU_FN float trees_least(float x, float z) { return wh_min_f32(x, z); }
GPU_FN double trees_least(double x, double z) { return wh_min_f64(x, z); }
GPU_FN float trees_largest(float x, float z) { return wh_max_f32(x, z); }
GPU_FN double trees_largest(double x, double z) { return wh_max_f64(x, z); }

GPU_FN void trees_threshold(const int32_t *node, float *t) { memcpy(t, node + 3, sizeof *t); }
GPU_FN void trees_threshold(const int32_t *node, double *t) { /* words: a node has five */
  const uint64_t bits = (uint32_t)node[3] | (uint64_t)(uint32_t)node[4] << 32;
  memcpy(t, &bits, sizeof *t);
}

/* 0 sum, 1 least, 2 largest */
template <typename T>
GPU_FN T trees_join(uint32_t mode, T a, T x) {
  return mode == 0 ? a + x : mode == 1 ? trees_least(a, x) : trees_largest(a, x);
}

/* `lane` with what tree `tree` gives; as it is where that is nothing. */
template <typename T>
GPU_FN T trees_walk(const gpu_trees_args &a, const T *x, int64_t target, int64_t tree, T lane) {
  int32_t i = gpu_at<const int32_t>(a.roots)[tree];
  if (i >= a.n_nodes) return lane;
  while (i >= 0) {
    const int32_t *node = gpu_at<const int32_t>(a.nodes) + (int64_t)i * (sizeof(T) == 4 ? 4 : 5);
    const bool nan_is_yes = node[0] < 0;
    const int32_t feature = nan_is_yes ? ~node[0] : node[0];
    T threshold;
    trees_threshold(node, &threshold);
    if (feature >= a.features) return lane;
    const T v = x[feature];
    const int32_t next = v <= threshold || (nan_is_yes && v != v) ? node[1] : node[2];
    i = next < 0 || (next > i && next < a.n_nodes) ? next : NOWHERE;
  }
  if (~i >= a.n_leaves) return lane;
  return trees_join(a.mode, lane, gpu_at<const T>(a.leaves)[(int64_t)~i * a.targets.n + target]);
}

template <typename T>
GPU_FN void trees(const gpu_trees_args &a) {
  const int64_t output = (int64_t)blockIdx.x * (blockDim.x / GPU_WARP) + gpu_warp();
  uint64_t row = (uint64_t)output;
  if (output >= a.n) return;
  const int64_t target = gpu_split(a.targets, &row);
  const T *x = gpu_at<const T>(a.x) + (int64_t)row * a.features;
  T low = a.mode == 0 ? (T)0 : a.mode == 1 ? (T)INFINITY : -(T)INFINITY, high = low;
  for (int64_t j = gpu_lane(); j < a.trees; j += 2 * GPU_WARP) {
    low = trees_walk(a, x, target, j, low);
    if (j + GPU_WARP < a.trees) high = trees_walk(a, x, target, j + GPU_WARP, high);
  }
  low = trees_join(a.mode, low, high);
  for (uint32_t h = GPU_WARP / 2; h > 0; h /= 2) low = trees_join(a.mode, low, gpu_shfl_xor(low, h));
  if (gpu_lane() == 0) gpu_at<T>(a.y)[output] = low;
}

GPU_KERNEL_FN(trees_f32, gpu_trees_args) { trees<float>(a); }
GPU_KERNEL_FN(trees_f64, gpu_trees_args) { trees<double>(a); }
