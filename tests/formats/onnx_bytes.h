/* onnx_bytes.h - writes ONNX files as tests need them: good ones, and wrong ones. */
#ifndef WH_TESTS_ONNX_BYTES_H
#define WH_TESTS_ONNX_BYTES_H

#include <stdint.h>
#include <string.h>

typedef struct bytes {
  uint8_t data[65536];
  size_t n;
} bytes;

static inline void varint(bytes *b, uint64_t v) {
  for (; v >= 128; v >>= 7) b->data[b->n++] = (uint8_t)(v | 128);
  b->data[b->n++] = (uint8_t)v;
}
static inline void number(bytes *b, unsigned field, uint64_t v) {
  varint(b, field << 3);
  varint(b, v);
}
static inline void blob(bytes *b, unsigned field, const void *p, size_t n) {
  varint(b, field << 3 | 2);
  varint(b, n);
  memcpy(b->data + b->n, p, n);
  b->n += n;
}
static inline void text(bytes *b, unsigned field, const char *s) { blob(b, field, s, strlen(s)); }
static inline void message(bytes *b, unsigned field, const bytes *m) { blob(b, field, m->data, m->n); }

/* A TensorProto of one dimension. */
static inline void tensor(bytes *b, const char *name, uint64_t type, uint64_t dim, const void *raw,
                          size_t n) {
  b->n = 0;
  number(b, 1, dim);
  number(b, 2, type);
  text(b, 8, name);
  blob(b, 9, raw, n);
}

#endif
