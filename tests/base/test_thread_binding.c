/* test_thread_binding.c - where workers are put on machines of every kind, and that a team keeps to it:
 * made-up machines for the decision, this one for the binding. */
#define _GNU_SOURCE
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/team.h"
#include "core/base/thread_binding.h"
#include "tests/base/failing_allocator.h"
#include "tests/base/hybrid_machine.h"

#define TWO_NODES "package:2 numa:1 core:4 pu:2"

static wh_topology machine(const char *description, const wh_cpu_budget *budget) {
  wh_topology t;
  assert_int_equal(wh_topology_init_synthetic(&t, description, budget, NULL), WH_OK);
  return t;
}

static wh_thread_binding plan(const wh_topology *t, int n_workers, wh_binding wanted) {
  wh_thread_binding p;
  assert_int_equal(wh_thread_binding_plan(t, n_workers, wanted, NULL, &p), WH_OK);
  assert_int_equal(p.n_workers, n_workers);
  assert_non_null(p.reason);
  for (int w = 0; p.set_begin && w < n_workers; w++) {
    assert_true(p.set_begin[w] < p.set_begin[w + 1]);
    assert_true(p.node_of[w] >= (w ? p.node_of[w - 1] : 0) && p.node_of[w] < p.n_nodes);
  }
  return p;
}

static void expect_mode(const char *description, const wh_cpu_budget *budget, int n_workers,
                        wh_binding wanted, wh_binding mode, const char *reason) {
  wh_topology t = machine(description, budget);
  wh_thread_binding p = plan(&t, n_workers, wanted);
  assert_int_equal(p.mode, mode);
  assert_non_null(strstr(p.reason, reason));
  assert_true((p.set_begin == NULL) == (mode == WH_BINDING_NONE));
  wh_thread_binding_deinit(&p);
  wh_topology_deinit(&t);
}

static void expect_cpus(const wh_thread_binding *p, int worker, const int *cpus, int n) {
  assert_int_equal(p->set_begin[worker + 1] - p->set_begin[worker], n);
  assert_memory_equal(p->set_cpus + p->set_begin[worker], cpus, (size_t)n * sizeof *cpus);
}
#define EXPECT_CPUS(p, worker, ...) \
  expect_cpus(p, worker, (const int[]){__VA_ARGS__}, (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)))

/* ---- the rule ---- */

static void when_threads_are_bound(void **state) {
  (void)state;
  int all[16], one_node[8];
  for (int i = 0; i < 16; i++) all[i] = i;
  for (int i = 0; i < 8; i++) one_node[i] = 8 + i;
  const wh_cpu_budget whole = {.n_cpus = 16, .cpus = all}, part = {.n_cpus = 8, .cpus = one_node},
                      quota = {.n_cpus = 16, .cpus = all, .quota = 3.5},
                      wide_quota = {.n_cpus = 16, .cpus = all, .quota = 8};
  const wh_binding automatic = WH_BINDING_AUTO, none = WH_BINDING_NONE, nodes = WH_BINDING_NODES,
                   cores = WH_BINDING_CORES;
  expect_mode(TWO_NODES, NULL, 8, automatic, nodes, "several memory nodes");
  expect_mode(TWO_NODES, &whole, 8, automatic, nodes, "several memory nodes");
  expect_mode(TWO_NODES, &whole, 2, automatic, nodes, "several memory nodes");
  expect_mode(TWO_NODES, &wide_quota, 8, automatic, nodes, "several memory nodes");
  expect_mode(TWO_NODES, &whole, 1, automatic, none, "one thread");
  expect_mode(TWO_NODES, &part, 4, automatic, none, "one memory node");
  expect_mode(TWO_NODES, &quota, 4, automatic, none, "quota");
  expect_mode("package:1 numa:1 core:8 pu:2", NULL, 8, automatic, none, "one memory node"); /* SMT alone */
  expect_mode("package:2 core:4 pu:2", NULL, 8, automatic, none, "one memory node");
  for (int n = 1; n <= 20; n++) {
    expect_mode(TWO_NODES, &whole, n, none, none, "asked for");
    expect_mode(TWO_NODES, &quota, n, cores, cores, "asked for");
    expect_mode(TWO_NODES, &quota, n, nodes, nodes, "asked for");
    expect_mode("core:4 pu:1", NULL, n, cores, cores, "asked for");
  }
  const wh_topology unknown = {.n_cores = 4, .n_cpus = 4}; /* hwloc failed, and memory was short */
  wh_thread_binding p = plan(&unknown, 4, WH_BINDING_CORES);
  assert_int_equal(p.mode, none);
  wh_topology_core core = {.cpu = 3, .n_threads = 1, .node = -1};
  const wh_topology plain = {.n_cores = 1, .n_cpus = 1, .cores = &core};
  p = plan(&plain, 2, WH_BINDING_NODES);
  assert_int_equal(p.mode, none);
  assert_non_null(strstr(p.reason, "not known"));
  p = plan(&plain, 2, WH_BINDING_CORES);
  EXPECT_CPUS(&p, 1, 3);
  wh_thread_binding_deinit(&p);
  wh_thread_binding_deinit(&p);
  wh_thread_binding_deinit(NULL);
}

/* ---- the places ---- */

static void nodes_get_their_share(void **state) {
  (void)state;
  wh_topology t = machine(TWO_NODES, NULL);
  wh_thread_binding p = plan(&t, 8, WH_BINDING_AUTO);
  assert_int_equal(p.n_nodes, 2);
  for (int w = 0; w < 8; w++) assert_int_equal(p.node_of[w], w / 4);
  EXPECT_CPUS(&p, 0, 0, 1, 2, 3, 4, 5, 6, 7); /* anywhere on its node: the system knows who else is there */
  EXPECT_CPUS(&p, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  wh_thread_binding_deinit(&p);
  p = plan(&t, 3, WH_BINDING_NODES);
  assert_int_equal(p.node_of[0] + p.node_of[1] + p.node_of[2], 1); /* two and one */
  wh_thread_binding_deinit(&p);
  wh_topology_deinit(&t);
  int cpus[] = {0, 2, 4, 6, 8}; /* of the second node only one core */
  const wh_cpu_budget budget = {.n_cpus = 5, .cpus = cpus};
  t = machine(TWO_NODES, &budget);
  p = plan(&t, 5, WH_BINDING_AUTO);
  EXPECT_CPUS(&p, 0, 0, 2, 4, 6);
  EXPECT_CPUS(&p, 3, 0, 2, 4, 6);
  EXPECT_CPUS(&p, 4, 8);
  wh_thread_binding_deinit(&p);
  p = plan(&t, 10, WH_BINDING_NODES); /* more than cores: in proportion */
  for (int w = 0; w < 10; w++) assert_int_equal(p.node_of[w], w / 8);
  wh_thread_binding_deinit(&p);
  wh_topology_deinit(&t);
}

static void every_core_gets_one(void **state) {
  (void)state;
  wh_topology t = machine(TWO_NODES, NULL);
  wh_thread_binding p = plan(&t, 8, WH_BINDING_CORES);
  for (int w = 0; w < 8; w++) EXPECT_CPUS(&p, w, 2 * w);
  wh_thread_binding_deinit(&p);
  p = plan(&t, 4, WH_BINDING_CORES); /* both nodes' memory is worth having */
  EXPECT_CPUS(&p, 0, 0);
  EXPECT_CPUS(&p, 1, 2);
  EXPECT_CPUS(&p, 2, 8);
  EXPECT_CPUS(&p, 3, 10);
  wh_thread_binding_deinit(&p);
  p = plan(&t, 16, WH_BINDING_CORES);
  for (int w = 0; w < 16; w++) EXPECT_CPUS(&p, w, w / 2 * 2);
  wh_thread_binding_deinit(&p);
  wh_topology_deinit(&t);
  int cpus[] = {1, 5, 11, 14, 15};
  const wh_cpu_budget budget = {.n_cpus = 5, .cpus = cpus};
  t = machine(TWO_NODES, &budget);
  p = plan(&t, 4, WH_BINDING_CORES);
  for (int w = 0; w < 4; w++) expect_cpus(&p, w, &cpus[w], 1);
  wh_thread_binding_deinit(&p);
  wh_topology_deinit(&t);
}

static void fast_cores_come_first(void **state) {
  (void)state;
  wh_topology t = hybrid_machine();
  wh_thread_binding p = plan(&t, 3, WH_BINDING_CORES);
  EXPECT_CPUS(&p, 0, 4);
  EXPECT_CPUS(&p, 1, 5);
  EXPECT_CPUS(&p, 2, 0);
  wh_thread_binding_deinit(&p);
  p = plan(&t, 6, WH_BINDING_AUTO); /* one node: the system moves threads to fast cores better than we do */
  assert_int_equal(p.mode, WH_BINDING_NONE);
  wh_thread_binding_deinit(&p);
  wh_topology_deinit(&t);
}

static void out_of_memory(void **state) {
  (void)state;
  wh_topology t = machine(TWO_NODES, NULL);
  wh_status st = WH_ERR_OUT_OF_MEMORY;
  size_t n = 0;
  while (st != WH_OK) {
    failing_allocator a;
    const wh_allocator *alloc = failing_allocator_init(&a, ++n);
    wh_thread_binding p = {0};
    wh_team *team = NULL;
    st = wh_thread_binding_plan(&t, 5, WH_BINDING_AUTO, alloc, &p);
    if (st == WH_OK) st = wh_team_create_bound(&p, alloc, &team);
    wh_team_destroy(team);
    wh_thread_binding_deinit(&p);
    assert_int_equal(a.n_live, 0);
    assert_true(st == WH_OK || st == WH_ERR_OUT_OF_MEMORY);
  }
  assert_true(n > 10);
  wh_topology_deinit(&t);
}

/* ---- teams ---- */

enum { WORKERS = 4, ITEMS = 1000 };

typedef struct shares {
  int taken[ITEMS]; /* by how many */
  int order_errors; /* items of another node before the own ones were gone */
  int64_t n_items;
  const wh_thread_binding *p;
} shares;

static void claim_all(void *arg, const wh_worker *w) {
  shares *s = arg;
  for (uint32_t step = 1; step <= 3; step++) {
    bool left_home = false;
    int node = s->p->node_of[w->index];
    int64_t begin = 0, end = 0, item;
    for (int i = 0; i < w->count; i++) {
      begin += s->p->node_of[i] < node;
      end += s->p->node_of[i] <= node;
    }
    begin = s->n_items * begin / w->count;
    end = s->n_items * end / w->count;
    while ((item = wh_team_claim(w, step, s->n_items)) != INT64_MAX) {
      bool home = item >= begin && item < end;
      if (home && left_home) __atomic_add_fetch(&s->order_errors, 1, __ATOMIC_RELAXED);
      left_home |= !home;
      __atomic_add_fetch(&s->taken[item], 1, __ATOMIC_RELAXED);
    }
  }
}

/* Each item once per step, one's own first; whatever the split, and also when a node's workers do nothing. */
static void nodes_help_each_other(void **state) {
  (void)state;
  wh_topology t = machine("numa:3 core:2 pu:1", NULL);
  for (int n_workers = 1; n_workers <= 7; n_workers++) {
    wh_thread_binding p = plan(&t, n_workers, WH_BINDING_NODES);
    wh_team *team;
    assert_int_equal(wh_team_create_bound(&p, NULL, &team), WH_OK);
    static const int64_t sizes[] = {0, 1, 2, 5, 37, ITEMS};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
      shares s = {.n_items = sizes[k], .p = &p};
      wh_team_run(team, claim_all, &s);
      for (int64_t i = 0; i < sizes[k]; i++) assert_int_equal(s.taken[i], 3);
      assert_int_equal(s.order_errors, 0);
    }
    wh_team_destroy(team);
    wh_thread_binding_deinit(&p);
  }
  wh_topology_deinit(&t);
}

static void note_cpus(void *arg, const wh_worker *w) {
  assert_int_equal(sched_getaffinity(0, sizeof(cpu_set_t), (cpu_set_t *)arg + w->index), 0);
}

/* While a bound team runs its workers are where it says; the caller is free again afterwards, and so is
 * everybody in a team that is not bound. */
static void binding_lasts_as_long_as_the_region(void **state) {
  (void)state;
  cpu_set_t before, after, seen[WORKERS];
  wh_team *bound, *loose;
  int cpu = 0, cpus[WORKERS];
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  while (!CPU_ISSET((size_t)cpu, &before)) cpu++;
  for (int i = 0; i < WORKERS; i++) cpus[i] = cpu;
  assert_int_equal(wh_team_create(WORKERS, cpus, NULL, &bound), WH_OK);
  assert_int_equal(wh_team_create(WORKERS, NULL, NULL, &loose), WH_OK);
  for (int round = 0; round < 3; round++) {
    wh_team_run(bound, note_cpus, seen);
    for (int i = 0; i < WORKERS; i++) {
      assert_int_equal(CPU_COUNT(&seen[i]), 1);
      assert_true(CPU_ISSET((size_t)cpu, &seen[i]));
    }
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
    wh_team_run(loose, note_cpus, seen);
    for (int i = 0; i < WORKERS; i++) assert_true(CPU_EQUAL(&before, &seen[i]));
  }
  wh_team_destroy(bound);
  wh_team_destroy(loose);
}

static void claim_some(void *arg, const wh_worker *w) {
  int *n = arg;
  while (wh_team_claim(w, 1, 5) != INT64_MAX) __atomic_add_fetch(&n[0], 1, __ATOMIC_RELAXED);
  while (wh_team_next(w, 2) < 5) __atomic_add_fetch(&n[1], 1, __ATOMIC_RELAXED);
}

/* The caller has all items, also behind a region of the whole team. */
static void a_run_may_have_one_worker(void **state) {
  (void)state;
  wh_team *team;
  int n[2] = {0, 0};
  assert_int_equal(wh_team_create(WORKERS, NULL, NULL, &team), WH_OK);
  wh_team_run(team, claim_some, n);
  wh_team_run_alone(team, claim_some, n);
  assert_int_equal(n[0], 10);
  assert_int_equal(n[1], 10);
  wh_team_destroy(team);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_run_may_have_one_worker), cmocka_unit_test(when_threads_are_bound),
      cmocka_unit_test(nodes_get_their_share),     cmocka_unit_test(every_core_gets_one),
      cmocka_unit_test(fast_cores_come_first),     cmocka_unit_test(out_of_memory),
      cmocka_unit_test(nodes_help_each_other),     cmocka_unit_test(binding_lasts_as_long_as_the_region),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
