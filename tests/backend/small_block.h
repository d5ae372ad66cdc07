/* small_block.h - a layer of a language model as one block: embedding, products of float and quantised
 * weights with residuals, rotary positions, states, attention, views. For tests of runs. */
#ifndef WH_TESTS_SMALL_BLOCK_H
#define WH_TESTS_SMALL_BLOCK_H

#include "tests/backend/suite.h"

typedef struct small_block {
  suite_case *c;
  wh_value ids, positions, sequences, page_table;
  int64_t n_pages;
  wh_value logits;
} small_block;

/* Room for that many rows and positions, two sequences. */
small_block small_block_make(suite *s, int64_t n_rows, int64_t context);
/* Random tokens; rows go to the sequences in turn, from `position` on (of both together). */
void small_block_inputs(small_block *m, int64_t position);
wh_status small_block_write(const small_block *m, executor *x);

#endif
