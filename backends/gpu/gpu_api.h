/* gpu_api.h - a vendor's driver as the GPU backends call it. A provider (backends/cuda) opens the driver's
 * library and fills the table; nothing is linked with it.
 *
 * The shapes are those of the CUDA driver API, which HIP's module API shares: handles are pointers, addresses
 * are integers, results are numbers of which 0 is success. */
#ifndef WH_GPU_API_H
#define WH_GPU_API_H

#include <stddef.h>
#include <stdint.h>

#include "backends/gpu/blas.h"

typedef int gpu_result;

/* What a device is asked for. */
typedef enum gpu_attribute {
  GPU_ATTRIBUTE_PROCESSORS,       /* multiprocessors */
  GPU_ATTRIBUTE_SHARED_PER_BLOCK, /* bytes that a kernel may ask for */
  GPU_ATTRIBUTE_CAPABILITY_MAJOR, /* of the instruction set */
  GPU_ATTRIBUTE_CAPABILITY_MINOR,
  GPU_ATTRIBUTE_L2_BYTES,
  GPU_N_ATTRIBUTES
} gpu_attribute;

/* Results that mean something to the backend, and options of module_load. */
enum {
  GPU_SUCCESS = 0,
  GPU_OUT_OF_MEMORY = 2,
  GPU_NO_DEVICE = 100,
  GPU_INVALID_DEVICE = 101,
  GPU_NOT_READY = 600,
  GPU_EVENT_NO_TIMES = 2,       /* event_create */
  GPU_STREAM_NON_BLOCKING = 1,  /* stream_create */
  GPU_CAPTURE_RELAXED = 2,      /* capture_begin: threads may do meanwhile what they like */
  GPU_FUNCTION_SHARED_BYTES = 8 /* function_set: most dynamic shared memory */
};

/* A launch with attributes. */
typedef struct gpu_launch_attribute {
  int id;
  union {
    int on;
    char room[64];
  } __attribute__((aligned(8))) value;
} gpu_launch_attribute;
#define GPU_LAUNCH_FOLLOWS 6 /* on: it may start before the work in front of it has ended */
typedef struct gpu_launch_config {
  unsigned grid[3], block[3], shared_bytes;
  void *stream;
  gpu_launch_attribute *attributes;
  unsigned n_attributes;
} gpu_launch_config;

typedef struct gpu_api {
  const char *name;                 /* of the backend: "cuda" */
  const char *library;              /* where the driver was found */
  int attributes[GPU_N_ATTRIBUTES]; /* the driver's numbers */
  int jit_log, jit_log_bytes;       /* options of module_load: where its errors go, and the room there */
  int least_major;                  /* of the capability that kernels are made for */
  const char *warpgroup_isa;        /* of devices that kernels for warpgroups are made for; NULL: none */
  const char *const
      *images;       /* [GPU_N_KERNELS] a kernel's module as the driver reads it; of one module, one */
  int driver_wanted; /* the least version of the driver that reads them */
  /* Devices of this capability and more may start a kernel before the one in front of it has ended; 0: none.
   * A module is then loaded from a copy of its image, which `follow` changes in place, and its kernels wait.
   */
  int follow_major;
  void (*follow)(char *image);
  const gpu_blas *blas; /* for mode `fast`; NULL: there are exact numerics only */

  gpu_result (*init)(unsigned flags);
  gpu_result (*driver_version)(int *version);
  gpu_result (*device_count)(int *n);
  gpu_result (*device_get)(int *device, int ordinal);
  gpu_result (*device_name)(char *name, int n_bytes, int device);
  gpu_result (*device_memory)(size_t *n_bytes, int device);
  gpu_result (*device_attribute)(int *value, int attribute, int device);
  gpu_result (*device_bus)(char *bus_id, int n_bytes, int device); /* NULL: the driver does not tell */

  gpu_result (*context_retain)(void **context, int device);
  gpu_result (*context_release)(int device);
  gpu_result (*context_set)(void *context); /* of the calling thread */
  gpu_result (*error_name)(gpu_result result, const char **text);
  gpu_result (*error_text)(gpu_result result, const char **text);

  gpu_result (*alloc)(uint64_t *address, size_t n_bytes);
  gpu_result (*release)(uint64_t address);
  gpu_result (*memory_info)(size_t *free_bytes, size_t *total);
  gpu_result (*host_alloc)(void **p, size_t n_bytes, unsigned flags); /* pinned */
  gpu_result (*host_release)(void *p);
  gpu_result (*host_address)(uint64_t *address, void *p, unsigned flags);

  /* In a stream's order. */
  gpu_result (*upload)(uint64_t to, const void *from, size_t n_bytes, void *stream);
  gpu_result (*download)(void *to, uint64_t from, size_t n_bytes, void *stream);
  gpu_result (*copy)(uint64_t to, uint64_t from, size_t n_bytes, void *stream);
  /* From another device's memory, with or without a way between them that spares the host. */
  gpu_result (*copy_peer)(uint64_t to, void *to_context, uint64_t from, void *from_context, size_t n_bytes,
                          void *stream);
  gpu_result (*peer_enable)(void *context,
                            unsigned flags); /* for the current one; NULL: nothing to ask for */
  gpu_result (*fill)(uint64_t to, unsigned char value, size_t n_bytes, void *stream);
  gpu_result (*launch)(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                       unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream,
                       void **parameters, void **extra);

  /* NULL: no launch has attributes. */
  gpu_result (*launch_config)(const gpu_launch_config *config, void *function, void **parameters,
                              void **extra);

  gpu_result (*module_load)(void **module, const void *image, unsigned n_options, int *options,
                            void **values);
  gpu_result (*module_unload)(void *module);
  gpu_result (*module_function)(void **function, void *module, const char *name);
  gpu_result (*function_set)(void *function, int attribute, int value);

  gpu_result (*stream_create)(void **stream, unsigned flags);
  gpu_result (*stream_destroy)(void *stream);
  gpu_result (*stream_synchronize)(void *stream);
  gpu_result (*stream_wait)(void *stream, void *event, unsigned flags);
  gpu_result (*event_create)(void **event, unsigned flags);
  gpu_result (*event_destroy)(void *event);
  gpu_result (*event_record)(void *event, void *stream);
  gpu_result (*event_synchronize)(void *event);
  gpu_result (*event_elapsed)(float *milliseconds, void *from, void *to);

  /* What a stream is given between begin and end is recorded and does not run. */
  gpu_result (*capture_begin)(void *stream, int mode);
  gpu_result (*capture_end)(void *stream, void **graph);
  gpu_result (*graph_instantiate)(void **exec, void *graph, unsigned long long flags);
  gpu_result (*graph_launch)(void *exec, void *stream);
  gpu_result (*graph_destroy)(void *graph);
  gpu_result (*exec_destroy)(void *exec);
} gpu_api;

#endif
