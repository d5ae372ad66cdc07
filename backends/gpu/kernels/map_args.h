/* map_args.h - the argument structs of the elementwise kernels. */
#ifndef WH_GPU_MAP_ARGS_H
#define WH_GPU_MAP_ARGS_H

#include "backends/gpu/kernels/elements.h"
#include "backends/gpu/kernels/walk.h"
#include "core/base/exact_elements.h"

#define GPU_MAP_PER_THREAD 4 /* elements */

typedef enum gpu_map {
  GPU_MAP_ADD,
  GPU_MAP_SUB,
  GPU_MAP_MUL,
  GPU_MAP_DIV,
  GPU_MAP_MIN,
  GPU_MAP_MAX,
  GPU_MAP_MOD,
  GPU_MAP_REM,
  GPU_MAP_POW,
  GPU_MAP_BIT_AND,
  GPU_MAP_BIT_OR,
  GPU_MAP_BIT_XOR,
  GPU_MAP_SHIFT_LEFT,
  GPU_MAP_SHIFT_RIGHT,
  GPU_MAP_EQUAL,
  GPU_MAP_LESS,
  GPU_MAP_LESS_OR_EQUAL,
  GPU_MAP_NEG,
  GPU_MAP_ABS,
  GPU_MAP_SIGN,
  GPU_MAP_BIT_NOT,
  GPU_MAP_NOT,
  GPU_MAP_IS_NAN,
  GPU_MAP_IS_INF,
  GPU_MAP_SQRT,
  GPU_MAP_FLOOR,
  GPU_MAP_CEIL,
  GPU_MAP_ROUND,
  GPU_MAP_SCALE,
  GPU_MAP_SOFTCAP,
  GPU_MAP_RELU,
  GPU_MAP_SILU,
  GPU_MAP_GELU,
  GPU_MAP_GELU_ERF,
  GPU_MAP_EXP,
  GPU_MAP_TANH,
  GPU_MAP_SIGMOID,
  GPU_MAP_ERF,
  GPU_MAP_LOG,
  GPU_MAP_SIN,
  GPU_MAP_COS,
  GPU_MAP_TAN,
  GPU_MAP_ASIN,
  GPU_MAP_ACOS,
  GPU_MAP_ATAN,
  GPU_MAP_SINH,
  GPU_MAP_COSH,
  GPU_MAP_ASINH,
  GPU_MAP_ACOSH,
  GPU_MAP_ATANH,
  GPU_MAP_SOFTPLUS,
  GPU_MAP_WHERE,
  GPU_MAP_NONE
} gpu_map;

/* Operands that are read one element after the other, or of which one is read all the time, need no walk. */
typedef enum gpu_pace { GPU_PACE_STAYS, GPU_PACE_MOVES, GPU_PACE_WALKS } gpu_pace;

typedef struct gpu_map_args {
  uint64_t in[GPU_WALK_OPERANDS], out;
  int64_t n;
  uint32_t map;          /* gpu_map */
  uint32_t type, result; /* gpu_type of the operands and of the output; of where: log2 of the bytes */
  uint32_t exponent;     /* gpu_type of pow's */
  uint32_t pace[GPU_WALK_OPERANDS]; /* of each operand; WALKS is all's or none's */
  int32_t mode;                     /* of is_inf */
  float alpha;                      /* of scale and softcap */
  uint32_t reserved;
  gpu_walk walk;
} gpu_map_args;

typedef struct gpu_cast_args {
  uint64_t in, out;
  int64_t n;                           /* threads: elements, or bytes of the output that hold two */
  int64_t columns;                     /* of a row, where rows begin with a byte; else 1 */
  uint32_t from, to;                   /* gpu_type */
  wh_small_float from_small, to_small; /* where they are small floats */
  uint8_t truth, saturate, truncate;   /* to bool; of f8; towards 0, of f32 to bf16 */
  uint8_t reserved[5];
} gpu_cast_args;

#endif
