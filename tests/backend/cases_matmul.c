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

/* Rows on both sides of what is decoded first, panels of all widths, blocks that k does not fill, chunks. */
SUITE_CASES(matmul_blocks) {
  static const struct {
    int64_t rows, k, n, block;
  } sizes[] = {{1, 64, 40, 32},     {2, 30, 7, 16},    {3, 32, 32, 32}, {4, 100, 33, 16},
               {5, 1100, 50, 64},   {8, 515, 16, 256}, {9, 64, 96, 32}, {20, 77, 17, 16},
               {33, 1030, 70, 512}, {13, 40, 9, 16},   {0, 32, 32, 32}, {60, 700, 130, 128}};
  if (!(s->target->backend->traits & WH_BACKEND_BLOCKS)) {
    s->per_op[op]++; /* its graphs have none */
    return;
  }
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (int bits = 2; bits <= 8; bits *= 2)
      for (int wild = 0; wild < 2; wild++) {
        const int64_t blocks = (sizes[i].k + sizes[i].block - 1) / sizes[i].block;
        const int64_t a[] = {2, ROWS, sizes[i].k},
                      words[] = {(sizes[i].n + 31) / 32, blocks * sizes[i].block * bits / 32, 32},
                      cells[] = {words[0], blocks, 32};
        suite_case *c = case_begin(s, sizes[i].rows, "matmul_blocks %zu of %d bits", i, bits);
        const wh_value in[] = {case_input(c, WH_DTYPE_F32, 3, a, wild ? FILL_WILD : FILL_PLAIN),
                               case_input(c, WH_DTYPE_U32, 3, words, FILL_PLAIN),
                               case_input(c, WH_DTYPE_F32, 3, cells, FILL_PLAIN),
                               case_input(c, WH_DTYPE_U8, 3, cells, FILL_PLAIN)};
        for (size_t b = 0; b < c->n_bytes[in[1]]; b++)
          ((uint8_t *)c->data[in[1]])[b] = (uint8_t)suite_random(s, 256);
        for (size_t b = 0; b < c->n_bytes[in[3]]; b++)
          ((uint8_t *)c->data[in[3]])[b] = (uint8_t)suite_random(s, 1u << bits);
        const wh_attr attrs[] = {INT_ATTR(SIZE, sizes[i].n), INT_ATTR(BLOCK, sizes[i].block)};
        (void)case_node(c, op, in, 4, attrs, 2);
        case_run(c);
      }
}
