/* chain_neon.c - plain steps of chains, 128-bit vectors. */
#include "backends/cpu/neon/vec_neon.h"
/* the blocks are written over it */
#include "backends/cpu/chain_blocks.h"

void wh_k_chain_neon(const wh_chain_op *ops, size_t n_ops, const wh_chain_part *part) {
  chain_run(ops, n_ops, part);
}
