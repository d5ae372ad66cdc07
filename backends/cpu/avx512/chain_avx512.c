/* chain_avx512.c - plain steps of chains, 512-bit vectors. */
#include "backends/cpu/avx512/vec_avx512.h"
/* the blocks are written over it */
#include "backends/cpu/chain_blocks.h"

void wh_k_chain_avx512(const wh_chain_op *ops, size_t n_ops, const wh_chain_part *part) {
  chain_run(ops, n_ops, part);
}
