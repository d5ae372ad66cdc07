/* decode_hopper.c - what sm_90a adds to the instructions: products of warpgroups, barriers in shared memory
 * with bulk copies, fences of the asynchronous proxy. What of it is known, and the rest refused by name. */
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/ptxemu/parse_internal.h"

enum { WGMMA_ROWS = 64, MOST_COLUMNS = 256 };

bool decode_is_hopper(const ptx_instruction *i) {
  return i->op == OP_WGMMA || i->op == OP_MBARRIER || i->op == OP_CP_BULK || i->op == OP_SETMAXNREG;
}

/* m64nNkK */
static bool take_shape(ptx_instruction *i, const char *part) {
  char *end;
  if (strncmp(part, "m64n", 4) != 0) return false;
  const unsigned long columns = strtoul(part + 4, &end, 10);
  if (*end != 'k') return false;
  const unsigned long depth = strtoul(end + 1, &end, 10);
  if (*end || !columns || columns > MOST_COLUMNS || columns % 8 || (depth != 16 && depth != 32)) return false;
  i->columns = (uint16_t)columns;
  i->depth = (uint16_t)depth;
  return true;
}

static bool set_mode(ptx_instruction *i, unsigned mode) {
  i->mode = (uint8_t)mode;
  return true;
}

static bool take_wgmma(ptx_instruction *i, const char *part) {
  static const char *const names[] = {"", "mma_async", "fence", "commit_group", "wait_group"};
  for (unsigned k = WGMMA_PRODUCT; k <= WGMMA_WAIT; k++)
    if (!strcmp(part, names[k]) && !i->mode) return set_mode(i, k);
  return take_shape(i, part);
}

static bool take_mbarrier(ptx_instruction *i, const char *part) {
  if (!strcmp(part, "init")) return set_mode(i, MBARRIER_INIT);
  if (!strcmp(part, "arrive")) return set_mode(i, MBARRIER_ARRIVE);
  if (!strcmp(part, "expect_tx") && i->mode == MBARRIER_ARRIVE) return set_mode(i, MBARRIER_EXPECT);
  if (!strcmp(part, "try_wait")) return set_mode(i, MBARRIER_TRY);
  return !strcmp(part, "parity") && i->mode == MBARRIER_TRY && set_mode(i, MBARRIER_WAIT);
}

static bool take_bulk(ptx_instruction *i, const char *part) {
  if (!strcmp(part, "shared::cluster")) { /* of a cluster of one block */
    i->space = SPACE_SHARED;
    return true;
  }
  return !strcmp(part, "mbarrier::complete_tx::bytes") && set_mode(i, 1);
}

bool decode_hopper_part(ptx_instruction *i, const char *part) {
  switch (i->op) {
    case OP_WGMMA:
      return take_wgmma(i, part);
    case OP_MBARRIER:
      return take_mbarrier(i, part);
    case OP_CP_BULK:
      return take_bulk(i, part);
    case OP_SETMAXNREG:
      return !strcmp(part, "inc") || !strcmp(part, "dec");
    default:
      return false;
  }
}

/* ---- operands ---- */

static bool is_number(const ptx_operand *o, uint64_t v) { return o->kind == OPERAND_VALUE && o->value == v; }

static bool registers(const ptx_operand *o, unsigned n) {
  if (o->kind != OPERAND_VECTOR || o->n_elements != n) return false;
  for (unsigned k = 0; k < n; k++)
    if (o->elements[k].kind != OPERAND_REGISTER) return false;
  return true;
}

/* D, A of registers or a descriptor, B's descriptor, whether D is added; of floats +1, +1, and a 0 for each
 * descriptor: not transposed. */
static const char *why_not_product(const ptx_instruction *i, unsigned n_types, const ptx_type t[4]) {
  if (n_types != 3) return "wgmma with other than three types";
  const bool floats = t[0] == PTX_F32 && t[1] == PTX_F16 && t[2] == PTX_F16 && i->depth == 16;
  const bool bytes = t[0] == PTX_S32 && t[1] == PTX_S8 && t[2] == PTX_S8 && i->depth == 32;
  if ((!floats && !bytes) || i->saturate) return "wgmma of these types and this shape";
  const ptx_operand *o = i->operands;
  const bool a_in_registers = o[1].kind == OPERAND_VECTOR;
  const unsigned n = bytes ? 4 : a_in_registers ? 7 : 8;
  if (i->n_operands != n || !registers(&o[0], i->columns / 2u) || (a_in_registers && !registers(&o[1], 4)) ||
      (!a_in_registers && o[1].kind != OPERAND_REGISTER) || o[2].kind != OPERAND_REGISTER ||
      o[3].kind != OPERAND_REGISTER)
    return "wgmma with these operands";
  if (floats && (!is_number(&o[4], 1) || !is_number(&o[5], 1))) return "wgmma with a factor of -1";
  for (unsigned k = 6; k < n; k++)
    if (!is_number(&o[k], 0)) return "wgmma with a transposed operand";
  return NULL;
}

static const char *why_not_wgmma(const ptx_instruction *i, unsigned n_types, const ptx_type t[4]) {
  switch (i->mode) {
    case WGMMA_PRODUCT:
      return why_not_product(i, n_types, t);
    case WGMMA_WAIT:
      return i->n_operands == 1 && i->operands[0].kind == OPERAND_VALUE ? NULL : "wgmma with these operands";
    case WGMMA_FENCE:
    case WGMMA_COMMIT:
      return i->n_operands ? "wgmma with these operands" : NULL;
    default:
      return "this form of wgmma";
  }
}

static const char *why_not_mbarrier(const ptx_instruction *i) {
  const bool has_result = i->mode != MBARRIER_INIT;
  const ptx_operand *o = i->operands;
  const unsigned n = i->mode == MBARRIER_INIT ? 2 : 3;
  if (i->mode == MBARRIER_NONE || i->mode == MBARRIER_TRY || i->space != SPACE_SHARED)
    return "this form of mbarrier";
  if (i->n_operands != n && !(i->mode == MBARRIER_ARRIVE && i->n_operands == 2))
    return "mbarrier with these operands";
  if (o[has_result].kind != OPERAND_ADDRESS) return "mbarrier with these operands";
  if (i->mode == MBARRIER_WAIT ? o[0].kind != OPERAND_REGISTER : has_result && o[0].kind != OPERAND_NONE)
    return "mbarrier with a state as its result";
  for (unsigned k = has_result + 1u; k < i->n_operands; k++)
    if (o[k].kind != OPERAND_REGISTER && o[k].kind != OPERAND_VALUE) return "mbarrier with these operands";
  return NULL;
}

const char *decode_why_not_hopper(const ptx_instruction *i, unsigned n_types, const ptx_type t[4]) {
  const ptx_operand *o = i->operands;
  switch (i->op) {
    case OP_WGMMA:
      return why_not_wgmma(i, n_types, t);
    case OP_MBARRIER:
      return why_not_mbarrier(i);
    case OP_CP_BULK:
      return i->mode == 1 && i->space == SPACE_SHARED && i->to_space == SPACE_GLOBAL && i->n_operands == 4 &&
                     o[0].kind == OPERAND_ADDRESS && o[1].kind == OPERAND_ADDRESS &&
                     (o[2].kind == OPERAND_REGISTER || o[2].kind == OPERAND_VALUE) &&
                     o[3].kind == OPERAND_ADDRESS
                 ? NULL
                 : "this form of cp.async.bulk";
    case OP_SETMAXNREG:
      return o[0].kind == OPERAND_VALUE && o[0].value >= 24 && o[0].value <= 256 && o[0].value % 8 == 0
                 ? NULL
                 : "setmaxnreg of other than 24, 32, .. 256 registers";
    default:
      return NULL;
  }
}
