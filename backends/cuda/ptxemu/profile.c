/* profile.c - see profile.h. Sectors are pieces of 32 bytes of global memory that a warp's instruction
 * touches. Wavefronts are turns of shared memory, whose 32 banks give four bytes each a turn: lanes that ask
 * for 8 or 16 bytes come in two or four turns at least, each of which is a turn more for every further word
 * of a bank. */
#include "backends/cuda/ptxemu/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/ptxemu/driver.h"

enum { SECTOR = 32, BANKS = 32, BANK_BYTES = 4 };

static ptxemu_profile *kept;
static unsigned n_kept, room;

/* ---- one instruction ---- */

static bool holds(const uint64_t *list, unsigned n, uint64_t v) {
  while (n--)
    if (list[n] == v) return true; /* neighbours touch the same: the last ones first */
  return false;
}

static unsigned sectors_of(const lanes a, uint32_t mask, unsigned n_bytes) {
  uint64_t seen[2 * EXEC_WARP];
  unsigned n = 0;
  FOR_LANES(l, mask)
  for (uint64_t sector = a[l] / SECTOR; sector <= (a[l] + n_bytes - 1) / SECTOR && n < 2 * EXEC_WARP;
       sector++)
    if (!holds(seen, n, sector)) seen[n++] = sector;
  return n;
}

/* Of lanes that come in one turn, were it not for words that share a bank. */
static unsigned turns_of(const lanes a, uint32_t mask, unsigned n_bytes) {
  uint64_t words[BANKS][EXEC_WARP];
  unsigned n[BANKS] = {0}, most = 0;
  FOR_LANES(l, mask)
  for (uint64_t word = a[l] / BANK_BYTES; word <= (a[l] + n_bytes - 1) / BANK_BYTES; word++) {
    const unsigned bank = (unsigned)(word % BANKS);
    if (n[bank] == EXEC_WARP || holds(words[bank], n[bank], word)) continue;
    words[bank][n[bank]++] = word;
    if (n[bank] > most) most = n[bank];
  }
  return most;
}

static void count_shared(ptxemu_profile *p, const lanes a, uint32_t mask, unsigned n_bytes) {
  const unsigned parts = n_bytes <= BANK_BYTES ? 1 : n_bytes / BANK_BYTES, lanes_each = EXEC_WARP / parts;
  p->shared_requests++;
  for (unsigned first = 0; first < EXEC_WARP; first += lanes_each) {
    const uint32_t these = lanes_each == EXEC_WARP ? mask : mask & (((1u << lanes_each) - 1) << first);
    if (these) p->wavefronts += turns_of(a, these, n_bytes);
  }
}

void profile_access(const step *s, const lanes a, unsigned n_bytes, ptx_space space) {
  struct exec_profile *p = s->b->l->profile;
  if (!p || !s->mask) return;
  const uint64_t first = a[__builtin_ctz(s->mask)];
  if (space == SPACE_GENERIC)
    space = first < SHARED_WINDOW                 ? SPACE_GLOBAL
            : first < SHARED_WINDOW + WINDOW_SIZE ? SPACE_SHARED
                                                  : SPACE_LOCAL;
  if (space == SPACE_SHARED) count_shared(&p->counts, a, s->mask, n_bytes);
  if (space != SPACE_GLOBAL) return;
  p->counts.global_requests++;
  p->counts.sectors += sectors_of(a, s->mask, n_bytes);
}

void profile_rows(const step *s, const lanes a, unsigned first) {
  struct exec_profile *p = s->b->l->profile;
  if (!p) return;
  p->counts.shared_requests++;
  p->counts.wavefronts += turns_of(a, s->mask & (255u << first), 16);
}

/* ---- a launch ---- */

bool profile_begin(struct exec_profile *p, const exec_launch *l) {
  *p = (struct exec_profile){.executed = calloc(l->module->n_code + 1u, sizeof *p->executed)};
  return p->executed != NULL;
}

static bool is_product(const ptx_instruction *i) {
  return i->op == OP_MMA || (i->op == OP_WGMMA && i->mode == WGMMA_PRODUCT);
}

/* The loop around products: what was executed at least half as often as the most frequent of them. */
static void count_instructions(struct exec_profile *p, const ptx_module *m) {
  uint64_t most = 0;
  for (uint32_t i = 0; i < m->n_code; i++) {
    p->counts.instructions += p->executed[i];
    if (!is_product(&m->code[i])) continue;
    p->counts.products += p->executed[i];
    if (p->executed[i] > most) most = p->executed[i];
  }
  for (uint32_t i = 0; i < m->n_code && most; i++) {
    if (p->executed[i] < (most + 1) / 2) continue;
    p->counts.loop_instructions += p->executed[i];
    if (is_product(&m->code[i])) p->counts.loop_products += p->executed[i];
  }
}

/* Of a launch of which only some blocks ran: as if all had. */
static void scale_up(ptxemu_profile *p, const exec_launch *l) {
  const uint64_t n = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2];
  if (!l->sample || l->sample >= n) return;
  uint64_t *counts[] = {&p->instructions,    &p->loop_instructions, &p->loop_products,   &p->products,
                        &p->global_requests, &p->sectors,           &p->shared_requests, &p->wavefronts};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    *counts[i] = (uint64_t)((double)*counts[i] * (double)n / l->sample);
}

bool profile_end(struct exec_profile *p, const exec_launch *l) {
  count_instructions(p, l->module);
  scale_up(&p->counts, l);
  free(p->executed);
  if (n_kept == room) {
    const unsigned more = room ? 2 * room : 256;
    ptxemu_profile *grown = realloc(kept, more * sizeof *grown);
    if (!grown) return false;
    kept = grown;
    room = more;
  }
  strncpy(p->counts.kernel, l->kernel->name, sizeof p->counts.kernel - 1);
  memcpy(p->counts.grid, l->grid, sizeof l->grid);
  memcpy(p->counts.block, l->block, sizeof l->block);
  p->counts.shared_bytes = (uint32_t)(l->kernel->shared_bytes + l->dynamic_shared);
  kept[n_kept++] = p->counts;
  return true;
}

/* ---- the sums, for a file ---- */

static bool same_launch(const ptxemu_profile *x, const ptxemu_profile *y) {
  return !strcmp(x->kernel, y->kernel) && !memcmp(x->grid, y->grid, sizeof x->grid) &&
         !memcmp(x->block, y->block, sizeof x->block) && x->shared_bytes == y->shared_bytes;
}

/* A line for each kernel and grid: how often it was launched, and the sums of those launches. */
void profile_write(const char *path) {
  FILE *file = fopen(path, "w");
  if (!file) return;
  fprintf(file,
          "kernel\tgrid_x\tgrid_y\tgrid_z\tthreads\tshared_bytes\tlaunches\tinstructions\tproducts\tglobal_"
          "requests\t"
          "sectors\tshared_requests\twavefronts\n");
  for (unsigned i = 0; i < n_kept; i++) {
    ptxemu_profile sum = kept[i];
    unsigned launches = 0;
    for (unsigned j = 0; j < i && !launches; j++) launches = same_launch(&kept[j], &sum);
    if (launches) continue; /* was written with its first launch */
    for (unsigned j = i; j < n_kept; j++) {
      const ptxemu_profile *p = &kept[j];
      if (!same_launch(p, &sum)) continue;
      if (launches++) {
        sum.instructions += p->instructions, sum.products += p->products;
        sum.global_requests += p->global_requests, sum.sectors += p->sectors;
        sum.shared_requests += p->shared_requests, sum.wavefronts += p->wavefronts;
      }
    }
    fprintf(file, "%s\t%u\t%u\t%u\t%u\t%u\t%u", sum.kernel, sum.grid[0], sum.grid[1], sum.grid[2],
            sum.block[0] * sum.block[1] * sum.block[2], sum.shared_bytes, launches);
    const uint64_t counts[] = {sum.instructions, sum.products,        sum.global_requests,
                               sum.sectors,      sum.shared_requests, sum.wavefronts};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
      fprintf(file, "\t%llu", (unsigned long long)counts[k]);
    fprintf(file, "\n");
  }
  (void)fclose(file);
}

/* When the program ends, or closes the driver. */
__attribute__((destructor)) static void write_counts(void) {
  if (*driver.options.counts) profile_write(driver.options.counts);
}

EXPORT unsigned ptxemu_profile_count(void) { return n_kept; }
EXPORT int ptxemu_profile_get(unsigned i, ptxemu_profile *out) {
  if (i >= n_kept) return -1;
  *out = kept[i];
  return 0;
}
EXPORT void ptxemu_profile_clear(void) { n_kept = 0; }
