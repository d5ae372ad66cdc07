/* cases_matmul.c - shapes for products of activations. */
#include "tests/backend/suite.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

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

SUITE_CASES(matmul) {
  for (size_t i = 0; i < COUNT(shapes); i++)
    for (int wide = 0; wide < 2; wide++)
      for (int wild = 0; wild < 2; wild++) {
        const wh_dtype dtype = wide ? WH_DTYPE_F64 : WH_DTYPE_F32;
        suite_case *c = case_begin(s, shapes[i].n_rows, "matmul %zu of %s", i, wh_dtype_name(dtype));
        wh_value in[2];
        for (int k = 0; k < 2; k++)
          in[k] = case_input(c, dtype, shapes[i].rank[k], shapes[i].dims[k], wild ? FILL_WILD : FILL_PLAIN);
        (void)case_node(c, op, in, 2, NULL, 0);
        case_run(c);
      }
}

SUITE_CASES(matmul_integer) {
  static const wh_dtype types[] = {WH_DTYPE_U8, WH_DTYPE_I8};
  for (size_t i = 0; i < COUNT(shapes); i++)
    for (int pair = 0; pair < 4; pair++)
      for (int zeros = 0; zeros < 3; zeros++) { /* none, one, one for each row and column */
        suite_case *c =
            case_begin(s, shapes[i].n_rows, "matmul_integer %zu, types %d, zeros %d", i, pair, zeros);
        wh_value in[4] = {0};
        for (int k = 0; k < 2; k++) {
          const wh_dtype dtype = types[k ? pair & 1 : pair >> 1];
          const int64_t n = shapes[i].dims[k][shapes[i].rank[k] - (k ? 1 : 2)];
          in[k] = case_input(c, dtype, shapes[i].rank[k], shapes[i].dims[k], FILL_PLAIN);
          if (zeros) in[2 + k] = case_input(c, dtype, zeros - 1, &n, FILL_PLAIN);
        }
        (void)case_node(c, op, in, zeros ? 4 : 2, NULL, 0);
        case_run(c);
      }
}
