/* driver_module.c - cuModule*, cuFunc*, cuLaunchKernel: PTX in, launches out. */
#define _POSIX_C_SOURCE 200809L /* strnlen */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/ptxemu/driver.h"
#include "backends/cuda/ptxemu/report.h"

EXPORT CUresult cuModuleLoadData(CUmodule *module, const void *image);
EXPORT CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned n, int *options,
                                   void **values);
EXPORT CUresult cuModuleUnload(CUmodule module);
EXPORT CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name);
EXPORT CUresult cuModuleGetGlobal_v2(CUdeviceptr *p, size_t *n, CUmodule module, const char *name);
EXPORT CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction function);
EXPORT CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value);
EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int threads,
                                                            size_t dynamic_shared);
EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                               unsigned by, unsigned bz, unsigned dynamic_shared, CUstream stream,
                               void **parameters, void **extra);
EXPORT CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters,
                                 void **extra);

/* ---- images ---- */

enum {
  FATBIN_PTX = 1,
  FATBIN_HEADER = 16,        /* magic, version and header's size, size of what follows */
  FATBIN_ENTRY = 64,         /* at least */
  FATBIN_COMPRESSED = 0xa000 /* flags: LZ4, or Zstandard */
};

#define FATBIN_WRAPPER \
  "\xb1\x43\x62\x46" /* what nvcc puts into a program: version, address of the fat binary */
#define FATBIN_MAGIC "\x50\xed\x55\xba"

static uint64_t field(const unsigned char *p, size_t at, unsigned bytes) {
  uint64_t v = 0;
  memcpy(&v, p + at, bytes);
  return v;
}

/* The text of the PTX in a fat binary with the highest target that the device has; NULL and a reason. */
static const char *ptx_in_fatbin(const unsigned char *p, unsigned capability, size_t *n, const char **why) {
  const unsigned header = (unsigned)field(p, 6, 2);
  const uint64_t size = field(p, 8, 8);
  const unsigned char *at = p + header, *end = at + size;
  const char *best = NULL;
  uint64_t best_target = 0;
  *why = "the fat binary holds no PTX for this device";
  while (header >= FATBIN_HEADER && end - at >= FATBIN_ENTRY) {
    const uint64_t kind = field(at, 0, 2), own_header = field(at, 4, 4), payload = field(at, 8, 8),
                   target = field(at, 28, 4);
    if (own_header < FATBIN_ENTRY || own_header > (uint64_t)(end - at) ||
        payload > (uint64_t)(end - at) - own_header)
      break;
    if (kind == FATBIN_PTX && target <= capability && target >= best_target) {
      if (field(at, 40, 8) & FATBIN_COMPRESSED) {
        *why = "the PTX in the fat binary is compressed: build it with nvcc -no-compress";
      } else {
        best = (const char *)at + own_header;
        best_target = target;
        *n = strnlen(best, payload);
      }
    }
    at += own_header + payload;
  }
  return best;
}

/* Text may be shorter than a magic number: none of them holds a zero byte, so it is not read beyond its end.
 */
static bool begins(const unsigned char *p, const char *magic) { return !strncmp((const char *)p, magic, 4); }

static const char *find_ptx(const void *image, unsigned capability, size_t *n, const char **why) {
  const unsigned char *p = image;
  if (begins(p, FATBIN_WRAPPER)) p = (const unsigned char *)(uintptr_t)field(p, 8, 8);
  if (begins(p, FATBIN_MAGIC)) return ptx_in_fatbin(p, capability, n, why);
  if (begins(p, "\177ELF")) {
    *why = "a cubin holds machine code of a GPU: the emulator runs PTX";
    return NULL;
  }
  *n = strlen((const char *)p);
  return (const char *)p;
}

/* ---- modules ---- */

bool module_is(CUmodule m) {
  for (const struct CUmod_st *x = driver.modules; x; x = x->next)
    if (x == m) return true;
  return false;
}

bool function_is(CUfunction f) {
  for (const struct CUmod_st *m = driver.modules; m; m = m->next)
    for (const struct CUfunc_st *x = m->functions; x; x = x->next)
      if (x == f) return true;
  return false;
}

static void module_free(struct CUmod_st *m) {
  while (m->functions) {
    struct CUfunc_st *next = m->functions->next;
    free(m->functions);
    m->functions = next;
  }
  if (m->data) (void)memory_free(&driver.memory[m->device], m->data);
  ptx_module_free(m->ptx);
  free(m);
}

unsigned modules_close(int device) {
  unsigned n = 0;
  for (struct CUmod_st **at = &driver.modules; *at;) {
    struct CUmod_st *m = *at;
    if (m->device != device) {
      at = &m->next;
      continue;
    }
    *at = m->next;
    module_free(m);
    n++;
  }
  return n;
}

static void tell(char *log, size_t n, const char *text) {
  if (log && n) (void)snprintf(log, n, "%s", text);
}

static CUresult load(CUmodule *module, const void *image, char *log, size_t log_bytes) {
  const driver_options *o = &driver.options;
  const unsigned capability = (unsigned)(o->profile->major * 10 + o->profile->minor);
  if (!module || !image) return CUDA_ERROR_INVALID_VALUE;
  size_t n = 0;
  const char *why = NULL;
  const char *text = find_ptx(image, capability, &n, &why);
  if (!text) {
    tell(log, log_bytes, why);
    report_add("module", "%s", why);
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  char error[PTX_ERROR_SIZE] = "";
  struct CUmod_st *m = calloc(1, sizeof *m);
  if (!m) return CUDA_ERROR_OUT_OF_MEMORY;
  m->device = driver_device();
  m->ptx = ptx_parse(text, n, o->strict, o->refuse_approx, error);
  if (!m->ptx) {
    tell(log, log_bytes, error);
    report_add("module", "%s", error);
    module_free(m);
    return CUDA_ERROR_INVALID_PTX;
  }
  if (m->ptx->target > capability) {
    (void)snprintf(error, sizeof error, "the PTX is for sm_%u and the device is sm_%u", m->ptx->target,
                   capability);
    tell(log, log_bytes, error);
    report_add("module", "%s", error);
    module_free(m);
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  if (m->ptx->data_bytes) {
    memory_device *d = &driver.memory[m->device];
    m->data = memory_alloc(d, m->ptx->data_bytes, false);
    if (!m->data) {
      module_free(m);
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    memcpy((void *)(uintptr_t)m->data, m->ptx->data, m->ptx->data_bytes);
    memory_mark_set(d, m->data, m->ptx->data_bytes);
    ptx_module_place(m->ptx, m->data);
  }
  m->next = driver.modules;
  driver.modules = *module = m;
  return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  const CUresult r = driver_enter(CALL_ALLOCATES);
  return driver_leave(r ? r : load(module, image, NULL, 0));
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned n, int *options, void **values) {
  enum { ERROR_LOG_BUFFER = 5, ERROR_LOG_BUFFER_SIZE_BYTES = 6 };
  char *log = NULL;
  size_t log_bytes = 0;
  for (unsigned i = 0; options && values && i < n; i++) {
    if (options[i] == ERROR_LOG_BUFFER) log = values[i];
    if (options[i] == ERROR_LOG_BUFFER_SIZE_BYTES) log_bytes = (uintptr_t)values[i] & 0xffffffff;
  }
  const CUresult r = driver_enter(CALL_ALLOCATES);
  return driver_leave(r ? r : load(module, image, log, log_bytes));
}

CUresult cuModuleUnload(CUmodule module) {
  const CUresult r = driver_enter(CALL_DESTROYS);
  if (r) return driver_leave(r);
  (void)driver_finish(-1);
  for (struct CUmod_st **at = &driver.modules; *at; at = &(*at)->next)
    if (*at == module) {
      *at = module->next;
      module_free(module);
      return driver_leave(CUDA_SUCCESS);
    }
  return driver_leave(CUDA_ERROR_INVALID_HANDLE);
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  if (!function || !name) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  if (!module_is(module)) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  const ptx_function *ptx = ptx_module_kernel(module->ptx, name);
  if (!ptx) return driver_leave(CUDA_ERROR_NOT_FOUND);
  for (struct CUfunc_st *f = module->functions; f; f = f->next)
    if (f->ptx == ptx) {
      *function = f;
      return driver_leave(CUDA_SUCCESS);
    }
  struct CUfunc_st *f = calloc(1, sizeof *f);
  if (!f) return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
  f->ptx = ptx;
  f->module = module;
  f->max_dynamic_shared =
      DEFAULT_SHARED > (int)ptx->shared_bytes ? DEFAULT_SHARED - (int)ptx->shared_bytes : 0;
  f->next = module->functions;
  module->functions = *function = f;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *p, size_t *n, CUmodule module, const char *name) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  if (!name || !module_is(module)) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  for (unsigned i = 0; i < module->ptx->n_variables; i++) {
    const ptx_variable *v = &module->ptx->variables[i];
    if (strcmp(v->name, name)) continue;
    if (p) *p = module->data + v->offset;
    if (n) *n = v->size;
    return driver_leave(CUDA_SUCCESS);
  }
  return driver_leave(CUDA_ERROR_NOT_FOUND);
}

/* ---- functions ---- */

static unsigned most_threads(const struct CUfunc_st *f) {
  return f->ptx->max_threads && f->ptx->max_threads < EXEC_MAX_THREADS ? f->ptx->max_threads
                                                                       : EXEC_MAX_THREADS;
}

CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction function) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  if (!value || !function_is(function)) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  const ptx_module *m = function->module->ptx;
  switch (attribute) {
    case FUNCTION_MAX_THREADS_PER_BLOCK:
      *value = (int)most_threads(function);
      break;
    case FUNCTION_SHARED_SIZE_BYTES:
      *value = (int)function->ptx->shared_bytes;
      break;
    case FUNCTION_LOCAL_SIZE_BYTES:
      *value = (int)m->local_bytes;
      break;
    case FUNCTION_CONST_SIZE_BYTES:
    case FUNCTION_NUM_REGS: /* only an assembler for a real device knows */
      *value = 0;
      break;
    case FUNCTION_PTX_VERSION:
    case FUNCTION_BINARY_VERSION:
      *value = (int)m->target;
      break;
    case FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      *value = function->max_dynamic_shared;
      break;
    default:
      return driver_leave(CUDA_ERROR_INVALID_VALUE);
  }
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  if (!function_is(function)) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  if (attribute == FUNCTION_PREFERRED_SHARED_MEMORY_CARVEOUT) return driver_leave(CUDA_SUCCESS);
  if (attribute != FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 ||
      value > driver.options.profile->shared_optin - (int)function->ptx->shared_bytes)
    return driver_leave(CUDA_ERROR_INVALID_VALUE);
  function->max_dynamic_shared = value;
  return driver_leave(CUDA_SUCCESS);
}

/* By shared memory and threads; registers are not known. */
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int threads,
                                                     size_t dynamic_shared) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  if (!blocks || !function_is(function) || threads < 1) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  const size_t shared =
      function->ptx->shared_bytes + dynamic_shared + 1024; /* which the system keeps of each block */
  const int by_shared = (int)((size_t)driver.options.profile->shared_multiprocessor / shared),
            by_threads = 2048 / threads;
  *blocks = threads > EXEC_MAX_THREADS ? 0 : by_shared < by_threads ? by_shared : by_threads;
  return driver_leave(CUDA_SUCCESS);
}

/* ---- launch ---- */

static CUresult check_launch(const struct CUfunc_st *f, const uint32_t grid[3], const uint32_t block[3],
                             unsigned dynamic_shared) {
  if (!grid[0] || !grid[1] || !grid[2] || !block[0] || !block[1] || !block[2])
    return CUDA_ERROR_INVALID_VALUE;
  if (grid[0] > INT32_MAX || grid[1] > 65535 || grid[2] > 65535) return CUDA_ERROR_INVALID_VALUE;
  if (block[0] > 1024 || block[1] > 1024 || block[2] > 64) return CUDA_ERROR_INVALID_VALUE;
  if ((uint64_t)block[0] * block[1] * block[2] > most_threads(f)) return CUDA_ERROR_INVALID_VALUE;
  if (dynamic_shared > (unsigned)f->max_dynamic_shared) return CUDA_ERROR_INVALID_VALUE;
  if ((uint64_t)grid[0] * grid[1] * grid[2] >= UINT32_MAX) return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

static CUresult launch(CUfunction function, const CUlaunchConfig *c, bool follows, void **parameters,
                       void **extra) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  CUstream s = stream_of(c->stream);
  if (!s || !function_is(function)) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  if (extra) return driver_leave(CUDA_ERROR_NOT_SUPPORTED);
  const ptx_function *f = function->ptx;
  const CUresult fits = check_launch(function, c->grid, c->block, c->dynamic_shared);
  if (fits) return driver_leave(fits);
  if (f->n_parameters && !parameters) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  work *w = stream_work(WORK_KERNEL);
  if (w) w->parameters = calloc(1, f->parameter_bytes + 1);
  if (!w || !w->parameters) {
    work_free(w);
    return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
  }
  w->function = function;
  memcpy(w->grid, c->grid, sizeof w->grid);
  memcpy(w->block, c->block, sizeof w->block);
  w->dynamic_shared = c->dynamic_shared;
  w->follows = follows;
  for (unsigned i = 0; i < f->n_parameters; i++)
    memcpy(w->parameters + f->parameters[i].offset, parameters[i], f->parameters[i].size);
  stream_push(s, w);
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                        unsigned bz, unsigned dynamic_shared, CUstream stream, void **parameters,
                        void **extra) {
  const CUlaunchConfig c = {{gx, gy, gz}, {bx, by, bz}, dynamic_shared, stream, NULL, 0};
  return launch(function, &c, false, parameters, extra);
}

/* Of attributes the one is known by which a kernel may start before the work in front of it has ended. */
CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters,
                          void **extra) {
  bool follows = false;
  if (!config || (config->n_attributes && !config->attributes)) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < config->n_attributes; i++) {
    const CUlaunchAttribute *a = &config->attributes[i];
    if (a->id == LAUNCH_PROGRAMMATIC_SERIALIZATION)
      follows = a->value.programmatic != 0;
    else if (a->id != LAUNCH_IGNORE)
      return CUDA_ERROR_NOT_SUPPORTED;
  }
  if (follows && driver.options.profile->major < 9) return CUDA_ERROR_NOT_SUPPORTED;
  return launch(function, config, follows, parameters, extra);
}
