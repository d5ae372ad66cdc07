/* nn.c - chooses the kernels of kernels_nn.def for a feature mask; what their scratch must hold. */
#include "backends/cpu/nn.h"

#include "backends/cpu/conv_plan.h"
#include "backends/cpu/nn_kernels.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

void wh_nn_select(uint64_t features, wh_nn *out) {
  (void)features;
#define WH_NN_KERNEL(op, family, isa, needs)                 \
  if ((features & (uint64_t)(needs)) == (uint64_t)(needs)) { \
    out->op = wh_k_##op##__##isa;                            \
    out->op##_name = #op "__" #isa;                          \
  }
#include "backends/cpu/kernels_nn.def"
}

/* Two rows of complex numbers. */
size_t wh_dft_scratch_bytes(int64_t n) {
  size_t bytes;
  if (n < 0 || !wh_mul_size((size_t)n, 4 * sizeof(float), &bytes) || !wh_align_size(bytes, 64, &bytes))
    return SIZE_MAX;
  return bytes;
}

#define TRANSPOSE_PRODUCTS 32768 /* as many stay in a second-level cache with the channels' places */

bool wh_conv_transpose_find_room(const wh_window *win, int64_t c, int64_t m, wh_conv_transpose_room *out) {
  size_t bytes, row;
  if (__builtin_add_overflow(win->in[2], WH_CONV_LANES - 1, &out->ld)) return false;
  out->ld = out->ld / WH_CONV_LANES * WH_CONV_LANES;
  out->copy = min_i64(c, WH_CONV_CHUNK) * WH_CONV_LANES;
  if (!wh_mul_size((size_t)win->kernel[2], (size_t)out->ld, &row)) return false;
  const size_t fit = TRANSPOSE_PRODUCTS / (row ? row : 1);
  out->outputs = fit < 1 || m < 1 ? 1 : min_i64((int64_t)fit, m);
  return wh_mul_size(row, (size_t)out->outputs, &bytes) && wh_add_size(bytes, (size_t)out->copy, &bytes) &&
         wh_mul_size(bytes, sizeof(float), &bytes) && wh_align_size(bytes, 64, &out->bytes);
}

/* A step's gates and the state h (twice) and c of every sequence. */
bool wh_recurrent_scratch_bytes(wh_recurrent_kind kind, int64_t b, int64_t h, size_t *out) {
  size_t bytes;
  return b >= 0 && h >= 0 && wh_mul_size((size_t)b, (size_t)h, &bytes) &&
         wh_mul_size(bytes, (size_t)(wh_recurrent_gates(kind) + 4) * sizeof(float), &bytes) &&
         wh_align_size(bytes, 64, out);
}

void wh_conv_run_chain(const wh_conv_args *a, int64_t image, int64_t channel, int64_t place, int64_t n,
                       wh_team *team) {
  float *y = a->y + (image * a->group * a->m + channel) * wh_window_volume(a->win.out) + place;
  wh_chain_input in[WH_FORMULA_INPUTS] = {{.x = y, .step = 1}};
  for (uint32_t i = 1; i < a->chain->n_inputs; i++) {
    const wh_conv_end *e = &a->ends[i - 1];
    in[i] = (wh_chain_input){.x = e->x + image * e->by_image + channel * e->by_channel + place * e->by_place,
                             .step = e->by_place};
  }
  wh_chain_run(a->chain, n, in, y, team);
}
