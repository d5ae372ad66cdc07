/* measure.c - the roofline of a GPU: a loop that reads, one of int8 products without tensor cores, one of
 * fma. */
#include <time.h>

#include "backends/gpu/device.h"
#include "backends/gpu/kernels/measure_args.h"

typedef struct measuring {
  gpu_device *d;
  gpu_emit emit;
  wh_buffer *data, *out;
  void *begin, *end; /* events */
  gpu_grid grid;
  double seconds; /* for each loop */
} measuring;

static wh_status time_rounds(const measuring *m, gpu_kernel kernel, uint32_t rounds, double *seconds) {
  const gpu_api *api = m->d->api;
  gpu_emit e = m->emit;
  float ms = 0;
  const gpu_measure_args args = {
      .data = m->data->address, .out = m->out->address, .n_words = m->data->n_bytes / 16, .rounds = rounds};
  WH_TRY(gpu_check(api, api->event_record(m->begin, e.stream), "measuring"));
  WH_TRY(gpu_launch(&e, kernel, m->grid, &args, sizeof args));
  WH_TRY(gpu_check(api, api->event_record(m->end, e.stream), "measuring"));
  WH_TRY(gpu_check(api, api->event_synchronize(m->end), "measuring"));
  WH_TRY(gpu_check(api, api->event_elapsed(&ms, m->begin, m->end), "measuring"));
  *seconds = ms > 1e-3f ? (double)ms * 1e-3 : 1e-6;
  return WH_OK;
}

static double now(void) {
  struct timespec t;
  (void)timespec_get(&t, TIME_UTC);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The best rate, in `per_round` a second: rounds are doubled until the loop has had its time by the host's
 * clock. */
static wh_status measure_loop(const measuring *m, gpu_kernel kernel, double per_round, double *best) {
  const double begin = now();
  uint32_t rounds = 1;
  *best = 0;
  do {
    double seconds = 0;
    WH_TRY(time_rounds(m, kernel, rounds, &seconds));
    if (per_round * rounds / seconds > *best) *best = per_round * rounds / seconds;
    if (seconds < m->seconds / 8 && rounds < UINT32_MAX / 2) rounds *= 2;
  } while (now() - begin < m->seconds);
  return WH_OK;
}

static wh_status measure_all(measuring *m, wh_device_roofline *out) {
  const gpu_api *api = m->d->api;
  const double threads = (double)m->grid.x * m->grid.threads, chains = GPU_MEASURE_CHAINS * threads;
  const uint64_t most = (uint64_t)2 << 30, some = m->d->memory_bytes / 64;
  WH_TRY(gpu_buffer_create(m->d, WH_MEMORY_DEVICE, some < most ? some / 16 * 16 : most, &m->data));
  WH_TRY(gpu_buffer_create(m->d, WH_MEMORY_DEVICE, (uint64_t)threads * 4, &m->out));
  WH_TRY(gpu_check(api, api->event_create(&m->begin, 0), "measuring"));
  WH_TRY(gpu_check(api, api->event_create(&m->end, 0), "measuring"));
  WH_TRY(measure_loop(m, GPU_K_measure_read, (double)m->data->n_bytes, &out->read_bytes_per_s));
  WH_TRY(measure_loop(m, GPU_K_measure_int8, 8 * chains, &out->int8_ops_per_s));
  return measure_loop(m, GPU_K_measure_f32, 2 * chains, &out->f32_ops_per_s);
}

wh_status gpu_measure(void *dev, double seconds, wh_device_roofline *out) {
  gpu_device *d = dev;
  measuring m = {.d = d,
                 .emit = {d, d->stream},
                 .grid = {(uint32_t)d->processors * 4, 1, 1, 512, 0},
                 .seconds = seconds / 3};
  *out = (wh_device_roofline){.read_loop = "16-byte loads",
                              .int8_loop = "dp4a, 8 chains",
                              .f32_loop = "fma, 8 chains",
                              .read_threads = 1};
  WH_TRY(gpu_enter(d));
  wh_status st = measure_all(&m, out);
  if (m.begin) (void)d->api->event_destroy(m.begin);
  if (m.end) (void)d->api->event_destroy(m.end);
  gpu_buffer_destroy(d, m.data);
  gpu_buffer_destroy(d, m.out);
  return st;
}
