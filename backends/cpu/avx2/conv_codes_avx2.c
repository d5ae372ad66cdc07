/* avx2/conv_codes_avx2.c - tiles of convolutions of codes, four in a word. */
#include <stdint.h>

#include "backends/cpu/avx2/codes_vec_avx2.h"

#define LEVEL avx2
#define vi_and(a, b) _mm256_and_si256(a, b)
#define vi_halves(x, y) _mm256_blend_epi16(x, y, 0xaa)

/* Of 16 registers a tile takes 12 for sums, two for x and one for w: one is left for what is between, and the
 * ones are read each time. Compilers keep them and spill a sum instead. */
static inline vi vi_dot(vi acc, vi x, vi w) {
  static const _Alignas(32) int16_t ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  vi pairs;
  __asm__("vpmaddubsw %3, %2, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"
          : "+x"(acc), "=&x"(pairs)
          : "x"(x), "x"(w), "m"(ones));
  return acc;
}

#include "backends/cpu/conv_codes_tiles.h"
