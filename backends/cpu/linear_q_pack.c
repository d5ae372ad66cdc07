/* linear_q_pack.c - layouts, and packing a file's blocks into panels (linear_q_format.h). Plain C: it runs
 * once per model, and its speed is that of reading the file. */
#include <string.h>

#include "backends/cpu/linear_q.h"
#include "backends/cpu/linear_q_format.h"
#include "core/base/allocator.h"
#include "core/base/quant_blocks.h"

#define LAYOUT_FILE 0
#define LAYOUT_PANEL32 1
#define LINEAR_DIM_MAX (INT64_C(1) << 31)

static bool pack_panel(const wh_linear_layout *l, const void *from, int64_t panel, void *to);

wh_status wh_linear_q_layout(uint64_t features, wh_dtype dtype, int64_t n, int64_t k, wh_linear_layout *out) {
  const wh_quant_format *f = wh_quant_format_get(dtype);
  if (!f)
    return WH_FAIL(ERR_UNSUPPORTED, "no quantised product for weights of type %s", wh_dtype_name(dtype));
  const wh_dtype_info *info = wh_dtype_get(dtype);
  if (n < 1 || k < 1 || n >= LINEAR_DIM_MAX || k >= LINEAR_DIM_MAX)
    return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld: each dimension must be 1 to 2^31 - 1", (long long)n,
                   (long long)k);
  if (k % info->block_elems)
    return WH_FAIL(ERR_UNSUPPORTED, "%s weights with rows of %lld values: not a multiple of %d", info->name,
                   (long long)k, info->block_elems);
  wh_linear_layout l = {
      .id = features & WH_CPU_VECTORS ? LAYOUT_PANEL32 : LAYOUT_FILE, .dtype = dtype, .n = n, .k = k};
  l.panel_cols = WH_LINEAR_Q_COLS;
  l.n_panels = (n + WH_LINEAR_Q_COLS - 1) / WH_LINEAR_Q_COLS;
  size_t row_bytes = (size_t)k / info->block_elems * info->block_bytes; /* below 2^33 */
  bool fits;
  if (l.id == LAYOUT_FILE) {
    l.panel_bytes = row_bytes * WH_LINEAR_Q_COLS;
    fits = wh_mul_size((size_t)n, row_bytes, &l.n_bytes);
  } else {
    int64_t n_blocks = k / WH_LINEAR_Q_BLOCK;
    int rest = (int)(n_blocks % WH_LINEAR_Q_GROUP_BLOCKS);
    l.panel_bytes =
        (size_t)(n_blocks / WH_LINEAR_Q_GROUP_BLOCKS) * wh_linear_q_group_bytes(*f, WH_LINEAR_Q_GROUP_BLOCKS);
    if (rest) l.panel_bytes += wh_linear_q_group_bytes(*f, rest);
    fits = wh_mul_size((size_t)l.n_panels, l.panel_bytes, &l.n_bytes);
    l.pack_panel = pack_panel;
  }
  if (!fits)
    return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld do not fit the address space", (long long)n,
                   (long long)k);
  *out = l;
  return WH_OK;
}

/* One group of a panel before its codes are split into planes. */
typedef struct group_image {
  uint8_t code[WH_LINEAR_Q_GROUP_BLOCKS][8][WH_LINEAR_Q_COLS][4];
  wh_quant_group column; /* scratch: the column being read */
} group_image;

/* The column's scales and minima into the group's header and tail. */
static void place_scales(const wh_quant_format *f, const wh_quant_group *g, int blocks, int col,
                         uint8_t *dst) {
  const size_t header = wh_linear_q_scale_bytes(*f, blocks), cols = WH_LINEAR_Q_COLS;
  uint8_t *mins = dst + header + (size_t)blocks * wh_linear_q_code_bytes(*f);
  size_t c = (size_t)col;
  if (f->scale == WH_SCALE_F16 || f->scale == WH_SCALE_E8M0) {
    for (size_t b = 0; b < (size_t)blocks; b++) {
      if (f->scale == WH_SCALE_E8M0) {
        dst[b * cols + c] = (uint8_t)g->scale[b];
      } else {
        memcpy(dst + (b * cols + c) * 2, &g->scale[b], 2);
        if (f->min == WH_MIN_F16) memcpy(dst + (((size_t)blocks + b) * cols + c) * 2, &g->min[b], 2);
      }
    }
    return;
  }
  memcpy(dst + c * 2, &g->d, 2);
  if (f->min != WH_MIN_NONE) memcpy(dst + 64 + c * 2, &g->dmin, 2);
  uint8_t *sub = dst + (f->min != WH_MIN_NONE ? 128 : 64);
  if (f->scale == WH_SCALE_SUB16_U4) {
    for (size_t b = 0; b < 8; b++)
      sub[b * cols + c] = (uint8_t)(g->sub_scale[2 * b] | g->sub_scale[2 * b + 1] << 4);
  } else {
    size_t n_sub = f->scale == WH_SCALE_SUB16 ? 16 : 8;
    for (size_t i = 0; i < n_sub; i++) sub[i * cols + c] = (uint8_t)g->sub_scale[i];
  }
  for (size_t i = 0; i < 8; i++) {
    uint8_t *m = mins + (i / 2 * cols + c) * 2 + i % 2;
    if (f->min == WH_MIN_SUB32) *m = g->sub_min[i];
    if (f->min == WH_MIN_SUB16) *m = (uint8_t)(g->sub_min[i] | g->sub_min[8 + i] << 4);
  }
}

/* The record of one block from its 8 x 128 codes. */
static void split_planes(int bits, const uint8_t *e, uint8_t *dst) {
  if (bits == 8) {
    memcpy(dst, e, 1024);
    return;
  }
  int low = 0; /* bits that the first plane took */
  if (bits >= 4) {
    low = 4;
    for (int i = 0; i < 4; i++)
      for (int j = 0; j < 128; j++)
        dst[i * 128 + j] = (uint8_t)((e[i * 256 + j] & 15) | e[i * 256 + 128 + j] << 4);
    dst += 512;
  }
  if (bits - low >= 2) {
    for (int h = 0; h < 2; h++)
      for (int j = 0; j < 128; j++) {
        unsigned byte = 0;
        for (int i = 0; i < 4; i++) byte |= (unsigned)(e[(4 * h + i) * 128 + j] >> low & 3) << (2 * i);
        dst[h * 128 + j] = (uint8_t)byte;
      }
    low += 2;
    dst += 256;
  }
  if (bits - low == 1) {
    for (int j = 0; j < 128; j++) {
      unsigned byte = 0;
      for (int i = 0; i < 8; i++) byte |= (unsigned)(e[i * 128 + j] >> low & 1) << i;
      dst[j] = (uint8_t)byte;
    }
  }
}

/* Scales without blocks: only the check that packing makes. */
static bool check_rows(const wh_quant_format *f, const uint8_t *src, size_t row_bytes, int64_t k,
                       int64_t begin, int64_t end) {
  wh_quant_group g;
  size_t group_src = row_bytes / ((size_t)k / WH_LINEAR_Q_BLOCK) * WH_LINEAR_Q_GROUP_BLOCKS;
  const wh_dtype_info *info = wh_dtype_get(f->dtype);
  if (info->block_elems == 256) group_src = info->block_bytes;
  bool finite = true;
  for (int64_t row = begin; row < end; row++) {
    const uint8_t *p = src + (size_t)row * row_bytes;
    for (int64_t b = 0; b < k / WH_LINEAR_Q_BLOCK; b += WH_LINEAR_Q_GROUP_BLOCKS, p += group_src) {
      int64_t left = k / WH_LINEAR_Q_BLOCK - b;
      finite &= wh_quant_read_group(
          f, p, left < WH_LINEAR_Q_GROUP_BLOCKS ? (int)left : WH_LINEAR_Q_GROUP_BLOCKS, &g);
    }
  }
  return finite;
}

/* The file's rows are as many streams as a panel has columns, too many for the processor to foresee. */
static void prefetch_group(const uint8_t *p, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i, 0, 3);
}

static size_t bytes_of_row(const wh_linear_layout *l) {
  const wh_dtype_info *info = wh_dtype_get(l->dtype);
  return (size_t)l->k / info->block_elems * info->block_bytes;
}

static bool pack_panel(const wh_linear_layout *l, const void *from, int64_t panel, void *to) {
  const wh_quant_format *f = wh_quant_format_get(l->dtype);
  const wh_dtype_info *info = wh_dtype_get(l->dtype);
  const uint8_t *src = from;
  uint8_t *dst = to;
  const size_t row_bytes = bytes_of_row(l),
               group_src = info->block_elems == 256 ? info->block_bytes
                                                    : (size_t)info->block_bytes * WH_LINEAR_Q_GROUP_BLOCKS;
  group_image image;
  bool finite = true;
  int64_t n_blocks = l->k / WH_LINEAR_Q_BLOCK;
  int64_t col0 = panel * WH_LINEAR_Q_COLS;
  int64_t cols = l->n - col0 < WH_LINEAR_Q_COLS ? l->n - col0 : WH_LINEAR_Q_COLS;
  for (int64_t b0 = 0; b0 < n_blocks; b0 += WH_LINEAR_Q_GROUP_BLOCKS) {
    int blocks = n_blocks - b0 < WH_LINEAR_Q_GROUP_BLOCKS ? (int)(n_blocks - b0) : WH_LINEAR_Q_GROUP_BLOCKS;
    size_t group_bytes = wh_linear_q_group_bytes(*f, blocks);
    memset(dst, 0, group_bytes);
    if (cols < WH_LINEAR_Q_COLS)
      memset(image.code, 0, sizeof image.code); /* outputs past n: scales are zero */
    const uint8_t *group =
        src + (size_t)col0 * row_bytes + (size_t)(b0 / WH_LINEAR_Q_GROUP_BLOCKS) * group_src;
    for (int c = 0; c < (int)cols; c++, group += row_bytes) {
      prefetch_group(group + group_src, group_src);
      finite &= wh_quant_read_group(f, group, blocks, &image.column);
      place_scales(f, &image.column, blocks, c, dst);
      for (int b = 0; b < blocks; b++)
        for (int q = 0; q < 8; q++) memcpy(image.code[b][q][c], image.column.code + b * 32 + q * 4, 4);
    }
    uint8_t *codes = dst + wh_linear_q_scale_bytes(*f, blocks);
    for (int b = 0; b < blocks; b++, codes += wh_linear_q_code_bytes(*f))
      split_planes(f->bits, &image.code[b][0][0][0], codes);
    dst += group_bytes;
  }
  return finite;
}

bool wh_linear_q_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                      int64_t panel_end) {
  const wh_quant_format *f = wh_quant_format_get(l->dtype);
  const size_t row_bytes = bytes_of_row(l);
  bool finite = true;
  if (l->id == LAYOUT_FILE) {
    int64_t begin = panel_begin * WH_LINEAR_Q_COLS, end = panel_end * WH_LINEAR_Q_COLS;
    if (end > l->n) end = l->n;
    if (dst && dst != src)
      memcpy((uint8_t *)dst + (size_t)begin * row_bytes, (const uint8_t *)src + (size_t)begin * row_bytes,
             (size_t)(end - begin) * row_bytes);
    return check_rows(f, src, row_bytes, l->k, begin, end);
  }
  for (int64_t p = panel_begin; p < panel_end; p++)
    finite &= pack_panel(l, src, p, (uint8_t *)dst + (size_t)p * l->panel_bytes);
  return finite;
}
