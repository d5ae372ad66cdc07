/* device.h - something that computes.
 *
 * Threads: a device may be shared. Its threads do one piece of work at a time: runs of its sessions, packing,
 * measuring wait for their turn, in the order in which they came, whichever threads ask. Two runs at the same
 * time take two devices. */
#ifndef WHIMBREL_DEVICE_H
#define WHIMBREL_DEVICE_H

#include "whimbrel/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Exact: the bits of docs/NUMERICS.md, the same on every device. Fast: vendor libraries within stated bounds.
 */
typedef enum wh_numerics {
  WH_NUMERICS_EXACT = 0,
  WH_NUMERICS_FAST = 1,
  WH_NUMERICS_FORCE_32 = 0x7fffffff
} wh_numerics;

/* Where the device's threads may run. Two processes on one machine had better not both ask for cores. */
typedef enum wh_binding {
  WH_BINDING_AUTO = 0,  /* nodes on machines with several memory nodes, if the process may use all their time;
                           else  none */
  WH_BINDING_NONE = 1,  /* the system places them */
  WH_BINDING_NODES = 2, /* each on the processors of one memory node */
  WH_BINDING_CORES = 3, /* each on one logical processor of a core of its own */
  WH_BINDING_FORCE_32 = 0x7fffffff
} wh_binding;

/* How kernels ask for weights that are read once, ahead of their use. What is faster depends on the
 * processor's make; results do not depend on it. */
typedef enum wh_prefetch {
  WH_PREFETCH_AUTO = 0,        /* by a table of makes that were measured; temporal for others */
  WH_PREFETCH_TEMPORAL = 1,    /* into all caches */
  WH_PREFETCH_NONTEMPORAL = 2, /* past the outer ones */
  WH_PREFETCH_FORCE_32 = 0x7fffffff
} wh_prefetch;

/* Work that a GPU is given again and again may be recorded, and then starts with one call of its driver.
 * Results do not depend on it. */
typedef enum wh_gpu_graphs {
  WH_GPU_GRAPHS_AUTO = 0, /* from the second time on, where the driver can */
  WH_GPU_GRAPHS_OFF = 1,  /* every kernel is launched by itself: to look for what a driver does wrong */
  WH_GPU_GRAPHS_FORCE_32 = 0x7fffffff
} wh_gpu_graphs;

typedef struct wh_device wh_device;

typedef struct wh_device_options {
  uint32_t struct_size; /* set by the macro */
  /* "cpu"; or "cuda", "cuda:1" for another of them, "cuda:emulated" (docs/GPU.md) */
  const char *name;
  const char *isa; /* highest instruction-set level to use: "ref", "avx2" ...; NULL or "auto": all there is */
  uint32_t n_threads;            /* 0: one per physical core that the process may use */
  uint32_t numerics;             /* wh_numerics */
  const wh_allocator *allocator; /* NULL: the heap; borrowed */
  const wh_log *log;             /* NULL: silent; borrowed */
  uint32_t binding;              /* wh_binding */
  uint32_t prefetch;             /* wh_prefetch */
  /* Where whimbrel-backend-NAME.so lies, for a device that is not linked in. NULL: in whimbrel/ beside the
   * file that holds the library (LIBDIR/whimbrel of an installed one), or else beside that file. */
  const char *backend_folder;
  uint32_t gpu_graphs; /* wh_gpu_graphs */
} wh_device_options;
#define WH_DEVICE_OPTIONS_INIT                                                                 \
  {                                                                                            \
    sizeof(wh_device_options), "cpu", NULL, 0, WH_NUMERICS_EXACT, NULL, NULL, WH_BINDING_AUTO, \
        WH_PREFETCH_AUTO, NULL, WH_GPU_GRAPHS_AUTO                                             \
  }

/* An unknown name or ISA is ERR_INVALID_ARGUMENT and the message lists the known ones; an ISA that this
 * machine lacks is ERR_UNAVAILABLE. */
WH_API WH_NODISCARD wh_status wh_device_create(const wh_device_options *options, wh_device **out);
WH_API wh_device *wh_device_retain(wh_device *device);
WH_API void wh_device_destroy(wh_device *device); /* its sessions hold references of their own */

/* Strings live as long as the device. Zero or NULL: unknown. */
typedef struct wh_device_info {
  uint32_t struct_size;
  uint32_t n_threads;
  const char *name;        /* "cpu" */
  const char *description; /* the processor's model name */
  const char *isa;         /* level in use */
  const char *isa_levels;  /* levels this machine has, ascending, separated by spaces */
  uint32_t n_cores;        /* physical cores the process may use */
  uint32_t n_cpus;         /* logical processors the process may use */
  uint32_t n_numa_nodes;
  uint32_t numerics;
  double cpu_quota; /* cgroup limit in processors; 0: none */
  uint64_t l1d_bytes, l2_bytes, l3_bytes;
  uint64_t memory_bytes;
  const char *binding;        /* "none", "nodes" or "cores": what the threads are bound to */
  const char *binding_reason; /* "one memory node" */
  const char
      *prefetch; /* "temporal", "non-temporal", or "none" where those that gain leave it to the processor */
  const char *prefetch_reason; /* what was measured on this make, or who asked for it */
  const char *no_amx_reason;   /* why "amxint8" is not among isa_levels; NULL where it is, or could not be */
  const char *bus_id; /* of a GPU: "0000:17:00.0", by which management libraries know it; NULL: unknown */
} wh_device_info;
#define WH_DEVICE_INFO_INIT                                                                                 \
  {                                                                                                         \
    sizeof(wh_device_info), 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0.0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, \
        NULL, NULL                                                                                          \
  }
/* From any thread. The first call costs some milliseconds. */
WH_API wh_status wh_device_get_info(const wh_device *device, wh_device_info *info);

/* Measured roofline of the device with its threads: read bandwidth (bytes/s), int8 dot products
 * (operations/s, 2 per multiply-add) and fp32 fma (operations/s). Each is the best of several loops, as the
 * fastest depends on the processor's make. Takes about `seconds`, more where others use the device, and then
 * measures what they leave. The struct has no struct_size and does not grow. */
typedef struct wh_device_roofline {
  double read_bytes_per_s, int8_ops_per_s, f32_ops_per_s;
  const char *read_loop, *int8_loop, *f32_loop; /* the best ones; static */
  uint32_t read_threads;                        /* on how many threads reading was fastest */
} wh_device_roofline;
WH_API WH_NODISCARD wh_status wh_device_measure(wh_device *device, double seconds, wh_device_roofline *out);

#ifdef __cplusplus
}
#endif
#endif
