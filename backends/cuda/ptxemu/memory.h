/* memory.h - a virtual device's global memory: allocations, their bytes, and what is known about each byte.
 *
 * A device pointer is a host address within the device's reserved range, so peers and the host can share
 * them. Freed memory is not given out again before the range is used up: a stale pointer meets the byte state
 * "freed". */
#ifndef PTXEMU_MEMORY_H
#define PTXEMU_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum { BYTE_OUTSIDE, BYTE_UNSET, BYTE_SET, BYTE_FREED } memory_byte;

/* Who touched four bytes of global memory last. op: an operation of a stream (races.h), 0: none. */
typedef struct {
  uint32_t write_op, write_block, read_op, read_block; /* block: its index + 1, 0: a copy; MANY: several */
} memory_cell;
#define MEMORY_MANY_BLOCKS 0xffffffffu

typedef struct {
  uint64_t at, size;
  bool is_free;
  bool is_host;
} memory_block;

typedef struct {
  unsigned char *base;
  uint8_t *state;     /* memory_byte of each byte */
  memory_cell *cells; /* of each four bytes */
  uint64_t size, top; /* reserved; used so far */
  uint64_t used, limit;
  memory_block *blocks; /* by address */
  size_t n_blocks, cap_blocks;
} memory_device;

bool memory_open(memory_device *d, uint64_t size);
void memory_close(memory_device *d);

/* 0 when there is no room. is_host: bytes that the host writes itself count as set. */
uint64_t memory_alloc(memory_device *d, uint64_t n_bytes, bool is_host);
bool memory_free(memory_device *d, uint64_t at);
/* The allocation that holds an address, freed or not; NULL: none. */
const memory_block *memory_find(const memory_device *d, uint64_t at);
size_t memory_live(const memory_device *d, uint64_t *bytes);

static inline bool memory_holds(const memory_device *d, uint64_t at, uint64_t n) {
  const uint64_t base = (uint64_t)(uintptr_t)d->base;
  return d->base && at >= base && n <= d->size && at - base <= d->size - n;
}
/* The worst state of n bytes: outside, freed, unset, set, in this order. */
memory_byte memory_state(const memory_device *d, uint64_t at, uint64_t n);
void memory_mark_set(memory_device *d, uint64_t at, uint64_t n);

/* The common case, of 1, 2, 4, 8 or 16 bytes. */
#define MEMORY_ALL_SET (0x0101010101010101u * BYTE_SET)
static inline bool memory_is_set(const memory_device *d, uint64_t at, unsigned n) {
  const uint8_t *s = d->state + (at - (uint64_t)(uintptr_t)d->base);
  uint64_t v = MEMORY_ALL_SET, w = MEMORY_ALL_SET;
  switch (n) {
    case 1:
      return *s == BYTE_SET;
    case 2:
      memcpy(&v, s, 2);
      break;
    case 4:
      memcpy(&v, s, 4);
      break;
    case 8:
      memcpy(&v, s, 8);
      break;
    case 16:
      memcpy(&v, s, 8);
      memcpy(&w, s + 8, 8);
      break;
    default:
      return false;
  }
  return v == MEMORY_ALL_SET && w == MEMORY_ALL_SET;
}

#endif
