/* cuda_abi.h - the types and numbers of the CUDA driver API that the emulator implements, as programs were
 * compiled with them: they do not change. No toolkit is needed to build it. */
#ifndef PTXEMU_CUDA_ABI_H
#define PTXEMU_CUDA_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph, *CUgraphExec;
typedef void (*CUhostFn)(void *);

typedef struct CUlaunchAttribute_st {
  int id;
  union {
    char room[64];
    int programmatic; /* LAUNCH_PROGRAMMATIC_SERIALIZATION */
  } __attribute__((aligned(8))) value;
} CUlaunchAttribute;
enum { LAUNCH_IGNORE = 0, LAUNCH_PROGRAMMATIC_SERIALIZATION = 6 };
typedef struct CUlaunchConfig_st {
  unsigned grid[3], block[3], dynamic_shared;
  CUstream stream;
  CUlaunchAttribute *attributes;
  unsigned n_attributes;
} CUlaunchConfig;

enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_INVALID_PTX = 218,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_ILLEGAL_STATE = 401,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_NOT_READY = 600,
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_NOT_SUPPORTED = 801,
  CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
  CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
  CUDA_ERROR_UNKNOWN = 999
};

enum { /* CUdevice_attribute */
       ATTRIBUTE_MAX_THREADS_PER_BLOCK = 1,
       ATTRIBUTE_MAX_BLOCK_DIM_X = 2,
       ATTRIBUTE_MAX_BLOCK_DIM_Y = 3,
       ATTRIBUTE_MAX_BLOCK_DIM_Z = 4,
       ATTRIBUTE_MAX_GRID_DIM_X = 5,
       ATTRIBUTE_MAX_GRID_DIM_Y = 6,
       ATTRIBUTE_MAX_GRID_DIM_Z = 7,
       ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK = 8,
       ATTRIBUTE_TOTAL_CONSTANT_MEMORY = 9,
       ATTRIBUTE_WARP_SIZE = 10,
       ATTRIBUTE_MAX_REGISTERS_PER_BLOCK = 12,
       ATTRIBUTE_CLOCK_RATE = 13,
       ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
       ATTRIBUTE_INTEGRATED = 18,
       ATTRIBUTE_CAN_MAP_HOST_MEMORY = 19,
       ATTRIBUTE_CONCURRENT_KERNELS = 31,
       ATTRIBUTE_PCI_BUS_ID = 33,
       ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR = 39,
       ATTRIBUTE_ASYNC_ENGINE_COUNT = 40,
       ATTRIBUTE_UNIFIED_ADDRESSING = 41,
       ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
       ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
       ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR = 81,
       ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97
};

enum { /* CUfunction_attribute */
       FUNCTION_MAX_THREADS_PER_BLOCK = 0,
       FUNCTION_SHARED_SIZE_BYTES = 1,
       FUNCTION_CONST_SIZE_BYTES = 2,
       FUNCTION_LOCAL_SIZE_BYTES = 3,
       FUNCTION_NUM_REGS = 4,
       FUNCTION_PTX_VERSION = 5,
       FUNCTION_BINARY_VERSION = 6,
       FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
       FUNCTION_PREFERRED_SHARED_MEMORY_CARVEOUT = 9
};

/* What cuMemHostAlloc, cuStreamCreate and cuEventCreate may be told. */
enum { STREAM_NON_BLOCKING = 1 };

#endif
