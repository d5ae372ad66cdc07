/* gguf_bytes.h - GGUF files assembled byte by byte, right or wrong, without the library's writer. */
#ifndef WH_TESTS_GGUF_BYTES_H
#define WH_TESTS_GGUF_BYTES_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct gguf_bytes {
  uint8_t data[65536];
  size_t n;
} gguf_bytes;

static inline void gb_raw(gguf_bytes *b, const void *p, size_t n) {
  if (n > sizeof b->data - b->n) abort();
  memcpy(b->data + b->n, p, n);
  b->n += n;
}
static inline void gb_u8(gguf_bytes *b, uint8_t v) { gb_raw(b, &v, sizeof v); }
static inline void gb_u16(gguf_bytes *b, uint16_t v) { gb_raw(b, &v, sizeof v); }
static inline void gb_u32(gguf_bytes *b, uint32_t v) { gb_raw(b, &v, sizeof v); }
static inline void gb_u64(gguf_bytes *b, uint64_t v) { gb_raw(b, &v, sizeof v); }
static inline void gb_f32(gguf_bytes *b, float v) { gb_raw(b, &v, sizeof v); }
static inline void gb_f64(gguf_bytes *b, double v) { gb_raw(b, &v, sizeof v); }
static inline void gb_str(gguf_bytes *b, const char *s) {
  gb_u64(b, strlen(s));
  gb_raw(b, s, strlen(s));
}

static inline void gb_header(gguf_bytes *b, uint32_t version, uint64_t n_tensors, uint64_t n_meta) {
  b->n = 0;
  gb_raw(b, "GGUF", 4);
  gb_u32(b, version);
  gb_u64(b, n_tensors);
  gb_u64(b, n_meta);
}

/* A metadata key and the number of its value's type; the value follows. */
static inline void gb_key(gguf_bytes *b, const char *key, uint32_t type) {
  gb_str(b, key);
  gb_u32(b, type);
}
static inline void gb_meta_u16(gguf_bytes *b, const char *key, uint16_t v) {
  gb_key(b, key, 2);
  gb_u16(b, v);
}
static inline void gb_meta_u32(gguf_bytes *b, const char *key, uint32_t v) {
  gb_key(b, key, 4);
  gb_u32(b, v);
}
static inline void gb_meta_i32(gguf_bytes *b, const char *key, int32_t v) {
  gb_key(b, key, 5);
  gb_u32(b, (uint32_t)v);
}
static inline void gb_meta_str(gguf_bytes *b, const char *key, const char *v) {
  gb_key(b, key, 8);
  gb_str(b, v);
}
static inline void gb_array(gguf_bytes *b, const char *key, uint32_t elem_type, uint64_t n) {
  gb_key(b, key, 9);
  gb_u32(b, elem_type);
  gb_u64(b, n);
}

/* dims in the file's order: the contiguous one first. */
static inline void gb_tensor(gguf_bytes *b, const char *name, uint32_t rank, const uint64_t *dims,
                             uint32_t type, uint64_t offset) {
  gb_str(b, name);
  gb_u32(b, rank);
  for (uint32_t d = 0; d < rank; d++) gb_u64(b, dims[d]);
  gb_u32(b, type);
  gb_u64(b, offset);
}
static inline void gb_tensor_2d(gguf_bytes *b, const char *name, uint64_t cols, uint64_t rows, uint32_t type,
                                uint64_t offset) {
  gb_tensor(b, name, 2, (uint64_t[]){cols, rows}, type, offset);
}

static inline void gb_pad(gguf_bytes *b, size_t alignment) {
  while (b->n % alignment) gb_u8(b, 0);
}
/* n bytes that differ from their neighbours. */
static inline void gb_data(gguf_bytes *b, size_t n) {
  for (size_t i = 0; i < n; i++) gb_u8(b, (uint8_t)(i * 7 + 1));
}

#endif
