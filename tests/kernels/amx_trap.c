/* amx_trap.c - the handler reads the instruction at hand, does what Intel's manual (SDM volume 2, "TDPBSSD"
 * and others) says of it in plain C, and steps over it. It knows what amx_tile.h uses; anything else ends the
 * test as SIGILL does. */
#define _GNU_SOURCE /* REG_RIP */
#include "tests/kernels/amx_trap.h"

#if defined(__x86_64__) && defined(__linux__)
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

typedef struct amx_state {
  bool taken;
  uint8_t config[64]; /* as ldtilecfg read it */
  uint8_t tile[8][16][64];
} amx_state;
static _Thread_local amx_state amx_here;

static int amx_rows(int t) { return amx_here.config[48 + t]; }
static int amx_row_bytes(int t) { return amx_here.config[16 + 2 * t] | amx_here.config[17 + 2 * t] << 8; }

/* A general register of the interrupted thread, by its number in instructions. */
static uint64_t amx_register(const ucontext_t *u, int n) {
  static const int at[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return (uint64_t)u->uc_mcontext.gregs[at[n]];
}

/* An instruction: VEX with three bytes, an opcode, ModRM and an operand in memory or a register. */
typedef struct amx_instruction {
  int prefix; /* 0 none, 1 66, 2 F3, 3 F2 */
  int opcode, reg, vvvv;
  bool in_memory;
  int rm;           /* not in memory */
  uint64_t address; /* in memory: base and displacement, which rows of tiles start from */
  uint64_t index;   /* scaled: from row to row */
  int length;
} amx_instruction;

static bool amx_decode(const uint8_t *p, const ucontext_t *u, amx_instruction *out) {
  if (p[0] != 0xc4 || (p[1] & 0x1f) != 2 || p[2] & 0x84) return false; /* 0F38, W0, 128 bits */
  const int x = p[1] & 0x40 ? 0 : 8, b = p[1] & 0x20 ? 0 : 8, mod = p[4] >> 6, rm = p[4] & 7;
  *out = (amx_instruction){.prefix = p[2] & 3,
                           .opcode = p[3],
                           .reg = (p[4] >> 3 & 7) | (p[1] & 0x80 ? 0 : 8),
                           .vvvv = ~(p[2] >> 3) & 15,
                           .in_memory = mod != 3,
                           .rm = rm | b,
                           .length = 5};
  if (mod == 3) return true;
  bool has_base = true;
  int base = rm | b, displacement_bytes = mod == 1 ? 1 : mod == 2 ? 4 : 0;
  if (rm == 4) {
    const int sib = p[out->length++], index = (sib >> 3 & 7) | x;
    base = (sib & 7) | b;
    if (index != 4) out->index = amx_register(u, index) << (sib >> 6);
    if ((sib & 7) == 5 && mod == 0) has_base = false, displacement_bytes = 4;
  }
  int32_t displacement = 0;
  const bool by_rip = rm == 5 && mod == 0;
  if (by_rip) has_base = false, displacement_bytes = 4;
  if (displacement_bytes == 1) displacement = (int8_t)p[out->length];
  if (displacement_bytes == 4) memcpy(&displacement, p + out->length, 4);
  out->length += displacement_bytes;
  if (has_base) out->address = amx_register(u, base);
  if (by_rip) out->address = (uint64_t)(uintptr_t)(p + out->length);
  out->address += (uint64_t)(int64_t)displacement;
  return true;
}

/* ldtilecfg; false where the processor would fault. */
static bool amx_configure(const uint8_t *config) {
  memset(&amx_here, 0, sizeof amx_here);
  memcpy(amx_here.config, config, 64);
  if (config[0] != 1) return false;
  for (int i = 1; i < 16; i++)
    if (config[i]) return false; /* no tile is to start in its middle, nor is anything reserved to be set */
  for (int t = 0; t < 8; t++)
    if (amx_rows(t) > 16 || amx_row_bytes(t) > 64 || !amx_rows(t) != !amx_row_bytes(t)) return false;
  return amx_here.taken = true;
}

static int amx_byte(uint8_t code, bool is_signed) { return is_signed ? (int8_t)code : code; }

static bool amx_dot(int to, int a, int b, bool a_signed, bool b_signed) {
  const int rows = amx_rows(to), quads = amx_row_bytes(a) / 4, cols = amx_row_bytes(to) / 4;
  if (to == a || to == b || a == b || !rows || rows != amx_rows(a) || amx_row_bytes(b) != 4 * cols ||
      amx_rows(b) != quads || amx_row_bytes(a) % 4)
    return false;
  for (int r = 0; r < rows; r++) {
    int32_t sum[16];
    memcpy(sum, amx_here.tile[to][r], sizeof sum);
    for (int q = 0; q < quads; q++) {
      const uint8_t *x = amx_here.tile[a][r] + 4 * q, *w = amx_here.tile[b][q];
      for (int c = 0; c < 4 * cols; c++)
        sum[c / 4] = (int32_t)((uint32_t)sum[c / 4] +
                               (uint32_t)(amx_byte(x[c % 4], a_signed) * amx_byte(w[c], b_signed)));
    }
    memset(amx_here.tile[to][r], 0, 64);
    memcpy(amx_here.tile[to][r], sum, (size_t)cols * 4);
  }
  for (int r = rows; r < 16; r++) memset(amx_here.tile[to][r], 0, 64);
  return true;
}

/* The same of pairs of bf16: on integers below 2^24 the order and the roundings do not show. */
static bool amx_dot_bf16(int to, int a, int b) {
  const int rows = amx_rows(to), pairs = amx_row_bytes(a) / 4, cols = amx_row_bytes(to) / 4;
  if (to == a || to == b || a == b || !rows || rows != amx_rows(a) || amx_row_bytes(b) != 4 * cols ||
      amx_rows(b) != pairs || amx_row_bytes(a) % 4)
    return false;
  for (int r = 0; r < 16; r++) {
    float sum[16] = {0};
    if (r < rows) memcpy(sum, amx_here.tile[to][r], (size_t)cols * 4);
    for (int p = 0; r < rows && p < 2 * pairs; p++)
      for (int c = 0; c < cols; c++) {
        const uint8_t *x = amx_here.tile[a][r] + 2 * p, *w = amx_here.tile[b][p / 2] + 4 * c + p % 2 * 2;
        const uint32_t bits[2] = {(uint32_t)(x[0] | x[1] << 8) << 16, (uint32_t)(w[0] | w[1] << 8) << 16};
        float factors[2];
        memcpy(factors, bits, sizeof factors);
        sum[c] += factors[0] * factors[1];
      }
    memcpy(amx_here.tile[to][r], sum, sizeof sum);
  }
  return true;
}

static bool amx_run(const amx_instruction *i) {
  if (i->reg > 7) return false;
  uint8_t(*tile)[64] = amx_here.tile[i->reg];
  uint8_t *memory = (uint8_t *)(uintptr_t)i->address;  // NOLINT(performance-no-int-to-ptr)
  switch (i->opcode << 4 | i->prefix << 1 | (i->in_memory ? 1 : 0)) {
    case 0x491: /* ldtilecfg */
      return amx_configure(memory);
    case 0x490: /* tilerelease */
      if (i->reg || i->rm) return false;
      memset(&amx_here, 0, sizeof amx_here);
      return true;
    case 0x496: /* tilezero */
      memset(tile, 0, sizeof amx_here.tile[0]);
      return amx_here.taken && amx_rows(i->reg);
    case 0x4b7: /* tileloadd */
      memset(tile, 0, sizeof amx_here.tile[0]);
      for (int r = 0; r < amx_rows(i->reg); r++)
        memcpy(tile[r], memory + (uint64_t)r * i->index, (size_t)amx_row_bytes(i->reg));
      return amx_here.taken && amx_rows(i->reg);
    case 0x4b5: /* tilestored */
      for (int r = 0; r < amx_rows(i->reg); r++)
        memcpy(memory + (uint64_t)r * i->index, tile[r], (size_t)amx_row_bytes(i->reg));
      return amx_here.taken && amx_rows(i->reg);
    case 0x5e6: /* tdpbssd */
    case 0x5e4: /* tdpbsud */
    case 0x5e2: /* tdpbusd */
      return amx_here.taken && i->rm < 8 && i->vvvv < 8 &&
             amx_dot(i->reg, i->rm, i->vvvv, i->prefix != 1, i->prefix != 2);
    case 0x5c4: /* tdpbf16ps */
      return amx_here.taken && i->rm < 8 && i->vvvv < 8 && amx_dot_bf16(i->reg, i->rm, i->vvvv);
    default:
      return false;
  }
}

static void amx_on_sigill(int signal_number, siginfo_t *info, void *context) {
  (void)info;
  ucontext_t *u = context;
  const uint8_t *p =
      (const uint8_t *)(uintptr_t)u->uc_mcontext.gregs[REG_RIP];  // NOLINT(performance-no-int-to-ptr)
  amx_instruction i;
  if (amx_decode(p, u, &i) && amx_run(&i))
    u->uc_mcontext.gregs[REG_RIP] += i.length;
  else
    (void)signal(signal_number, SIG_DFL); /* which happens next */
}

bool amx_trap_install(void) {
  struct sigaction action = {0};
  action.sa_sigaction = amx_on_sigill;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  return sigaction(SIGILL, &action, NULL) == 0;
}

#else
bool amx_trap_install(void) { return false; }
#endif
