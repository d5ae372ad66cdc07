/* recurrent_run.h - the steps of rnn, gru and lstm, with the products of one instruction set. */
#ifndef WH_CPU_RECURRENT_RUN_H
#define WH_CPU_RECURRENT_RUN_H

#include "backends/cpu/nn.h"

/* out[i] for rows [begin, end) of r: the chain of "linear, float weights" of row i and v[h]. */
typedef void (*wh_recurrent_product_fn)(const float *r, const float *v, int64_t h, int64_t begin, int64_t end,
                                        float *out);
void wh_recurrent_run(const wh_recurrent_args *a, const wh_worker *worker, wh_recurrent_product_fn product);

#endif
