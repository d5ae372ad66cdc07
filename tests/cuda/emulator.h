/* emulator.h - the driver API as tests call it: opened like any driver, by name. */
#ifndef TEST_CUDA_EMULATOR_H
#define TEST_CUDA_EMULATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/cuda/ptxemu/cuda_abi.h"
#include "backends/cuda/ptxemu/ptxemu.h"

typedef struct {
  CUresult (*init)(unsigned);
  CUresult (*context_retain)(CUcontext *, CUdevice);
  CUresult (*context_release)(CUdevice);
  CUresult (*context_set)(CUcontext);
  CUresult (*synchronize)(void);
  CUresult (*alloc)(CUdeviceptr *, size_t);
  CUresult (*release)(CUdeviceptr);
  CUresult (*host_alloc)(void **, size_t, unsigned);
  CUresult (*host_free)(void *);
  CUresult (*upload)(CUdeviceptr, const void *, size_t);
  CUresult (*download)(void *, CUdeviceptr, size_t);
  CUresult (*upload_async)(CUdeviceptr, const void *, size_t, CUstream);
  CUresult (*download_async)(void *, CUdeviceptr, size_t, CUstream);
  CUresult (*set32)(CUdeviceptr, unsigned, size_t);
  CUresult (*module_load)(CUmodule *, const void *);
  CUresult (*module_unload)(CUmodule);
  CUresult (*module_function)(CUfunction *, CUmodule, const char *);
  CUresult (*module_global)(CUdeviceptr *, size_t *, CUmodule, const char *);
  CUresult (*launch_config)(const CUlaunchConfig *, CUfunction, void **, void **);
  CUresult (*launch)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                     CUstream, void **, void **);
  CUresult (*stream_create)(CUstream *, unsigned);
  CUresult (*stream_destroy)(CUstream);
  CUresult (*stream_synchronize)(CUstream);
  CUresult (*stream_wait)(CUstream, CUevent, unsigned);
  CUresult (*event_create)(CUevent *, unsigned);
  CUresult (*event_destroy)(CUevent);
  CUresult (*event_record)(CUevent, CUstream);
  CUresult (*device_count)(int *);
  CUresult (*device_attribute)(int *, int, CUdevice);
  int (*set)(const char *);
  unsigned (*report_count)(void);
  const char *(*report)(unsigned);
  void (*clear)(void);
  unsigned (*calls)(void);
  int (*profile_get)(unsigned, ptxemu_profile *);
  void (*profile_clear)(void);
} emulator;

extern emulator cu;

/* Opens the emulator, with two devices, and makes the first one's context current. Fails the test otherwise.
 */
void emulator_open(void);
/* Whether a report of this kind was made; prints them all when not. */
bool emulator_reported(const char *kind);
void emulator_expect_none(void);

/* A module of tests/cuda/ptx. */
CUmodule emulator_module(const char *file);
CUfunction emulator_function(CUmodule m, const char *name);
CUdeviceptr emulator_upload(const void *p, size_t n);
CUdeviceptr emulator_room(size_t n);
void emulator_download(void *p, CUdeviceptr at, size_t n);
/* Launches one dimension and waits. */
CUresult emulator_run(CUfunction f, unsigned blocks, unsigned threads, unsigned shared, void **parameters);

#endif
