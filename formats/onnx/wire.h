/* formats/onnx/wire.h - the protocol buffer wire format, bounded: a reader never leaves its bytes. */
#ifndef WH_FORMATS_ONNX_WIRE_H
#define WH_FORMATS_ONNX_WIRE_H

#include <stdint.h>

#include "core/base/status.h"
#include "core/base/str.h"

/* The rest of a message. */
typedef struct wh_wire {
  const uint8_t *at, *end;
} wh_wire;

typedef enum wh_wire_type { WH_WIRE_VARINT, WH_WIRE_64, WH_WIRE_BYTES, WH_WIRE_32 = 5 } wh_wire_type;

typedef struct wh_wire_field {
  uint32_t number;
  wh_wire_type type;
  uint64_t bits; /* VARINT, 64, 32 */
  wh_str bytes;  /* BYTES */
} wh_wire_field;

static inline wh_wire wh_wire_of(wh_str s) {
  return (wh_wire){(const uint8_t *)s.data, (const uint8_t *)s.data + s.len};
}
/* The next field; *more is false at the end. ERR_CORRUPT lacks the context, which the caller puts in front.
 */
WH_NODISCARD wh_status wh_wire_next(wh_wire *w, wh_wire_field *field, bool *more);
/* Varints of a packed field; false when the bytes end within one. */
bool wh_wire_varint(wh_wire *w, uint64_t *out);

#endif
