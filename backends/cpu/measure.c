/* measure.c - the machine's roofline as this device sees it: its threads, its instruction-set level, now.
 * Shared machines change state from second to second, so benches measure it between their repetitions. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <time.h>

#include "backends/cpu/cpu_internal.h"
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

typedef struct measure_job {
  peak_fn peak;
  read_fn read;
  const char *buffer;
  size_t n_bytes;
  double seconds;
  double rate[WH_TEAM_MAX_THREADS];
  atomic_uint sink;
} measure_job;

/* Every worker runs for the same time at the same time; rates add up. */
static void measure_worker(void *arg, const wh_worker *w) {
  measure_job *job = arg;
  size_t piece = job->n_bytes / (size_t)w->count / 4096 * 4096;
  wh_team_barrier(w);
  double begin = now(), done = 0.0, t;
  do {
    if (job->peak) {
      done += job->peak(20000);
    } else {
      uint64_t s = job->read(job->buffer + piece * (size_t)w->index, piece);
      atomic_fetch_or_explicit(&job->sink, (unsigned)s, memory_order_relaxed);
      done += (double)piece;
    }
    t = now();
  } while (t - begin < job->seconds);
  job->rate[w->index] = done / (t - begin);
}

static double total_rate(cpu_device *d, measure_job *job) {
  wh_team_run(d->team, measure_worker, job);
  double sum = 0.0;
  for (int i = 0; i < wh_team_size(d->team); i++) sum += job->rate[i];
  return sum;
}

wh_status wh_cpu_measure(void *dev, double seconds, wh_device_roofline *out) {
  cpu_device *d = dev;
  if (!(seconds > 0.0) || seconds > 600.0)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "cannot measure for %g seconds", seconds);
  size_t l3 = wh_cpu_topology(d)->l3_bytes, n_bytes = 4 * (l3 ? l3 : (size_t)16 << 20);
  if (n_bytes < (size_t)128 << 20) n_bytes = (size_t)128 << 20;
  if (n_bytes > (size_t)1 << 30) n_bytes = (size_t)1 << 30;
  char *buffer = wh_alloc_huge(d->alloc, n_bytes);
  measure_job *job = wh_alloc_zeroed(d->alloc, sizeof *job);
  if (!buffer || !job) {
    wh_free(d->alloc, buffer);
    wh_free(d->alloc, job);
    return WH_OOM("roofline buffer");
  }
  for (size_t i = 0; i < n_bytes; i += 4096) buffer[i] = 1;
  read_fn read = read_ref;
  peak_fn int8 = peak_int8_ref, f32 = peak_f32_ref;
#if defined(__x86_64__)
  if (d->features & WH_CPU_AVX2) {
    read = wh_k_read__avx2;
    int8 = wh_k_peak_int8__avx2;
    f32 = wh_k_peak_f32__avx2;
  }
  if (d->features & WH_CPU_AVX512) {
    read = wh_k_read__avx512;
    f32 = wh_k_peak_f32__avx512;
  }
  if (d->features & WH_CPU_AVX512VNNI) int8 = wh_k_peak_int8__avx512vnni;
#endif
  job->buffer = buffer;
  job->n_bytes = n_bytes;
  job->seconds = seconds / 3;
  wh_device_roofline r;
  job->read = read;
  r.read_bytes_per_s = total_rate(d, job);
  job->peak = int8;
  r.int8_ops_per_s = total_rate(d, job);
  job->peak = f32;
  r.f32_ops_per_s = total_rate(d, job);
  wh_free(d->alloc, buffer);
  wh_free(d->alloc, job);
  *out = r;
  return WH_OK;
}
