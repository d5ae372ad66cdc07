/* base/turn.h - one at a time, in the order of arrival. A plain mutex lets a thread that comes back at once
 * overtake those that wait; where a turn lasts as long as a run of a model, they would starve. */
#ifndef WH_BASE_TURN_H
#define WH_BASE_TURN_H

#include <pthread.h>
#include <stdint.h>

/* Not recursive. */
typedef struct wh_turn {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  uint64_t next, serving; /* tickets */
} wh_turn;

void wh_turn_init(wh_turn *turn);
void wh_turn_deinit(wh_turn *turn); /* nobody has it or waits for it */
void wh_turn_begin(wh_turn *turn);  /* waits */
void wh_turn_end(wh_turn *turn);

#endif
