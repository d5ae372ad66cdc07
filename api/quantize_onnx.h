/* quantize_onnx.h - the part of wh_quantize that is for ONNX files. Private to api/. */
#ifndef WH_API_QUANTIZE_ONNX_H
#define WH_API_QUANTIZE_ONNX_H

#include "whimbrel/quantize.h"

/* Whether the file begins as an ONNX model does. */
WH_NODISCARD wh_status wh_quantize_is_onnx(const char *path, const wh_allocator *alloc, bool *out);
WH_NODISCARD wh_status wh_quantize_onnx(const char *from, const char *to, const wh_quantize_options *options);

#endif
