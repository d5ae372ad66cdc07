/* weights.c - packed forms of the weights of products. Plain C over the file's blocks, on the host's threads:
 * it runs once per model. */
#include "backends/gpu/weights.h"

#include <string.h>

#include "backends/gpu/device.h"
#include "core/base/allocator.h"
#include "core/base/finite.h"
#include "core/base/quantize_wide.h"

#define DIM_MAX (INT64_C(1) << 31)
#define GROUP 256 /* values of a group of quantised types */
#define TILE ((int64_t)GPU_TILE_ROWS)

/* ---- sizes ---- */

static bool is_wide(wh_dtype d) { return d == WH_DTYPE_F16 || d == WH_DTYPE_BF16; }

static wh_status size_of(gpu_weights *w) {
  const uint32_t n = (uint32_t)w->n, k = (uint32_t)w->k;
  if (w->dtype == WH_DTYPE_F32) {
    w->n_tiles = (w->n + GPU_F32_ROWS - 1) / GPU_F32_ROWS;
    w->expert_bytes = (uint64_t)(w->k + 3) / 4 * 16 * GPU_F32_ROWS * (uint64_t)w->n_tiles;
  } else {
    const wh_quant_format *f = w->quant;
    const int scale = f ? (int)f->scale : 0, min = f ? (int)f->min : 0;
    w->matrix = f ? gpu_matrix_of(gpu_chunk_bytes(f->bits, scale, min), gpu_head_bytes(scale, min),
                                  GPU_QUANT_CHUNKS, n, k)
                  : gpu_matrix_of(GPU_WIDE_CHUNK_BYTES, GPU_WIDE_HEAD_BYTES, GPU_WIDE_CHUNKS, n, k);
    w->n_tiles = w->matrix.n_tiles;
    if (__builtin_mul_overflow(gpu_matrix_tile_bytes(&w->matrix), (uint64_t)w->n_tiles, &w->expert_bytes))
      w->expert_bytes = UINT64_MAX;
  }
  if (__builtin_mul_overflow(w->expert_bytes, (uint64_t)w->n_experts, &w->n_bytes) ||
      w->n_bytes > SIZE_MAX / 2)
    return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld x %lld do not fit the address space",
                   (long long)w->n_experts, (long long)w->n, (long long)w->k);
  return WH_OK;
}

wh_status gpu_weights_of(const wh_graph *g, const wh_shape *s, gpu_weights *out) {
  int64_t size[3] = {1, 0, 0}; /* experts, rows, columns */
  if (s->rank != 2 && s->rank != 3) return WH_FAIL(ERR_UNSUPPORTED, "weights of rank %d", s->rank);
  for (int i = 0; i < s->rank; i++) {
    if (!wh_dim_is_const(&g->dims, s->dims[i]))
      return WH_FAIL(ERR_UNSUPPORTED, "weights of a size that is not constant");
    size[i + 3 - s->rank] = wh_dim_get(&g->dims, s->dims[i])->value;
  }
  *out = (gpu_weights){.dtype = s->dtype, .n_experts = size[0], .n = size[1], .k = size[2]};
  out->quant = wh_quant_format_get(s->dtype);
  if (!out->quant && !is_wide(s->dtype) && s->dtype != WH_DTYPE_F32)
    return WH_FAIL(ERR_UNSUPPORTED, "no product for weights of type %s", wh_dtype_name(s->dtype));
  for (int i = 0; i < 3; i++)
    if (size[i] < 1 || size[i] >= DIM_MAX)
      return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld x %lld: each dimension must be 1 to 2^31 - 1",
                     (long long)size[0], (long long)size[1], (long long)size[2]);
  const wh_dtype_info *type = wh_dtype_get(s->dtype);
  if (out->quant && out->k % type->block_elems)
    return WH_FAIL(ERR_UNSUPPORTED, "%s weights with rows of %lld values: not a multiple of %d", type->name,
                   (long long)out->k, type->block_elems);
  return size_of(out);
}

gpu_packed_form gpu_packed_form_of(const gpu_weights *w) {
  const wh_quant_format *f = w->quant;
  if (!f) return (gpu_packed_form){.matrix = w->matrix, .bits = is_wide(w->dtype) ? GPU_WIDE_BITS : 0};
  return (gpu_packed_form){w->matrix,         f->bits,        f->bias_log2, (int32_t)f->codebook,
                           (int32_t)f->scale, (int32_t)f->min};
}

/* ---- records of quantised weights ---- */

static uint32_t load_u32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}
static void store_u32(uint8_t *p, uint32_t v) { memcpy(p, &v, sizeof v); }

/* Eight codes of 4 bits, neighbours in a byte. */
static uint32_t join_nibbles(const uint8_t *code) {
  uint32_t v = 0;
  for (uint32_t j = 0; j < 4; j++) v |= (uint32_t)(code[2 * j] | code[2 * j + 1] << 4) << (8 * j);
  return v;
}

/* Codes of one row in a chunk: two blocks of 32. `r` is the row within the tile. Eight codes go to a lane,
 * and are treated four bytes at a time. */
static void place_codes(const wh_quant_format *f, const uint8_t *code, size_t r, uint8_t *record) {
  const uint32_t bits = (uint32_t)f->bits, low = bits >= 4 ? 4 : 0, row = (uint32_t)(r / 8);
  uint8_t *pairs = record + (low ? 512 : 0), *singles = pairs + (bits - low >= 2 ? 256 : 0);
  for (uint32_t b = 0; b < 2; b++)
    for (size_t t = 0; t < 4; t++, code += 8) {
      const size_t lane = r % 8 * 4 + t;
      const uint32_t first = load_u32(code), second = load_u32(code + 4);
      if (bits == 8) { /* unsigned codes to int8 */
        store_u32(record + b * 512 + lane * 16 + row * 4, first ^ 0x80808080u);
        store_u32(record + b * 512 + lane * 16 + 8 + row * 4, second ^ 0x80808080u);
        continue;
      }
      if (low)
        store_u32(record + lane * 16 + (2 * b + row) * 4,
                  f->codebook == WH_CODEBOOK_NONE ? (first & 0x0f0f0f0fu) | (second & 0x0f0f0f0fu) << 4
                                                  : join_nibbles(code));
      if (bits - low >= 2) {
        uint8_t *to = pairs + lane * 8 + b * 4;
        store_u32(to, load_u32(to) | (first >> low & 0x03030303u) << (2 * row) |
                          (second >> low & 0x03030303u) << (2 * row + 4));
      }
      if ((bits - low) % 2) {
        uint8_t *to = singles + lane * 4;
        store_u32(to, load_u32(to) | (first >> (bits - 1) & 0x01010101u) << (row + 4 * b) |
                          (second >> (bits - 1) & 0x01010101u) << (row + 2 + 4 * b));
      }
    }
}

/* Scales and minima of one row in chunk `c` of its group. */
static void place_scales(const wh_quant_format *f, const wh_quant_group *g, size_t c, size_t r,
                         uint8_t *scales) {
  const size_t at = r % 8 * 2 + r / 8; /* [8][2 rows] */
  for (size_t b = 0; b < 2; b++) switch (f->scale) {
      case WH_SCALE_F16:
        memcpy(scales + (at * 2 + b) * 2, &g->scale[c * 2 + b], 2);
        if (f->min == WH_MIN_F16) memcpy(scales + 64 + (at * 2 + b) * 2, &g->min[c * 2 + b], 2);
        break;
      case WH_SCALE_E8M0:
        scales[at * 2 + b] = (uint8_t)g->scale[c * 2 + b];
        break;
      case WH_SCALE_SUB32:
        scales[at * 2 + b] = (uint8_t)g->sub_scale[c * 2 + b];
        break;
      default: /* SUB16 */
        for (size_t h = 0; h < 2; h++) {
          const size_t i = c * 4 + b * 2 + h;
          const uint8_t s = (uint8_t)g->sub_scale[i];
          scales[at * 4 + b * 2 + h] = f->min == WH_MIN_SUB16 ? (uint8_t)(s | g->sub_min[i] << 4) : s;
        }
    }
}

static void place_head(const wh_quant_format *f, const wh_quant_group *g, size_t r, uint8_t *head) {
  const size_t at = r % 8 * 2 + r / 8;
  if (f->scale < WH_SCALE_SUB32) return;
  if (f->min == WH_MIN_NONE) {
    memcpy(head + at * 2, &g->d, 2);
    return;
  }
  memcpy(head + at * 4, &g->d, 2);
  memcpy(head + at * 4 + 2, &g->dmin, 2);
  if (f->min == WH_MIN_SUB32) memcpy(head + 64 + r * 8, g->sub_min, 8);
}

static size_t row_bytes_of(const gpu_weights *w) {
  const wh_dtype_info *type = wh_dtype_get(w->dtype);
  return (size_t)w->k / type->block_elems * type->block_bytes;
}

/* The file's rows src[0..rows) as tile `tile` of the matrix at dst. */
static bool pack_quant(const gpu_weights *w, const uint8_t *src, int64_t rows, uint32_t tile, uint8_t *dst) {
  const gpu_matrix *m = &w->matrix;
  const wh_dtype_info *type = wh_dtype_get(w->dtype);
  const size_t group_bytes = (size_t)type->block_bytes * (GROUP / type->block_elems),
               row_bytes = row_bytes_of(w);
  const uint32_t in = tile % GPU_TILES, tiles = gpu_tiles_at(m, tile);
  bool finite = true;
  for (uint32_t group = 0; group < m->n_groups; group++) {
    const int64_t left = (w->k - (int64_t)group * GROUP) / 32, blocks = left < 8 ? left : 8;
    const uint32_t chunks = (uint32_t)(blocks + 1) / 2;
    uint8_t *head = dst + gpu_heads_at(m, tile, group) + in * m->head_bytes;
    uint8_t *record = dst + gpu_records_at(m, tile, group, 0) + in * m->chunk_bytes;
    const size_t stride = (size_t)tiles * m->chunk_bytes;
    memset(head, 0, m->head_bytes);
    for (uint32_t c = 0; c < chunks; c++) memset(record + c * stride, 0, m->chunk_bytes);
    for (int64_t r = 0; r < rows; r++) {
      wh_quant_group g = {.d = 0};
      finite &=
          wh_quant_read_group(w->quant, src + (size_t)r * row_bytes + group * group_bytes, (int)blocks, &g);
      place_head(w->quant, &g, (size_t)r, head);
      for (uint32_t c = 0; c < chunks; c++) {
        place_codes(w->quant, g.code + c * GPU_K_CHUNK, (size_t)r, record + c * stride);
        place_scales(w->quant, &g, c, (size_t)r, record + c * stride + gpu_code_bytes(w->quant->bits));
      }
    }
  }
  return finite;
}

/* ---- 16-bit weights ---- */

static float wide_value(wh_dtype dtype, const uint8_t *p) {
  uint16_t half;
  memcpy(&half, p, sizeof half); /* the file's bytes may have any alignment */
  return dtype == WH_DTYPE_F16 ? wh_f32_from_f16(half) : wh_f32_from_bf16(half);
}

/* Codes of one row in a chunk: 128 h + l, l in 0..127. */
static void place_limbs(const int16_t *q, size_t r, uint8_t *record) {
  for (size_t k = 0; k < GPU_K_CHUNK; k += 4, q += 4) {
    uint8_t *to = record + k / 32 * 1024 + (r % 8 * 4 + k % 32 / 8) * 16 + (r / 8 + k % 8 / 4 * 2) * 4;
    for (size_t j = 0; j < 4; j++) {
      to[j] = (uint8_t)((uint16_t)q[j] >> 7);
      to[512 + j] = q[j] & 127;
    }
  }
}

static bool pack_wide(const gpu_weights *w, const uint8_t *src, int64_t rows, uint32_t tile, uint8_t *dst) {
  const gpu_matrix *m = &w->matrix;
  const uint32_t in = tile % GPU_TILES, tiles = gpu_tiles_at(m, tile);
  bool finite = true;
  for (uint32_t group = 0; group < m->n_groups; group++) {
    const int64_t k0 = (int64_t)group * WH_Q13A_BLOCK, left = w->k - k0,
                  count = left < WH_Q13A_BLOCK ? left : WH_Q13A_BLOCK;
    uint8_t *head = dst + gpu_heads_at(m, tile, group) + in * m->head_bytes;
    uint8_t *record = dst + gpu_records_at(m, tile, group, 0) + in * m->chunk_bytes;
    memset(head, 0, m->head_bytes);
    for (uint32_t c = 0; c < GPU_WIDE_CHUNKS; c++)
      memset(record + (size_t)c * tiles * m->chunk_bytes, 0, m->chunk_bytes);
    for (int64_t r = 0; r < rows; r++) {
      float x[WH_Q13A_BLOCK], scale;
      int16_t q[WH_Q13A_BLOCK] = {0};
      for (int64_t i = 0; i < count; i++) x[i] = wide_value(w->dtype, src + (size_t)(r * w->k + k0 + i) * 2);
      finite &= wh_q13a_quantize_block(x, count, q, &scale);
      memcpy(head + (r % 8 * 2 + r / 8) * 4, &scale, sizeof scale);
      for (size_t c = 0; c < GPU_WIDE_CHUNKS; c++)
        place_limbs(q + c * GPU_K_CHUNK, (size_t)r, record + c * tiles * m->chunk_bytes);
    }
  }
  return finite;
}

/* ---- F32 ---- */

static bool pack_f32(const gpu_weights *w, const uint8_t *src, int64_t rows, uint32_t tile, uint8_t *dst) {
  const size_t quads = ((size_t)w->k + 3) / 4, k = (size_t)w->k;
  uint8_t *to = dst + (size_t)tile * quads * 16 * GPU_F32_ROWS;
  bool finite = true;
  for (size_t q = 0; q < quads; q++, to += 16 * GPU_F32_ROWS) {
    const size_t n = k - q * 4 < 4 ? k - q * 4 : 4;
    memset(to, 0, 16 * GPU_F32_ROWS);
    for (size_t r = 0; r < (size_t)rows; r++) {
      float x[4];
      memcpy(x, src + (r * k + q * 4) * 4, n * 4);
      memcpy(to + r * 16, x, n * 4);
      finite &= wh_all_finite(x, n);
    }
  }
  return finite;
}

/* ---- tasks ---- */

static bool pack_tile(const gpu_weights *w, const uint8_t *src, int64_t tile, uint8_t *dst) {
  const int64_t rows_of_tile = w->dtype == WH_DTYPE_F32 ? GPU_F32_ROWS : TILE;
  const int64_t expert = tile / w->n_tiles, in = tile % w->n_tiles, row = in * rows_of_tile;
  const int64_t rows = w->n - row < rows_of_tile ? w->n - row : rows_of_tile;
  const uint8_t *from = src + row_bytes_of(w) * (size_t)(expert * w->n + row);
  uint8_t *to = dst + w->expert_bytes * (uint64_t)expert;
  if (w->quant) return pack_quant(w, from, rows, (uint32_t)in, to);
  return (is_wide(w->dtype) ? pack_wide : pack_f32)(w, from, rows, (uint32_t)in, to);
}

/* Weights that are read in place are only looked at: row by row. */
static bool row_finite(const gpu_weights *w, const uint8_t *row) {
  const wh_dtype_info *type = wh_dtype_get(w->dtype);
  bool finite = true;
  for (int64_t k = 0; k < w->k; k += GROUP) {
    const int64_t n = w->k - k < GROUP ? w->k - k : GROUP;
    const uint8_t *from = row + (size_t)k / type->block_elems * type->block_bytes;
    wh_quant_group g;
    float x[GROUP];
    if (w->quant) {
      finite &= wh_quant_read_group(w->quant, from, (int)(n / 32), &g);
      continue;
    }
    for (int64_t i = 0; i < n && is_wide(w->dtype); i++) x[i] = wide_value(w->dtype, from + i * 2);
    if (!is_wide(w->dtype)) memcpy(x, from, (size_t)n * 4);
    finite &= wh_all_finite(x, (size_t)n);
  }
  return finite;
}

typedef struct pack_job {
  const wh_pack_task *task;
  const uint8_t *data;
  gpu_weights w;
  int64_t begin, end; /* of the weight's tiles; of its rows, where they are only looked at */
  atomic_bool finite;
} pack_job;

static void pack_share(void *arg, const wh_worker *worker) {
  pack_job *job = arg;
  int64_t i, end;
  bool finite = true;
  wh_worker_range(worker, job->end - job->begin, &i, &end);
  for (i += job->begin, end += job->begin; i < end; i++)
    finite &= job->task->dst ? pack_tile(&job->w, job->data, i, job->task->dst)
                             : row_finite(&job->w, job->data + row_bytes_of(&job->w) * (size_t)i);
  if (!finite) atomic_store(&job->finite, false);
}

static wh_status pack(const gpu_device *d, const wh_graph *g, wh_pack_task *t) {
  const wh_value_info *value = &g->values[t->weight];
  pack_job job = {.task = t, .data = value->data, .finite = true};
  t->finite = true;
  const wh_status st = gpu_weights_of(g, &value->shape, &job.w);
  if (st == WH_ERR_UNSUPPORTED && !t->dst) return WH_OK; /* integers, and what only other ops read */
  WH_TRY(st);
  if (t->layout != (t->dst ? GPU_LAYOUT_TILES : GPU_LAYOUT_MODEL))
    return WH_FAIL(ERR_INTERNAL, "weight '%s' has no layout %u", value->name, t->layout);
  const int64_t n = job.w.n_experts * (t->dst ? job.w.n_tiles : job.w.n);
  job.begin = n * t->part / t->n_parts;
  job.end = n * (t->part + 1) / t->n_parts;
  wh_team_run(d->team, pack_share, &job);
  t->finite = job.finite;
  return WH_OK;
}

wh_status gpu_pack(void *dev, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks) {
  for (size_t i = 0; i < n_tasks; i++) WH_TRY(pack(dev, g, &tasks[i]));
  return WH_OK;
}
