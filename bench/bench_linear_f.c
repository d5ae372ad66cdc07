/* bench_linear_f.c - products with float weights: checked against the reference, then timed as a share of the
 * multiply-add peak (many rows) or of read bandwidth (few rows), each measured next to the timing.
 * Usage: bench_linear_f [threads] [level] [substring of the case] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/linear_f.h"
#include "bench/team_roofline.h"
#include "bench/timing.h"
#include "core/base/exact_math.h"

#define REPS 9
#define REP_SECONDS 0.03
#define WEIGHT_BYTES                                                                    \
  ((size_t)128 << 20) /* matrices are repeated up to here, so that few rows read memory \
                       */

typedef struct bench_case {
  const char *name;
  wh_dtype dtype;
  int64_t m, n, k;
} bench_case;

static const bench_case cases[] = {
    {"f32 512 x 2048 x 2048", WH_DTYPE_F32, 512, 2048, 2048},
    {"f16 512 x 2048 x 2048", WH_DTYPE_F16, 512, 2048, 2048},
    {"bf16 512 x 1536 x 576", WH_DTYPE_BF16, 512, 1536, 576},
    {"f32 3136 x 64 x 576", WH_DTYPE_F32, 3136, 64, 576},
    {"f32 196 x 256 x 2304", WH_DTYPE_F32, 196, 256, 2304},
    {"f32 49 x 512 x 4608", WH_DTYPE_F32, 49, 512, 4608},
    {"f32 12544 x 64 x 147", WH_DTYPE_F32, 12544, 64, 147},
    {"f32 1024 x 16 x 144", WH_DTYPE_F32, 1024, 16, 144},
    {"f16 16 x 2048 x 2048", WH_DTYPE_F16, 16, 2048, 2048},
    {"f16 1 x 4096 x 4096", WH_DTYPE_F16, 1, 4096, 4096},
    {"bf16 1 x 4096 x 4096", WH_DTYPE_BF16, 1, 4096, 4096},
    {"f32 1 x 4096 x 4096", WH_DTYPE_F32, 1, 4096, 4096},
    {"f16 4 x 4096 x 4096", WH_DTYPE_F16, 4, 4096, 4096},
    {"f16 8 x 4096 x 4096", WH_DTYPE_F16, 8, 4096, 4096},
};

typedef struct call {
  wh_linear_f_fn fn;
  wh_linear_f_args args;
  wh_team *team;
  team_roofline *roofline;
  char *packed; /* `copies` of the matrix, `stride` bytes apart, used one after the other; NULL: the file's */
  size_t stride, copies, copy;
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

static uint32_t seed = 1;
static float uniform(void) {
  seed = seed * 1664525u + 1013904223u;
  return ((float)(seed >> 8) - 8388607.5f) / 8388608.0f;
}

static void *filled(wh_dtype dtype, size_t bytes) {
  void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!p) exit(2);
  if (dtype == WH_DTYPE_F32)
    for (size_t i = 0; i < bytes / 4; i++) ((float *)p)[i] = uniform();
  else
    for (size_t i = 0; i < bytes / 2; i++) {
      float x = uniform();
      ((uint16_t *)p)[i] = dtype == WH_DTYPE_F16 ? wh_f16_from_f32(x) : (uint16_t)(wh_f32_bits(x) >> 16);
    }
  return p;
}

/* Two rows and all columns of y against the reference. */
static int check(const bench_case *c, const call *run, const void *file, wh_team *team) {
  wh_linear_layout layout;
  call ref = *run;
  int wrong = 0;
  if (wh_linear_f_layout(0, c->dtype, c->n, c->k, &layout) != WH_OK) return 2;
  float *want = filled(WH_DTYPE_F32, (size_t)c->n * 4);
  ref.fn = wh_linear_f_select(0, c->dtype, NULL);
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

static int run_case(const bench_case *c, wh_team *team, team_roofline *roof, uint64_t mask) {
  wh_linear_layout layout;
  if (wh_linear_f_layout(mask, c->dtype, c->n, c->k, &layout) != WH_OK) return 2;
  const bool thin = c->m <= 8;
  const size_t file_bytes = (size_t)(c->n * c->k) * (c->dtype == WH_DTYPE_F32 ? 4 : 2);
  const size_t stride = (layout.n_bytes + 4095) / 4096 * 4096, copies = thin ? WEIGHT_BYTES / stride + 1 : 1;
  void *file = filled(c->dtype, file_bytes);
  char *packed = aligned_alloc(4096, stride * copies);
  float *x = filled(WH_DTYPE_F32, (size_t)(c->m * c->k) * 4),
        *y = filled(WH_DTYPE_F32, (size_t)(c->m * c->n) * 4);
  size_t per_worker = wh_linear_f_scratch_bytes(mask, &layout, c->m);
  void *scratch = aligned_alloc(64, per_worker * (size_t)wh_team_size(team) + 64);
  if (!packed || !scratch) return 2;
  for (size_t i = 0; i < copies; i++)
    if (!wh_linear_f_pack(&layout, file, packed + i * stride, 0, layout.n_panels)) return 2;
  call run = {wh_linear_f_select(mask, c->dtype, NULL),
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
              .copies = copies};
  wh_team_run(team, run_call, &run);
  int wrong = check(c, &run, file, team);
  const double work = thin ? (double)file_bytes : 2.0 * (double)c->m * (double)c->n * (double)c->k;
  timing_task task = {run_once, thin ? limit_read : limit_f32, &run, work, REP_SECONDS, REPS};
  timing t = {0};
  if (!wrong) t = timing_measure(&task);
  if (wrong)
    printf("%-26s WRONG BITS\n", c->name);
  else if (t.kept == 0)
    printf("%-26s the machine's speed changed within every repetition\n", c->name);
  else
    printf("%-26s %9.1f us %8.1f %s  %3.0f %% of %.0f\n", c->name, t.seconds * 1e6, t.rate * 1e-9,
           thin ? "GB/s   " : "GFLOP/s", 100.0 * t.share, t.limit * 1e-9);
  (void)fflush(stdout);
  free(file);
  free(packed);
  free(x);
  free(y);
  free(scratch);
  return wrong;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1, status = 0;
  uint64_t mask;
  wh_team *team;
  if (wh_cpu_level_mask(argc > 2 ? argv[2] : "auto", wh_cpu_features_detect(), &mask) != WH_OK ||
      wh_team_create(threads, NULL, NULL, &team) != WH_OK) {
    (void)fprintf(stderr, "%s\n", wh_last_error()->message);
    return 2;
  }
  team_roofline *roof = team_roofline_create(team, mask);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (argc <= 3 || strstr(cases[i].name, argv[3])) status |= run_case(&cases[i], team, roof, mask);
  team_roofline_destroy(roof);
  wh_team_destroy(team);
  return status;
}
