/* table.c - onnx_ops.def as a table. */
#include <string.h>

#include "import/onnx/lowerings.h"

static const ox_op_row rows[] = {
#define ONNX_OP(domain, op, since, until, lowering, arg) {domain, op, since, until, ox_lower_##lowering, arg},
#include "import/onnx/onnx_ops.def"
};

const ox_op_row *ox_find_op(wh_str domain, wh_str op, int64_t opset) {
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const ox_op_row *r = &rows[i];
    if (!wh_str_is(op, r->op) || !wh_str_is(domain, r->domain)) continue;
    if (opset >= r->since && (r->until == 0 || opset <= r->until)) return r;
  }
  return NULL;
}
