/* ptx.h - a PTX module as the emulator holds it: functions, their instructions, and how text becomes them.
 *
 * A module owns everything it points to, in one arena that ends with it. It is written by ptx_parse and
 * ptx_module_place only; after that any number of launches read it. */
#ifndef PTXEMU_PTX_H
#define PTXEMU_PTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/cuda/ptxemu/arena.h"

typedef enum {
  PTX_NONE,
  PTX_PRED,
  PTX_B8,
  PTX_U8,
  PTX_S8,
  PTX_B16,
  PTX_U16,
  PTX_S16,
  PTX_F16,
  PTX_BF16,
  PTX_B32,
  PTX_U32,
  PTX_S32,
  PTX_F32,
  PTX_F16X2,
  PTX_BF16X2,
  PTX_B64,
  PTX_U64,
  PTX_S64,
  PTX_F64,
  PTX_B128
} ptx_type;

extern const uint8_t ptx_bytes_of_type[PTX_B128 + 1];
static inline unsigned ptx_type_bytes(ptx_type t) { return ptx_bytes_of_type[t]; }
static inline bool ptx_is_signed(ptx_type t) {
  return t == PTX_S8 || t == PTX_S16 || t == PTX_S32 || t == PTX_S64;
}
static inline bool ptx_is_float(ptx_type t) {
  return t == PTX_F16 || t == PTX_BF16 || t == PTX_F32 || t == PTX_F64 || t == PTX_F16X2 || t == PTX_BF16X2;
}

/* What instructions do. Forms that differ in their types or modes only share one. */
typedef enum {
  OP_UNSUPPORTED, /* reported when executed, or refused at load in strict mode */
  OP_NOP,
  OP_MOV,
  OP_PACK,
  OP_UNPACK,
  OP_ADD,
  OP_SUB,
  OP_MUL,
  OP_MAD,
  OP_FMA,
  OP_DIV,
  OP_REM,
  OP_MIN,
  OP_MAX,
  OP_NEG,
  OP_ABS,
  OP_COPYSIGN,
  OP_AND,
  OP_OR,
  OP_XOR,
  OP_NOT,
  OP_SHL,
  OP_SHR,
  OP_SHF,
  OP_LOP3,
  OP_PRMT,
  OP_BFE,
  OP_BFI,
  OP_POPC,
  OP_CLZ,
  OP_BREV,
  OP_BFIND,
  OP_SAD,
  OP_DP4A,
  OP_DP2A,
  OP_SETP,
  OP_SET,
  OP_SELP,
  OP_CVT,
  OP_CVTA,
  OP_ISSPACEP,
  OP_TESTP,
  OP_RCP,
  OP_SQRT,
  OP_RSQRT,
  OP_EX2,
  OP_LG2,
  OP_SIN,
  OP_COS,
  OP_TANH,
  OP_LD,
  OP_ST,
  OP_ATOM,
  OP_LDMATRIX,
  OP_CP_ASYNC,
  OP_CP_COMMIT,
  OP_CP_WAIT,
  OP_FENCE,
  OP_BAR,
  OP_BAR_WARP,
  OP_SHFL,
  OP_VOTE,
  OP_REDUX,
  OP_MATCH,
  OP_ACTIVEMASK,
  OP_MMA,
  OP_WGMMA,
  OP_MBARRIER,
  OP_CP_BULK,
  OP_FENCE_PROXY,
  OP_SETMAXNREG,
  OP_DEPEND, /* griddepcontrol; mode 1: wait */
  OP_BRA,
  OP_CALL,
  OP_RET,
  OP_EXIT,
  OP_TRAP
} ptx_op;

typedef enum { SPACE_GENERIC, SPACE_GLOBAL, SPACE_SHARED, SPACE_LOCAL, SPACE_PARAM, SPACE_CONST } ptx_space;

/* Modes of an instruction; `mode` holds one of the list that its op names. */
typedef enum { HALF_LO, HALF_HI, HALF_WIDE } ptx_half;                                /* mul, mad */
typedef enum { SHFL_UP, SHFL_DOWN, SHFL_BFLY, SHFL_IDX } ptx_shfl;                    /* shfl */
typedef enum { VOTE_ALL, VOTE_ANY, VOTE_UNI, VOTE_BALLOT } ptx_vote;                  /* vote */
typedef enum { BAR_SYNC, BAR_ARRIVE, BAR_RED_POPC, BAR_RED_AND, BAR_RED_OR } ptx_bar; /* bar, barrier */
typedef enum {
  ATOM_ADD,
  ATOM_MIN,
  ATOM_MAX,
  ATOM_AND,
  ATOM_OR,
  ATOM_XOR,
  ATOM_EXCH,
  ATOM_CAS,
  ATOM_INC,
  ATOM_DEC
} ptx_atom; /* atom, red, redux */
typedef enum { MMA_16816, MMA_1688, MMA_16832 } ptx_mma;
typedef enum { WGMMA_NONE, WGMMA_PRODUCT, WGMMA_FENCE, WGMMA_COMMIT, WGMMA_WAIT } ptx_wgmma;
typedef enum {
  MBARRIER_NONE,
  MBARRIER_INIT,
  MBARRIER_ARRIVE,
  MBARRIER_EXPECT,
  MBARRIER_TRY,
  MBARRIER_WAIT
} ptx_mbarrier;
typedef enum {
  CMP_EQ,
  CMP_NE,
  CMP_LT,
  CMP_LE,
  CMP_GT,
  CMP_GE,
  CMP_EQU,
  CMP_NEU,
  CMP_LTU,
  CMP_LEU,
  CMP_GTU,
  CMP_GEU,
  CMP_NUM,
  CMP_NAN
} ptx_compare;
typedef enum { BOOL_NONE, BOOL_AND, BOOL_OR, BOOL_XOR } ptx_bool;

/* To the nearest even, toward zero, down, up; INTEGER marks the forms that round to a whole number. */
typedef enum { ROUND_NONE, ROUND_RN, ROUND_RZ, ROUND_RM, ROUND_RP } ptx_round;

typedef enum {
  OPERAND_NONE, /* "_" */
  OPERAND_REGISTER,
  OPERAND_VALUE,   /* an immediate or the address of a variable */
  OPERAND_SPECIAL, /* %tid.x and its like: value is a ptx_special */
  OPERAND_ADDRESS, /* [register + value], reg < 0: [value] */
  OPERAND_VECTOR   /* elements */
} ptx_operand_kind;

typedef enum {
  SPECIAL_TID_X,
  SPECIAL_TID_Y,
  SPECIAL_TID_Z,
  SPECIAL_NTID_X,
  SPECIAL_NTID_Y,
  SPECIAL_NTID_Z,
  SPECIAL_CTAID_X,
  SPECIAL_CTAID_Y,
  SPECIAL_CTAID_Z,
  SPECIAL_NCTAID_X,
  SPECIAL_NCTAID_Y,
  SPECIAL_NCTAID_Z,
  SPECIAL_LANEID,
  SPECIAL_WARPID,
  SPECIAL_NWARPID,
  SPECIAL_LANEMASK_EQ,
  SPECIAL_LANEMASK_LT,
  SPECIAL_LANEMASK_LE,
  SPECIAL_LANEMASK_GT,
  SPECIAL_LANEMASK_GE,
  SPECIAL_CLOCK,
  SPECIAL_DYNAMIC_SMEM
} ptx_special;

typedef struct ptx_operand {
  uint8_t kind;
  uint8_t space;  /* of the variable that it names */
  bool negated;   /* !%p */
  bool wide;      /* a register of 64 bits */
  bool relocated; /* value is an offset in the module's data until it is placed */
  bool dynamic;   /* value is an offset in dynamic shared memory until the module is parsed */
  int32_t reg;
  uint64_t value;
  uint64_t *lanes; /* VALUE: the value 32 times, for the executor */
  struct ptx_operand *elements;
  unsigned n_elements;
} ptx_operand;

enum { PTX_MAX_OPERANDS = 8 };

typedef struct ptx_function ptx_function;

typedef struct {
  uint8_t op, type, type2; /* type: of the result, or of both; type2: of the source where it differs */
  uint8_t type_c;          /* mma: of the accumulators */
  uint8_t mode, space, to_space, compare, combine, rounding, vector;
  bool integer_rounding, saturate, flush, approx, to, transposed, nan, left, wrap, clamp, relaxed_warp;
  bool predicate_negated;
  uint16_t columns;  /* wgmma: of D, a multiple of 8 */
  uint16_t depth;    /* wgmma: its k */
  int32_t predicate; /* register, or -1 */
  int32_t target;    /* bra: index of an instruction of the module */
  unsigned n_operands;
  ptx_operand operands[PTX_MAX_OPERANDS];
  const ptx_function *callee;
  const char *unsupported; /* what of it is not known */
  const char *text;        /* its source, for reports */
  unsigned line;
} ptx_instruction;

typedef struct {
  uint64_t offset, size; /* kernel: in the parameter block; function: in a thread's private memory */
} ptx_parameter;

/* Bytes that a call copies between private variables of the caller and of the callee. */
typedef struct {
  uint64_t from, to, size;
} ptx_transfer;

struct ptx_function {
  const char *name;
  bool is_kernel, is_defined;
  unsigned first, end; /* its instructions */
  ptx_parameter *parameters, *results;
  unsigned n_parameters, n_results;
  uint64_t parameter_bytes;
  uint64_t shared_bytes; /* kernel: static, those of the module included */
  unsigned max_threads;  /* .maxntid, or 0 */
  unsigned n_registers;  /* kernel: its own and those of all that may be called */
  bool has_fence, has_atomic, calls, has_wgmma;
};

/* What a call instruction names: its transfers in and out. Kept beside the instruction's index. */
typedef struct {
  unsigned instruction;
  ptx_transfer *in, *out;
  unsigned n_in, n_out;
} ptx_call;

typedef struct {
  const char *name;
  uint64_t offset, size;
} ptx_variable;

typedef struct {
  ptx_arena arena;
  ptx_instruction *code;
  unsigned n_code, cap_code;
  ptx_function **functions;
  unsigned n_functions, cap_functions;
  ptx_call *calls;
  unsigned n_calls, cap_calls;
  ptx_variable *variables; /* of .global and .const */
  unsigned n_variables, cap_variables;
  unsigned char *data; /* their initial bytes */
  uint64_t data_bytes, data_capacity;
  uint64_t data_align;
  uint64_t dynamic_shared; /* where dynamic shared memory begins */
  uint64_t local_bytes;    /* private memory of a thread: locals and call variables of all functions */
  unsigned n_registers;
  unsigned target; /* sm number of .target */
} ptx_module;

enum { PTX_ERROR_SIZE = 320 };

/* Parses text (not necessarily terminated). strict: an instruction that is not supported is an error; else it
 * is reported when a launch gets to it. Returns NULL and a sentence with the line in error. */
ptx_module *ptx_parse(const char *text, size_t n_bytes, bool strict, bool refuse_approx,
                      char error[PTX_ERROR_SIZE]);
void ptx_module_free(ptx_module *m);

/* Gives the module's variables their address: that of its data, which the caller has allocated and filled. */
void ptx_module_place(ptx_module *m, uint64_t data_address);

const ptx_function *ptx_module_kernel(const ptx_module *m, const char *name);
const ptx_call *ptx_module_call(const ptx_module *m, unsigned instruction);

/* Specials by name; false if there is none of that name. */
bool ptx_special_find(const char *name, size_t n, uint64_t *special);

#endif
