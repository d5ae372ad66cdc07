/* unroll.h - words for loops of register tiles, whose length is known where they are inlined. */
#ifndef WH_CPU_UNROLL_H
#define WH_CPU_UNROLL_H

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

#endif
