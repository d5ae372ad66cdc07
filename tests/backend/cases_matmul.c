/* cases_matmul.c - shapes for products of activations. */
#include "tests/backend/suite.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define INT_ATTR(k, v) ((wh_attr){.key = WH_ATTR_##k, .i = (v)})

/* Few rows and many, columns on both sides of a panel, several chunks along k, batches on either side. */
static const struct {
  int64_t n_rows;
  int rank[2];
  int64_t dims[2][WH_MAX_RANK];
} shapes[] = {
    {1, {2, 2}, {{ROWS, 5}, {5, 7}}},
    {3, {2, 2}, {{ROWS, 64}, {64, 65}}},
    {5, {2, 2}, {{ROWS, 33}, {33, 16}}},
    {7, {2, 2}, {{ROWS, 700}, {700, 40}}},
    {13, {2, 2}, {{ROWS, 512}, {512, 130}}},
    {4, {2, 2}, {{ROWS, 1030}, {1030, 3}}},
    {100, {2, 2}, {{ROWS, 40}, {40, 33}}},
    {2, {3, 3}, {{ROWS, 9, 20}, {ROWS, 20, 35}}},
    {3, {4, 4}, {{2, ROWS, 6, 16}, {2, ROWS, 16, 6}}},
    {3, {3, 2}, {{ROWS, 5, 16}, {16, 50}}},
    {3, {2, 3}, {{5, 16}, {ROWS, 16, 50}}},
    {3, {4, 3}, {{2, 1, 5, 16}, {ROWS, 16, 34}}},
    {3, {5, 4}, {{2, 1, ROWS, 7, 8}, {4, 1, 8, 9}}},
    {0, {2, 2}, {{ROWS, 5}, {5, 7}}},
    {0, {2, 2}, {{9, ROWS}, {ROWS, 7}}}, /* sums of nothing */
    {6, {2, 2}, {{9, ROWS}, {ROWS, 0}}},
    {600, {2, 2}, {{ROWS, 8}, {8, 20}}},
};

/* Operand k of shape i; `kept`: as a constant where the model could have it, which backends may pack. */
static wh_value operand(suite_case *c, wh_dtype dtype, size_t i, int k, bool kept, suite_fill fill) {
  const int64_t *dims = shapes[i].dims[k];
  kept = kept && k == 1 && shapes[i].rank[1] == 2 && dims[0] != ROWS && dims[1] > 0;
  return kept ? case_const(c, dtype, shapes[i].rank[k], dims)
              : case_input(c, dtype, shapes[i].rank[k], dims, fill);
}

SUITE_CASES(matmul) {
  for (size_t i = 0; i < COUNT(shapes); i++)
    for (int wide = 0; wide < 2; wide++)
      for (int wild = 0; wild < 3; wild++) {
        const wh_dtype dtype = wide ? WH_DTYPE_F64 : WH_DTYPE_F32;
        suite_case *c = case_begin(s, shapes[i].n_rows, "matmul %zu of %s", i, wh_dtype_name(dtype));
        wh_value in[2];
        for (int k = 0; k < 2; k++) in[k] = operand(c, dtype, i, k, wild == 2, wild ? FILL_WILD : FILL_PLAIN);
        (void)case_node(c, op, in, 2, NULL, 0);
        case_run(c);
      }
}

SUITE_CASES(matmul_integer) {
  static const wh_dtype types[] = {WH_DTYPE_U8, WH_DTYPE_I8};
  for (size_t i = 0; i < COUNT(shapes); i++)
    for (int pair = 0; pair < 4; pair++)
      for (int how = 0; how < 6; how++) {
        const int zeros = how % 3; /* none, one, one for each row and column */
        suite_case *c =
            case_begin(s, shapes[i].n_rows, "matmul_integer %zu, types %d, zeros %d", i, pair, zeros);
        wh_value in[4] = {0};
        for (int k = 0; k < 2; k++) {
          const wh_dtype dtype = types[k ? pair & 1 : pair >> 1];
          const int64_t n = shapes[i].dims[k][shapes[i].rank[k] - (k ? 1 : 2)];
          in[k] = operand(c, dtype, i, k, how > 2, FILL_PLAIN);
          if (zeros) in[2 + k] = case_input(c, dtype, zeros - 1, &n, FILL_PLAIN);
        }
        (void)case_node(c, op, in, zeros ? 4 : 2, NULL, 0);
        case_run(c);
      }
}

/* Rows of f32 or q13a with panels of random codes, or of those that give the largest integers. */
static void blocks_case(suite *s, wh_op op, int64_t rows, int64_t k, int64_t n, int64_t block, int bits,
                        bool wide, suite_fill fill) {
  const int64_t blocks = (k + block - 1) / block;
  const int64_t a[] = {2, ROWS, k}, words[] = {(n + 31) / 32, blocks * block * bits / 32, 32},
                cells[] = {words[0], blocks, 32};
  suite_case *c = case_begin(s, rows, "matmul_blocks of %d bits, [%lld, %lld], blocks of %lld, %s", bits,
                             (long long)k, (long long)n, (long long)block, wide ? "q13a" : "f32");
  const wh_value x = case_input(c, WH_DTYPE_F32, 3, a, fill),
                 in[] = {wide ? case_node(c, WH_OP_QUANTIZE_WIDE, &x, 1, NULL, 0) : x,
                         case_input(c, WH_DTYPE_U32, 3, words, FILL_PLAIN),
                         case_input(c, WH_DTYPE_F32, 3, cells, FILL_PLAIN),
                         case_input(c, WH_DTYPE_U8, 3, cells, FILL_PLAIN)};
  uint8_t *codes = c->data[in[1]], *zeros = c->data[in[3]];
  for (size_t b = 0; b < c->n_bytes[in[1]]; b++)
    codes[b] = fill == FILL_EXTREME ? 0xff : (uint8_t)suite_random(s, 256);
  for (size_t b = 0; b < c->n_bytes[in[3]]; b++)
    zeros[b] = fill == FILL_EXTREME ? 0 : (uint8_t)suite_random(s, 1u << bits);
  const wh_attr attrs[] = {INT_ATTR(SIZE, n), INT_ATTR(BLOCK, block)};
  (void)case_node(c, op, in, 4, attrs, 2);
  case_run(c);
}

/* Rows on both sides of what is decoded first, panels of all widths, blocks that k does not fill, chunks. */
SUITE_CASES(matmul_blocks) {
  static const struct {
    int64_t rows, k, n, block;
  } sizes[] = {{1, 64, 40, 32},     {2, 30, 7, 16},    {3, 32, 32, 32}, {4, 100, 33, 16},
               {5, 1100, 50, 64},   {8, 515, 16, 256}, {9, 64, 96, 32}, {20, 77, 17, 16},
               {33, 1030, 70, 512}, {13, 40, 9, 16},   {0, 32, 32, 32}, {60, 700, 130, 128}};
  /* Rows are 2 x these: tiles of 64 and what they leave, 1 to 6 rows and parts of them. */
  static const struct {
    int64_t rows, k, n, block;
  } wide[] = {{1, 64, 40, 32},   {1, 300, 33, 64},  {2, 30, 7, 16},      {3, 128, 64, 8},
              {7, 600, 50, 256}, {33, 200, 36, 32}, {16, 1030, 32, 512}, {0, 32, 32, 32}};
  const bool floats = s->target->backend->traits & WH_BACKEND_BLOCKS; /* else its graphs have none of f32 */
  for (int bits = 2; bits <= 8; bits *= 2) {
    for (size_t i = 0; i < COUNT(sizes) && floats; i++)
      for (int wild = 0; wild < 2; wild++)
        blocks_case(s, op, sizes[i].rows, sizes[i].k, sizes[i].n, sizes[i].block, bits, false,
                    wild ? FILL_WILD : FILL_PLAIN);
    for (size_t i = 0; i < COUNT(wide); i++) {
      const int64_t block = wide[i].block * bits % 32 ? 16 : wide[i].block;
      blocks_case(s, op, wide[i].rows, wide[i].k, wide[i].n, block, bits, true,
                  i % 2 ? FILL_WILD : FILL_PLAIN);
    }
    blocks_case(s, op, 3, 256, 33, 128, bits, true, FILL_EXTREME); /* 128 * 4095 * 255 */
  }
}
