/* test_turn.c - turns: one at a time, in the order of arrival. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/turn.h"

#define N_THREADS 4
#define N_TURNS 2000

typedef struct shared {
  wh_turn turn;
  int inside, n_turns, worst; /* changed inside a turn only */
  int order[N_THREADS], n_order;
} shared;

typedef struct member {
  shared *s;
  int number;
} member;

static void *take_turns(void *arg) {
  shared *s = ((member *)arg)->s;
  for (int i = 0; i < N_TURNS; i++) {
    wh_turn_begin(&s->turn);
    if (++s->inside > s->worst) s->worst = s->inside;
    s->n_turns++;
    s->inside--;
    wh_turn_end(&s->turn);
  }
  return NULL;
}

static void one_at_a_time(void **state) {
  (void)state;
  shared s = {.inside = 0};
  pthread_t threads[N_THREADS];
  member members[N_THREADS];
  wh_turn_init(&s.turn);
  for (int i = 0; i < N_THREADS; i++) {
    members[i] = (member){&s, i};
    assert_int_equal(pthread_create(&threads[i], NULL, take_turns, &members[i]), 0);
  }
  for (int i = 0; i < N_THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_int_equal(s.n_turns, N_THREADS * N_TURNS);
  assert_int_equal(s.worst, 1);
  wh_turn_deinit(&s.turn);
}

static void *note_order(void *arg) {
  const member *m = arg;
  wh_turn_begin(&m->s->turn);
  m->s->order[m->s->n_order++] = m->number;
  wh_turn_end(&m->s->turn);
  return NULL;
}

static uint64_t n_tickets(wh_turn *t) {
  (void)pthread_mutex_lock(&t->mutex);
  const uint64_t n = t->next;
  (void)pthread_mutex_unlock(&t->mutex);
  return n;
}

/* Who comes back at once is behind all that wait. */
static void nobody_is_overtaken(void **state) {
  (void)state;
  shared s = {.inside = 0};
  pthread_t threads[N_THREADS];
  member members[N_THREADS];
  wh_turn_init(&s.turn);
  wh_turn_begin(&s.turn);
  for (int i = 0; i < N_THREADS; i++) {
    members[i] = (member){&s, i};
    assert_int_equal(pthread_create(&threads[i], NULL, note_order, &members[i]), 0);
    while (n_tickets(&s.turn) != (uint64_t)i + 2) (void)sched_yield(); /* until it waits */
  }
  wh_turn_end(&s.turn);
  wh_turn_begin(&s.turn);
  assert_int_equal(s.n_order, N_THREADS);
  for (int i = 0; i < N_THREADS; i++) assert_int_equal(s.order[i], i);
  wh_turn_end(&s.turn);
  for (int i = 0; i < N_THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  wh_turn_deinit(&s.turn);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_at_a_time), cmocka_unit_test(nobody_is_overtaken)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
