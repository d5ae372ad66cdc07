/* measure.cu - the loops of the roofline: reading, int8 products and fma at full rate. What they compute goes into
 * memory, or no compiler would leave them. */
#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/measure_args.h"

GPU_FN uint32_t thread_of_grid() { return blockIdx.x * blockDim.x + threadIdx.x; }

GPU_KERNEL_FN(measure_read, gpu_measure_args) {
  const uint4 *data = gpu_at<const uint4>(a.data);
  uint32_t sum = 0;
  for (uint32_t r = 0; r < a.rounds; r++)
    for (uint64_t i = thread_of_grid(); i < a.n_words; i += (uint64_t)gridDim.x * blockDim.x) {
      const uint4 w = data[i];
      sum += w.x ^ w.y ^ w.z ^ w.w;
    }
  gpu_at<uint32_t>(a.out)[thread_of_grid()] = sum;
}

GPU_KERNEL_FN(measure_int8, gpu_measure_args) {
  int32_t c[GPU_MEASURE_CHAINS];
  const int32_t x = (int32_t)thread_of_grid(), y = (int32_t)a.rounds;
#pragma unroll
  for (int i = 0; i < GPU_MEASURE_CHAINS; i++) c[i] = i;
  for (uint32_t r = 0; r < a.rounds; r++)
#pragma unroll
    for (int i = 0; i < GPU_MEASURE_CHAINS; i++) c[i] = gpu_dp4a(x, y, c[i]);
  int32_t sum = 0;
#pragma unroll
  for (int i = 0; i < GPU_MEASURE_CHAINS; i++) sum += c[i];
  gpu_at<int32_t>(a.out)[thread_of_grid()] = sum;
}

GPU_KERNEL_FN(measure_f32, gpu_measure_args) {
  float c[GPU_MEASURE_CHAINS];
  const float x = 0.5f, y = (float)thread_of_grid();
#pragma unroll
  for (int i = 0; i < GPU_MEASURE_CHAINS; i++) c[i] = (float)i;
  for (uint32_t r = 0; r < a.rounds; r++)
#pragma unroll
    for (int i = 0; i < GPU_MEASURE_CHAINS; i++) c[i] = fmaf(x, c[i], y);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < GPU_MEASURE_CHAINS; i++) sum += c[i];
  gpu_at<float>(a.out)[thread_of_grid()] = sum;
}
