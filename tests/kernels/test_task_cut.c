/* test_task_cut.c - each unit of each task is some item's, once; and where memory nodes have shares, items
 * are tasks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cpu/task_cut.h"

#define MOST_TASKS 23
#define MOST_UNITS 9

static void check_items(const wh_worker *w, int64_t n_tasks, int64_t units) {
  static int taken[MOST_TASKS][MOST_UNITS * 5];
  const int64_t unit = 5, length = units * unit - 2; /* the last unit is not whole */
  const wh_task_cut cut = wh_cut_tasks(n_tasks, w);
  memset(taken, 0, sizeof taken);
  for (int64_t i = 0; i < cut.n_items; i++) {
    const wh_task_part part = wh_task_part_at(&cut, i);
    int64_t begin = 0, end = length;
    wh_task_share(&part, unit, &begin, &end);
    assert_true(part.task < n_tasks);
    assert_true(begin >= end || begin % unit == 0);
    for (int64_t k = begin; k < end; k++) taken[part.task][k]++;
  }
  for (int64_t t = 0; t < n_tasks; t++)
    for (int64_t k = 0; k < length; k++) assert_int_equal(taken[t][k], 1);
}

static void everything_once(void **state) {
  (void)state;
  for (int32_t count = 1; count <= 6; count++) {
    wh_team *team;
    assert_int_equal(wh_team_create(count, NULL, NULL, &team), WH_OK);
    const wh_worker w = {0, count, team};
    for (int64_t n = 0; n <= MOST_TASKS; n++)
      for (int64_t units = 1; units <= MOST_UNITS; units++) check_items(&w, n, units);
    const wh_task_cut cut = wh_cut_tasks(MOST_TASKS, &w);
    const int64_t cut_tasks = count > 1 ? count : 0;
    assert_int_equal(cut.n_items, MOST_TASKS + cut_tasks * (WH_TASK_PARTS - 1));
    wh_team_destroy(team);
  }
}

static void nodes_share_tasks(void **state) {
  (void)state;
  wh_topology t;
  wh_thread_binding p;
  wh_team *team;
  assert_int_equal(wh_topology_init_synthetic(&t, "numa:2 core:2 pu:1", NULL, NULL), WH_OK);
  assert_int_equal(wh_thread_binding_plan(&t, 4, WH_BINDING_NODES, NULL, &p), WH_OK);
  assert_int_equal(wh_team_create_bound(&p, NULL, &team), WH_OK);
  assert_int_equal(wh_team_nodes(team), 2);
  const wh_worker w = {0, 4, team};
  assert_int_equal(wh_cut_tasks(MOST_TASKS, &w).n_items, MOST_TASKS);
  check_items(&w, MOST_TASKS, MOST_UNITS);
  wh_team_destroy(team);
  wh_thread_binding_deinit(&p);
  wh_topology_deinit(&t);
}

/* Workers in turns, then one that has to help all others: everything once, one's own share first and in its
 * order. */
static void shares_are_near(void **state) {
  (void)state;
  uint32_t step = 0;
  for (int32_t count = 1; count <= 19; count++) {
    wh_team *team;
    assert_int_equal(wh_team_create(count, NULL, NULL, &team), WH_OK);
    for (int64_t n = 0; n <= 3 * MOST_TASKS; n++)
      for (int32_t busy = 1; busy <= count; busy += count - 1 ? count - 1 : 1) {
        int parts[3 * MOST_TASKS] = {0};
        bool left[19] = {false}, all_left = false;
        int64_t last[19];
        for (int32_t i = 0; i < count; i++) last[i] = -1;
        for (step++; !all_left;) {
          all_left = true;
          for (int32_t i = 0; i < busy; i++) {
            const wh_worker w = {i, count, team};
            const int64_t shares = wh_team_shares(&w), own = i * shares / count;
            wh_task_part p;
            if (!wh_claim_near(&w, step, n, WH_TASK_PARTS, &p)) continue;
            all_left = false;
            assert_true(p.task >= 0 && p.task < n && p.part < p.of);
            parts[p.task] += WH_TASK_PARTS / (int)p.of;
            const bool home = p.task >= n * own / shares && p.task < n * (own + 1) / shares;
            assert_false(home && left[i]);
            assert_true(!home || p.task >= last[i]);
            left[i] |= !home;
            last[i] = p.task;
          }
        }
        for (int64_t t = 0; t < n; t++) assert_int_equal(parts[t], WH_TASK_PARTS);
      }
    wh_team_destroy(team);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(everything_once), cmocka_unit_test(nodes_share_tasks),
                                     cmocka_unit_test(shares_are_near)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
