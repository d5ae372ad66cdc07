/* exec_warp.c - what lanes of a warp do together: shuffles, votes, reductions, matrix products. */
#include "backends/cuda/ptxemu/exec_internal.h"

#include <math.h>
#include <string.h>

#include "backends/cuda/ptxemu/numbers.h"

/* shfl d[|p], value, lane, clamp and segment mask, members */
void exec_shuffle(const step *s) {
  const ptx_instruction *i = s->i;
  const unsigned first = i->n_operands - 4;
  lanes value_room, b_room, c_room, nowhere, result;
  const uint64_t *value = exec_source(s, &i->operands[first], value_room);
  const uint64_t *b = exec_source(s, &i->operands[first + 1], b_room);
  const uint64_t *c = exec_source(s, &i->operands[first + 2], c_room);
  uint32_t in_range = 0;
  FOR_LANES(l, s->mask) {
    const unsigned by = (unsigned)b[l] & 31, segment = (unsigned)(c[l] >> 8) & 31,
                   clamp = (unsigned)c[l] & 31;
    const unsigned most = (l & segment) | (clamp & ~segment & 31), least = l & segment;
    int from = (int)l;
    bool fine = false;
    switch ((ptx_shfl)i->mode) {
      case SHFL_UP:
        from = (int)l - (int)by;
        fine = from >= (int)most;
        break;
      case SHFL_DOWN:
        from = (int)(l + by);
        fine = from <= (int)most;
        break;
      case SHFL_BFLY:
        from = (int)(l ^ by);
        fine = from <= (int)most;
        break;
      case SHFL_IDX:
        from = (int)(least | (by & ~segment & 31));
        fine = from <= (int)most;
        break;
    }
    if (!fine) from = (int)l;
    if (!(s->mask >> from & 1))
      exec_report(s, l, "absent-lanes", "it reads from lane %d, which does not take part", from);
    in_range |= (uint32_t)fine << l;
    result[l] = (uint32_t)value[from];
  }
  uint64_t *d = exec_result(s, &i->operands[0], nowhere);
  FOR_LANES(l, s->mask) d[l] = result[l];
  if (first > 1) exec_set_predicate(s, &i->operands[1], in_range);
}

void exec_vote(const step *s) {
  const ptx_instruction *i = s->i;
  const uint32_t votes = exec_predicate(s, &i->operands[1]) & s->mask;
  if (i->mode == VOTE_BALLOT) {
    lanes nowhere;
    uint64_t *d = exec_result(s, &i->operands[0], nowhere);
    FOR_LANES(l, s->mask) d[l] = votes;
    return;
  }
  const bool all = votes == s->mask, any = votes != 0;
  const bool v = i->mode == VOTE_ALL ? all : i->mode == VOTE_ANY ? any : all || !any;
  exec_set_predicate(s, &i->operands[0], v ? ~0u : 0);
}

void exec_reduce(const step *s) {
  const ptx_instruction *i = s->i;
  lanes room, nowhere;
  const uint64_t *v = exec_source(s, &i->operands[1], room);
  const unsigned lead = (unsigned)__builtin_ctz(s->mask);
  uint64_t r = v[lead];
  FOR_LANES(l, s->mask & ~(1u << lead)) switch ((ptx_atom)i->mode) {
    case ATOM_ADD:
      r += v[l];
      break;
    case ATOM_AND:
      r &= v[l];
      break;
    case ATOM_OR:
      r |= v[l];
      break;
    case ATOM_XOR:
      r ^= v[l];
      break;
    default:
      r = num_min_max(i->mode == ATOM_MAX, false, (ptx_type)i->type, r, v[l]);
  }
  uint64_t *d = exec_result(s, &i->operands[0], nowhere);
  FOR_LANES(l, s->mask) d[l] = num_truncate(r, PTX_U32);
}

/* match.any d, a, members; match.all d|p, a, members */
void exec_match(const step *s) {
  const ptx_instruction *i = s->i;
  const unsigned first = i->n_operands - 2;
  lanes room, nowhere, result;
  const uint64_t *v = exec_source(s, &i->operands[first], room);
  bool all = true;
  FOR_LANES(l, s->mask) {
    uint32_t same = 0;
    for (unsigned o = 0; o < EXEC_WARP; o++)
      if (s->mask >> o & 1 && num_truncate(v[o], (ptx_type)i->type) == num_truncate(v[l], (ptx_type)i->type))
        same |= 1u << o;
    all &= same == s->mask;
    result[l] = same;
  }
  uint64_t *d = exec_result(s, &i->operands[0], nowhere);
  FOR_LANES(l, s->mask) d[l] = i->mode == VOTE_ANY ? result[l] : all ? s->mask : 0;
  if (first > 1) exec_set_predicate(s, &i->operands[1], all ? ~0u : 0);
}

/* ---- mma: D[16][8] = A[16][k] * B[k][8] + C ----
 * With g = lane / 4 and t = lane % 4, register r of A holds row g + 8 (r & 1), and from column per * t + 4
 * per * (r >> 1) on the `per` values of its 32 bits; of B column g, and rows likewise; of C and D row g + 8
 * (r >> 1), column 2 t + (r & 1). */
#define ROW_OF(lane, r) ((lane) / 4 + 8 * ((r) >> 1))
#define COLUMN_OF(lane, r) ((lane) % 4 * 2 + ((r)&1))
typedef struct {
  uint64_t a[4][EXEC_WARP], b[2][EXEC_WARP], c[4][EXEC_WARP];
  unsigned k, per;
} fragments;

/* The matrices of one product, as whole numbers or as floats; rows of B are beside each other, for vectors of
 * columns. */
typedef struct {
  int32_t ai[16][32], bi[32][8], sums[16][8];
  float af[16][16], bf[16][8], c[16][8];
} matrices;

static const ptx_operand *element(const ptx_operand *o, unsigned k) {
  return o->kind == OPERAND_VECTOR ? &o->elements[k] : o;
}
static unsigned elements(const ptx_operand *o) { return o->kind == OPERAND_VECTOR ? o->n_elements : 1; }

static void gather(const step *s, const ptx_operand *o, uint64_t (*to)[EXEC_WARP]) {
  for (unsigned r = 0; r < elements(o); r++) {
    lanes room;
    memcpy(to[r], exec_source(s, element(o, r), room), sizeof(lanes));
  }
}

static uint32_t part(const uint64_t *registers, unsigned lane, unsigned at, unsigned bits) {
  return (uint32_t)(registers[lane] >> at * bits) & ((1u << bits) - 1);
}

static uint32_t a_bits(const fragments *f, unsigned row, unsigned k) {
  const unsigned half = k / (4 * f->per), r = (row >= 8) + 2 * half,
                 lane = row % 8 * 4 + k % (4 * f->per) / f->per;
  return part(f->a[r], lane, k % f->per, 32 / f->per);
}
static uint32_t b_bits(const fragments *f, unsigned k, unsigned column) {
  return part(f->b[k / (4 * f->per)], column * 4 + k % (4 * f->per) / f->per, k % f->per, 32 / f->per);
}

static int32_t byte_of(uint32_t bits, unsigned type) { return type == PTX_S8 ? (int8_t)bits : (int32_t)bits; }

static void spread(const step *s, const fragments *f, matrices *m) {
  const ptx_type ta = (ptx_type)s->i->type, tb = (ptx_type)s->i->type2;
  for (unsigned k = 0; k < f->k; k++) {
    for (unsigned row = 0; row < 16; row++)
      if (f->per == 4)
        m->ai[row][k] = byte_of(a_bits(f, row, k), ta);
      else
        m->af[row][k] = (float)num_load(a_bits(f, row, k), ta);
    for (unsigned column = 0; column < 8; column++)
      if (f->per == 4)
        m->bi[k][column] = byte_of(b_bits(f, k, column), tb);
      else
        m->bf[k][column] = (float)num_load(b_bits(f, k, column), tb);
  }
}

/* Products of bytes without C: they fit 32 bits. */
static void sum_bytes(matrices *m, unsigned n) {
  memset(m->sums, 0, sizeof m->sums);
  for (unsigned row = 0; row < 16; row++)
    for (unsigned k = 0; k < n; k++)
      for (unsigned column = 0; column < 8; column++)
        m->sums[row][column] += m->ai[row][k] * m->bi[k][column];
}

static uint64_t add_bytes(int32_t products, bool saturate, uint64_t c) {
  int64_t sum = (int64_t)(int32_t)c + products;
  if (saturate) sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
  return (uint32_t)sum;
}

/* Chains of fused products, one of the two models that a right program has to bear. */
static void sum_chains(matrices *m, unsigned n) {
  for (unsigned row = 0; row < 16; row++)
    for (unsigned k = 0; k < n; k++)
      for (unsigned column = 0; column < 8; column++)
        m->c[row][column] = fmaf(m->af[row][k], m->bf[k][column], m->c[row][column]);
}

/* Eight exact products and the accumulator, aligned to the largest, cut to 24 bits and two more, then summed.
 */
static float add_cut(const double p[8], float c) {
  double largest = fabs((double)c);
  for (unsigned k = 0; k < 8; k++)
    if (!(fabs(p[k]) <= largest)) largest = fabs(p[k]);
  if (largest == 0 || !isfinite(largest)) {
    double sum = c;
    for (unsigned k = 0; k < 8; k++) sum += p[k];
    return (float)sum;
  }
  int e;
  (void)frexp(largest, &e);
  const double unit = ldexp(1.0, e - 26);
  double sum = trunc(c / unit);
  for (unsigned k = 0; k < 8; k++) sum += trunc(p[k] / unit);
  return num_to_f32(sum * unit, ROUND_RZ);
}

static void sum_cut(matrices *m, unsigned n) {
  for (unsigned row = 0; row < 16; row++)
    for (unsigned column = 0; column < 8; column++)
      for (unsigned k = 0; k < n; k += 8) {
        double p[8];
        for (unsigned j = 0; j < 8; j++) p[j] = (double)m->af[row][k + j] * m->bf[k + j][column];
        m->c[row][column] = add_cut(p, m->c[row][column]);
      }
}

EXEC_WIDE void exec_mma(const step *s) {
  const ptx_instruction *i = s->i;
  const bool bytes = i->type == PTX_S8 || i->type == PTX_U8;
  fragments f = {.k = i->mode == MMA_16832 ? 32 : i->mode == MMA_16816 ? 16 : 8, .per = bytes ? 4 : 2};
  matrices m;
  gather(s, &i->operands[1], f.a);
  gather(s, &i->operands[2], f.b);
  gather(s, &i->operands[3], f.c);
  spread(s, &f, &m);
  for (unsigned r = 0; r < 4; r++)
    for (unsigned l = 0; l < EXEC_WARP; l++) m.c[ROW_OF(l, r)][COLUMN_OF(l, r)] = num_f32(f.c[r][l]);
  if (bytes)
    sum_bytes(&m, f.k);
  else if (s->b->l->truncating_mma)
    sum_cut(&m, f.k);
  else
    sum_chains(&m, f.k);
  for (unsigned r = 0; r < 4; r++) {
    lanes nowhere;
    uint64_t *d = exec_result(s, element(&i->operands[0], r), nowhere);
    FOR_LANES(l, s->mask)
    d[l] = bytes ? add_bytes(m.sums[ROW_OF(l, r)][COLUMN_OF(l, r)], i->saturate, f.c[r][l])
                 : num_bits_f32(m.c[ROW_OF(l, r)][COLUMN_OF(l, r)]);
  }
}
