/* wire.c - see wire.h. */
#include "formats/onnx/wire.h"

bool wh_wire_varint(wh_wire *w, uint64_t *out) {
  uint64_t v = 0;
  for (unsigned shift = 0; shift < 70 && w->at < w->end; shift += 7) {
    const uint8_t c = *w->at++;
    if (shift == 63 && c > 1) return false;
    v |= (uint64_t)(c & 127) << shift;
    if (c < 128) {
      *out = v;
      return true;
    }
  }
  return false;
}

static bool fixed(wh_wire *w, unsigned n, uint64_t *out) {
  uint64_t v = 0;
  if ((size_t)(w->end - w->at) < n) return false;
  for (unsigned i = 0; i < n; i++) v |= (uint64_t)w->at[i] << 8 * i;
  w->at += n;
  *out = v;
  return true;
}

wh_status wh_wire_next(wh_wire *w, wh_wire_field *f, bool *more) {
  uint64_t tag, n;
  *more = w->at < w->end;
  if (!*more) return WH_OK;
  if (!wh_wire_varint(w, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
    return WH_FAIL(ERR_CORRUPT, "the bytes are no protocol buffer");
  *f = (wh_wire_field){.number = (uint32_t)(tag >> 3), .type = (wh_wire_type)(tag & 7), .bytes = {"", 0}};
  bool whole = false;
  switch (tag & 7) {
    case WH_WIRE_VARINT:
      whole = wh_wire_varint(w, &f->bits);
      break;
    case WH_WIRE_64:
      whole = fixed(w, 8, &f->bits);
      break;
    case WH_WIRE_32:
      whole = fixed(w, 4, &f->bits);
      break;
    case WH_WIRE_BYTES:
      whole = wh_wire_varint(w, &n) && n <= (uint64_t)(w->end - w->at);
      if (!whole) break;
      f->bytes = (wh_str){(const char *)w->at, (size_t)n};
      w->at += n;
      break;
    default:
      return WH_FAIL(ERR_CORRUPT, "field %u has wire type %u, which ONNX does not use", (unsigned)f->number,
                     (unsigned)(tag & 7));
  }
  return whole ? WH_OK : WH_FAIL(ERR_CORRUPT, "the bytes end within field %u", (unsigned)f->number);
}
