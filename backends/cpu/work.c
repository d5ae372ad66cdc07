/* work.c - roughly how long instructions take one worker: a run that is over before the others have woken is
 * the caller's alone. Estimates only divide the work: no bit depends on them. */
#include "backends/cpu/cpu_internal.h"

/* AMD EPYC (Zen 3), two workers: starting and ending a region takes 1 us while the other still spins, some 15
 * when it sleeps. */
#define RUN_ALONE_NS 8000.0
#define A_LONG_TIME_NS 1e15 /* ops whose time does not follow from the sizes of their operands */

static double elements(const cpu_operand *o) { return o->data ? (double)wh_cpu_elements(o) : 0; }

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
    case WH_OP_MATMUL_ATTENTION: { /* a key's element goes into as many products as the query has rows */
      const int64_t depth = wh_cpu_row_length(&in->in[0]);
      const double rows = depth > 0 ? elements(&in->in[0]) / (double)depth : 0;
      return all / 4 + rows * (elements(&in->in[1]) + elements(&in->in[2])) / 8;
    }
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

bool wh_cpu_is_short(const cpu_instr *instrs, size_t n) {
  double ns = 0;
  for (size_t i = 0; i < n && ns < RUN_ALONE_NS; i++) ns += nanoseconds(&instrs[i]);
  return ns < RUN_ALONE_NS;
}

void wh_cpu_share_all(void *dev) {
  cpu_device *d = dev;
  d->shares_all = true;
}
