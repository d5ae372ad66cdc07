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

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(everything_once), cmocka_unit_test(nodes_share_tasks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
