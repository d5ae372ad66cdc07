/* bench_attention.c - attention at the shapes of real models: checked against the reference, then timed as a
 * share of the multiply-add peak (prompts) or of read bandwidth (decoding), each measured next to the timing.
 * Usage: bench_attention [threads] [level, or "all" for every kernel of the list] [substring of the case] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/attention_kernels.h"
#include "backends/cpu/attention_q8.h"
#include "bench/team_roofline.h"
#include "bench/timing.h"
#include "core/base/exact_math.h"

#define REPS 11
#define REP_SECONDS 0.03

typedef struct bench_case {
  const char *name;
  wh_dtype dtype;
  int64_t n_heads, n_kv_heads, head_dim;
  int64_t depth,
      rows; /* rows query positions [depth, depth + rows); with n_seq > 1 each sequence has one row */
  int64_t n_seq;
} bench_case;

static const bench_case cases[] = {
    {"prompt 512, 9/3 heads of 64", WH_DTYPE_F16, 9, 3, 64, 0, 512, 1},
    {"prompt 512, 32/8 heads of 64", WH_DTYPE_F16, 32, 8, 64, 0, 512, 1},
    {"prompt 512, 32/8 heads of 128", WH_DTYPE_F16, 32, 8, 128, 0, 512, 1},
    {"prompt 512, 32/8 heads of 128, q8", WH_DTYPE_Q8_0, 32, 8, 128, 0, 512, 1},
    {"prompt 512, 8/4 heads of 256", WH_DTYPE_F16, 8, 4, 256, 0, 512, 1},
    {"prompt 512 at 4096, 32/8 of 128, f16", WH_DTYPE_F16, 32, 8, 128, 4096, 512, 1},
    {"prompt 512 at 4096, 32/8 of 128, q8", WH_DTYPE_Q8_0, 32, 8, 128, 4096, 512, 1},
    {"prompt 64 at 1024, 32/8 of 64, f32", WH_DTYPE_F32, 32, 8, 64, 1024, 64, 1},
    {"prompt 64 at 32768, 32/8 of 128", WH_DTYPE_F16, 32, 8, 128, 32768, 64, 1},
    {"prompt 64 at 32768, 32/8 of 128, q8", WH_DTYPE_Q8_0, 32, 8, 128, 32768, 64, 1},
    {"decode at 256, 9/3 heads of 64", WH_DTYPE_F16, 9, 3, 64, 255, 1, 1},
    {"decode at 4096, 9/3 heads of 64", WH_DTYPE_F16, 9, 3, 64, 4095, 1, 1},
    {"decode at 4096, 9/3 heads of 64, q8", WH_DTYPE_Q8_0, 9, 3, 64, 4095, 1, 1},
    {"decode at 4096, 32/8 of 128", WH_DTYPE_F16, 32, 8, 128, 4095, 1, 1},
    {"decode at 4096, 32/8 of 128, q8", WH_DTYPE_Q8_0, 32, 8, 128, 4095, 1, 1},
    {"decode at 4096, 32/8 of 128, f32", WH_DTYPE_F32, 32, 8, 128, 4095, 1, 1},
    {"decode at 4096, 32/32 of 128", WH_DTYPE_F16, 32, 32, 128, 4095, 1, 1},
    {"decode at 4096, 32/32 of 128, q8", WH_DTYPE_Q8_0, 32, 32, 128, 4095, 1, 1},
    {"decode at 32768, 8/1 of 256", WH_DTYPE_F16, 8, 1, 256, 32767, 1, 1},
    {"decode at 32768, 32/8 of 128", WH_DTYPE_F16, 32, 8, 128, 32767, 1, 1},
    {"decode at 32768, 32/8 of 128, q8", WH_DTYPE_Q8_0, 32, 8, 128, 32767, 1, 1},
    {"decode 8 x 1024, 32/8 of 64", WH_DTYPE_F16, 32, 8, 64, 1023, 8, 8},
    {"decode 8 x 1024, 32/8 of 64, q8", WH_DTYPE_Q8_0, 32, 8, 64, 1023, 8, 8},
};

typedef struct call {
  wh_attention_fn fn;
  wh_attention_args args;
  wh_team *team;
  team_roofline *roofline;
  char *keys, *values; /* of `layers` layers, `bytes` each, used one after the other */
  size_t bytes, layers, layer;
} call;

static void run_call(void *arg, const wh_worker *w) {
  const call *c = arg;
  c->fn(&c->args, w);
}

static void run_once(void *arg) {
  call *c = arg;
  c->args.keys = c->keys + c->bytes * c->layer;
  c->args.values = c->values + c->bytes * c->layer;
  c->layer = (c->layer + 1) % c->layers;
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

/* Random bytes are codes of keys and values alike, but for the one that no code has. */
static void fill_q8(wh_kv_q8_block *blocks, size_t n) {
  for (size_t i = 0; i < n; i++) {
    for (int j = 0; j < WH_ATTENTION_CHUNK; j++)
      blocks[i].scale[j] = wh_f16_from_f32((uniform() + 2.0f) / 256.0f);
    for (size_t j = 0; j < sizeof blocks[i].codes; j++) {
      uint8_t code = (uint8_t)(int)(uniform() * 128.0f + 128.0f);
      blocks[i].codes[j] = code == 0 || code == 128 ? 1 : code;
    }
  }
}

/* In huge pages, as the buffers of the CPU backend are. */
static void *filled(wh_dtype dtype, size_t bytes) {
  void *p = timing_alloc(bytes);
  if (dtype == WH_DTYPE_Q8_0)
    fill_q8(p, bytes / sizeof(wh_kv_q8_block));
  else if (dtype == WH_DTYPE_F16)
    for (size_t i = 0; i < bytes / 2; i++) ((uint16_t *)p)[i] = wh_f16_from_f32(uniform());
  else
    for (size_t i = 0; i < bytes / 4; i++) ((float *)p)[i] = uniform();
  return p;
}

/* The same one again and again: decoding reads them one after the other, from memory. */
static char *layers_of(wh_dtype dtype, size_t bytes, size_t n) {
  char *first = filled(dtype, bytes), *all = timing_alloc(bytes * n);
  for (size_t i = 0; i < n; i++) memcpy(all + i * bytes, first, bytes);
  free(first);
  return all;
}

static int run_case(const bench_case *c, wh_team *team, team_roofline *roof, uint64_t mask) {
  const int64_t table = (c->depth + c->rows + 63) / 64, context = 64 * table, row = c->n_heads * c->head_dim;
  size_t bytes = 0;
  if (!wh_kv_cache_bytes(c->dtype, c->n_seq * table, c->n_kv_heads, c->head_dim, &bytes)) return 2;
  const bool decode = c->depth > 0 && c->rows <= 16;
  const size_t layers = decode ? team_roofline_bytes(roof) / (2 * bytes) + 1 : 1;
  char *keys = layers_of(c->dtype, bytes, layers), *values = layers_of(c->dtype, bytes, layers);
  float *q = filled(WH_DTYPE_F32, (size_t)(c->rows * row) * 4);
  float *y = filled(WH_DTYPE_F32, (size_t)(c->rows * row) * 4),
        *want = filled(WH_DTYPE_F32, (size_t)(c->rows * row) * 4);
  int32_t *positions = calloc((size_t)c->rows, sizeof *positions),
          *sequences = calloc((size_t)c->rows, sizeof *sequences),
          *page_table = calloc((size_t)(c->n_seq * table), sizeof *page_table);
  size_t scratch_bytes = wh_attention_scratch_bytes(c->rows, c->n_heads, c->n_kv_heads, c->head_dim,
                                                    c->head_dim, table, wh_team_size(team));
  void *scratch = aligned_alloc(64, scratch_bytes);
  if (!positions || !sequences || !page_table || !scratch) return 2;
  for (int64_t i = 0; i < c->n_seq * table; i++) page_table[i] = (int32_t)i;
  double flops = 0.0, read = 0.0;
  for (int64_t r = 0; r < c->rows; r++) {
    positions[r] = (int32_t)(c->n_seq > 1 ? c->depth : c->depth + r);
    sequences[r] = (int32_t)(c->n_seq > 1 ? r : 0);
    flops += 4.0 * (double)(positions[r] + 1) * (double)row;
    if (c->n_seq > 1 || r == c->rows - 1)
      read += 2.0 * (double)(positions[r] + 1) * (double)bytes / (double)(c->n_seq * context);
  }
  call run = {wh_attention_select(mask, c->dtype, NULL),
              {.dtype = c->dtype,
               .rows = c->rows,
               .n_heads = c->n_heads,
               .n_kv_heads = c->n_kv_heads,
               .head_dim = c->head_dim,
               .value_dim = c->head_dim,
               .q = q,
               .ldq = row,
               .keys = keys,
               .values = values,
               .positions = positions,
               .sequences = sequences,
               .page_table = page_table,
               .table = table,
               .scale = 0.1f,
               .y = y,
               .ldy = row,
               .step = 1,
               .scratch = scratch,
               .scratch_bytes = scratch_bytes},
              .team = team,
              .roofline = roof,
              .keys = keys,
              .values = values,
              .bytes = bytes,
              .layers = layers};
  /* The check: the last rows, whose results see every key, in the same call as all others. */
  call ref = run;
  int64_t checked = c->rows < 2 ? c->rows : 2, skip = c->rows - checked;
  ref.fn = wh_attention_select(0, c->dtype, NULL);
  ref.args.rows = checked;
  ref.args.q += skip * row;
  ref.args.y = want;
  ref.args.positions += skip;
  ref.args.sequences += skip;
  wh_team_run(team, run_call, &run);
  wh_team_run(team, run_call, &ref);
  int wrong = memcmp(want, y + skip * row, (size_t)(checked * row) * sizeof *y) != 0;
  timing_task task = {
      run_once, decode ? limit_read : limit_f32, &run, decode ? read : flops, REP_SECONDS, REPS, false};
  timing t = {0};
  char note[TIMING_NOTE_BYTES];
  if (!wrong) t = timing_measure(&task);
  if (wrong)
    printf("%-36s WRONG BITS\n", c->name);
  else if (t.kept == 0)
    printf("%-36s the machine's speed changed within every repetition\n", c->name);
  else
    printf("%-36s %9.1f us %8.1f %s  %3.0f %% of %.0f%s\n", c->name, t.seconds * 1e6, t.rate * 1e-9,
           decode ? "GB/s   " : "GFLOP/s", 100.0 * t.share, t.limit * 1e-9, timing_note(&t, note));
  (void)fflush(stdout);
  free(keys);
  free(values);
  free(q);
  free(y);
  free(want);
  free(positions);
  free(sequences);
  free(page_table);
  free(scratch);
  return wrong;
}

static int run_cases(wh_team *team, uint64_t mask, const char *part) {
  team_roofline *roof = team_roofline_create(team, mask);
  int status = 0;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (!part || strstr(cases[i].name, part)) status |= run_case(&cases[i], team, roof, mask);
  team_roofline_destroy(roof);
  return status;
}

/* Kernel by kernel, each with the levels that it needs; a case is left to the kernels for its cache. */
static int run_all(wh_team *team, uint64_t available, const char *part) {
  int status = 0;
#define WH_ATTENTION_KERNEL(stores, isa, needs)                             \
  if ((available & (uint64_t)(needs)) == (uint64_t)(needs)) {               \
    team_roofline *roof = team_roofline_create(team, needs);                \
    printf("attention_" #isa "\n");                                         \
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)             \
      if (stores(cases[i].dtype) && (!part || strstr(cases[i].name, part))) \
        status |= run_case(&cases[i], team, roof, needs);                   \
    team_roofline_destroy(roof);                                            \
  }
#include "backends/cpu/kernels_attention.def"
#undef WH_ATTENTION_KERNEL
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
