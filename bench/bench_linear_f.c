/* bench_linear_f.c - products with float weights: checked against the reference, then timed as a share of the
 * multiply-add peak (many rows) or of read bandwidth (few rows), each measured next to the timing; also in
 * turns with OpenBLAS, where that is installed.
 *
 * Usage: bench_linear_f [threads] [level, or "all" for every kernel of the list] [substring of the case] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/fast_blas.h"
#include "backends/cpu/linear_f.h"
#include "bench/team_roofline.h"
#include "bench/timing.h"

#define REPS 9
#define REP_SECONDS 0.03

typedef struct bench_case {
  const char *name;
  int64_t m, n, k;
} bench_case;

static const bench_case cases[] = {
    {"f32 512 x 2048 x 2048", 512, 2048, 2048}, {"f32 2048 x 2048 x 2048", 2048, 2048, 2048},
    {"f32 512 x 5632 x 2048", 512, 5632, 2048}, {"f32 512 x 2048 x 5632", 512, 2048, 5632},
    {"f32 128 x 384 x 1536", 128, 384, 1536},   {"f32 16 x 2048 x 2048", 16, 2048, 2048},
    {"f32 64 x 64 x 64", 64, 64, 64},           {"f32 3136 x 64 x 576", 3136, 64, 576},
    {"f32 196 x 256 x 2304", 196, 256, 2304},   {"f32 49 x 512 x 4608", 49, 512, 4608},
    {"f32 12544 x 64 x 147", 12544, 64, 147},   {"f32 1024 x 16 x 144", 1024, 16, 144},
    {"f32 4096 x 32 x 1024", 4096, 32, 1024},   {"f32 4096 x 64 x 512", 4096, 64, 512},
    {"f32 4096 x 16 x 512", 4096, 16, 512},     {"f32 3136 x 128 x 64", 3136, 128, 64},
    {"f32 3136 x 96 x 384", 3136, 96, 384},     {"f32 784 x 128 x 1152", 784, 128, 1152},
    {"f32 784 x 256 x 128", 784, 256, 128},     {"f32 12544 x 32 x 27", 12544, 32, 27},
    {"f32 12544 x 8 x 72", 12544, 8, 72},       {"f32 12544 x 1 x 144", 12544, 1, 144},
    {"f32 512 x 8 x 2048", 512, 8, 2048},       {"f32 512 x 48 x 768", 512, 48, 768},
    {"f32 32 x 32 x 32", 32, 32, 32},           {"f32 12 x 64 x 256", 12, 64, 256},
    {"f32 20 x 16 x 64", 20, 16, 64},           {"f32 100 x 100 x 100", 100, 100, 100},
    {"f32 256 x 256 x 256", 256, 256, 256},     {"f32 2048 x 2048 x 64", 2048, 2048, 64},
    {"f32 1 x 4096 x 4096", 1, 4096, 4096},     {"f32 4 x 4096 x 4096", 4, 4096, 4096},
    {"f32 8 x 4096 x 4096", 8, 4096, 4096},
};

typedef struct call {
  wh_linear_f_fn fn;
  wh_linear_f_args args;
  wh_team *team;
  team_roofline *roofline;
  char *packed; /* `copies` of the matrix, `stride` bytes apart, used one after the other; NULL: the file's */
  size_t stride, copies, copy;
  const wh_fast_blas *blas; /* the peer; the weights are `file` */
  const float *file;
  float *blas_y;
} call;

static void run_call(void *arg, const wh_worker *w) {
  const call *c = arg;
  c->fn(&c->args, w);
}

static void run_once(void *arg) {
  call *c = arg;
  if (c->packed) c->args.w = c->packed + c->stride * c->copy;
  c->copy = (c->copy + 1) % c->copies;
  wh_team_run(c->team, run_call, c);
}
static double limit_f32(void *arg) {
  return team_roofline_measure(((const call *)arg)->roofline, WH_MEASURE_F32);
}
static double limit_read(void *arg) {
  return team_roofline_measure(((const call *)arg)->roofline, WH_MEASURE_READ);
}

/* OpenBLAS, each worker on its share of the longer side of the result. */
static void run_blas_worker(void *arg, const wh_worker *w) {
  const call *c = arg;
  const wh_linear_f_args *a = &c->args;
  const int64_t n = a->layout->n, k = a->layout->k;
  const bool by_rows = a->m > n;
  int64_t begin, end;
  wh_worker_range(w, by_rows ? a->m : n, &begin, &end);
  if (begin == end) return;
  const float *x = a->x + (by_rows ? begin * a->ldx : 0), *file = c->file + (by_rows ? 0 : begin * k);
  float *y = c->blas_y + (by_rows ? begin * n : begin);
  c->blas->sgemm(WH_BLAS_ROW_MAJOR, WH_BLAS_NO_TRANS, WH_BLAS_TRANS, (int)(by_rows ? end - begin : a->m),
                 (int)(by_rows ? n : end - begin), (int)k, 1.0f, x, (int)a->ldx, file, (int)k, 0.0f, y,
                 (int)n);
}

/* Its speed, in operations per second. */
static double rate_of_blas(void *arg) {
  call *c = arg;
  const double ops = 2.0 * (double)c->args.m * (double)c->args.layout->n * (double)c->args.layout->k;
  const double begin = timing_now();
  double seconds;
  int64_t runs = 0;
  do {
    wh_team_run(c->team, run_blas_worker, c);
    runs++;
    seconds = timing_now() - begin;
  } while (seconds < REP_SECONDS);
  return ops * (double)runs / seconds;
}

/* The same product with sums in another order: off by roundings of a sum of k products of numbers below 1. */
static bool blas_agrees(call *c) {
  const int64_t n = c->args.m * c->args.layout->n;
  const float allowed = 1e-6f * (float)c->args.layout->k;
  wh_team_run(c->team, run_blas_worker, c);
  for (int64_t i = 0; i < n; i++)
    if (!(fabsf(c->blas_y[i] - c->args.y[i]) <= allowed)) return false;
  return true;
}

static uint32_t seed = 1;
static float uniform(void) {
  seed = seed * 1664525u + 1013904223u;
  return ((float)(seed >> 8) - 8388607.5f) / 8388608.0f;
}

static void *filled(size_t bytes) {
  float *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!p) exit(2);
  for (size_t i = 0; i < bytes / 4; i++) p[i] = uniform();
  return p;
}

/* Two rows and all columns of y against the reference. */
static int check(const bench_case *c, const call *run, const void *file, wh_team *team) {
  wh_linear_layout layout;
  call ref = *run;
  int wrong = 0;
  if (wh_linear_f_layout(0, WH_DTYPE_F32, c->n, c->k, &layout) != WH_OK) return 2;
  float *want = filled((size_t)c->n * 4);
  ref.fn = wh_linear_f_select(0, WH_DTYPE_F32, NULL);
  ref.args.layout = &layout;
  ref.args.w = file;
  ref.args.m = 1;
  ref.args.y = want;
  for (int64_t r = 0; r<c->m; r += c->m> 1 ? c->m - 1 : 1) {
    ref.args.x = run->args.x + r * c->k;
    wh_team_run(team, run_call, &ref);
    wrong |= memcmp(want, run->args.y + r * c->n, (size_t)c->n * 4) != 0;
  }
  free(want);
  return wrong;
}

/* Prints how fast ours is next to OpenBLAS, in turns. */
static int compare_with_blas(call *c) {
  if (!blas_agrees(c)) {
    printf("  OpenBLAS computed something else\n");
    return 1;
  }
  const double work = 2.0 * (double)c->args.m * (double)c->args.layout->n * (double)c->args.layout->k;
  const timing t = timing_measure(&(timing_task){run_once, rate_of_blas, c, work, REP_SECONDS, REPS, true});
  if (t.kept)
    printf("  %.2f x OpenBLAS [%.2f to %.2f]\n", t.share, t.share_min, t.share_max);
  else
    printf("  OpenBLAS: the machine's speed changed within every repetition\n");
  return 0;
}

static int run_case(const bench_case *c, wh_team *team, team_roofline *roof, uint64_t mask,
                    const wh_fast_blas *blas) {
  wh_linear_layout layout;
  if (wh_linear_f_layout(mask, WH_DTYPE_F32, c->n, c->k, &layout) != WH_OK) return 2;
  const bool thin = c->m <= 8;
  const size_t file_bytes = (size_t)(c->n * c->k) * sizeof(float);
  const size_t stride = (layout.n_bytes + 4095) / 4096 * 4096,
               copies = thin ? team_roofline_bytes(roof) / stride + 1 : 1;
  void *file = filled(file_bytes);
  char *packed = timing_alloc(stride * copies);
  float *x = filled((size_t)(c->m * c->k) * 4), *y = filled((size_t)(c->m * c->n) * 4),
        *blas_y = filled((size_t)(c->m * c->n) * 4);
  size_t per_worker = wh_linear_f_scratch_bytes(mask, &layout, c->m);
  void *scratch = aligned_alloc(64, per_worker * (size_t)wh_team_size(team) + 64);
  if (!scratch || !wh_linear_f_pack(&layout, file, packed, 0, layout.n_panels)) return 2;
  for (size_t i = 1; i < copies; i++) memcpy(packed + i * stride, packed, layout.n_bytes);
  call run = {wh_linear_f_select(mask, WH_DTYPE_F32, NULL),
              {.layout = &layout,
               .w = layout.id ? packed : file,
               .x = x,
               .ldx = c->k,
               .m = c->m,
               .y = y,
               .ldy = c->n,
               .step = 1,
               .scratch = scratch,
               .scratch_bytes = per_worker},
              .team = team,
              .roofline = roof,
              .packed = layout.id ? packed : NULL,
              .stride = stride,
              .copies = copies,
              .blas = blas,
              .file = file,
              .blas_y = blas_y};
  wh_team_run(team, run_call, &run);
  int wrong = check(c, &run, file, team);
  const double work = thin ? (double)file_bytes : 2.0 * (double)c->m * (double)c->n * (double)c->k;
  timing_task task = {run_once, thin ? limit_read : limit_f32, &run, work, REP_SECONDS, REPS, false};
  timing t = {0};
  char note[TIMING_NOTE_BYTES];
  if (!wrong) t = timing_measure(&task);
  if (wrong)
    printf("%-26s WRONG BITS", c->name);
  else if (t.kept == 0)
    printf("%-26s the machine's speed changed within every repetition", c->name);
  else
    printf("%-26s %9.1f us %8.1f %s  %3.0f %% of %4.0f%s", c->name, t.seconds * 1e6, t.rate * 1e-9,
           thin ? "GB/s   " : "GFLOP/s", 100.0 * t.share, t.limit * 1e-9, timing_note(&t, note));
  if (!wrong && !thin && blas->library)
    wrong = compare_with_blas(&run);
  else
    printf("\n");
  (void)fflush(stdout);
  free(file);
  free(packed);
  free(x);
  free(y);
  free(blas_y);
  free(scratch);
  return wrong;
}

static int run_cases(wh_team *team, uint64_t mask, const char *part) {
  team_roofline *roof = team_roofline_create(team, mask);
  wh_fast_blas blas;
  int status = 0;
  wh_fast_blas_open(&blas);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (!part || strstr(cases[i].name, part)) status |= run_case(&cases[i], team, roof, mask, &blas);
  wh_fast_blas_close(&blas);
  team_roofline_destroy(roof);
  return status;
}

/* Kernel by kernel, each with the levels that it needs. */
static int run_all(wh_team *team, uint64_t available, const char *part) {
  int status = 0;
#define WH_LINEAR_F_KERNEL(isa, needs)                        \
  if ((available & (uint64_t)(needs)) == (uint64_t)(needs)) { \
    printf("linear_f_" #isa "\n");                            \
    status |= run_cases(team, needs, part);                   \
  }
#include "backends/cpu/kernels_linear_f.def"
#undef WH_LINEAR_F_KERNEL
  return status;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  const char *level = argc > 2 ? argv[2] : "auto", *part = argc > 3 ? argv[3] : NULL;
  const bool all = strcmp(level, "all") == 0;
  const uint64_t available = wh_cpu_features_usable();
  uint64_t mask;
  wh_team *team;
  if (wh_cpu_level_mask(all ? "auto" : level, available, &mask) != WH_OK ||
      wh_team_create(threads, NULL, NULL, &team) != WH_OK) {
    (void)fprintf(stderr, "%s\n", wh_last_error()->message);
    return 2;
  }
  int status = all ? run_all(team, available, part) : run_cases(team, mask, part);
  wh_team_destroy(team);
  return status;
}
