/* decode.c - one instruction: its mnemonic's parts to fields, its operands, and what of it is supported. */
#include <stdio.h>
#include <string.h>

#include "backends/cuda/ptxemu/parse_internal.h"

enum { MAX_PARTS = 20, MAX_VECTOR = 128 };

/* ---- operands ---- */

static void set_value(parser *p, ptx_operand *o, uint64_t value) {
  o->kind = OPERAND_VALUE;
  o->value = value;
  o->lanes = parse_alloc(p, 32, sizeof *o->lanes);
  for (int l = 0; l < 32; l++) o->lanes[l] = value;
}

static uint64_t parse_integer(parser *p) {
  const bool minus = parse_accept(p, '-');
  if (p->now.kind != TOKEN_NUMBER) parse_fail(p, "a number was expected");
  const uint64_t v = p->now.value;
  parse_next(p);
  return minus ? (uint64_t)0 - v : v;
}

/* Names like %cluster_ctarank.x, without a number: the processor's, not a program's. */
static bool names_special(const char *at, size_t n) {
  for (size_t i = 1; i < n; i++)
    if (at[i] >= '0' && at[i] <= '9') return false;
  return *at == '%' && n > 3;
}

static void parse_name_operand(parser *p, ptx_operand *o) {
  const char *at = p->now.at;
  const size_t n = p->now.n;
  int32_t reg = -1;
  uint64_t special;
  if (n == 1 && *at == '_') {
    o->kind = OPERAND_NONE;
  } else if (n == 7 && !memcmp(at, "WARP_SZ", 7)) {
    set_value(p, o, 32);
  } else if (*at == '%' && ptx_special_find(at, n, &special)) {
    o->kind = OPERAND_SPECIAL;
    o->value = special;
  } else {
    const symbol *s = parse_symbol(p, at, n, &reg);
    if (!s && !names_special(at, n)) parse_fail(p, "%.*s is not declared", (int)n, at);
    if (!s) {
      p->has_unknown_special = true;
    } else if (s->kind == SYMBOL_REGISTERS) {
      o->kind = OPERAND_REGISTER;
      o->reg = reg;
      o->wide = s->wide;
    } else {
      set_value(p, o, s->offset);
      o->space = s->space;
      o->relocated = s->space == SPACE_GLOBAL || s->space == SPACE_CONST;
      o->dynamic = s->dynamic;
    }
  }
  parse_next(p);
}

static void parse_address(parser *p, ptx_operand *o) {
  parse_expect(p, '[');
  ptx_operand base = {.reg = -1};
  if (p->now.kind == TOKEN_WORD)
    parse_name_operand(p, &base);
  else
    set_value(p, &base, parse_integer(p));
  *o = base;
  if (base.kind != OPERAND_REGISTER && base.kind != OPERAND_VALUE && !p->has_unknown_special)
    parse_fail(p, "an address was expected");
  if (base.kind == OPERAND_REGISTER) o->value = 0;
  o->kind = OPERAND_ADDRESS;
  if (parse_accept(p, '+'))
    o->value += parse_integer(p);
  else if (p->now.kind == TOKEN_PUNCT && *p->now.at == '-')
    o->value += parse_integer(p);
  parse_expect(p, ']');
}

static void parse_operand(parser *p, ptx_operand *o) {
  *o = (ptx_operand){.reg = -1};
  if (p->now.kind == TOKEN_PUNCT && *p->now.at == '[') {
    parse_address(p, o);
  } else if (parse_accept(p, '{')) {
    ptx_operand elements[MAX_VECTOR];
    do {
      if (p->now.kind == TOKEN_PUNCT && *p->now.at == '{') parse_fail(p, "a vector within a vector");
      if (o->n_elements == MAX_VECTOR) parse_fail(p, "a vector has at most %d elements", MAX_VECTOR);
      parse_operand(p, &elements[o->n_elements]);
      if (elements[o->n_elements++].kind > OPERAND_SPECIAL)
        parse_fail(p, "a vector holds registers and numbers");
    } while (parse_accept(p, ','));
    parse_expect(p, '}');
    o->kind = OPERAND_VECTOR;
    o->elements = parse_alloc(p, o->n_elements, sizeof *elements);
    memcpy(o->elements, elements, o->n_elements * sizeof *elements);
  } else if (parse_accept(p, '!')) {
    parse_operand(p, o);
    if (o->kind != OPERAND_REGISTER) parse_fail(p, "a predicate was expected after '!'");
    o->negated = true;
  } else if (p->now.kind == TOKEN_WORD) {
    parse_name_operand(p, o);
  } else {
    set_value(p, o, parse_integer(p));
  }
}

static void parse_operands(parser *p, ptx_instruction *i) {
  while (p->now.kind != TOKEN_PUNCT || *p->now.at != ';') {
    if (i->n_operands == PTX_MAX_OPERANDS) parse_fail(p, "more operands than an instruction has");
    parse_operand(p, &i->operands[i->n_operands++]);
    if (!parse_accept(p, ',') && !parse_accept(p, '|')) break;
  }
  parse_expect(p, ';');
}

/* ---- mnemonics ---- */

typedef struct {
  const char *name;
  ptx_op op;
  unsigned char operands_min, operands_max;
} mnemonic;

static const mnemonic mnemonics[] = {
    {"mov", OP_MOV, 2, 2},
    {"add", OP_ADD, 3, 3},
    {"sub", OP_SUB, 3, 3},
    {"mul", OP_MUL, 3, 3},
    {"mad", OP_MAD, 4, 4},
    {"fma", OP_FMA, 4, 4},
    {"div", OP_DIV, 3, 3},
    {"rem", OP_REM, 3, 3},
    {"min", OP_MIN, 3, 3},
    {"max", OP_MAX, 3, 3},
    {"neg", OP_NEG, 2, 2},
    {"abs", OP_ABS, 2, 2},
    {"copysign", OP_COPYSIGN, 3, 3},
    {"and", OP_AND, 3, 3},
    {"or", OP_OR, 3, 3},
    {"xor", OP_XOR, 3, 3},
    {"not", OP_NOT, 2, 2},
    {"shl", OP_SHL, 3, 3},
    {"shr", OP_SHR, 3, 3},
    {"shf", OP_SHF, 4, 4},
    {"lop3", OP_LOP3, 5, 5},
    {"prmt", OP_PRMT, 4, 4},
    {"bfe", OP_BFE, 4, 4},
    {"bfi", OP_BFI, 5, 5},
    {"popc", OP_POPC, 2, 2},
    {"clz", OP_CLZ, 2, 2},
    {"brev", OP_BREV, 2, 2},
    {"bfind", OP_BFIND, 2, 2},
    {"dp4a", OP_DP4A, 4, 4},
    {"dp2a", OP_DP2A, 4, 4},
    {"setp", OP_SETP, 3, 5},
    {"set", OP_SET, 3, 3},
    {"selp", OP_SELP, 4, 4},
    {"cvt", OP_CVT, 2, 3},
    {"cvta", OP_CVTA, 2, 2},
    {"isspacep", OP_ISSPACEP, 2, 2},
    {"testp", OP_TESTP, 2, 2},
    {"rcp", OP_RCP, 2, 2},
    {"sqrt", OP_SQRT, 2, 2},
    {"rsqrt", OP_RSQRT, 2, 2},
    {"ex2", OP_EX2, 2, 2},
    {"lg2", OP_LG2, 2, 2},
    {"sin", OP_SIN, 2, 2},
    {"cos", OP_COS, 2, 2},
    {"tanh", OP_TANH, 2, 2},
    {"ld", OP_LD, 2, 2},
    {"ldu", OP_LD, 2, 2},
    {"st", OP_ST, 2, 2},
    {"atom", OP_ATOM, 3, 4},
    {"red", OP_ATOM, 2, 2},
    {"ldmatrix", OP_LDMATRIX, 2, 2},
    {"cp", OP_CP_ASYNC, 0, 5},
    {"membar", OP_FENCE, 0, 0},
    {"fence", OP_FENCE, 0, 0},
    {"bar", OP_BAR, 1, 4},
    {"barrier", OP_BAR, 1, 4},
    {"shfl", OP_SHFL, 5, 6},
    {"vote", OP_VOTE, 3, 3},
    {"redux", OP_REDUX, 3, 3},
    {"match", OP_MATCH, 3, 4},
    {"activemask", OP_ACTIVEMASK, 1, 1},
    {"mma", OP_MMA, 4, 4},
    {"wgmma", OP_WGMMA, 0, 8},
    {"mbarrier", OP_MBARRIER, 2, 4},
    {"setmaxnreg", OP_SETMAXNREG, 1, 1},
    {"ret", OP_RET, 0, 0},
    {"exit", OP_EXIT, 0, 0},
    {"trap", OP_TRAP, 0, 0},
    {"nanosleep", OP_NOP, 1, 1},
    {"prefetch", OP_NOP, 1, 1},
    {"prefetchu", OP_NOP, 1, 1},
    {"pmevent", OP_NOP, 1, 1},
    {"griddepcontrol", OP_DEPEND, 0, 0},
    {"sad", OP_SAD, 4, 4},
};

/* Parts that only say how fast, how cached or how visible: the emulator's memory is coherent. */
static const char *const ignored_parts[] = {
    "uni",   "sync", "aligned",  "nc",         "ca",      "cg",      "cs",      "lu",      "cv",
    "wb",    "wt",   "volatile", "weak",       "relaxed", "acquire", "release", "acq_rel", "sc",
    "cta",   "gpu",  "sys",      "gl",         "cluster", "full",    "row",     "col",     "m8n8",
    "async", "L1",   "L2",       "async_bulk", "mmio",    "noftz"};

typedef struct {
  const char *name;
  unsigned char value;
} named;

static bool find_named(const named *list, size_t n, const char *part, unsigned char *value) {
  for (size_t i = 0; i < n; i++)
    if (!strcmp(list[i].name, part)) {
      *value = list[i].value;
      return true;
    }
  return false;
}
#define FIND(list, part, value) find_named(list, sizeof(list) / sizeof *(list), part, value)

static const named compares[] = {{"eq", CMP_EQ},   {"ne", CMP_NE},   {"lt", CMP_LT},   {"le", CMP_LE},
                                 {"gt", CMP_GT},   {"ge", CMP_GE},   {"lo", CMP_LT},   {"ls", CMP_LE},
                                 {"hi", CMP_GT},   {"hs", CMP_GE},   {"equ", CMP_EQU}, {"neu", CMP_NEU},
                                 {"ltu", CMP_LTU}, {"leu", CMP_LEU}, {"gtu", CMP_GTU}, {"geu", CMP_GEU},
                                 {"num", CMP_NUM}, {"nan", CMP_NAN}};
static const named combines[] = {{"and", BOOL_AND}, {"or", BOOL_OR}, {"xor", BOOL_XOR}};
static const named spaces[] = {{"global", SPACE_GLOBAL},      {"shared", SPACE_SHARED},
                               {"local", SPACE_LOCAL},        {"param", SPACE_PARAM},
                               {"const", SPACE_CONST},        {"shared::cta", SPACE_SHARED},
                               {"param::entry", SPACE_PARAM}, {"param::func", SPACE_PARAM}};
static const named roundings[] = {{"rn", ROUND_RN}, {"rz", ROUND_RZ}, {"rm", ROUND_RM}, {"rp", ROUND_RP}};
static const named integer_roundings[] = {
    {"rni", ROUND_RN}, {"rzi", ROUND_RZ}, {"rmi", ROUND_RM}, {"rpi", ROUND_RP}};
static const named atoms[] = {{"add", ATOM_ADD}, {"min", ATOM_MIN}, {"max", ATOM_MAX},   {"and", ATOM_AND},
                              {"or", ATOM_OR},   {"xor", ATOM_XOR}, {"exch", ATOM_EXCH}, {"cas", ATOM_CAS},
                              {"inc", ATOM_INC}, {"dec", ATOM_DEC}};
static const named shuffles[] = {
    {"up", SHFL_UP}, {"down", SHFL_DOWN}, {"bfly", SHFL_BFLY}, {"idx", SHFL_IDX}};
static const named votes[] = {
    {"all", VOTE_ALL}, {"any", VOTE_ANY}, {"uni", VOTE_UNI}, {"ballot", VOTE_BALLOT}};
static const named matches[] = {{"any", VOTE_ANY}, {"all", VOTE_ALL}};
static const named halves[] = {{"lo", HALF_LO}, {"hi", HALF_HI}, {"wide", HALF_WIDE}};
static const named shapes[] = {{"m16n8k16", MMA_16816}, {"m16n8k8", MMA_1688}, {"m16n8k32", MMA_16832}};
static const named barriers[] = {
    {"arrive", BAR_ARRIVE}, {"popc", BAR_RED_POPC}, {"and", BAR_RED_AND}, {"or", BAR_RED_OR}};
static const named widths[] = {{"v2", 2}, {"v4", 4}, {"v8", 8}, {"x1", 1}, {"x2", 2}, {"x4", 4}};

/* A part that only one kind of instruction has. */
static bool take_own_part(ptx_instruction *i, const char *part) {
  switch (i->op) {
    case OP_SETP:
    case OP_SET:
      return FIND(compares, part, &i->compare) || FIND(combines, part, &i->combine);
    case OP_ATOM:
    case OP_REDUX:
      return FIND(atoms, part, &i->mode);
    case OP_SHFL:
      return FIND(shuffles, part, &i->mode);
    case OP_VOTE:
      return FIND(votes, part, &i->mode);
    case OP_MATCH:
      return FIND(matches, part, &i->mode);
    case OP_MUL:
    case OP_MAD:
      return FIND(halves, part, &i->mode);
    case OP_MMA:
      return FIND(shapes, part, &i->mode);
    case OP_BAR:
      if (!strcmp(part, "warp")) {
        i->op = OP_BAR_WARP;
        return true;
      }
      if (!strcmp(part, "cluster")) return false;
      return FIND(barriers, part, &i->mode) || !strcmp(part, "red");
    case OP_SHF:
      if (!strcmp(part, "l")) return i->left = true;
      if (!strcmp(part, "r")) return true;
      if (!strcmp(part, "wrap")) return i->wrap = true;
      return !strcmp(part, "clamp") && (i->clamp = true);
    case OP_CP_ASYNC:
      if (!strcmp(part, "commit_group"))
        i->op = OP_CP_COMMIT;
      else if (!strcmp(part, "wait_group"))
        i->op = OP_CP_WAIT;
      else if (!strcmp(part, "wait_all"))
        i->op = OP_CP_WAIT, i->mode = 1;
      else if (!strcmp(part, "bulk"))
        i->op = OP_CP_BULK;
      else
        return false;
      return true;
    case OP_CVTA:
      return !strcmp(part, "to") && (i->to = true);
    case OP_DEPEND:
      return !strcmp(part, "launch_dependents") || (!strcmp(part, "wait") && (i->mode = 1));
    case OP_LDMATRIX:
      return !strcmp(part, "trans") && (i->transposed = true);
    case OP_BFIND:
      return !strcmp(part, "shiftamt") && (i->wrap = true);
    case OP_NOP:
      return true; /* hints */
    case OP_FENCE:
      if (!strcmp(part, "proxy")) i->op = OP_FENCE_PROXY;
      return i->op == OP_FENCE_PROXY || !strcmp(part, "mbarrier_init");
    default:
      return decode_hopper_part(i, part);
  }
}

static bool take_part(ptx_instruction *i, const char *part, unsigned *n_types, ptx_type types[4]) {
  if (take_own_part(i, part)) return true;
  if (i->op == OP_BAR && !strcmp(part, "cluster")) return false;
  ptx_type t;
  if (parse_type(part, strlen(part), &t)) {
    if (*n_types < 4) types[(*n_types)++] = t;
    return true;
  }
  unsigned char space;
  if (FIND(spaces, part, &space)) {
    if (i->space == SPACE_GENERIC)
      i->space = space;
    else
      i->to_space = space; /* cp.async.shared.global */
    return true;
  }
  if (FIND(roundings, part, &i->rounding)) return true;
  if (FIND(integer_roundings, part, &i->rounding)) return i->integer_rounding = true;
  if (FIND(widths, part, &i->vector)) return true;
  if (!strcmp(part, "sat") || !strcmp(part, "satfinite")) return i->saturate = true;
  if (!strcmp(part, "ftz")) return i->flush = true;
  if (!strcmp(part, "approx")) return i->approx = true;
  if (!strcmp(part, "full") && i->op == OP_DIV) return i->approx = true;
  if (!strcmp(part, "NaN")) return i->nan = true;
  if (i->op == OP_FENCE_PROXY) return !strcmp(part, "async"); /* of other proxies */
  for (size_t k = 0; k < sizeof ignored_parts / sizeof *ignored_parts; k++)
    if (!strcmp(part, ignored_parts[k])) return true;
  return !strncmp(part, "L1::", 4) || (!strncmp(part, "L2::", 4) && strcmp(part, "L2::cache_hint"));
}

static size_t split(parser *p, const token *t, const char *parts[MAX_PARTS]) {
  size_t n = 0;
  const char *at = t->at, *end = t->at + t->n;
  while (at < end) {
    const char *dot = memchr(at, '.', (size_t)(end - at));
    if (!dot) dot = end;
    if (n == MAX_PARTS) parse_fail(p, "a mnemonic with more than %d parts", MAX_PARTS);
    parts[n++] = parse_copy(p, at, (size_t)(dot - at));
    at = dot + 1;
  }
  return n;
}

/* ---- what is supported ---- */

static bool is_half(ptx_type t) { return t == PTX_F16 || t == PTX_BF16; }
static bool is_pair(ptx_type t) { return t == PTX_F16X2 || t == PTX_BF16X2; }

static const char *why_mma(const ptx_instruction *i, unsigned n_types, const ptx_type t[4]) {
  if (n_types != 4) return "mma with other than four types";
  const bool bytes = (t[1] == PTX_S8 || t[1] == PTX_U8) && (t[2] == PTX_S8 || t[2] == PTX_U8);
  if (bytes && t[0] == PTX_S32 && t[3] == PTX_S32 && (i->mode == MMA_16832 || i->mode == MMA_16816))
    return NULL;
  if (is_half(t[1]) && t[2] == t[1] && t[0] == PTX_F32 && t[3] == PTX_F32 && i->mode != MMA_16832)
    return NULL;
  return "mma of these types and this shape";
}

static bool vector_has(const ptx_operand *o, unsigned n) {
  return o->kind == OPERAND_VECTOR && o->n_elements == n;
}

static const char *why_mma_operands(const ptx_instruction *i, const ptx_type t[4]) {
  const bool bytes = t[1] == PTX_S8 || t[1] == PTX_U8;
  const bool large = bytes ? i->mode == MMA_16832 : i->mode == MMA_16816;
  const bool fine = vector_has(&i->operands[0], 4) && vector_has(&i->operands[1], large ? 4 : 2) &&
                    vector_has(&i->operands[2], large ? 2 : 1) && vector_has(&i->operands[3], 4);
  /* one register stands without braces */
  const bool single = !large && i->operands[2].kind == OPERAND_REGISTER && vector_has(&i->operands[0], 4) &&
                      vector_has(&i->operands[1], 2) && vector_has(&i->operands[3], 4);
  return fine || single ? NULL : "mma with these operands";
}

static const char *why_unsupported(const ptx_instruction *i, unsigned n_types, const ptx_type t[4]) {
  const ptx_type type = (ptx_type)i->type, from = (ptx_type)i->type2;
  switch (i->op) {
    case OP_MMA: {
      const char *why = why_mma(i, n_types, t);
      return why ? why : why_mma_operands(i, t);
    }
    case OP_MUL:
    case OP_MAD:
      if (i->saturate && !ptx_is_float(type)) return "a saturating integer product";
      return i->op == OP_MAD && ptx_is_float(type) && type != PTX_F32 && type != PTX_F64 ? "mad of this type"
                                                                                         : NULL;
    case OP_FMA:
      return ptx_is_float(type) ? NULL : "fma of this type";
    case OP_DIV:
    case OP_RCP:
    case OP_SQRT:
      return is_half(type) || is_pair(type) ? "this operation of this type" : NULL;
    case OP_RSQRT:
    case OP_EX2:
    case OP_LG2:
    case OP_SIN:
    case OP_COS:
    case OP_TANH:
      return type == PTX_F32 || type == PTX_F64 ? NULL : "this function of this type";
    case OP_SET:
      return ptx_is_float(type) || is_pair(from) ? "set of this type" : NULL;
    case OP_SETP:
      return is_pair(from) || is_pair(type) ? "comparing pairs" : NULL;
    case OP_CVT:
      if (i->n_operands == 3)
        return is_pair(type) && from == PTX_F32 ? NULL : "a conversion of two to one of these types";
      return is_pair(type) || is_pair(from) ? "this conversion" : NULL;
    case OP_ATOM:
      if (i->vector > 1) return "an atomic operation on vectors";
      if (ptx_is_float(type) && (i->mode != ATOM_ADD || (type != PTX_F32 && type != PTX_F64)))
        return "this atomic operation on this type";
      return NULL;
    case OP_LD:
    case OP_ST:
      if (type == PTX_B128) return "128-bit registers";
      return ptx_type_bytes(type) * (i->vector ? i->vector : 1u) > 16 ? "an access of more than 16 bytes"
                                                                      : NULL;
    case OP_SHF:
      return i->wrap || i->clamp ? NULL : "shf without a mode";
    case OP_ISSPACEP:
    case OP_CVTA:
      return i->space == SPACE_GENERIC ? "this address space" : NULL;
    case OP_CP_ASYNC:
      return i->space == SPACE_SHARED && i->to_space == SPACE_GLOBAL && i->n_operands >= 3 &&
                     i->n_operands <= 4
                 ? NULL
                 : "this form of cp";
    case OP_TESTP:
      return "testp";
    default:
      return decode_why_not_hopper(i, n_types, t);
  }
}

/* Each operand is of the kind that its place wants: what the executor relies on. */
static bool kinds_fit(const ptx_instruction *i) {
  for (unsigned k = 0; k < i->n_operands; k++) {
    const ptx_operand *o = &i->operands[k];
    const bool address = (i->op == OP_LD && k == 1) || (i->op == OP_ST && k == 0) ||
                         (i->op == OP_ATOM && k == 1) || (i->op == OP_LDMATRIX && k == 1) ||
                         (i->op == OP_CP_ASYNC && k < 2);
    if (i->op == OP_NOP || i->op == OP_MMA || decode_is_hopper(i))
      continue; /* they have a check of their own */
    const bool vector = (i->op == OP_LD && k == 0) || (i->op == OP_ST && k == 1) ||
                        (i->op == OP_LDMATRIX && k == 0) || (i->op == OP_PACK && k == 1) ||
                        (i->op == OP_UNPACK && k == 0);
    if (address != (o->kind == OPERAND_ADDRESS)) return false;
    if (o->kind == OPERAND_VECTOR && !vector) return false;
    const bool result = k == 0 && i->op != OP_ST && i->op != OP_BAR && i->op != OP_BAR_WARP &&
                        i->op != OP_CP_WAIT && i->op != OP_CP_ASYNC;
    if (result && o->kind != OPERAND_REGISTER && o->kind != OPERAND_VECTOR && o->kind != OPERAND_NONE)
      return false;
  }
  const unsigned vector = i->vector ? i->vector : 1;
  if (i->op == OP_LD || i->op == OP_LDMATRIX || i->op == OP_ST) {
    const ptx_operand *o = &i->operands[i->op == OP_ST];
    if (o->kind == OPERAND_VECTOR ? o->n_elements != vector : vector != 1) return false;
  }
  return true;
}

/* mov between a register and a vector of its parts. */
static void decode_move(parser *p, ptx_instruction *i) {
  if (i->operands[1].kind == OPERAND_VECTOR) i->op = OP_PACK;
  if (i->operands[0].kind == OPERAND_VECTOR) i->op = OP_UNPACK;
  if (i->op == OP_MOV) return;
  const ptx_operand *v = &i->operands[i->op == OP_PACK];
  if (i->operands[i->op != OP_PACK].kind == OPERAND_VECTOR) parse_fail(p, "mov of a vector to a vector");
  if (ptx_type_bytes(i->type) % v->n_elements) parse_fail(p, "mov of a vector that does not fill its type");
}

/* red is atom without a result; bar.red and setp have their results first. */
static void normalise(parser *p, ptx_instruction *i, bool is_red) {
  if (is_red) {
    if (i->n_operands >= PTX_MAX_OPERANDS) parse_fail(p, "more operands than red has");
    memmove(&i->operands[1], &i->operands[0], i->n_operands * sizeof *i->operands);
    i->operands[0] = (ptx_operand){.kind = OPERAND_NONE, .reg = -1};
    i->n_operands++;
  }
  if (i->op == OP_MOV) decode_move(p, i);
  /* .param variables of calls and of functions are a thread's own memory; a kernel's are the launch's. */
  if (i->space == SPACE_PARAM && (i->op == OP_LD || i->op == OP_ST)) {
    const ptx_operand *address = &i->operands[i->op == OP_LD];
    if (address->space == SPACE_LOCAL || (address->reg >= 0 && !p->f->is_kernel)) i->space = SPACE_LOCAL;
  }
}

static void decode_types(ptx_instruction *i, unsigned n, const ptx_type t[4]) {
  i->type = n ? t[0] : PTX_NONE;
  i->type2 = n > 1 ? t[1] : i->type;
  if ((i->op == OP_MMA && n == 4) || (i->op == OP_WGMMA && n == 3)) {
    i->type = t[1];
    i->type2 = t[2];
    i->type_c = t[0];
  }
  if (i->op == OP_MATCH || i->op == OP_VOTE) i->type2 = i->type;
}

/* ---- calls and branches ---- */

static label *add_label(parser *p, label **list, unsigned *n, unsigned *capacity, const token *t,
                        unsigned at) {
  *list = parse_grow(p, *list, *n, capacity, sizeof **list);
  label *l = &(*list)[(*n)++];
  *l = (label){t->at, t->n, at};
  return l;
}

static void parse_transfers(parser *p, ptx_transfer **list, unsigned *n) {
  ptx_transfer items[32];
  *n = 0;
  if (!parse_accept(p, ')')) {
    do {
      if (*n == 32) parse_fail(p, "a call has at most 32 parameters here");
      int32_t reg;
      const symbol *s = p->now.kind == TOKEN_WORD ? parse_symbol(p, p->now.at, p->now.n, &reg) : NULL;
      if (!s || s->kind != SYMBOL_VARIABLE || s->space != SPACE_LOCAL)
        parse_fail(p, "a call's parameter has to be a .param variable");
      items[(*n)++] = (ptx_transfer){s->offset, s->offset, s->size};
      parse_next(p);
    } while (parse_accept(p, ','));
    parse_expect(p, ')');
  }
  *list = parse_alloc(p, *n + 1, sizeof **list);
  memcpy(*list, items, *n * sizeof **list);
}

static void parse_call(parser *p, ptx_instruction *i) {
  ptx_call c = {.instruction = p->m->n_code};
  if (parse_accept(p, '(')) {
    parse_transfers(p, &c.out, &c.n_out);
    parse_expect(p, ',');
  }
  if (p->now.kind != TOKEN_WORD) parse_fail(p, "the name of a function was expected");
  for (unsigned k = 0; k < p->m->n_functions; k++)
    if (token_is(&p->now, p->m->functions[k]->name)) i->callee = p->m->functions[k];
  if (!i->callee) i->unsupported = "a call through a pointer";
  parse_next(p);
  if (parse_accept(p, ',')) {
    if (parse_accept(p, '('))
      parse_transfers(p, &c.in, &c.n_in);
    else
      i->unsupported = "a call through a pointer";
  }
  while (!i->callee && p->now.kind != TOKEN_END && !(p->now.kind == TOKEN_PUNCT && *p->now.at == ';'))
    parse_next(p);
  parse_expect(p, ';');
  p->f->calls = true;
  p->m->calls = parse_grow(p, p->m->calls, p->m->n_calls, &p->m->cap_calls, sizeof c);
  p->m->calls[p->m->n_calls++] = c;
}

static void add(parser *p, ptx_instruction *i) {
  if (i->unsupported) {
    if (p->strict) {
      p->now.line = i->line;
      parse_fail(p, "%s is not supported: %s", i->unsupported, i->text);
    }
    i->op = OP_UNSUPPORTED;
  }
  p->f->has_fence |= i->op == OP_FENCE;
  p->f->has_wgmma |= i->op == OP_WGMMA;
  p->f->has_atomic |= i->op == OP_ATOM && i->space != SPACE_SHARED;
  p->m->code = parse_grow(p, p->m->code, p->m->n_code, &p->m->cap_code, sizeof *i);
  p->m->code[p->m->n_code++] = *i;
}

static void skip_statement(parser *p) {
  while (p->now.kind != TOKEN_END && !(p->now.kind == TOKEN_PUNCT && *p->now.at == ';')) parse_next(p);
  parse_expect(p, ';');
}

void parse_instruction(parser *p, int32_t predicate, bool negated, const char *text) {
  ptx_instruction i = {
      .predicate = predicate, .predicate_negated = negated, .target = -1, .line = p->now.line};
  if (p->now.kind != TOKEN_WORD) parse_fail(p, "an instruction was expected");
  const char *end = memchr(text, ';', (size_t)(p->lex.end - text));
  i.text = parse_copy(p, text, end ? (size_t)(end - text) : p->now.n);
  const char *parts[MAX_PARTS];
  const size_t n_parts = split(p, &p->now, parts);
  parse_next(p);
  const char *base = n_parts ? parts[0] : "";
  if (!strcmp(base, "call")) {
    i.op = OP_CALL;
    parse_call(p, &i);
    add(p, &i);
    return;
  }
  if (!strcmp(base, "bra")) {
    i.op = OP_BRA;
    if (p->now.kind != TOKEN_WORD) parse_fail(p, "a label was expected");
    add_label(p, &p->jumps, &p->n_jumps, &p->cap_jumps, &p->now, p->m->n_code);
    parse_next(p);
    parse_expect(p, ';');
    add(p, &i);
    return;
  }
  const mnemonic *known = NULL;
  for (size_t k = 0; k < sizeof mnemonics / sizeof *mnemonics; k++)
    if (!strcmp(base, mnemonics[k].name)) known = &mnemonics[k];
  if (!known) {
    i.unsupported = base;
    skip_statement(p);
    add(p, &i);
    return;
  }
  i.op = known->op;
  ptx_type types[4] = {PTX_NONE};
  unsigned n_types = 0;
  for (size_t k = 1; k < n_parts; k++)
    if (!take_part(&i, parts[k], &n_types, types) && !i.unsupported) {
      char what[64];
      const int n = snprintf(what, sizeof what, "%s with .%.40s", base, parts[k]);
      i.unsupported = parse_copy(p, what, (size_t)n);
    }
  if (i.unsupported) {
    skip_statement(p);
    add(p, &i);
    return;
  }
  p->has_unknown_special = false;
  parse_operands(p, &i);
  if (p->has_unknown_special) {
    i.unsupported = "this special register";
    add(p, &i);
    return;
  }
  decode_types(&i, n_types, types);
  if (i.n_operands < known->operands_min || i.n_operands > known->operands_max)
    parse_fail(p, "%s has other operands", base);
  normalise(p, &i, !strcmp(base, "red"));
  i.unsupported = why_unsupported(&i, n_types, types);
  if (!i.unsupported && i.approx && p->refuse_approx) i.unsupported = "an approximate instruction";
  if (!i.unsupported && !kinds_fit(&i)) i.unsupported = "this instruction with these operands";
  add(p, &i);
}
