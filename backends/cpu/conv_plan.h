/* conv_plan.h - how conv_driver.h cuts a convolution, and the memory that it takes. A pure function of sizes:
 * the claim and every worker make the same. */
#ifndef WH_CPU_CONV_PLAN_H
#define WH_CPU_CONV_PLAN_H

#include <stddef.h>

#include "backends/cpu/nn.h"
#include "backends/cpu/whole.h"

#define WH_CONV_CHUNK 512 /* of the contract: linear, float weights */
#define WH_CONV_LANES 64  /* places of the widest tile of any level */
/* Places of the tallest tile whose lanes are channels; with half of the registers. */
#define WH_CONV_TALL 14
#define WH_CONV_SHORT 6
/* Places of a block, by the lanes of a level's vectors; 0: it has none. */
#define WH_CONV_BLOCK(lanes) ((lanes) < 8 ? 0 : 3 * (lanes))
#define WH_CONV_BLOCK_ROWS(lanes) ((lanes) / 2) /* channels of its tiles: as registers allow */
#define WH_CONV_BLOCK_PLACES 480                /* most of a task */
#define WH_CONV_BLOCK_TASK 128                  /* most channels of a task */
#define WH_CONV_ROWS 16                         /* of taps, and */
#define WH_CONV_COLUMNS 16 /* taps of a row: most of blocks that are filled from the image */
#define WH_CONV_TAIL 12    /* most places that no block has */
#define WH_CONV_PHASES 32  /* of an axis; windows with more are the reference's, or have channels in lanes */

typedef struct wh_conv_plan {
  bool fits;        /* within what the driver does; else the reference computes */
  bool depthwise;   /* groups of one channel; of what is below only row, a ring's, and worker_bytes count */
  bool by_channels; /* lanes are channels, of packed weights; else they are places */
  int64_t lanes;    /* of the level's vectors */
  int64_t block;    /* its places, or 0 */
  bool blocks;      /* of places (conv_blocks.h): those that tiles walk are the outputs */
  bool copies;      /* tiles read a copy */
  bool direct;      /* blocks are filled from the image, whatever its padding and up to strides of two */
  bool bands;       /* blocks are of a copy of the rows that a task reads (conv_bands.h) */
  bool alone;       /* each worker has units (one group of one image) of its own */
  int64_t n_k;      /* channels of a group x taps */
  wh_window view;   /* the windows as the copy has them */
  int64_t size[3];  /* a phase's space, as tiles read it */
  int64_t phases[3], phase_at[3][WH_CONV_PHASES], n_phases;
  int64_t channel; /* floats of a channel, as tiles read it */
  int64_t places;  /* that tiles walk: from the first output to the last; by channels: the outputs */
  int64_t task_rows, task_places, row_tasks, place_tasks; /* task_*: most of a task */
  int64_t parts;                                          /* that a worker's last task is given out in */
  int64_t unit;      /* places, or tiles, that tasks and their parts have whole numbers of */
  bool places_first; /* tasks of the same places follow each other, not those of the same channels */
  /* By channels: tiles of up to `tile` places, `row_tiles` of them in each of `rows` rows of `row` outputs. A
   * task's places are tiles. */
  int64_t row, rows, row_tiles, tile;
  int64_t part, set;   /* of blocks: taps that are walked at a time, how many blocks */
  bool row_wise;       /* a band has places of one row of outputs; else whole rows of a plane */
  int64_t tail;        /* places behind `places` whose lanes are channels */
  size_t shared_bytes; /* the copy that all share; in front */
  size_t tap_bytes, sum_bytes, weight_bytes, block_bytes, worker_bytes;
} wh_conv_plan;

/* `packed`: the weights are panels; `lanes`: of a level's vectors. False when the bytes overflow. */
bool wh_conv_make_plan(const wh_window *win, int64_t n, int64_t group, int64_t c, int64_t m, int workers,
                       bool packed, int64_t lanes, wh_conv_plan *out);

/* Whether images, with their padding and without, and weights of an output have at most 2^40 elements, as all
 * plans take for granted; they say no where it is not so. */
bool wh_conv_is_bounded(const wh_window *win, int64_t c);

/* The places of a task, or its tiles where lanes are channels. */
void wh_conv_task_places(const wh_conv_plan *p, int64_t place_task, int64_t *begin, int64_t *end);

/* A band's elements along an axis, for so many outputs. Rows are whole vectors, but for those of outputs. */
static inline int64_t wh_conv_band_size(const wh_window *w, const wh_conv_plan *p, int axis,
                                        int64_t outputs) {
  const int64_t n = outputs + (p->size[axis] - w->out[axis]);
  return axis < 2 || n == outputs ? n : ceil_div(n, 8) * 8;
}

/* A band's channels lie so far apart: an odd number of lines, so that they differ in where a cache has them.
 */
static inline int64_t wh_conv_band_step(int64_t elements) { return (ceil_div(elements, 16) | 1) * 16; }

#endif
