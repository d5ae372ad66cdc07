/* avx2/matmul_codes_avxvnni.c - tiles of products of codes, four in a word. */
#include "backends/cpu/avx2/codes_vec_avx2.h"

#define LEVEL avxvnni
#define TILE_ROWS 6
#define vi_dot(acc, a, b) _mm256_dpbusd_avx_epi32(acc, a, b)

#include "backends/cpu/matmul_codes_tiles.h"
