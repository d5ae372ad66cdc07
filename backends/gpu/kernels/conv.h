/* conv.h - what kernels of convolutions share: how an output ends. */
#ifndef WH_GPU_CONV_H
#define WH_GPU_CONV_H

#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/nn_args.h"

/* Element i of y, which belongs to an output of all groups. */
GPU_FN void gpu_conv_store(const gpu_conv_args &a, int64_t output, int64_t i, float y) {
  if (a.bias) y = y + gpu_at<const float>(a.bias)[output];
  if (a.residual) y = gpu_at<const float>(a.residual)[i] + y;
  gpu_at<float>(a.y)[i] = y;
}

#endif
