/* exec_wgmma.c - products of warpgroups (wgmma), which go on while their warps do something else.
 *
 * A warp of the four computes its 16 rows of D. The product happens at the last moment that is allowed: when
 * the warp waits for it. Until then D and A are marked, and whoever uses them is reported. */
#include "backends/cuda/ptxemu/exec_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/ptxemu/numbers.h"

enum { ROWS = 16, MOST_COLUMNS = 256, MOST_DEPTH = 32, ROW_BYTES = 32, WARPGROUP = 4 };
#define EXACT_LIMIT (1 << 24) /* whole numbers up to here have a float */

/* ---- who uses registers meanwhile ---- */

static void mark_registers(const step *s, const ptx_operand *o, uint8_t mark) {
  for (unsigned k = 0; o->kind == OPERAND_VECTOR && k < o->n_elements; k++)
    s->w->marks[o->elements[k].reg] |= mark;
}

static void watch_register(const step *s, const ptx_operand *o, bool is_result) {
  if (o->reg < 0 || (o->kind != OPERAND_REGISTER && o->kind != OPERAND_ADDRESS)) return;
  const bool written = is_result && o->kind == OPERAND_REGISTER;
  uint8_t *mark = &s->w->marks[o->reg];
  if (*mark & (REGISTER_HOLDS_D | (written ? REGISTER_HOLDS_A : 0)))
    exec_report(s, (unsigned)__builtin_ctz(s->mask), "wgmma-not-awaited",
                "a wgmma that nobody has waited for still uses a register of this instruction");
  if (written && s->i->op != OP_MOV)
    *mark |= REGISTER_WRITTEN; /* the assembler places constants and copies */
}

void exec_wgmma_watch(const step *s) {
  const ptx_instruction *i = s->i;
  if (i->op == OP_WGMMA) return;
  const bool has_result = i->op != OP_ST && i->op != OP_BAR;
  for (unsigned k = 0; k < i->n_operands; k++) {
    const ptx_operand *o = &i->operands[k];
    watch_register(s, o, has_result && k == 0);
    for (unsigned e = 0; o->kind == OPERAND_VECTOR && e < o->n_elements; e++)
      watch_register(s, &o->elements[e], has_result && k == 0);
  }
}

static void check_fence(const step *s, const ptx_operand *o) {
  for (unsigned k = 0; o->kind == OPERAND_VECTOR && k < o->n_elements; k++)
    if (s->w->marks[o->elements[k].reg] & REGISTER_WRITTEN) {
      exec_report(s, 0, "wgmma-fence", "register %u of an operand was written after the last wgmma.fence", k);
      return;
    }
}

/* ---- operands in shared memory ---- */

/* A descriptor without a swizzle: rows of 32 bytes of K, in matrices of 8 rows of 16 bytes, which lie
 * `leading` apart along K and `stride` apart along the rows. */
typedef struct {
  uint64_t start, leading, stride;
} layout;

static layout layout_of(const step *s, uint64_t descriptor) {
  if (descriptor >> 62) exec_report(s, 0, "unsupported", "a matrix descriptor with a swizzle");
  return (layout){(descriptor & 0x3fff) << 4, (descriptor >> 16 & 0x3fff) << 4,
                  (descriptor >> 32 & 0x3fff) << 4};
}

/* Rows first .. first + n; bytes NULL: they are only looked at, as long as the product may read them. */
static void read_rows(const step *s, layout m, unsigned first, unsigned n, uint8_t (*bytes)[ROW_BYTES]) {
  for (unsigned r = 0; r < n; r++)
    for (unsigned half = 0; half < 2; half++) {
      const unsigned row = first + r;
      const uint64_t at = m.start + row / 8 * m.stride + half * m.leading + row % 8 * 16;
      const unsigned char *p = exec_access(s, 0, at, 16, SPACE_SHARED, ACCESS_PROXY_READ);
      if (!bytes) continue;
      memset(bytes[r] + 16 * half, 0xff, 16);
      if (p) memcpy(bytes[r] + 16 * half, p, 16);
    }
}

static unsigned first_row(const step *s) { return s->w->id % WARPGROUP * ROWS; }

static void read_operands(const step *s, const async_product *p, uint8_t (*a)[ROW_BYTES],
                          uint8_t (*b)[ROW_BYTES]) {
  if (p->instruction->operands[1].kind != OPERAND_VECTOR)
    read_rows(s, layout_of(s, p->a_at), first_row(s), ROWS, a);
  read_rows(s, layout_of(s, p->b_at), 0, p->instruction->columns, b);
}

/* A of registers, as rows: register r of lane 4 g + t has row g + 8 (r % 2) and from byte 4 t + 16 (r / 2) on
 * its four. */
static void rows_of_registers(const async_product *p, uint8_t (*a)[ROW_BYTES]) {
  for (unsigned r = 0; r < 4; r++)
    for (unsigned l = 0; l < EXEC_WARP; l++)
      memcpy(a[l / 4 + 8 * (r % 2)] + 4 * (l % 4) + 16 * (r / 2), &p->a[r][l], 4);
}

/* ---- the product ---- */

static float half_at(const uint8_t *row, unsigned k) {
  uint16_t bits;
  memcpy(&bits, row + 2 * k, sizeof bits);
  return (float)num_load(bits, PTX_F16);
}

/* The lowest bit of a finite number that is not 0, as an exponent. */
static int lowest_bit(float v) {
  const uint32_t u = (uint32_t)num_bits_f32(v), e = u >> 23 & 255, digits = u & 0x7fffff;
  return (int)(e ? e : 1) - 150 + __builtin_ctz(e ? digits | 1u << 23 : digits);
}

/* Whole multiples of the lowest bit that any of the numbers has; false: one of them is not finite, and all
 * stay what they are. */
static bool to_multiples(double (*m)[16], unsigned rows, int *unit) {
  *unit = 128;
  for (unsigned r = 0; r < rows; r++)
    for (unsigned k = 0; k < 16; k++) {
      if (!isfinite(m[r][k])) return *unit = 0, false;
      const int e = m[r][k] == 0 ? 128 : lowest_bit((float)m[r][k]);
      if (e < *unit) *unit = e;
    }
  if (*unit == 128) *unit = 0;
  const double scale = ldexp(1, -*unit);
  for (unsigned r = 0; r < rows; r++)
    for (unsigned k = 0; k < 16; k++) m[r][k] *= scale;
  return true;
}

/* In what order hardware adds, and how it rounds, is not specified: only a sum whose parts are exact in any
 * order has one result. a, b: multiples, whose products are multiples of 2^unit. */
static uint64_t dot_halves(const double *a, const double *b, float c, int unit, double value_of_unit,
                           bool *exact) {
  double sum = c / value_of_unit, size = fabs(sum), finer = 1;
  if (sum != trunc(sum) && isfinite(c)) finer = ldexp(1, unit - lowest_bit(c)); /* c has a lower bit */
  for (unsigned k = 0; k < 16; k++) {
    const double p = a[k] * b[k];
    sum += p;
    size += fabs(p);
  }
  *exact &= size * finer <= EXACT_LIMIT;
  return num_bits_f32((float)(sum * value_of_unit));
}

static uint64_t dot_bytes(const uint8_t *a, const uint8_t *b, uint64_t c) {
  uint32_t sum = (uint32_t)c;
  for (unsigned k = 0; k < MOST_DEPTH; k++) sum += (uint32_t)((int8_t)a[k] * (int8_t)b[k]);
  return sum;
}

EXEC_WIDE static void multiply(const step *s, const async_product *p) {
  static uint8_t a[ROWS][ROW_BYTES], b[MOST_COLUMNS][ROW_BYTES]; /* the driver's lock is held */
  static double fa[ROWS][16], fb[MOST_COLUMNS][16];
  const ptx_instruction *i = p->instruction;
  const bool halves = i->type == PTX_F16;
  int unit_a = 0, unit_b = 0;
  bool exact = true;
  if (i->operands[1].kind == OPERAND_VECTOR) rows_of_registers(p, a);
  read_operands(s, p, a, b);
  if (halves) {
    for (unsigned k = 0; k < 16; k++) {
      for (unsigned r = 0; r < ROWS; r++) fa[r][k] = half_at(a[r], k);
      for (unsigned r = 0; r < i->columns; r++) fb[r][k] = half_at(b[r], k);
    }
    exact = to_multiples(fa, ROWS, &unit_a) && to_multiples(fb, i->columns, &unit_b);
  }
  const double value_of_unit = ldexp(1, unit_a + unit_b);
  /* element 4 j + 2 h + e of lane 4 g + t: row g + 8 h, column 8 j + 2 t + e */
  for (unsigned r = 0; r < i->columns / 2u; r++) {
    uint64_t *d = s->w->registers[i->operands[0].elements[r].reg];
    for (unsigned l = 0; l < EXEC_WARP; l++) {
      const unsigned row = l / 4 + 8 * (r / 2 % 2), column = r / 4 * 8 + l % 4 * 2 + r % 2;
      const uint64_t c = p->adds ? d[l] : 0;
      d[l] = halves ? dot_halves(fa[row], fb[column], num_f32(c), unit_a + unit_b, value_of_unit, &exact)
                    : dot_bytes(a[row], b[column], c);
    }
  }
  if (!exact && !s->b->l->sample) /* whose numbers mean nothing */
    exec_report(
        s, 0, "inexact-sum",
        "sums of f16 products that are not exact in every order: their bits are the hardware's choice");
}

/* ---- issue and wait ---- */

static void issue(const step *s) {
  const ptx_instruction *i = s->i;
  product_queue *q = &s->w->products;
  lanes room;
  check_fence(s, &i->operands[0]);
  check_fence(s, &i->operands[1]);
  if (q->n == q->cap) {
    const unsigned more = q->cap ? 2 * q->cap : 8;
    async_product *grown = realloc(q->items, more * sizeof *grown);
    if (!grown) {
      s->b->out_of_memory = true;
      return;
    }
    q->items = grown;
    q->cap = more;
  }
  async_product *p = &q->items[q->n++];
  *p = (async_product){.instruction = i, .group = q->group, .adds = exec_predicate(s, &i->operands[3]) & 1};
  p->b_at = exec_source(s, &i->operands[2], room)[0];
  if (i->operands[1].kind == OPERAND_VECTOR)
    for (unsigned r = 0; r < 4; r++)
      memcpy(p->a[r], exec_source(s, &i->operands[1].elements[r], room), sizeof p->a[r]);
  else
    p->a_at = exec_source(s, &i->operands[1], room)[0];
  mark_registers(s, &i->operands[0], REGISTER_HOLDS_D);
  mark_registers(s, &i->operands[1], REGISTER_HOLDS_A);
  q->n_issued++;
  q->hash = (q->hash ^ i->line ^ p->b_at << 20) * 0x9e3779b97f4a7c15u;
  read_operands(s, p, NULL, NULL);
}

static void unmark(const step *s) {
  warp *w = s->w;
  const uint8_t uses = REGISTER_HOLDS_D | REGISTER_HOLDS_A;
  for (unsigned r = 0; r < s->b->l->kernel->n_registers; r++) w->marks[r] &= (uint8_t)~uses;
  for (unsigned k = 0; k < w->products.n; k++) {
    mark_registers(s, &w->products.items[k].instruction->operands[0], REGISTER_HOLDS_D);
    mark_registers(s, &w->products.items[k].instruction->operands[1], REGISTER_HOLDS_A);
  }
}

static void wait(const step *s) {
  product_queue *q = &s->w->products;
  const uint64_t left = s->i->operands[0].value;
  unsigned k = 0;
  for (; k < q->n && q->items[k].group + left < q->group; k++) {
    const step at = {s->b, s->w, q->items[k].instruction, s->mask};
    multiply(&at, &q->items[k]);
  }
  memmove(q->items, q->items + k, (q->n - k) * sizeof *q->items);
  q->n -= k;
  unmark(s);
}

void exec_wgmma(const step *s) {
  switch ((ptx_wgmma)s->i->mode) {
    case WGMMA_PRODUCT:
      issue(s);
      break;
    case WGMMA_FENCE:
      for (unsigned r = 0; r < s->b->l->kernel->n_registers; r++)
        s->w->marks[r] &= (uint8_t)~REGISTER_WRITTEN;
      break;
    case WGMMA_COMMIT:
      s->w->products.group++;
      break;
    case WGMMA_WAIT:
      if (s->w->products.n) wait(s);
      break;
    default:
      break;
  }
}

void exec_wgmma_left(const step *s) {
  product_queue *q = &s->w->products;
  if (!q->n) return;
  const step at = {s->b, s->w, q->items[0].instruction, s->mask};
  exec_report(&at, (unsigned)__builtin_ctz(s->mask), "wgmma-not-awaited",
              "the warp ends with %u products that it has not waited for", q->n);
  q->n = 0;
}

void exec_wgmma_compare(block *b) {
  for (unsigned v = 0; v < b->n_warps; v++) {
    const unsigned lead = v / WARPGROUP * WARPGROUP;
    const product_queue *mine = &b->warps[v].products, *first = &b->warps[lead].products;
    const bool whole = lead + WARPGROUP <= b->n_warps || !mine->n_issued;
    if (whole && mine->n_issued == first->n_issued && mine->hash == first->hash) continue;
    const step s = {b, &b->warps[v], &b->l->module->code[b->l->kernel->first], 1};
    exec_report(&s, 0, "warpgroup-parted",
                "warps of one warpgroup issued other wgmma: %llu and %llu of them, or of other matrices",
                (unsigned long long)first->n_issued, (unsigned long long)mine->n_issued);
    return;
  }
}
