/* measure.c - the machine's roofline as this device sees it: its threads, its instruction-set level, now.
 * Shared machines change state from second to second, so benches measure it between their repetitions. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <time.h>

#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/measure.h"
#include "backends/cpu/measure_kernels.h"

typedef double (*peak_fn)(int64_t n);
typedef uint64_t (*read_fn)(const void *p, size_t n_bytes);

static double now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Portable loops for levels without a vector kernel. */
static double peak_int8_ref(int64_t n) {
  int32_t a[8] = {0};
  volatile int32_t x = 1;
  for (int64_t k = 0; k < n; k++)
    for (int i = 0; i < 8; i++) a[i] += x * i;
  x = a[0] + a[7];
  return 2.0 * 8 * (double)n;
}
static double peak_f32_ref(int64_t n) {
  float a[8] = {0};
  volatile float x = 1.0f;
  for (int64_t k = 0; k < n; k++)
    for (int i = 0; i < 8; i++) a[i] += x * 0.5f;
  x = a[0] + a[7];
  return 2.0 * 8 * (double)n;
}
static uint64_t read_ref(const void *p, size_t n_bytes) {
  const uint64_t *q = p;
  uint64_t s = 0;
  for (size_t i = 0; i < n_bytes / 8; i++) s |= q[i];
  return s;
}

typedef struct loops {
  read_fn read;
  peak_fn int8, f32;
} loops;

static loops select_loops(uint64_t features) {
  loops l = {read_ref, peak_int8_ref, peak_f32_ref};
#if defined(__x86_64__)
  if (features & WH_CPU_AVX2) l = (loops){wh_k_read__avx2, wh_k_peak_int8__avx2, wh_k_peak_f32__avx2};
  if (features & WH_CPU_AVXVNNI) l.int8 = wh_k_peak_int8__avxvnni;
  if (features & WH_CPU_AVX512) l = (loops){wh_k_read__avx512, wh_k_peak_int8__avx512, wh_k_peak_f32__avx512};
  if (features & WH_CPU_AVX512VNNI) l.int8 = wh_k_peak_int8__avx512vnni;
#else
  (void)features;
#endif
  return l;
}

#define PEAK_LOOPS 20000
#define READ_STEP ((size_t)4 << 20) /* between two looks at the clock */
#define READ_GRAIN 256

typedef struct measure_job {
  read_fn read; /* or peak */
  peak_fn peak;
  const char *buffer;
  size_t n_bytes;
  double seconds;
  double rate[WH_TEAM_MAX_THREADS];
  atomic_uint sink;
} measure_job;

/* Every worker runs for the same time at the same time; rates add up. A worker reads its own part in a
 * circle. */
static void measure_worker(void *arg, const wh_worker *w) {
  measure_job *job = arg;
  size_t piece = job->n_bytes / (size_t)w->count / READ_GRAIN * READ_GRAIN, at = 0;
  const char *mine = job->buffer + piece * (size_t)w->index;
  wh_team_barrier(w);
  double begin = now(), done = 0.0, t;
  do {
    if (job->peak) {
      done += job->peak(PEAK_LOOPS);
    } else {
      size_t n = piece - at < READ_STEP ? piece - at : READ_STEP;
      uint64_t s = job->read(mine + at, n);
      atomic_fetch_or_explicit(&job->sink, (unsigned)s, memory_order_relaxed);
      at = at + n < piece ? at + n : 0;
      done += (double)n;
    }
    t = now();
  } while (t - begin < job->seconds);
  job->rate[w->index] = done / (t - begin);
}

double wh_measure_rate(wh_team *team, uint64_t features, wh_measure_kind kind, const void *buffer,
                       size_t n_bytes, double seconds) {
  loops l = select_loops(features);
  measure_job job = {.buffer = buffer, .n_bytes = n_bytes, .seconds = seconds};
  if (kind == WH_MEASURE_READ)
    job.read = l.read;
  else
    job.peak = kind == WH_MEASURE_INT8 ? l.int8 : l.f32;
  wh_team_run(team, measure_worker, &job);
  double sum = 0.0;
  for (int i = 0; i < wh_team_size(team); i++) sum += job.rate[i];
  return sum;
}

size_t wh_measure_buffer_bytes(size_t l3_bytes, uint64_t memory_bytes) {
  size_t n = 16 * (l3_bytes ? l3_bytes : (size_t)16 << 20), least = (size_t)256 << 20, most = (size_t)2 << 30;
  if (memory_bytes && most > memory_bytes / 16) most = (size_t)(memory_bytes / 16);
  if (n < least) n = least;
  return n < most ? n : most;
}

wh_status wh_cpu_measure(void *dev, double seconds, wh_device_roofline *out) {
  cpu_device *d = dev;
  if (!(seconds > 0.0) || seconds > 600.0)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "cannot measure for %g seconds", seconds);
  const wh_topology *machine = wh_cpu_topology(d);
  size_t n_bytes = wh_measure_buffer_bytes(machine->l3_bytes, machine->memory_bytes);
  char *buffer = wh_alloc_huge(d->alloc, n_bytes);
  if (!buffer) return WH_OOM("roofline buffer");
  for (size_t i = 0; i < n_bytes; i += 4096) buffer[i] = 1;
  wh_device_roofline r = {.read_bytes_per_s = wh_measure_rate(d->team, d->features, WH_MEASURE_READ, buffer,
                                                              n_bytes, seconds / 3)};
  wh_free(d->alloc, buffer);
  r.int8_ops_per_s = wh_measure_rate(d->team, d->features, WH_MEASURE_INT8, NULL, 0, seconds / 3);
  r.f32_ops_per_s = wh_measure_rate(d->team, d->features, WH_MEASURE_F32, NULL, 0, seconds / 3);
  *out = r;
  return WH_OK;
}
