/* bench_linear_q.c - speed of the products with quantised weights, as a share of what this machine can do:
 * multiply-accumulate peak for prefill, read bandwidth for decode (timing.h says how). A result that is not
 * the reference kernel's, bit for bit, ends the program before anything is timed. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/linear_q_format.h"
#include "backends/cpu/linear_q_kernels.h"
#include "backends/cpu/prefetch.h"
#include "bench/team_roofline.h"
#include "bench/timing.h"
#include "tests/kernels/linear_q_fixture.h"

#define REP_SECONDS 0.02
#define LIMIT_SECONDS 0.02
#define TEAMS_MAX 64

typedef struct options {
  const char *types, *levels, *threads, *m, *mode, *prefetch;
  int reps;
  double decode_bytes; /* weights that are read in a circle; 0: as many as the roofline reads */
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
    float *want = timing_alloc((size_t)(job->args.m * n) * sizeof *want);
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

/* A team of each size that was asked for. */
typedef struct bench_team {
  int threads;
  wh_team *team;
  team_roofline *roofline; /* for reading */
} bench_team;
static bench_team teams[TEAMS_MAX];
static size_t n_teams;

/* The processors that this process may use (as taskset says), up to TEAMS_MAX of them. */
static int usable_cpus(int *cpus) {
  cpu_set_t set;
  int n = 0;
  if (sched_getaffinity(0, sizeof set, &set) != 0) {
    perror("sched_getaffinity");
    exit(1);
  }
  for (int cpu = 0; cpu < CPU_SETSIZE && n < TEAMS_MAX; cpu++)
    if (CPU_ISSET(cpu, &set)) cpus[n++] = cpu;
  return n;
}

static void open_teams(const options *o) {
  int cpus[TEAMS_MAX];
  const int most = usable_cpus(cpus);
  for (int threads = 1; threads <= most; threads++) {
    char text[24];
    snprintf(text, sizeof text, "%d", threads);
    if (!listed(o->threads, text)) continue;
    bench_team *t = &teams[n_teams++];
    t->threads = threads;
    if (wh_team_create(threads, cpus, NULL, &t->team) != WH_OK) exit(1);
    t->roofline = team_roofline_create(t->team, wh_cpu_features_usable());
  }
}

static void close_teams(void) {
  for (size_t i = 0; i < n_teams; i++) {
    team_roofline_destroy(teams[i].roofline);
    wh_team_destroy(teams[i].team);
  }
}

typedef struct measurement {
  work *job;
  const bench_team *team;
} measurement;

static void run_measured(void *arg) {
  const measurement *m = arg;
  wh_team_run(m->team->team, run_work, m->job);
}
static double limit_of_prefill(void *arg) {
  const measurement *m = arg;
  return wh_measure_rate(m->team->team, m->job->kernel->needs, WH_MEASURE_INT8, NULL, 0, LIMIT_SECONDS).rate;
}
static double limit_of_decode(void *arg) {
  const measurement *m = arg;
  return team_roofline_measure(m->team->roofline, WH_MEASURE_READ);
}

static timing measure(const options *o, work *job, const bench_team *team, bool decode) {
  const wh_linear_layout *l = &job->layout;
  measurement m = {job, team};
  double weights = decode ? (double)l->n_bytes : 2.0 * (double)job->args.m * (double)l->n * (double)l->k;
  timing_task task = {.run = run_measured,
                      .limit = decode ? limit_of_decode : limit_of_prefill,
                      .arg = &m,
                      .amount = weights * (double)job->copies,
                      .min_seconds = REP_SECONDS,
                      .reps = o->reps};
  return timing_measure(&task);
}

static void report(const options *o, const work *job, int threads, bool decode, timing s) {
  printf("%-7s %-10s %-7s t%d M%-3d N%-4d K%-4d ", wh_dtype_name(job->layout.dtype), job->kernel->level,
         decode ? "decode" : "prefill", threads, (int)job->args.m, (int)job->layout.n, (int)job->layout.k);
  if (s.kept == 0) {
    printf("the machine's speed changed within every repetition\n");
    return;
  }
  char note[TIMING_NOTE_BYTES];
  printf("%7.1f %s = %5.1f %% of %.1f [%.0f-%.0f] n=%d%s\n", 1e-9 * s.rate, decode ? "GB/s " : "GOP/s",
         100 * s.share, 1e-9 * s.limit, 100 * s.share_min, 100 * s.share_max, s.kept, timing_note(&s, note));
  fflush(stdout);
  if (o->json)
    fprintf(o->json,
            "{\"type\":\"%s\",\"level\":\"%s\",\"mode\":\"%s\",\"threads\":%d,\"m\":%d,\"n\":%d,\"k\":%d,"
            "\"speed\":%.2f,"
            "\"yardstick\":%.2f,\"share\":%.4f,\"share_min\":%.4f,\"share_max\":%.4f,\"kept\":%d,\"raised\":%"
            "d}\n",
            wh_dtype_name(job->layout.dtype), job->kernel->level, decode ? "decode" : "prefill", threads,
            (int)job->args.m, (int)job->layout.n, (int)job->layout.k, 1e-9 * s.rate, 1e-9 * s.limit, s.share,
            s.share_min, s.share_max, s.kept, s.raised);
}

static wh_cpu_fetch how_to_fetch(const options *o) {
  const wh_cpu_make make = wh_cpu_make_detect();
  const char *why;
  if (!o->prefetch) return wh_cpu_fetch_of(&make, &why);
  if (strcmp(o->prefetch, "none") == 0) return WH_CPU_FETCH_NOT;
  if (strcmp(o->prefetch, "near") == 0) return WH_CPU_FETCH_NEAR;
  return strcmp(o->prefetch, "nontemporal") == 0 ? WH_CPU_FETCH_PAST_CACHES : WH_CPU_FETCH;
}

static void bench_shape(const options *o, const kernel *kern, shape sh, bool decode) {
  work job = {.kernel = kern, .copies = 1};
  if (wh_dtype_get(kern->dtype)->block_elems == 256) { /* the nearest shape that the type can have */
    sh.k = (sh.k + 255) / 256 * 256;
  }
  if (wh_linear_q_layout(kern->needs, kern->dtype, sh.n, sh.k, &job.layout) != WH_OK) exit(1);
  fixture_rng rng = {88172645463325252ull};
  uint8_t *file = timing_alloc(fixture_weight_bytes(kern->dtype, sh.n, sh.k));
  fixture_weights(&rng, kern->dtype, sh.n, sh.k, false, file);
  const double decode_bytes =
      o->decode_bytes > 0 ? o->decode_bytes : (double)team_roofline_bytes(teams[0].roofline);
  if (decode) job.copies = (int64_t)(decode_bytes / (double)job.layout.n_bytes) + 1;
  uint8_t *w = timing_alloc(job.layout.n_bytes * (size_t)job.copies);
  if (!wh_linear_q_pack(&job.layout, file, w, 0, job.layout.n_panels)) exit(1);
  for (int64_t i = 1; i < job.copies; i++) memcpy(w + (size_t)i * job.layout.n_bytes, w, job.layout.n_bytes);
  job.w = w;
  for (size_t i = 0; i < (decode ? COUNT(DECODE_ROWS) : 1); i++) {
    int64_t m = decode ? DECODE_ROWS[i] : 512;
    char text[24];
    snprintf(text, sizeof text, "%d", (int)m);
    if (!listed(o->m, text)) continue;
    float *x = timing_alloc((size_t)(m * sh.k) * sizeof *x),
          *y = timing_alloc((size_t)(m * sh.n) * sizeof *y);
    for (int64_t j = 0; j < m * sh.k; j++) x[j] = fixture_random_unit(&rng);
    void *q = timing_alloc(wh_q8a_bytes(m, sh.k));
    fixture_quantize(x, m, sh.k, q);
    job.args = (wh_linear_q_args){.layout = &job.layout, .x = q, .m = m, .y = y, .ldy = sh.n};
    job.args.fetch = how_to_fetch(o);
    const size_t scratch_bytes = wh_linear_q_scratch_bytes(kern->needs, &job.layout, m);
    if (scratch_bytes) job.args.scratch = timing_alloc(scratch_bytes);
    for (size_t t = 0; t < n_teams; t++) {
      wh_team_run(teams[t].team, run_work, &job);
      check_result(&job, teams[t].team, file);
      report(o, &job, teams[t].threads, decode, measure(o, &job, &teams[t], decode));
    }
    free(x);
    free(y);
    free(q);
    free(job.args.scratch);
  }
  free(file);
  free(w);
}

static void usage(void) {
  puts(
      "bench_linear_q [--mode prefill|decode] [--types q4_0,..] [--levels avx2,..] [--threads 1,2] [--m "
      "1,512]\n"
      "               [--reps N] [--decode-mb N] [--prefetch temporal|near|nontemporal|none] [--json FILE]\n"
      "Products with quantised weights: share of the multiply-accumulate peak (prefill, 512 rows) and of the "
      "read\n"
      "bandwidth (decode, 1 to 8 rows).");
}

int main(int argc, char **argv) {
  options o = {.threads = "1,2", .reps = 5};
  for (int i = 1; i < argc; i += 2) {
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
    else if (strcmp(argv[i], "--prefetch") == 0)
      o.prefetch = value;
    else if (strcmp(argv[i], "--json") == 0)
      o.json = fopen(value, "w");
    else
      return usage(), 1;
  }
  if (o.reps < 1 || o.reps > TIMING_REPS_MAX) return usage(), 1;
  uint64_t available = wh_cpu_features_usable();
  open_teams(&o);
  if (n_teams == 0) return usage(), 1;
  for (size_t i = 0; i < COUNT(KERNELS); i++) {
    const kernel *k = &KERNELS[i];
    if ((k->needs & ~available) || (!o.levels && k->needs == 0)) continue;
    if (!listed(o.types, wh_dtype_name(k->dtype)) || !listed(o.levels, k->level)) continue;
    for (size_t s = 0; s < COUNT(PREFILL_SHAPES) && listed(o.mode, "prefill"); s++)
      bench_shape(&o, k, PREFILL_SHAPES[s], false);
    for (size_t s = 0; s < COUNT(DECODE_SHAPES) && listed(o.mode, "decode"); s++)
      bench_shape(&o, k, DECODE_SHAPES[s], true);
  }
  close_teams();
  if (o.json) fclose(o.json);
  return 0;
}
