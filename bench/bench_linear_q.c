/* bench_linear_q.c - speed of the products with quantised weights, as a share of what this machine can do.
 *
 * Every timed repetition stands between two measurements of its yardstick (multiply-accumulate peak for
 * prefill, read bandwidth for decode), since shared machines change speed from second to second; the printed
 * share is the median of the paired ratios, and repetitions whose two yardsticks disagree by more than 15 %
 * are dropped. A result that is not the reference kernel's, bit for bit, ends the program before anything is
 * timed. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "backends/cpu/linear_q_format.h"
#include "backends/cpu/linear_q_kernels.h"
#include "bench/linear_q_roofline.h"
#include "tests/kernels/linear_q_fixture.h"

#define MAX_REPS 101

typedef struct options {
  const char *types, *levels, *threads, *m, *mode;
  int reps;
  double decode_bytes;
  FILE *json;
} options;

typedef struct kernel {
  wh_dtype dtype;
  const char *level;
  uint64_t needs;
  wh_linear_q_fn fn;
} kernel;
static const kernel KERNELS[] = {
#define WH_KERNEL(type, lower, isa, needs) {WH_DTYPE_##type, #isa, needs, wh_k_linear_##lower##__##isa},
#include "backends/cpu/kernels_linear_q.def"
#undef WH_KERNEL
};

typedef struct shape {
  int64_t n, k;
} shape;
static const shape PREFILL_SHAPES[] = {{5632, 2048}, {2048, 5632}, {1536, 576}, {576, 1536}, {192, 576}};
static const shape DECODE_SHAPES[] = {{5632, 2048}, {1536, 576}};
static const int64_t DECODE_ROWS[] = {1, 2, 4, 8};
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *allocate(size_t bytes) {
  const size_t huge = 2u << 20;
  void *p = aligned_alloc(huge, (bytes + huge - 1) / huge * huge);
  if (!p) {
    fprintf(stderr, "out of memory (%zu bytes)\n", bytes);
    exit(1);
  }
  (void)madvise(p, bytes, MADV_HUGEPAGE);
  memset(p, 0, bytes);
  return p;
}

/* Whether `word` is in the comma-separated list; every word is in a NULL list. */
static bool listed(const char *list, const char *word) {
  if (!list) return true;
  size_t n = strlen(word);
  for (const char *p = list; *p; p += *p == ',') {
    size_t len = strcspn(p, ",");
    if (len == n && strncmp(p, word, n) == 0) return true;
    p += len;
    if (!*p) break;
  }
  return false;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}
static double median(double *v, int n) {
  qsort(v, (size_t)n, sizeof *v, by_value);
  return v[n / 2];
}

/* --- the work that is timed --- */

typedef struct work {
  const kernel *kernel;
  wh_linear_layout layout;
  wh_linear_q_args args;
  const uint8_t *w;
  int64_t copies; /* of the weights, used one after the other */
} work;

static void run_work(void *arg, const wh_worker *worker) {
  const work *job = arg;
  wh_linear_q_args args = job->args;
  for (int64_t i = 0; i < job->copies; i++) {
    args.w = job->w + (size_t)i * job->layout.n_bytes;
    args.step = (uint32_t)i + 1;
    job->kernel->fn(&args, worker);
    wh_team_barrier(worker); /* as between the steps of a program */
  }
}

/* The first and last panel of the result against the reference kernel. */
static void check_result(const work *job, wh_team *team, const uint8_t *file) {
  const wh_linear_layout *l = &job->layout;
  const kernel *ref = NULL;
  for (size_t i = 0; i < COUNT(KERNELS) && !ref; i++)
    if (KERNELS[i].dtype == l->dtype && KERNELS[i].needs == 0) ref = &KERNELS[i];
  int64_t first[2] = {0, (l->n_panels - 1) * l->panel_cols};
  for (int side = 0; side < 2; side++) {
    wh_linear_layout part;
    int64_t n = side ? l->n - first[1] : l->panel_cols < l->n ? l->panel_cols : l->n;
    if (wh_linear_q_layout(0, l->dtype, n, l->k, &part) != WH_OK) exit(1);
    float *want = allocate((size_t)(job->args.m * n) * sizeof *want);
    work check = {.kernel = ref, .layout = part, .copies = 1};
    check.w = file + fixture_weight_bytes(l->dtype, first[side], l->k);
    check.args =
        (wh_linear_q_args){.layout = &check.layout, .x = job->args.x, .m = job->args.m, .y = want, .ldy = n};
    wh_team_run(team, run_work, &check);
    for (int64_t r = 0; r < job->args.m; r++)
      if (memcmp(want + r * n, job->args.y + r * job->args.ldy + first[side], (size_t)n * sizeof *want) !=
          0) {
        fprintf(stderr,
                "%s %s: row %" PRId64 " of M%" PRId64 " N%" PRId64 " K%" PRId64
                " is not the reference's; nothing was timed\n",
                wh_dtype_name(l->dtype), job->kernel->level, r, job->args.m, l->n, l->k);
        exit(1);
      }
    free(want);
  }
}

/* --- measuring --- */

typedef struct sample {
  double speed, yardstick, share; /* medians: GOP/s or GB/s, the same, speed / yardstick */
  double share_min, share_max;
  int kept;
} sample;

static sample measure(const options *o, const work *job, wh_team *team, bool decode) {
  double speed[MAX_REPS], yard[MAX_REPS], share[MAX_REPS];
  double ops =
      2.0 * (double)job->args.m * (double)job->layout.n * (double)job->layout.k * (double)job->copies;
  double bytes = (double)job->layout.n_bytes * (double)job->copies;
  sample s = {0};
  for (int attempt = 0; attempt < 3 * o->reps && s.kept < o->reps; attempt++) {
    double before =
        decode ? roofline_read(team, job->w, (size_t)bytes) : roofline_dot8(team, job->kernel->level);
    double start = now();
    wh_team_run(team, run_work, (void *)(uintptr_t)job);
    double seconds = now() - start;
    double after =
        decode ? roofline_read(team, job->w, (size_t)bytes) : roofline_dot8(team, job->kernel->level);
    if (before > 1.15 * after || after > 1.15 * before) continue;
    speed[s.kept] = (decode ? bytes : ops) / seconds * 1e-9;
    yard[s.kept] = (before + after) / 2;
    share[s.kept] = speed[s.kept] / yard[s.kept];
    s.kept++;
  }
  if (s.kept == 0) return s;
  s.speed = median(speed, s.kept);
  s.yardstick = median(yard, s.kept);
  s.share = median(share, s.kept);
  s.share_min = share[0];
  s.share_max = share[s.kept - 1];
  return s;
}

static void report(const options *o, const work *job, int threads, bool decode, sample s) {
  printf("%-7s %-10s %-7s t%d M%-3d N%-4d K%-4d ", wh_dtype_name(job->layout.dtype), job->kernel->level,
         decode ? "decode" : "prefill", threads, (int)job->args.m, (int)job->layout.n, (int)job->layout.k);
  if (s.kept == 0) {
    printf("the machine's speed changed within every repetition\n");
    return;
  }
  printf("%7.1f %s = %5.1f %% of %.1f [%.0f-%.0f] n=%d\n", s.speed, decode ? "GB/s " : "GOP/s", 100 * s.share,
         s.yardstick, 100 * s.share_min, 100 * s.share_max, s.kept);
  fflush(stdout);
  if (o->json)
    fprintf(o->json,
            "{\"type\":\"%s\",\"level\":\"%s\",\"mode\":\"%s\",\"threads\":%d,\"m\":%d,\"n\":%d,\"k\":%d,"
            "\"speed\":%.2f,"
            "\"yardstick\":%.2f,\"share\":%.4f,\"share_min\":%.4f,\"share_max\":%.4f,\"kept\":%d}\n",
            wh_dtype_name(job->layout.dtype), job->kernel->level, decode ? "decode" : "prefill", threads,
            (int)job->args.m, (int)job->layout.n, (int)job->layout.k, s.speed, s.yardstick, s.share,
            s.share_min, s.share_max, s.kept);
}

static void bench_shape(const options *o, const kernel *kern, shape sh, bool decode) {
  work job = {.kernel = kern, .copies = 1};
  if (wh_dtype_get(kern->dtype)->block_elems == 256) { /* the nearest shape that the type can have */
    sh.k = (sh.k + 255) / 256 * 256;
  }
  if (wh_linear_q_layout(kern->needs, kern->dtype, sh.n, sh.k, &job.layout) != WH_OK) exit(1);
  fixture_rng rng = {88172645463325252ull};
  uint8_t *file = allocate(fixture_weight_bytes(kern->dtype, sh.n, sh.k));
  fixture_weights(&rng, kern->dtype, sh.n, sh.k, false, file);
  if (decode) job.copies = (int64_t)(o->decode_bytes / (double)job.layout.n_bytes) + 1;
  uint8_t *w = allocate(job.layout.n_bytes * (size_t)job.copies);
  if (!wh_linear_q_pack(&job.layout, file, w, 0, job.layout.n_panels)) exit(1);
  for (int64_t i = 1; i < job.copies; i++) memcpy(w + (size_t)i * job.layout.n_bytes, w, job.layout.n_bytes);
  job.w = w;
  for (size_t i = 0; i < (decode ? COUNT(DECODE_ROWS) : 1); i++) {
    int64_t m = decode ? DECODE_ROWS[i] : 512;
    char text[24];
    snprintf(text, sizeof text, "%d", (int)m);
    if (!listed(o->m, text)) continue;
    float *x = allocate((size_t)(m * sh.k) * sizeof *x), *y = allocate((size_t)(m * sh.n) * sizeof *y);
    for (int64_t j = 0; j < m * sh.k; j++) x[j] = fixture_random_unit(&rng);
    void *q = allocate(wh_q8a_bytes(m, sh.k));
    fixture_quantize(x, m, sh.k, q);
    job.args = (wh_linear_q_args){.layout = &job.layout, .x = q, .m = m, .y = y, .ldy = sh.n};
    for (int threads = 1; threads <= 64; threads++) {
      snprintf(text, sizeof text, "%d", threads);
      if (!listed(o->threads, text)) continue;
      int cpus[64];
      for (int t = 0; t < threads; t++) cpus[t] = t;
      wh_team *team = NULL;
      if (wh_team_create(threads, cpus, NULL, &team) != WH_OK) exit(1);
      wh_team_run(team, run_work, &job);
      check_result(&job, team, file);
      report(o, &job, threads, decode, measure(o, &job, team, decode));
      wh_team_destroy(team);
    }
    free(x);
    free(y);
    free(q);
  }
  free(file);
  free(w);
}

static void usage(void) {
  puts(
      "bench_linear_q [--mode prefill|decode] [--types q4_0,..] [--levels avx2,..] [--threads 1,2] [--m "
      "1,512]\n"
      "               [--reps N] [--decode-mb N] [--json FILE]\n"
      "Products with quantised weights: share of the multiply-accumulate peak (prefill, 512 rows) and of the "
      "read\n"
      "bandwidth (decode, 1 to 8 rows).");
}

int main(int argc, char **argv) {
  options o = {.threads = "1,2", .reps = 5, .decode_bytes = 320e6};
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(argv[i], "--help") == 0 || !value) return usage(), strcmp(argv[i], "--help") != 0;
    if (strcmp(argv[i], "--mode") == 0)
      o.mode = value;
    else if (strcmp(argv[i], "--types") == 0)
      o.types = value;
    else if (strcmp(argv[i], "--levels") == 0)
      o.levels = value;
    else if (strcmp(argv[i], "--threads") == 0)
      o.threads = value;
    else if (strcmp(argv[i], "--m") == 0)
      o.m = value;
    else if (strcmp(argv[i], "--reps") == 0)
      o.reps = atoi(value);
    else if (strcmp(argv[i], "--decode-mb") == 0)
      o.decode_bytes = 1e6 * atof(value);
    else if (strcmp(argv[i], "--json") == 0)
      o.json = fopen(value, "w");
    else
      return usage(), 1;
    i++;
  }
  if (o.reps < 1 || o.reps > MAX_REPS) return usage(), 1;
  uint64_t available = wh_cpu_features_detect();
  for (size_t i = 0; i < COUNT(KERNELS); i++) {
    const kernel *k = &KERNELS[i];
    if ((k->needs & ~available) || (!o.levels && k->needs == 0)) continue;
    if (!listed(o.types, wh_dtype_name(k->dtype)) || !listed(o.levels, k->level)) continue;
    for (size_t s = 0; s < COUNT(PREFILL_SHAPES) && listed(o.mode, "prefill"); s++)
      bench_shape(&o, k, PREFILL_SHAPES[s], false);
    for (size_t s = 0; s < COUNT(DECODE_SHAPES) && listed(o.mode, "decode"); s++)
      bench_shape(&o, k, DECODE_SHAPES[s], true);
  }
  if (o.json) fclose(o.json);
  return 0;
}
