/* quant_format.h - what the quantised weight types have in common. For C and for kernels.
 *
 * A type is a few choices: how many bits a code has, what is added to a value to make its unsigned code,
 * where scales and minima come from. Everything below the reader of a file's blocks (quant_blocks.h; packing,
 * reference, SIMD and GPU kernels) is written against these choices, not against types. */
#ifndef WH_BASE_QUANT_FORMAT_H
#define WH_BASE_QUANT_FORMAT_H

typedef enum wh_quant_codebook { WH_CODEBOOK_NONE, WH_CODEBOOK_IQ4, WH_CODEBOOK_FP4 } wh_quant_codebook;
typedef enum wh_quant_scale {
  WH_SCALE_F16,     /* one fp16 per block */
  WH_SCALE_E8M0,    /* one power of two per block */
  WH_SCALE_SUB32,   /* fp16 per 256 times an integer per block */
  WH_SCALE_SUB16,   /* fp16 per 256 times an int8 per half block */
  WH_SCALE_SUB16_U4 /* the same with 4-bit integers */
} wh_quant_scale;
typedef enum wh_quant_min { WH_MIN_NONE, WH_MIN_F16, WH_MIN_SUB32, WH_MIN_SUB16 } wh_quant_min;

/* X(type, lower-case name, bits, bias_log2, codebook, scale, min). value = code - 2^bias_log2, or just the
 * code when bias_log2 is -1. With a codebook the code is an index, and 2^bias_log2 is what makes every entry
 * of the codebook unsigned. */
#define WH_QUANT_FORMATS(X)                   \
  X(Q4_0, q4_0, 4, 3, NONE, F16, NONE)        \
  X(Q4_1, q4_1, 4, -1, NONE, F16, F16)        \
  X(Q5_0, q5_0, 5, 4, NONE, F16, NONE)        \
  X(Q5_1, q5_1, 5, -1, NONE, F16, F16)        \
  X(Q8_0, q8_0, 8, 7, NONE, F16, NONE)        \
  X(Q2_K, q2_k, 2, -1, NONE, SUB16_U4, SUB16) \
  X(Q3_K, q3_k, 3, 2, NONE, SUB16, NONE)      \
  X(Q4_K, q4_k, 4, -1, NONE, SUB32, SUB32)    \
  X(Q5_K, q5_k, 5, -1, NONE, SUB32, SUB32)    \
  X(Q6_K, q6_k, 6, 5, NONE, SUB16, NONE)      \
  X(IQ4_NL, iq4_nl, 4, 7, IQ4, F16, NONE)     \
  X(IQ4_XS, iq4_xs, 4, 7, IQ4, SUB32, NONE)   \
  X(MXFP4, mxfp4, 4, 4, FP4, E8M0, NONE)

/* Entries of the 16-entry codebooks: IQ4_NL and IQ4_XS; MXFP4 (e2m1, doubled). */
#define WH_CODEBOOK_IQ4_VALUES -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
#define WH_CODEBOOK_FP4_VALUES 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12

#endif
