/* gguf_types.c - GGUF's type numbers, of metadata values and of tensors, and ours. */
#include "formats/gguf_internal.h"

size_t wh_gguf_value_bytes(uint32_t type) {
  switch (type) {
#define CASE(name, number, text, n_bytes) \
  case number:                            \
    return n_bytes;
    WH_GGUF_VALUE_LIST(CASE)
#undef CASE
    default:
      return 0;
  }
}

wh_meta_kind wh_gguf_value_kind(uint32_t type) {
  switch (type) {
    case WH_GGUF_VALUE_F32:
    case WH_GGUF_VALUE_F64:
      return WH_META_FLOAT;
    case WH_GGUF_VALUE_BOOL:
      return WH_META_BOOL;
    case WH_GGUF_VALUE_STRING:
      return WH_META_STRING;
    case WH_GGUF_VALUE_ARRAY:
      return WH_META_ARRAY;
    default:
      return WH_META_INT;
  }
}

/* number, dtype, text */
#define READABLE_TYPES(X) \
  X(0, F32, "f32")        \
  X(1, F16, "f16")        \
  X(30, BF16, "bf16")     \
  X(28, F64, "f64")       \
  X(24, I8, "i8")         \
  X(25, I16, "i16")       \
  X(26, I32, "i32")       \
  X(27, I64, "i64")       \
  X(2, Q4_0, "q4_0")      \
  X(3, Q4_1, "q4_1")      \
  X(6, Q5_0, "q5_0")      \
  X(7, Q5_1, "q5_1")      \
  X(8, Q8_0, "q8_0")      \
  X(10, Q2_K, "q2_k")     \
  X(11, Q3_K, "q3_k")     \
  X(12, Q4_K, "q4_k")     \
  X(13, Q5_K, "q5_k")     \
  X(14, Q6_K, "q6_k")     \
  X(20, IQ4_NL, "iq4_nl") \
  X(23, IQ4_XS, "iq4_xs") \
  X(39, MXFP4, "mxfp4")

/* Types that ggml has, or had, and we do not read. */
#define UNREAD_TYPES(X) \
  X(4, "Q4_2")          \
  X(5, "Q4_3")          \
  X(9, "Q8_1")          \
  X(15, "Q8_K")         \
  X(16, "IQ2_XXS")      \
  X(17, "IQ2_XS")       \
  X(18, "IQ3_XXS")      \
  X(19, "IQ1_S")        \
  X(21, "IQ3_S")        \
  X(22, "IQ2_S")        \
  X(29, "IQ1_M")        \
  X(31, "Q4_0_4_4")     \
  X(32, "Q4_0_4_8")     \
  X(33, "Q4_0_8_8")     \
  X(34, "TQ1_0")        \
  X(35, "TQ2_0")        \
  X(36, "IQ4_NL_4_4")   \
  X(37, "IQ4_NL_4_8")   \
  X(38, "IQ4_NL_8_8")   \
  X(40, "NVFP4")        \
  X(41, "Q1_0")

bool wh_gguf_dtype_of(uint32_t type, wh_dtype *out) {
  switch (type) {
#define CASE(number, dtype, text) \
  case number:                    \
    *out = WH_DTYPE_##dtype;      \
    return true;
    READABLE_TYPES(CASE)
#undef CASE
    default:
      return false;
  }
}

bool wh_gguf_type_of(wh_dtype dtype, uint32_t *out) {
  switch ((int)dtype) {
#define CASE(number, name, text) \
  case WH_DTYPE_##name:          \
    *out = number;               \
    return true;
    READABLE_TYPES(CASE)
#undef CASE
    default:
      return false;
  }
}

const char *wh_gguf_unread_type_name(uint32_t type) {
  switch (type) {
#define CASE(number, text) \
  case number:             \
    return text;
    UNREAD_TYPES(CASE)
#undef CASE
    default:
      return NULL;
  }
}

const char *wh_gguf_readable_types(void) {
#define TEXT(number, dtype, text) " " text
  static const char types[] = READABLE_TYPES(TEXT);
#undef TEXT
  return types + 1;
}
