/* host2_internal.h - what the test backend's own files share. One lock guards all of it: queues of several
 * devices may wait for each other. */
#ifndef WH_HOST2_INTERNAL_H
#define WH_HOST2_INTERNAL_H

#include <pthread.h>

#include "backends/host2/host2_backend.h"
#include "core/base/hash.h"

#define HOST2_MAX_QUEUES 16 /* at a time, in the process */

/* How much of every queue's work is known to be done: by its place in the table of queues. */
typedef struct host2_clock {
  uint64_t done[HOST2_MAX_QUEUES];
} host2_clock;

typedef struct host2_options {
  uint64_t seed, delay, fail_alloc, fail_copy, fail_submit, refuse_copy, refuse_submit;
  uint64_t memory; /* bytes that it has; 0: any number */
  uint64_t wrong;  /* the op, by its number plus 1, whose results are wrong in their first bit; 0: none */
  uint64_t after;  /* so many of its results are right before that */
} host2_options;

typedef struct host2_device {
  const wh_allocator *alloc;
  void *cpu; /* the device that computes */
  host2_options options;
  uint64_t n_allocs, n_copies, n_submits, n_right; /* so far */
  uint64_t taken;                                  /* bytes of buffers */
  wh_buffer *buffers;                              /* all that exist */
  bool misused; /* by a call that cannot say so: everything after it fails */
  wh_error_record misuse;
} host2_device;

/* What a piece of work does to a range of a buffer. */
typedef struct host2_access {
  wh_buffer *buffer;
  uint64_t begin, end;
  bool writes;
  int queue; /* in a buffer's history: who did it, with which point */
  uint64_t value;
} host2_access;

typedef struct host2_accesses {
  host2_access *items;
  size_t n, capacity;
} host2_accesses;

struct wh_buffer {
  host2_device *d;
  wh_buffer *next;
  wh_memory_kind kind;
  char *data; /* a mapping that nobody may touch but while `n_open` says so */
  uint64_t n_bytes;
  size_t mapped_bytes;
  int n_open;
  wh_buffer *cpu;         /* the same memory as the inner device knows it */
  host2_accesses history; /* what the host does not know to be done */
};

struct wh_code {
  wh_block block;
  wh_code *cpu;
  host2_clock used; /* the last work of every queue that runs it */
};

typedef enum host2_kind { HOST2_SUBMIT, HOST2_UPLOAD, HOST2_DOWNLOAD, HOST2_COPY } host2_kind;

typedef struct host2_work {
  struct host2_work *next;
  host2_kind kind;
  uint64_t value; /* of its point */
  wh_point *waits;
  size_t n_waits;
  host2_accesses accesses;
  bool fails; /* on purpose */

  wh_code *code;
  size_t first, count;
  const wh_frame *frame;
  wh_hash128 hash; /* of the frame, or of an upload's bytes */

  wh_buffer *dst, *src;
  void *to_host;
  const void *from_host;
  uint64_t to, from, n_bytes;
} host2_work;

/* From point `value` on, work of other queues up to `clock` is done as well. */
typedef struct host2_edge {
  uint64_t value;
  host2_clock clock;
} host2_edge;

#define HOST2_KEPT_FRAMES 16

struct wh_queue {
  host2_device *d;
  int place; /* in the table of queues */
  wh_queue *cpu;
  pthread_t thread;
  uint64_t random;
  host2_work *first, *last;
  uint64_t given, reached; /* values of points */
  bool ends, failed;
  uint64_t failed_at;
  wh_error_record error;
  host2_edge *edges; /* ascending; those that the host has waited for are forgotten, but for the last */
  size_t n_edges, edges_capacity;
  struct { /* frames of equal id are equal */
    const wh_code *code;
    uint64_t id;
    wh_hash128 hash;
    size_t next_step;
  } frames[HOST2_KEPT_FRAMES];
  size_t n_frames;
};

/* ---- host2_backend.c ---- */
extern const wh_backend *const host2_cpu; /* what computes */
extern pthread_mutex_t host2_mutex;
void host2_lock(void);
void host2_unlock(void);
/* Lets the device's thread at a buffer, and shuts it again. Locked. */
void host2_open_buffer(wh_buffer *b);
void host2_shut_buffer(wh_buffer *b);
/* Notes what the running call cannot return. Locked; the record is the thread's last error. */
void host2_note_misuse(host2_device *d);

/* ---- queue.c ---- */
extern host2_clock host2_host;       /* what the host has waited for */
wh_queue *host2_queue_at(int place); /* NULL: none is there */
wh_status host2_queue_create(void *dev, wh_queue **out);
void host2_queue_destroy(wh_queue *q);
wh_status host2_submit(wh_queue *q, wh_code *code, size_t first, size_t count, const wh_frame *frame,
                       const wh_point *waits, size_t n_waits, wh_point *done);
wh_status host2_upload(wh_queue *q, wh_buffer *dst, uint64_t to, const void *src, uint64_t n_bytes,
                       const wh_point *waits, size_t n_waits, wh_point *done);
wh_status host2_download(wh_queue *q, void *dst, wh_buffer *src, uint64_t from, uint64_t n_bytes,
                         const wh_point *waits, size_t n_waits, wh_point *done);
wh_status host2_copy(wh_queue *q, wh_buffer *dst, uint64_t to, wh_buffer *src, uint64_t from,
                     uint64_t n_bytes, const wh_point *waits, size_t n_waits, wh_point *done);
wh_status host2_wait(wh_point point);

/* ---- checks.c: all locked; ERR_DEVICE says what is wrong ---- */
wh_status host2_check_range(const host2_device *d, const wh_buffer *b, uint64_t at, uint64_t n_bytes,
                            const char *what);
wh_status host2_add_access(const host2_device *d, host2_accesses *list, wh_buffer *b, uint64_t at,
                           uint64_t n_bytes, bool writes);
/* What steps [first, first + count) read and write; that their operands lie within their buffers, are large
 * enough, and do not meet within a phase. */
wh_status host2_block_accesses(const host2_device *d, const wh_code *code, size_t first, size_t count,
                               const wh_frame *frame, host2_accesses *out);
/* That nothing in `list` meets work which `clock` does not put before it. */
wh_status host2_check_order(const host2_accesses *list, const host2_clock *clock, const char *what);
/* The work (queue, value) joins the history of what it touches. */
wh_status host2_remember(const host2_accesses *list, int queue, uint64_t value);
/* Equal ids are equal frames, and parts of a run come in order. */
wh_status host2_check_frame(wh_queue *q, const wh_code *code, size_t first, size_t count,
                            const wh_frame *frame, wh_hash128 hash);
/* What is remembered of a code's frames. */
void host2_forget_frames(wh_queue *q, const wh_code *code);
wh_hash128 host2_frame_hash(const wh_code *code, const wh_frame *frame);
void host2_clock_join(host2_clock *c, const host2_clock *other);

#endif
