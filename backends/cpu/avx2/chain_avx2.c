/* chain_avx2.c - plain steps of chains, 256-bit vectors. */
#include "backends/cpu/avx2/vec_avx2.h"
/* the blocks are written over it */
#include "backends/cpu/chain_blocks.h"

void wh_k_chain_avx2(const wh_chain_op *ops, size_t n_ops, const wh_chain_part *part) {
  chain_run(ops, n_ops, part);
}
