/* measure.c - the machine's roofline as this device sees it: its threads, its instruction-set level, now.
 * Shared machines change state from second to second, so benches measure it between their repetitions. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <time.h>

#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/measure.h"
#include "backends/cpu/measure_kernels.h"

static double now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int wh_measure_loops(uint64_t features, wh_measure_kind kind, wh_measure_loop out[WH_MEASURE_LOOPS_MAX]) {
  int n = 0;
#define ADD_READ(name_, text_, streams, lines, locality, ahead, isa) \
  out[n++] = (wh_measure_loop){.name = text_, .read = wh_k_read_##name_##__##isa};
#define ADD_PEAK(text_, fn) \
  out[n++] = (wh_measure_loop) { .name = text_, .peak = fn }
#if defined(__x86_64__)
  const bool avx2 = features & WH_CPU_AVX2, avx512 = features & WH_CPU_AVX512;
  if (kind == WH_MEASURE_READ) {
    if (avx512) {
      WH_READ_LOOPS(ADD_READ, avx512)
    } else if (avx2) {
      WH_READ_LOOPS(ADD_READ, avx2)
    }
  } else if (kind == WH_MEASURE_INT8) {
    if (avx2) ADD_PEAK("vpmaddubsw, 256 bits", wh_k_peak_int8__avx2);
    if (features & WH_CPU_AVXVNNI) ADD_PEAK("vpdpbusd, 256 bits", wh_k_peak_int8__avxvnni);
    if (avx512) ADD_PEAK("vpmaddubsw, 512 bits", wh_k_peak_int8__avx512);
    if (features & WH_CPU_AVX512VNNI) ADD_PEAK("vpdpbusd, 512 bits", wh_k_peak_int8__avx512vnni);
    if (features & WH_CPU_AMX) ADD_PEAK("tdpbssd", wh_k_peak_int8__amxint8);
  } else {
    if (avx2) ADD_PEAK("fma, 256 bits", wh_k_peak_f32__avx2);
    if (avx512) ADD_PEAK("fma, 512 bits", wh_k_peak_f32__avx512);
  }
#elif defined(__aarch64__)
  if (kind == WH_MEASURE_INT8) {
    if (features & WH_CPU_NEON) ADD_PEAK("smlal, 128 bits", wh_k_peak_int8__neon);
    if (features & WH_CPU_DOTPROD) ADD_PEAK("sdot, 128 bits", wh_k_peak_int8__dotprod);
    if (features & WH_CPU_I8MM) ADD_PEAK("usmmla, 128 bits", wh_k_peak_int8__i8mm);
  } else if (kind == WH_MEASURE_F32) {
    if (features & WH_CPU_NEON) ADD_PEAK("fma, 128 bits", wh_k_peak_f32__neon);
  }
#else
  (void)features;
#endif
  if (n > 0) return n;
  if (kind == WH_MEASURE_READ) {
    WH_READ_LOOPS(ADD_READ, ref)
  } else if (kind == WH_MEASURE_INT8) {
    ADD_PEAK("plain C", wh_k_peak_int8__ref);
  } else {
    ADD_PEAK("plain C", wh_k_peak_f32__ref);
  }
  return n;
#undef ADD_READ
#undef ADD_PEAK
}

#define PEAK_LOOPS 20000
#define READ_STEP ((size_t)4 << 20) /* between two looks at the clock */
#define READ_GRAIN 4096

/* A loop in the race, on every `stride`th worker. */
typedef struct runner {
  const wh_measure_loop *loop;
  int stride;
  double done, seconds; /* so far: one worker's seconds, all workers' work at their own rates */
} runner;

typedef struct measure_job {
  const wh_measure_loop *loop;
  int stride;
  const char *buffer;
  size_t n_bytes;
  double seconds;
  double rate[WH_TEAM_MAX_THREADS];
  size_t at[WH_TEAM_MAX_THREADS]; /* where each worker's next read begins: laps go on where others ended */
  atomic_uint sink;
} measure_job;

/* Every worker runs for the same time at the same time; rates add up. A worker reads its own part in a
 * circle. */
static void measure_worker(void *arg, const wh_worker *w) {
  measure_job *job = arg;
  const wh_measure_loop *loop = job->loop;
  size_t piece = job->n_bytes / (size_t)w->count / READ_GRAIN * READ_GRAIN, at = job->at[w->index];
  const char *mine = job->buffer ? job->buffer + piece * (size_t)w->index : NULL;
  wh_team_barrier(w);
  job->rate[w->index] = 0.0;
  if (w->index % job->stride) return;
  double begin = now(), done = 0.0, t;
  do {
    if (loop->peak) {
      done += loop->peak(PEAK_LOOPS);
    } else {
      size_t n = piece - at < READ_STEP ? piece - at : READ_STEP;
      uint64_t s = loop->read(mine + at, n);
      atomic_fetch_or_explicit(&job->sink, (unsigned)s, memory_order_relaxed);
      at = at + n < piece ? at + n : 0;
      done += (double)n;
    }
    t = now();
  } while (t - begin < job->seconds);
  job->rate[w->index] = done / (t - begin);
  job->at[w->index] = at;
}

static double mean_rate(const runner *r) { return r->done / r->seconds; }

static void run_lap(wh_team *team, measure_job *job, runner *r, double seconds) {
  job->loop = r->loop;
  job->stride = r->stride;
  job->seconds = seconds;
  wh_team_run(team, measure_worker, job);
  for (int i = 0; i < wh_team_size(team); i++) r->done += job->rate[i] * seconds;
  r->seconds += seconds;
}

/* One lap of all, in turns; then the fastest first. */
static void run_field(wh_team *team, measure_job *job, runner *field, int n, double seconds) {
  for (int i = 0; i < n; i++) run_lap(team, job, &field[i], seconds / n);
  for (int i = 1; i < n; i++)
    for (int j = i; j > 0 && mean_rate(&field[j]) > mean_rate(&field[j - 1]); j--) {
      const runner slower = field[j - 1];
      field[j - 1] = field[j];
      field[j] = slower;
    }
}

wh_measured wh_measure_best(wh_team *team, const wh_measure_loop *loops, int n_loops, const void *buffer,
                            size_t n_bytes, double seconds) {
  measure_job job = {.buffer = buffer, .n_bytes = n_bytes};
  runner field[WH_MEASURE_LOOPS_MAX];
  const int n_threads = wh_team_size(team);
  int laps = n_threads > 1 ? 2 : 1;
  for (int n = n_loops; n > 1; n = (n + 1) / 2) laps++;
  for (int i = 0; i < n_loops; i++) field[i] = (runner){&loops[i], 1, 0.0, 0.0};
  for (int n = n_loops; n > 1; n = (n + 1) / 2) run_field(team, &job, field, n, seconds / laps);
  run_field(team, &job, field, 1, seconds / laps);
  if (n_threads > 1) {
    field[1] = (runner){field[0].loop, 2, 0.0, 0.0};
    run_field(team, &job, field, 2, seconds / laps);
  }
  return (wh_measured){mean_rate(&field[0]), field[0].loop->name,
                       (n_threads + field[0].stride - 1) / field[0].stride};
}

wh_measured wh_measure_rate(wh_team *team, uint64_t features, wh_measure_kind kind, const void *buffer,
                            size_t n_bytes, double seconds) {
  wh_measure_loop loops[WH_MEASURE_LOOPS_MAX];
  const int n = wh_measure_loops(features, kind, loops);
  return wh_measure_best(team, loops, n, buffer, n_bytes, seconds);
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
  const wh_measured read =
      wh_measure_rate(d->team, d->features, WH_MEASURE_READ, buffer, n_bytes, seconds / 3);
  wh_free(d->alloc, buffer);
  const wh_measured int8 = wh_measure_rate(d->team, d->features, WH_MEASURE_INT8, NULL, 0, seconds / 3),
                    f32 = wh_measure_rate(d->team, d->features, WH_MEASURE_F32, NULL, 0, seconds / 3);
  *out = (wh_device_roofline){.read_bytes_per_s = read.rate,
                              .int8_ops_per_s = int8.rate,
                              .f32_ops_per_s = f32.rate,
                              .read_loop = read.loop,
                              .int8_loop = int8.loop,
                              .f32_loop = f32.loop,
                              .read_threads = (uint32_t)read.n_threads};
  return WH_OK;
}
