/* family_conv.c - convolutions: where their windows lie, and which kernel. */
#include "backends/gpu/family_nn.h"
#include "backends/gpu/kernels/reduce_args.h"
#include "core/ir/conv.h"
#include "core/ir/formula.h"

int64_t gpu_space(const gpu_operand *o) { return gpu_product(o->dims + 2, o->rank - 2); }

gpu_window gpu_window_of(const gpu_step *s, const int64_t *kernel) {
  const gpu_operand *x = &s->in[0], *y = s->out;
  const wh_attr *pads = wh_node_attr(s->node, WH_ATTR_PADS);
  const int n = x->rank - 2, front = GPU_WINDOW_AXES - n;
  gpu_window w;
  for (int i = 0; i < GPU_WINDOW_AXES; i++) {
    const int a = i - front;
    const bool has = a >= 0;
    w.in[i] = has ? x->dims[2 + a] : 1;
    w.out[i] = gpu_divisor_of(has ? y->dims[2 + a] : 1);
    w.kernel[i] = gpu_divisor_of(has ? kernel[a] : 1);
    w.stride[i] = has ? wh_node_attr(s->node, WH_ATTR_STRIDES)->ints[a] : 1;
    w.dilation[i] = has ? wh_node_attr(s->node, WH_ATTR_DILATIONS)->ints[a] : 1;
    w.pad[i] = has ? pads->ints[a] : 0;
    w.pad_end[i] = has && pads->n == 2 * (size_t)n ? pads->ints[n + a] : 0;
  }
  return w;
}

static gpu_conv_args args_of(const gpu_step *s) {
  const gpu_operand *x = &s->in[0], *w = &s->in[1], *y = s->out;
  const int64_t group = wh_node_i(s->node, WH_ATTR_GROUP);
  return (gpu_conv_args){.x = x->address,
                         .w = w->address,
                         .bias = s->in[2].address,
                         .y = y->address,
                         .n = x->dims[0],
                         .group = group,
                         .c = x->dims[1] / group,
                         .m = y->dims[1] / group,
                         .space_in = gpu_space(x),
                         .space_out = gpu_space(y),
                         .taps = gpu_space(w),
                         .by_space_out = gpu_divisor_of(gpu_space(y)),
                         .by_outputs = gpu_divisor_of(y->dims[1]),
                         .by_group = gpu_divisor_of(group),
                         .win = gpu_window_of(s, w->dims + 2)};
}

#define FEW_ROWS 8       /* outputs of a group: most of a tile would be empty */
#define FEW_OUTPUTS 2048 /* of a group of an image */

static wh_status launch(gpu_emit *e, gpu_conv_args *a, gpu_kernel tiled, gpu_kernel thin) {
  const bool is_thin = a->m <= FEW_ROWS || a->m * a->space_out <= FEW_OUTPUTS;
  gpu_grid grid = {1, 1, 1, GPU_TILE_THREADS, 0};
  if (is_thin) grid.threads = gpu_flat_grid(a->space_out).threads;
  a->down = gpu_divisor_of(gpu_ceil_div(a->m, is_thin ? GPU_THIN_ROWS : GPU_TILE));
  a->across = gpu_divisor_of(gpu_ceil_div(a->space_out, is_thin ? grid.threads : GPU_TILE));
  grid.x = (uint32_t)(a->n * a->group * a->down.n * a->across.n);
  return gpu_launch(e, is_thin ? thin : tiled, grid, a, sizeof *a);
}

/* Tiles of all images are in one row, so that few places of many images fill blocks, too. */
static wh_status launch_winograd(gpu_emit *e, gpu_conv_args *a) {
  gpu_winograd_args w = {.tile_rows = gpu_divisor_of(gpu_ceil_div(a->win.out[1].n, 2)),
                         .tile_columns = gpu_divisor_of(gpu_ceil_div(a->win.out[2].n, 2))};
  w.tiles = a->n * w.tile_rows.n * w.tile_columns.n;
  a->down = gpu_divisor_of(gpu_ceil_div(a->m, GPU_WINOGRAD_SIDE));
  a->across = gpu_divisor_of(gpu_ceil_div(w.tiles, GPU_WINOGRAD_SIDE));
  w.conv = *a;
  const gpu_grid grid = {(uint32_t)(a->group * a->down.n * a->across.n), 1, 1, GPU_WINOGRAD_THREADS, 0};
  return gpu_launch(e, GPU_K_conv_winograd, grid, &w, sizeof w);
}

static wh_status launch_floats(gpu_emit *e, const gpu_step *s, gpu_conv_args *a) {
  return wh_conv_is_winograd(s->node, s->in[1].rank, s->in[1].dims)
             ? launch_winograd(e, a)
             : launch(e, a, GPU_K_conv_tiled, GPU_K_conv_thin);
}

wh_status gpu_emit_conv(gpu_emit *e, const gpu_step *s) {
  if (gpu_is_empty(s)) return WH_OK;
  gpu_conv_args a = args_of(s);
  a.residual = s->in[3].address;
  return launch_floats(e, s, &a);
}

/* The sums go to the output, and from there through the formula. */
wh_status gpu_emit_conv_chain(gpu_emit *e, const gpu_step *s) {
  const uint32_t n_in = wh_formula_conv_inputs(s->node->n_inputs);
  gpu_operand in[WH_FORMULA_INPUTS];
  if (gpu_is_empty(s)) return WH_OK;
  gpu_conv_args a = args_of(s);
  WH_TRY(launch_floats(e, s, &a));
  in[0] = *s->out;
  for (uint32_t i = 1; i < n_in; i++) in[i] = s->in[2 + i];
  return gpu_emit_formula(e, s, in, n_in);
}

wh_status gpu_emit_conv_integer(gpu_emit *e, const gpu_step *s) {
  if (gpu_is_empty(s)) return WH_OK;
  gpu_conv_args a = args_of(s);
  a.bias = 0;
  a.x_type = gpu_type_of(s->in[0].dtype);
  a.w_type = gpu_type_of(s->in[1].dtype);
  a.x_zero = s->in[2].address;
  a.w_zero = s->in[3].address;
  a.w_zero_step = a.w_zero && gpu_elements(&s->in[3]) > 1;
  return launch(e, &a, GPU_K_conv_integer_tiled, GPU_K_conv_integer_thin);
}

wh_status gpu_emit_conv_transpose(gpu_emit *e, const gpu_step *s) {
  if (gpu_is_empty(s)) return WH_OK;
  const gpu_conv_args a = args_of(s);
  return gpu_launch(e, GPU_K_conv_transpose, gpu_flat_grid(gpu_elements(s->out)), &a, sizeof a);
}
