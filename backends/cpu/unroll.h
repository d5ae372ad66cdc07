/* unroll.h - words for loops of register tiles, whose length is known where they are inlined. */
#ifndef WH_CPU_UNROLL_H
#define WH_CPU_UNROLL_H

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

/* Has addresses worked out anew from x here, a pointer or a stride: compilers keep each in a register of its
 * own, and a tile needs all of them. */
#define KEEP_APART(x) __asm__("" : "+r"(x))

/* A tile has an instance for each number of rows. */
#define CASES_1_TO_6(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#define CASES_7_TO_12(CASE) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)

#endif
