/* work.c - roughly how long an instruction takes one worker, and from that who runs it: a step of less than a
 * barrier's time is cheaper on one worker than on a team, and so is a run that is over before the others have
 * woken. Estimates only divide the work: no bit depends on them. */
#include "backends/cpu/cpu_internal.h"

/* Measured on an AMD EPYC (Zen 3) with two workers: a barrier takes some 0.3 us, a region's start and end 4
 * us. */
#define STEP_ALONE_NS 600.0
#define RUN_ALONE_NS 8000.0
#define A_LONG_TIME_NS 1e15 /* ops whose time does not follow from the sizes of their operands */

static double elements(const cpu_operand *o) {
  double n = 1;
  for (int i = 0; i < o->rank; i++) n *= (double)o->dims[i];
  return o->data ? n : 0;
}

/* Each operand is gone through once. */
static double all_elements(const cpu_instr *in) {
  const wh_node_info *node = in->kernel->node;
  double n = 0;
  for (size_t i = 0; i < node->n_inputs; i++) n += elements(&in->in[i]);
  for (size_t i = 0; i < node->n_outputs; i++) n += elements(&in->out[i]);
  return n;
}

/* The multiplications of an output of a convolution whose weights are w: all but its axis `axis`. */
static double window(const cpu_operand *w, int axis) {
  return w->rank > axis && w->dims[axis] > 0 ? elements(w) / (double)w->dims[axis] : 0;
}

static double nanoseconds(const cpu_instr *in) {
  const double outputs = elements(&in->out[0]), all = all_elements(in);
  switch (in->kernel->node->op) {
    case WH_OP_LINEAR:
    case WH_OP_MATMUL:
    case WH_OP_MATMUL_BLOCKS:
    case WH_OP_MATMUL_CHAIN:
    case WH_OP_MATMUL_CODES:
    case WH_OP_MATMUL_INTEGER:
      return all / 4 + outputs * (double)wh_cpu_row_length(&in->in[0]) / 8;
    case WH_OP_CONV:
    case WH_OP_CONV_CHAIN:
    case WH_OP_CONV_CODES:
    case WH_OP_CONV_INTEGER:
      return all + outputs * window(&in->in[1], 0) / 8;
    case WH_OP_CONV_TRANSPOSE:
      return all + outputs * window(&in->in[1], 1) / 8;
    case WH_OP_TREES:
      return elements(&in->in[0]) + outputs + elements(&in->in[2]) * (double)in->in[0].dims[0] * 20;
    case WH_OP_EXPERT_LINEAR:
    case WH_OP_ATTENTION:
    case WH_OP_LRN:
    case WH_OP_RESAMPLE:
    case WH_OP_GRID_SAMPLE:
    case WH_OP_ROI_ALIGN:
    case WH_OP_DFT:
    case WH_OP_DET:
    case WH_OP_RNN:
    case WH_OP_GRU:
    case WH_OP_LSTM:
    case WH_OP_TOPK:
      return A_LONG_TIME_NS;
    case WH_OP_MAX_POOL:
    case WH_OP_MAX_POOL_INDEX:
    case WH_OP_AVERAGE_POOL:
    case WH_OP_LP_POOL:
      return 9 * all;
    default:
      return all;
  }
}

void wh_cpu_divide(const cpu_device *d, cpu_instr *instrs, size_t n) {
  bool team_works = false;  /* since the last barrier */
  bool is_left_out = false; /* a barrier between steps of one worker, which a team's step still needs */
  double begun = 0;
  for (size_t i = 0; i < n; i++) {
    cpu_instr *in = &instrs[i];
    const double ns = nanoseconds(in);
    in->alone = !d->shares_all && ns < STEP_ALONE_NS;
    in->ns_until = begun += ns;
    if (in->alone && !team_works) {
      is_left_out |= in->barrier;
      in->barrier = false;
      continue;
    }
    in->barrier |= is_left_out && !in->alone;
    if (in->barrier) is_left_out = team_works = false;
    team_works |= !in->alone;
  }
}

bool wh_cpu_is_short(const cpu_device *d, const cpu_instr *instrs, size_t first, size_t count) {
  const double before = first ? instrs[first - 1].ns_until : 0;
  return !d->shares_all && instrs[first + count - 1].ns_until - before < RUN_ALONE_NS;
}

void wh_cpu_share_all(void *dev) {
  cpu_device *d = dev;
  d->shares_all = true;
}
