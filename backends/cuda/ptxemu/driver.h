/* driver.h - the state behind the driver API, one for the process, guarded by one lock that every call holds.
 */
#ifndef PTXEMU_DRIVER_H
#define PTXEMU_DRIVER_H

#include <stdbool.h>

#include "backends/cuda/ptxemu/cuda_abi.h"
#include "backends/cuda/ptxemu/exec.h"

#define EXPORT __attribute__((visibility("default")))
enum { MAX_DEVICES = 4, MAX_STREAMS = 64, DEFAULT_SHARED = 48 * 1024 };

typedef struct {
  const char *name, *title;
  int major, minor, multiprocessors, shared_optin, shared_multiprocessor, clock_khz;
} device_profile;

typedef struct {
  uint64_t seed, max_steps, memory_mb;
  unsigned fail_at, fail_code; /* the n-th call fails; 0: none */
  unsigned n_devices;
  bool strict, refuse_approx, truncating_mma, quiet, lost;
  bool count;          /* what launches do: ptxemu_profile_get */
  unsigned processors; /* of a device; 0: the profile's */
  unsigned sample;     /* blocks of a launch that run; 0: all */
  char counts[256];    /* the file that gets the sums of what launches did; empty: none */
  unsigned version;    /* of the driver, as cuDriverGetVersion gives it */
  const device_profile *profile;
} driver_options;

/* How much of every stream's work is done, is known to be done, or has to be done. */
typedef struct {
  uint32_t of[MAX_STREAMS];
} progress;

typedef enum { WORK_KERNEL, WORK_COPY, WORK_SET, WORK_CALL } work_kind;

typedef struct work {
  struct work *next;
  work_kind kind;
  uint32_t id;
  progress needs; /* done before it starts, its own number within its stream included */
  CUfunction function;
  uint32_t grid[3], block[3], dynamic_shared;
  bool follows; /* a programmatic launch */
  unsigned char *parameters;
  uint64_t to, from, n;  /* copies: addresses; set: n elements */
  unsigned char *staged; /* what a copy from pageable memory read when it was asked for */
  uint32_t value;
  unsigned width;
  CUhostFn call;
  void *argument;
} work;

struct CUctx_st {
  int device, references;
};
struct CUmod_st {
  ptx_module *ptx;
  int device;
  uint64_t data; /* address of its variables, or 0 */
  struct CUfunc_st *functions;
  struct CUmod_st *next;
};
struct CUfunc_st {
  const ptx_function *ptx;
  struct CUmod_st *module;
  int max_dynamic_shared;
  struct CUfunc_st *next;
};
struct CUstream_st {
  bool is_used, is_legacy, non_blocking;
  int device;
  unsigned index;
  uint32_t last, done; /* numbers of its work */
  progress knows;      /* what the next work waits for */
  work *first, *end;
  CUgraph capture; /* takes its work, while that is recorded; NULL: its work runs */
};
/* A chain of work: as it was recorded, or a copy of that which can be launched. */
struct CUgraph_st {
  bool is_exec;
  bool is_invalid; /* something was asked for that cannot be recorded */
  int device;
  work *first, *end;
  struct CUgraph_st *next;
};
struct CUevent_st {
  int device;
  bool is_recorded;
  progress at;
  double when_ms;
  struct CUevent_st *next;
};

typedef struct {
  driver_options options;
  bool is_initialised;
  unsigned n_devices;
  memory_device memory[MAX_DEVICES];
  struct CUctx_st contexts[MAX_DEVICES];
  struct CUstream_st streams[MAX_STREAMS]; /* the first of them: the legacy streams of the devices */
  struct CUmod_st *modules;
  struct CUevent_st *events;
  struct CUgraph_st *graphs;   /* but those that streams still record */
  progress host;               /* what the host has waited for */
  CUresult error[MAX_DEVICES]; /* of work, given to the next call that waits */
  uint32_t next_id;
  uint64_t random, n_warp_instructions, n_lane_instructions;
  unsigned n_calls;
} driver_state;

extern driver_state driver;
extern _Thread_local CUcontext driver_current;

/* Takes the lock. What a call returns at once: not initialised, no context, or a failure that was asked for.
 */
typedef enum { CALL_PLAIN, CALL_IN_CONTEXT, CALL_DESTROYS, CALL_ALLOCATES } call_kind;
CUresult driver_enter(call_kind kind);
CUresult driver_leave(CUresult r); /* gives r */
static inline int driver_device(void) { return driver_current->device; }

bool options_set(const char *text, driver_options *o);
bool options_from_environment(driver_options *o);

/* streams.c */
work *stream_work(work_kind kind); /* empty; NULL: out of memory */
void stream_push(CUstream s, work *w);
CUresult stream_finish(CUstream s); /* runs what is needed; the error of work on its device */
CUresult driver_finish(int device); /* of all streams of a device; -1: of all devices */
CUstream stream_of(CUstream s);     /* the handle's stream in this context, or NULL */
bool stream_ordered(uint32_t earlier, uint32_t later);
void streams_open(void);
unsigned streams_close(int device); /* how many the program had not destroyed */
unsigned events_close(int device);

unsigned modules_close(int device);
bool module_is(CUmodule m);
bool function_is(CUfunction f);

/* driver_graph.c */
void graph_append(CUgraph g, work *w);
CUresult graph_invalidate(CUgraph g); /* gives the error of a call that cannot be recorded */
void graph_free(CUgraph g);
unsigned graphs_close(int device);

/* work.c */
void work_run(work *w, int device);
void work_free(work *w);

#endif
