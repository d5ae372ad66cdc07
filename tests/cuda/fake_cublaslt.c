/* fake_cublaslt.c - a libcublasLt.so whose products are a plain kernel on the emulator, given to the stream
 * like the real ones: for tests of mode `fast`. It takes what cuda_blas.c asks for and nothing else, and
 * fails where fake_cublaslt_fail says. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { SUCCESS = 0, NOT_INITIALISED = 1, INVALID = 7, FAILED = 13, UNSUPPORTED = 15 };
enum { BF16 = 14, F32 = 0, COMPUTE_F32 = 68 };

static const char ptx[] =
    ".version 7.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry product(.param .u64 w, .param .u64 x, .param .u64 c, .param .u64 y, .param .u64 bias,\n"
    "    .param .u32 n, .param .u32 k, .param .f32 beta) {\n"
    "  .reg .pred %p<5>;\n  .reg .b16 %h<3>;\n  .reg .b32 %r<12>;\n  .reg .f32 %f<8>;\n  .reg .b64 %d<12>;\n"
    "  mov.u32 %r1, %ctaid.x;\n  mov.u32 %r2, %ntid.x;\n  mov.u32 %r3, %tid.x;\n"
    "  mad.lo.s32 %r4, %r1, %r2, %r3;\n" /* column of y */
    "  ld.param.u32 %r5, [n];\n  setp.ge.u32 %p1, %r4, %r5;\n  @%p1 bra END;\n"
    "  mov.u32 %r6, %ctaid.y;\n  ld.param.u32 %r7, [k];\n"
    "  ld.param.u64 %d1, [w];\n  mul.wide.u32 %d2, %r4, %r7;\n  shl.b64 %d2, %d2, 1;\n  add.s64 %d1, %d1, "
    "%d2;\n"
    "  ld.param.u64 %d3, [x];\n  mul.wide.u32 %d4, %r6, %r7;\n  shl.b64 %d4, %d4, 1;\n  add.s64 %d3, %d3, "
    "%d4;\n"
    "  mov.f32 %f1, 0f00000000;\n  mov.u32 %r8, 0;\n"
    "LOOP:\n  setp.ge.u32 %p2, %r8, %r7;\n  @%p2 bra SUM;\n"
    "  ld.global.u16 %h1, [%d1];\n  ld.global.u16 %h2, [%d3];\n"
    "  cvt.u32.u16 %r9, %h1;\n  shl.b32 %r9, %r9, 16;\n  mov.b32 %f2, %r9;\n"
    "  cvt.u32.u16 %r10, %h2;\n  shl.b32 %r10, %r10, 16;\n  mov.b32 %f3, %r10;\n"
    "  fma.rn.f32 %f1, %f2, %f3, %f1;\n"
    "  add.s64 %d1, %d1, 2;\n  add.s64 %d3, %d3, 2;\n  add.u32 %r8, %r8, 1;\n  bra LOOP;\n"
    "SUM:\n  mul.wide.u32 %d5, %r6, %r5;\n  cvt.u64.u32 %d6, %r4;\n  add.s64 %d5, %d5, %d6;\n"
    "  shl.b64 %d5, %d5, 2;\n  ld.param.f32 %f4, [beta];\n  setp.eq.f32 %p3, %f4, 0f00000000;\n  @%p3 bra "
    "BIAS;\n"
    "  ld.param.u64 %d7, [c];\n  add.s64 %d7, %d7, %d5;\n  ld.global.f32 %f5, [%d7];\n"
    "  fma.rn.f32 %f1, %f4, %f5, %f1;\n"
    "BIAS:\n  ld.param.u64 %d8, [bias];\n  setp.eq.s64 %p4, %d8, 0;\n  @%p4 bra STORE;\n"
    "  shl.b64 %d9, %d6, 2;\n  add.s64 %d8, %d8, %d9;\n  ld.global.f32 %f6, [%d8];\n  add.rn.f32 %f1, %f1, "
    "%f6;\n"
    "STORE:\n  ld.param.u64 %d10, [y];\n  add.s64 %d10, %d10, %d5;\n  st.global.f32 [%d10], %f1;\n"
    "END:\n  ret;\n}\n";

typedef struct handle {
  void *module, *function;
} handle;
typedef struct desc {
  int compute, scale, transpose_a;
  uint32_t epilogue;
  uint64_t bias;
} desc;
typedef struct layout {
  int type;
  uint64_t rows, columns;
  int64_t stride;
} layout;
typedef struct choice {
  uint64_t algorithm[8];
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
} choice;

static int (*module_load)(void **, const void *);
static int (*module_unload)(void *);
static int (*module_function)(void **, void *, const char *);
static int (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *,
                     void **, void **);

static char fails;
static unsigned n_products, n_alive;

/* 'c': create, 'k': no kernel is found, 'm': products; 0: nothing. */
EXPORT void fake_cublaslt_fail(char what);
void fake_cublaslt_fail(char what) { fails = what; }
/* Products that were given since the last call. */
EXPORT unsigned fake_cublaslt_products(void);
unsigned fake_cublaslt_products(void) {
  const unsigned n = n_products;
  n_products = 0;
  return n;
}
/* Handles, descriptors and so on that are not destroyed. */
EXPORT unsigned fake_cublaslt_left(void);
unsigned fake_cublaslt_left(void) { return n_alive; }

static void find(void *library, const char *name, void *to) {
  void *f = dlsym(library, name);
  if (!f) abort();
  memcpy(to, &f, sizeof f);
}

static int give(void **out, size_t n_bytes) {
  *out = calloc(1, n_bytes);
  if (!*out) return FAILED;
  n_alive++;
  return SUCCESS;
}
static int take(void *p) {
  free(p);
  n_alive--;
  return SUCCESS;
}

EXPORT int cublasLtCreate(void **out);
int cublasLtCreate(void **out) {
  void *driver = dlopen(WH_EMULATOR, RTLD_NOW | RTLD_NOLOAD);
  if (fails == 'c' || !driver) return NOT_INITIALISED;
  find(driver, "cuModuleLoadData", &module_load);
  find(driver, "cuModuleUnload", &module_unload);
  find(driver, "cuModuleGetFunction", &module_function);
  find(driver, "cuLaunchKernel", &launch);
  if (give(out, sizeof(handle)) != SUCCESS) return FAILED;
  handle *h = *out;
  if (module_load(&h->module, ptx) == 0 && module_function(&h->function, h->module, "product") == 0)
    return SUCCESS;
  if (h->module) (void)module_unload(h->module);
  (void)take(h);
  return FAILED;
}
EXPORT int cublasLtDestroy(void *p);
int cublasLtDestroy(void *p) {
  (void)module_unload(((handle *)p)->module);
  return take(p);
}

EXPORT int cublasLtMatmulDescCreate(void **out, int compute, int scale);
int cublasLtMatmulDescCreate(void **out, int compute, int scale) {
  if (give(out, sizeof(desc)) != SUCCESS) return FAILED;
  *(desc *)*out = (desc){.compute = compute, .scale = scale, .epilogue = 1};
  return SUCCESS;
}
EXPORT int cublasLtMatmulDescDestroy(void *p);
int cublasLtMatmulDescDestroy(void *p) { return take(p); }
EXPORT int cublasLtMatmulDescSetAttribute(void *p, int attribute, const void *value, size_t n_bytes);
int cublasLtMatmulDescSetAttribute(void *p, int attribute, const void *value, size_t n_bytes) {
  desc *d = p;
  const struct {
    int attribute;
    void *to;
    size_t n_bytes;
  } known[] = {{3, &d->transpose_a, 4}, {7, &d->epilogue, 4}, {8, &d->bias, 8}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].attribute == attribute && known[i].n_bytes == n_bytes) {
      memcpy(known[i].to, value, n_bytes);
      return SUCCESS;
    }
  return INVALID;
}

EXPORT int cublasLtMatrixLayoutCreate(void **out, int type, uint64_t rows, uint64_t columns, int64_t stride);
int cublasLtMatrixLayoutCreate(void **out, int type, uint64_t rows, uint64_t columns, int64_t stride) {
  if (give(out, sizeof(layout)) != SUCCESS) return FAILED;
  *(layout *)*out = (layout){type, rows, columns, stride};
  return SUCCESS;
}
EXPORT int cublasLtMatrixLayoutDestroy(void *p);
int cublasLtMatrixLayoutDestroy(void *p) { return take(p); }

EXPORT int cublasLtMatmulPreferenceCreate(void **out);
int cublasLtMatmulPreferenceCreate(void **out) { return give(out, sizeof(uint64_t)); }
EXPORT int cublasLtMatmulPreferenceDestroy(void *p);
int cublasLtMatmulPreferenceDestroy(void *p) { return take(p); }
EXPORT int cublasLtMatmulPreferenceSetAttribute(void *p, int attribute, const void *value, size_t n_bytes);
int cublasLtMatmulPreferenceSetAttribute(void *p, int attribute, const void *value, size_t n_bytes) {
  if (attribute != 1 || n_bytes != sizeof(uint64_t)) return INVALID;
  memcpy(p, value, n_bytes);
  return SUCCESS;
}

EXPORT int cublasLtMatmulAlgoGetHeuristic(void *h, void *p, layout *a, layout *b, layout *c, layout *d,
                                          void *preference, int n_wanted, choice *choices, int *n);
int cublasLtMatmulAlgoGetHeuristic(void *h, void *p, layout *a, layout *b, layout *c, layout *d,
                                   void *preference, int n_wanted, choice *choices, int *n) {
  *n = 0;
  (void)c;
  if (!h || !p || !preference || n_wanted != 1 || a->rows != b->rows || a->columns != d->rows) return INVALID;
  if (fails == 'k') return UNSUPPORTED;
  *choices = (choice){.algorithm = {0xca11}, .workspace_bytes = 1024};
  *n = 1;
  return SUCCESS;
}

static int fits(const desc *d, const layout *a, const layout *b, const layout *c, const layout *y) {
  return d->compute == COMPUTE_F32 && d->scale == F32 && d->transpose_a == 1 &&
         (d->epilogue == 4) == (d->bias != 0) && a->type == BF16 && b->type == BF16 && c->type == F32 &&
         y->type == F32 && a->stride == (int64_t)a->rows && b->stride == (int64_t)b->rows &&
         y->stride == (int64_t)y->rows && a->rows == b->rows && a->columns == y->rows &&
         b->columns == y->columns;
}

EXPORT int cublasLtMatmul(void *p, desc *d, const float *alpha, uint64_t a, layout *a_layout, uint64_t b,
                          layout *b_layout, const float *beta, uint64_t c, layout *c_layout, uint64_t y,
                          layout *y_layout, const choice *algorithm, uint64_t workspace,
                          size_t workspace_bytes, void *stream);
int cublasLtMatmul(void *p, desc *d, const float *alpha, uint64_t a, layout *a_layout, uint64_t b,
                   layout *b_layout, const float *beta, uint64_t c, layout *c_layout, uint64_t y,
                   layout *y_layout, const choice *algorithm, uint64_t workspace, size_t workspace_bytes,
                   void *stream) {
  uint32_t n = (uint32_t)a_layout->columns, k = (uint32_t)a_layout->rows;
  float factor = *beta;
  void *parameters[] = {&a, &b, &c, &y, &d->bias, &n, &k, &factor};
  if (!fits(d, a_layout, b_layout, c_layout, y_layout) || *alpha != 1.0f ||
      algorithm->algorithm[0] != 0xca11 || !workspace || workspace_bytes < 1024)
    return INVALID;
  if (fails == 'm') return FAILED;
  if (launch(((handle *)p)->function, (n + 63) / 64, (unsigned)b_layout->columns, 1, 64, 1, 1, 0, stream,
             parameters, NULL))
    return FAILED;
  n_products++;
  return SUCCESS;
}
