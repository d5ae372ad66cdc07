/* avx512/matmul_codes_avx512vnni.c - tiles of products of codes, four in a word. */
#include "backends/cpu/avx512/codes_vec_avx512.h"

#define LEVEL avx512vnni
#define TILE_ROWS 12
#define vi_dot(acc, a, b) _mm512_dpbusd_epi32(acc, a, b)

#include "backends/cpu/matmul_codes_tiles.h"
