/* turn.c - see turn.h. Initialising a default mutex and condition takes no memory and cannot fail. */
#include "core/base/turn.h"

void wh_turn_init(wh_turn *t) {
  (void)pthread_mutex_init(&t->mutex, NULL);
  (void)pthread_cond_init(&t->changed, NULL);
  t->next = t->serving = 0;
}

void wh_turn_deinit(wh_turn *t) {
  (void)pthread_cond_destroy(&t->changed);
  (void)pthread_mutex_destroy(&t->mutex);
}

void wh_turn_begin(wh_turn *t) {
  (void)pthread_mutex_lock(&t->mutex);
  const uint64_t ticket = t->next++;
  while (t->serving != ticket) (void)pthread_cond_wait(&t->changed, &t->mutex);
  (void)pthread_mutex_unlock(&t->mutex);
}

void wh_turn_end(wh_turn *t) {
  (void)pthread_mutex_lock(&t->mutex);
  const uint64_t n_waiting = t->next - ++t->serving;
  (void)pthread_mutex_unlock(&t->mutex);
  if (n_waiting) (void)pthread_cond_broadcast(&t->changed); /* each looks for its own ticket */
}
