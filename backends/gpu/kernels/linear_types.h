/* linear_types.h - kernels of products, one per type of weights. */
#ifndef WH_GPU_LINEAR_TYPES_H
#define WH_GPU_LINEAR_TYPES_H

#define LINEAR_KERNEL(name, body) \
  GPU_KERNEL_FN(name, gpu_linear_args) { body(a); }

/* WH_QUANT_FORMATS makes a type of each row: quant_q4_0, ... */
#define QUANT_TYPE(type, lower, bits, bias, book, scale, min) \
  typedef quant_type<bits, bias, WH_CODEBOOK_##book, WH_SCALE_##scale, WH_MIN_##min> quant_##lower;
WH_QUANT_FORMATS(QUANT_TYPE)
#undef QUANT_TYPE

#endif
