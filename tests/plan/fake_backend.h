/* fake_backend.h - a backend for tests of planning and execution: slow plain kernels for a handful of ops, a
 * checking mode for all ops, and a record of what it was asked for. Each test owns its fake_device. */
#ifndef WH_TESTS_FAKE_BACKEND_H
#define WH_TESTS_FAKE_BACKEND_H

#include "core/backend_abi.h"

#define FAKE_MAX_RECORDS 512

typedef struct fake_device {
  const wh_allocator *alloc; /* of kernel data */
  /* what to do */
  const char *refuse;       /* nodes whose name holds this are refused */
  const char *fail_compile; /* the node whose compilation fails */
  const char *not_finite;   /* the weight that packing finds damaged */
  bool pack;                /* linear wants its weights transposed */
  const char *other_layout; /* the node that wants a layout of its own */
  size_t scratch_bytes;     /* of every node */
  bool check_tags;          /* kernels check operands for tags and tag outputs: fake_tag */
  bool reverse;             /* run the steps of a phase backwards */
  bool hidden;              /* the host cannot address its memory */
  int fail_at;              /* the n-th buffer, copy or submission fails; 0: none */
  /* what happened */
  size_t n_compiled, n_released, n_packed, n_run, n_bad_tags, n_submits, n_uploads, n_downloads;
  int n_calls;                          /* that could have failed */
  size_t n_live;                        /* buffers and queues */
  const char *packed[FAKE_MAX_RECORDS]; /* names of weights */
  const char *ran[FAKE_MAX_RECORDS];    /* names of nodes */
  const wh_graph *g;
} fake_device;

extern const wh_backend fake_backend;

/* The byte that fills the memory of a value in checking mode; values that share memory share it. */
unsigned char fake_tag(const wh_graph *g, wh_value v);
/* Bytes of a value for these dims; q8a: one per element. */
size_t fake_value_size(const wh_graph *g, wh_value v, const int64_t *dims);

#endif
