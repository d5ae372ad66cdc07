/* fast_blas.c - see fast_blas.h. */
#include "backends/cpu/fast_blas.h"

#include <dlfcn.h>
#include <string.h>

static void *symbol(void *library, const char *name, void *fn, size_t n) {
  void *p = dlsym(library, name);
  memcpy(fn, &p, n); /* ISO C has no conversion from object to function pointers */
  return p;
}

void wh_fast_blas_open(wh_fast_blas *b) {
  void (*set_num_threads)(int) = NULL;
  *b = (wh_fast_blas){0};
  void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
  if (!symbol(library, "cblas_sgemm", &b->sgemm, sizeof b->sgemm) ||
      !symbol(library, "openblas_set_num_threads", &set_num_threads, sizeof set_num_threads)) {
    (void)dlclose(library);
    return;
  }
  set_num_threads(1);
  b->library = library;
}

void wh_fast_blas_close(wh_fast_blas *b) {
  if (b->library) (void)dlclose(b->library);
  *b = (wh_fast_blas){0};
}

void wh_fast_blas_linear(const wh_fast_blas *b, const wh_linear_f_args *a, const wh_worker *worker) {
  const wh_linear_layout *l = a->layout;
  int64_t begin, end;
  wh_worker_range(worker, l->n, &begin, &end);
  if (begin == end || a->m == 0) return;
  float *y = a->y + begin;
  const bool in_place = a->residual == a->y; /* then y already holds what is to be added to */
  b->sgemm(WH_BLAS_ROW_MAJOR, WH_BLAS_NO_TRANS, WH_BLAS_TRANS, (int)a->m, (int)(end - begin), (int)l->k, 1.0f,
           a->x, (int)a->ldx, (const float *)a->w + begin * l->k, (int)l->k, in_place ? 1.0f : 0.0f, y,
           (int)a->ldy);
  for (int64_t r = 0; r < a->m && (a->bias || (a->residual && !in_place)); r++)
    for (int64_t i = 0; i < end - begin; i++) {
      if (a->bias) y[r * a->ldy + i] += a->bias[begin + i];
      if (a->residual && !in_place) y[r * a->ldy + i] += a->residual[r * a->ldr + begin + i];
    }
}
