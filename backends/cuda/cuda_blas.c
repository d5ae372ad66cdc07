/* cuda_blas.c - libcublasLt.so.13 or .12, opened by name. The numbers are those of cublasLt.h, which do not
 * change; no toolkit is needed to build this. */
#include "backends/cuda/cuda_blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "backends/cuda/cuda_backend.h"

enum { TYPE_F32 = 0, TYPE_BF16 = 14, COMPUTE_F32 = 68, TRANSPOSED = 1 };
enum { DESC_TRANSPOSE_A = 3, DESC_EPILOGUE = 7, DESC_BIAS = 8, EPILOGUE_BIAS = 4, PREFERENCE_WORKSPACE = 1 };
enum { SUCCESS = 0 };

/* A choice of kernel, as the library gives it. */
typedef struct choice {
  uint64_t algorithm[8];
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
} choice;

typedef struct library {
  void *file;
  const char *name;
  int (*create)(void **handle);
  int (*destroy)(void *handle);
  int (*desc_create)(void **desc, int compute, int scale_type);
  int (*desc_destroy)(void *desc);
  int (*desc_set)(void *desc, int attribute, const void *value, size_t n_bytes);
  int (*layout_create)(void **layout, int type, uint64_t rows, uint64_t columns, int64_t stride);
  int (*layout_destroy)(void *layout);
  int (*preference_create)(void **preference);
  int (*preference_destroy)(void *preference);
  int (*preference_set)(void *preference, int attribute, const void *value, size_t n_bytes);
  int (*choose)(void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference, int n_wanted,
                choice *choices, int *n);
  int (*multiply)(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
                  void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
                  const void *algorithm, void *workspace, size_t workspace_bytes, void *stream);
} library;

static library lt;
static const char *named; /* by wh_cuda_blas_path */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void wh_cuda_blas_path(const char *path) { named = path; }

/* ---- the library ---- */

static wh_status find_calls(library *l) {
  const struct {
    const char *name;
    void *to;
  } calls[] = {{"cublasLtCreate", &l->create},
               {"cublasLtDestroy", &l->destroy},
               {"cublasLtMatmulDescCreate", &l->desc_create},
               {"cublasLtMatmulDescDestroy", &l->desc_destroy},
               {"cublasLtMatmulDescSetAttribute", &l->desc_set},
               {"cublasLtMatrixLayoutCreate", &l->layout_create},
               {"cublasLtMatrixLayoutDestroy", &l->layout_destroy},
               {"cublasLtMatmulPreferenceCreate", &l->preference_create},
               {"cublasLtMatmulPreferenceDestroy", &l->preference_destroy},
               {"cublasLtMatmulPreferenceSetAttribute", &l->preference_set},
               {"cublasLtMatmulAlgoGetHeuristic", &l->choose},
               {"cublasLtMatmul", &l->multiply}};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    void *f = dlsym(l->file, calls[i].name);
    if (!f) return WH_FAIL(ERR_UNAVAILABLE, "%s has no %s", l->name, calls[i].name);
    memcpy(calls[i].to, &f, sizeof f); /* ISO C has no conversion from an object's address to a function's */
  }
  return WH_OK;
}

/* A handle of the library of this name, which stays open, as the driver does. The first that gives one is
 * every device's: products read `lt` without the lock. */
static wh_status try_name(const char *name, void **handle) {
  library l = {.file = dlopen(name, RTLD_NOW | RTLD_LOCAL), .name = name};
  if (!l.file) return WH_FAIL(ERR_UNAVAILABLE, "there is no cuBLASLt (%s)", dlerror());
  void *made = NULL;
  WH_TRY(find_calls(&l));
  if (lt.file && lt.file != l.file)
    return WH_FAIL(ERR_UNAVAILABLE, "another device's products are by %s, not by %s", lt.name, name);
  const int r = l.create(&made);
  if (r != SUCCESS) return WH_FAIL(ERR_UNAVAILABLE, "%s does not start on this device (status %d)", name, r);
  if (!lt.file) lt = l;
  *handle = made;
  return WH_OK;
}

static wh_status open_first(const char *const names[], size_t n, void **handle, const char **name) {
  wh_status st = WH_ERR_UNAVAILABLE;
  (void)pthread_mutex_lock(&lock);
  for (size_t i = 0; i < n && st != WH_OK; i++) st = try_name(names[i], handle);
  *name = lt.name;
  (void)pthread_mutex_unlock(&lock);
  return st;
}

static wh_status open_real(void **handle, const char **name) {
  static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
  return named ? open_first(&named, 1, handle, name) : open_first(names, 2, handle, name);
}

static wh_status open_emulated(void **handle, const char **name) {
  if (!named) return WH_FAIL(ERR_UNAVAILABLE, "cuBLASLt does not run on the emulator");
  return open_first(&named, 1, handle, name);
}

static void close_handle(void *handle) { (void)lt.destroy(handle); }

/* ---- a product ---- */

/* The library's matrices are stored by columns: y^T [n, rows] = w [k, n]^T x^T [k, rows]. */
typedef struct plan {
  void *desc, *w, *x, *y, *preference;
  choice choice;
} plan;

static bool make(plan *p, const gpu_blas_product *of) {
  const int transposed = TRANSPOSED;
  const uint32_t epilogue = EPILOGUE_BIAS;
  const void *bias = (const void *)(uintptr_t)of->bias;
  if (lt.desc_create(&p->desc, COMPUTE_F32, TYPE_F32) != SUCCESS ||
      lt.desc_set(p->desc, DESC_TRANSPOSE_A, &transposed, sizeof transposed) != SUCCESS ||
      lt.layout_create(&p->w, TYPE_BF16, of->k, of->n, of->k) != SUCCESS ||
      lt.layout_create(&p->x, TYPE_BF16, of->k, of->rows, of->k) != SUCCESS ||
      lt.layout_create(&p->y, TYPE_F32, of->n, of->rows, of->n) != SUCCESS ||
      lt.preference_create(&p->preference) != SUCCESS ||
      lt.preference_set(p->preference, PREFERENCE_WORKSPACE, &of->workspace_bytes,
                        sizeof of->workspace_bytes) != SUCCESS)
    return false;
  return !bias || (lt.desc_set(p->desc, DESC_EPILOGUE, &epilogue, sizeof epilogue) == SUCCESS &&
                   lt.desc_set(p->desc, DESC_BIAS, &bias, sizeof bias) == SUCCESS);
}

static void unmake(const plan *p) {
  if (p->preference) (void)lt.preference_destroy(p->preference);
  if (p->y) (void)lt.layout_destroy(p->y);
  if (p->x) (void)lt.layout_destroy(p->x);
  if (p->w) (void)lt.layout_destroy(p->w);
  if (p->desc) (void)lt.desc_destroy(p->desc);
}

static wh_status run(void *handle, plan *p, const gpu_blas_product *of, void *stream) {
  const float one = 1.0f, beta = of->residual ? 1.0f : 0.0f;
  void *y = (void *)(uintptr_t)of->y;
  const void *c = of->residual ? (const void *)(uintptr_t)of->residual : y;
  int n = 0;
  int r = lt.choose(handle, p->desc, p->w, p->x, p->y, p->y, p->preference, 1, &p->choice, &n);
  if (r != SUCCESS || n < 1 || p->choice.state != SUCCESS)
    return WH_FAIL(ERR_UNAVAILABLE, "%s has no kernel for %u x %u x %u (status %d)", lt.name, of->rows, of->n,
                   of->k, r);
  r = lt.multiply(handle, p->desc, &one, (const void *)(uintptr_t)of->w, p->w, (const void *)(uintptr_t)of->x,
                  p->x, &beta, c, p->y, y, p->y, p->choice.algorithm, (void *)(uintptr_t)of->workspace,
                  (size_t)of->workspace_bytes, stream);
  if (r != SUCCESS) return WH_FAIL(ERR_DEVICE, "%s failed at a product (status %d)", lt.name, r);
  return WH_OK;
}

static wh_status multiply(void *handle, const gpu_blas_product *of, void *stream) {
  plan p = {.desc = NULL};
  wh_status st;
  if (make(&p, of))
    st = run(handle, &p, of, stream);
  else
    st = WH_FAIL(ERR_UNAVAILABLE, "%s describes no product", lt.name);
  unmake(&p);
  return st;
}

const gpu_blas cuda_blas = {open_real, close_handle, multiply};
const gpu_blas cuda_blas_emulated = {open_emulated, close_handle, multiply};
