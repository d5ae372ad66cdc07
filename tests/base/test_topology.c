/* test_topology.c - processors, cores and control-group limits of made-up machines, and of this one. */
#define _XOPEN_SOURCE 700
#include <hwloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/base/topology.h"
#include "tests/base/failing_allocator.h"
#include "tests/base/file_tree.h"
#include "tests/base/hybrid_machine.h"

static double quota(void) {
  double q = -1.0;
  assert_int_equal(wh_cgroup_cpu_quota(tree.path, NULL, &q), WH_OK);
  return q;
}

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:8 - cgroup cgroup rw,cpu,cpuacct\n"
#define OTHER_MOUNTS                                  \
  "23 1 8:1 / / rw - ext4 /dev/sda1 rw\n"             \
  "24 23 0:21 / /proc rw shared:2 - proc proc rw\n\n" \
  "35 25 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"

static void test_no_control_groups(void **state) {
  (void)state;
  assert_true(quota() == 0.0); /* an empty tree */
  put("/proc/self/cgroup", "0::/\n");
  put("/proc/self/mountinfo", OTHER_MOUNTS);
  assert_true(quota() == 0.0);
}

static void test_version_2(void **state) {
  (void)state;
  put("/proc/self/cgroup", "0::/a.slice/b.scope\n");
  put("/proc/self/mountinfo", OTHER_MOUNTS V2_MOUNT);
  assert_true(quota() == 0.0);
  put("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "max 100000\n");
  assert_true(quota() == 0.0);
  put("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "250000 100000\n");
  assert_true(quota() == 2.5);
  put("/sys/fs/cgroup/a.slice/cpu.max", "150000 100000\n"); /* the group above is tighter */
  assert_true(quota() == 1.5);
  put("/sys/fs/cgroup/cpu.max", "50000 100000\n"); /* the root of a container's own view */
  assert_true(quota() == 0.5);
  put("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "10000 100000\n");
  assert_true(quota() == 0.1);
}

static void test_version_1(void **state) {
  (void)state;
  put("/proc/self/cgroup", "12:cpuset:/x\n4:cpu,cpuacct:/docker/0123\n1:name=systemd:/y\n0::/z\n");
  put("/proc/self/mountinfo", V1_MOUNT OTHER_MOUNTS);
  put("/sys/fs/cgroup/cpu,cpuacct/docker/0123/cpu.cfs_quota_us", "-1\n");
  put("/sys/fs/cgroup/cpu,cpuacct/docker/0123/cpu.cfs_period_us", "100000\n");
  assert_true(quota() == 0.0);
  put("/sys/fs/cgroup/cpu,cpuacct/docker/0123/cpu.cfs_quota_us", "300000\n");
  assert_true(quota() == 3.0);
}

static void test_both_versions_at_once(void **state) {
  (void)state;
  put("/proc/self/cgroup", "4:cpu:/g\n0::/h\n");
  put("/proc/self/mountinfo",
      "33 25 0:29 / /v1 rw - cgroup cgroup rw,cpu\n30 23 0:26 / /v2 rw - cgroup2 none rw\n");
  put("/v1/g/cpu.cfs_quota_us", "400000");
  put("/v1/g/cpu.cfs_period_us", "100000");
  put("/v2/h/cpu.max", "700000 100000");
  assert_true(quota() == 4.0);
  put("/v2/h/cpu.max", "200000 100000");
  assert_true(quota() == 2.0);
}

static void test_a_container_sees_part_of_the_hierarchy(void **state) {
  (void)state;
  /* the mount shows the container's group as its root, under the host's path */
  put("/proc/self/cgroup", "3:cpu:/kubepods/pod1/c1/job\n");
  put("/proc/self/mountinfo", "33 25 0:29 /kubepods/pod1/c1 /cg rw - cgroup cgroup rw,cpu\n");
  put("/cg/job/cpu.cfs_quota_us", "150000");
  put("/cg/job/cpu.cfs_period_us", "100000");
  assert_true(quota() == 1.5);
  /* the path lies outside the mount, or names a folder above it: only the mount point counts */
  put("/cg/cpu.cfs_quota_us", "600000");
  put("/cg/cpu.cfs_period_us", "100000");
  put("/proc/self/cgroup", "3:cpu:/kubepods/pod1/c1x\n");
  assert_true(quota() == 6.0);
  put("/proc/self/mountinfo", "33 25 0:29 / /cg rw - cgroup cgroup rw,cpu\n");
  put("/proc/self/cgroup", "3:cpu:/../../job\n");
  assert_true(quota() == 6.0);
}

static void test_odd_names(void **state) {
  (void)state;
  put("/proc/self/cgroup", "0::/we:ird name/\n");
  put("/proc/self/mountinfo", "30 23 0:26 / /a\\040b\\134c rw - cgroup2 cgroup2 rw\n");
  put("/a b\\c/we:ird name/cpu.max", "800000 100000\n");
  assert_true(quota() == 8.0);
}

static void test_nonsense_is_no_limit(void **state) {
  (void)state;
  static const char *const limits[] = {"",  "\n",  "max",  "0 100000", "-5 100000",
                                       "5", "5 0", "5 -1", "x y",      "5 max"};
  put("/proc/self/cgroup", "0::/g\n");
  put("/proc/self/mountinfo", V2_MOUNT);
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
    put("/sys/fs/cgroup/g/cpu.max", limits[i]);
    assert_true(quota() == 0.0);
  }
  put("/sys/fs/cgroup/g/cpu.max", "100000 100000");
  assert_true(quota() == 1.0); /* the tree is one that a good line works in */
  static const char *const mounts[] = {"",
                                       "\n\n",
                                       "30\n",
                                       "30 23 0:26 /",
                                       "30 23 0:26 / /sys/fs/cgroup rw shared:4\n",
                                       " - \n",
                                       "30 23 0:26 / /sys/fs/cgroup rw - cgroup3 x rw\n",
                                       "- - - - - - - - -\n"};
  for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
    put("/proc/self/mountinfo", mounts[i]);
    assert_true(quota() == 0.0);
  }
  put("/proc/self/mountinfo", V2_MOUNT);
  static const char *const groups[] = {"", ":", "::", "0:", "0:/g", "1::/g", "0:cpu", "\n\n", "abc"};
  for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
    put("/proc/self/cgroup", groups[i]);
    assert_true(quota() == 0.0);
  }
}

/* ---- cores from the tree ---- */

static void expect_cores(const int *cpus, int n, const int *cores, int n_cores) {
  wh_cpu_budget b;
  assert_int_equal(wh_cpu_budget_read_from(tree.path, cpus, n, NULL, &b), WH_OK);
  assert_int_equal(b.n_cpus, n);
  assert_memory_equal(b.cpus, cpus, (size_t)n * sizeof *cpus);
  assert_int_equal(b.n_cores, n_cores);
  assert_memory_equal(b.core_cpus, cores, (size_t)n_cores * sizeof *cores);
  wh_cpu_budget_deinit(&b);
}
#define EXPECT_CORES(n, n_cores, ...) expect_cores(cpus, n, (const int[]){__VA_ARGS__}, n_cores)

static void test_siblings(void **state) {
  (void)state;
  const int cpus[] = {0, 1, 2, 3, 6};
  EXPECT_CORES(5, 5, 0, 1, 2, 3, 6); /* nothing known: every processor is a core */
  put("/sys/devices/system/cpu/smt/active", "1\n");
  put("/sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0,4\n");
  put("/sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,5\n"); /* the name before Linux 5.3 */
  put("/sys/devices/system/cpu/cpu2/topology/core_cpus_list", "2-3,6-7\n");
  EXPECT_CORES(5, 3, 0, 1, 2);
  const int upper[] = {3, 4, 5, 6};
  put("/sys/devices/system/cpu/cpu3/topology/core_cpus_list", "2-3,6-7\n");
  put("/sys/devices/system/cpu/cpu4/topology/core_cpus_list", "0,4\n");
  put("/sys/devices/system/cpu/cpu5/topology/core_cpus_list", "-3,9-2,999999999999,junk");
  expect_cores(upper, 4, (const int[]){3, 4, 5}, 3);
  put("/sys/devices/system/cpu/smt/active", "0\n");
  EXPECT_CORES(5, 5, 0, 1, 2, 3, 6);
}

static void test_memory_nodes(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int nodes;
  } cases[] = {{"0\n", 1}, {"0-1\n", 2}, {"0,2-4,9\n", 5}, {"", 1}, {"nonsense", 1}, {"0-99999", 1024}};
  const int cpus[] = {0};
  for (size_t i = 0; i <= sizeof cases / sizeof cases[0]; i++) {
    wh_cpu_budget b;
    if (i) put("/sys/devices/system/node/has_cpu", cases[i - 1].text);
    assert_int_equal(wh_cpu_budget_read_from(tree.path, cpus, 1, NULL, &b), WH_OK);
    assert_int_equal(b.n_nodes, i ? cases[i - 1].nodes : 1);
    wh_cpu_budget_deinit(&b);
  }
}

static void test_thread_count(void **state) {
  (void)state;
  static const struct {
    int cores;
    double quota;
    int threads;
  } cases[] = {{8, 0.0, 8}, {8, 2.0, 2},   {8, 2.5, 3}, {8, 0.1, 1},
               {8, 8.5, 8}, {8, 1e300, 8}, {1, 0.5, 1}, {0, 0.0, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    wh_cpu_budget b = {.n_cores = cases[i].cores, .quota = cases[i].quota};
    assert_int_equal(wh_cpu_budget_threads(&b), cases[i].threads);
  }
}

/* ---- hwloc descriptions ---- */

static void test_smt_and_nodes(void **state) {
  (void)state;
  wh_topology t;
  assert_int_equal(wh_topology_init_synthetic(&t,
                                              "package:2 numa:1(memory=1GB) l3:1(size=8MB) l2:4(size=1MB) "
                                              "l1d:1(size=48kB) core:1 pu:2",
                                              NULL, NULL),
                   WH_OK);
  assert_int_equal(t.n_cpus, 16);
  assert_int_equal(t.n_cores, 8);
  assert_int_equal(t.n_packages, 2);
  assert_int_equal(t.n_numa_nodes, 2);
  for (int i = 0; i < 8; i++) {
    assert_int_equal(t.cores[i].cpu, 2 * i);
    assert_int_equal(t.cores[i].n_threads, 2);
    assert_int_equal(t.cores[i].node, i / 4);
    assert_int_equal(t.cores[i].efficiency, 0);
  }
  assert_int_equal(t.nodes[1].n_cpus, 8);
  assert_int_equal(t.nodes[1].cpus[0], 8);
  assert_int_equal(t.nodes[1].cpus[7], 15);
  assert_true(t.nodes[1].memory_bytes == 1000000000 || t.nodes[1].memory_bytes == 1 << 30);
  assert_true(t.memory_bytes == 2 * t.nodes[0].memory_bytes);
  assert_true(t.l1d_bytes >= 48000 && t.l1d_bytes <= 49152);
  assert_true(t.l2_bytes >= 1000000 && t.l2_bytes <= 1 << 20);
  assert_true(t.l3_bytes >= 8000000 && t.l3_bytes <= 8 << 20);
  assert_string_equal(t.model_name, "unknown");
  wh_topology_deinit(&t);
  wh_topology_deinit(&t);
  wh_topology_deinit(NULL);
}

static void test_part_of_a_machine(void **state) {
  (void)state;
  wh_topology t;
  int cpus[] = {1, 8, 9, 13, 500};
  wh_cpu_budget budget = {.n_cpus = 5, .cpus = cpus, .quota = 2.25};
  assert_int_equal(wh_topology_init_synthetic(&t, "package:2 numa:1 core:4 pu:2", &budget, NULL), WH_OK);
  assert_int_equal(t.n_cpus, 4); /* 500 is not there */
  assert_int_equal(t.n_cores, 3);
  assert_int_equal(t.cores[0].cpu, 1);
  assert_int_equal(t.cores[0].n_threads, 1);
  assert_int_equal(t.cores[0].node, 0);
  assert_int_equal(t.cores[1].cpu, 8);
  assert_int_equal(t.cores[1].n_threads, 2);
  assert_int_equal(t.cores[2].cpu, 13);
  assert_int_equal(t.cores[2].node, 1);
  assert_int_equal(t.nodes[0].n_cpus, 1);
  assert_int_equal(t.nodes[1].n_cpus, 3);
  assert_true(t.quota == 2.25);
  wh_topology_deinit(&t);
  budget.cpus = &cpus[4], budget.n_cpus = 1;
  assert_int_equal(wh_topology_init_synthetic(&t, "core:4 pu:1", &budget, NULL), WH_ERR_UNAVAILABLE);
}

static void test_one_package_of_two(void **state) {
  (void)state;
  wh_topology t;
  int cpus[] = {2, 3};
  wh_cpu_budget budget = {.n_cpus = 2, .cpus = cpus};
  assert_int_equal(wh_topology_init_synthetic(&t, "package:2 core:2 pu:1", &budget, NULL), WH_OK);
  assert_int_equal(t.n_packages, 1);
  assert_int_equal(t.n_cores, 2);
  wh_topology_deinit(&t);
}

/* Fast cores come first, whatever their numbers. */
static void test_hybrid(void **state) {
  (void)state;
  wh_topology t = hybrid_machine();
  static const int order[] = {4, 5, 0, 1, 2, 3};
  assert_int_equal(t.n_cores, 6);
  for (int i = 0; i < 6; i++) assert_int_equal(t.cores[i].cpu, order[i]);
  assert_true(t.cores[0].efficiency > t.cores[5].efficiency);
  wh_topology_deinit(&t);
}

static void test_bad_descriptions(void **state) {
  (void)state;
  static const char *const bad[] = {"", "x", "core:0", "core:-1", "core", "pu:2 core:2", "core:2 pu"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    wh_topology t = {.n_cores = 42};
    assert_int_equal(wh_topology_init_synthetic(&t, bad[i], NULL, NULL), WH_ERR_INVALID_ARGUMENT);
    assert_int_equal(t.n_cores, 42);
  }
}

/* ---- this machine ---- */

static void test_this_machine(void **state) {
  (void)state;
  wh_cpu_budget b;
  wh_topology t;
  struct timespec t0, t1, t2;
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
  assert_int_equal(wh_cpu_budget_read(NULL, &b), WH_OK);
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
  assert_int_equal(wh_topology_init(&t, NULL), WH_OK);
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t2);
#define MS(a, b) ((double)((b).tv_sec - (a).tv_sec) * 1e3 + (double)((b).tv_nsec - (a).tv_nsec) / 1e6)
  print_message("budget %.2f ms, with hwloc %.2f ms; %s, %d cores, %d processors, %d nodes, quota %g\n",
                MS(t0, t1), MS(t1, t2), t.model_name, t.n_cores, t.n_cpus, t.n_numa_nodes, t.quota);
  assert_true(b.n_cores >= 1 && b.n_cores <= b.n_cpus);
  assert_true(t.n_cores >= 1 && t.n_cores <= t.n_cpus && t.n_cpus <= b.n_cpus);
  assert_true(t.quota == b.quota && t.quota >= 0.0);
  assert_non_null(t.model_name);
  for (int i = 0; i < t.n_cores; i++) {
    bool listed = false;
    for (int j = 0; j < b.n_cpus; j++) listed |= b.cpus[j] == t.cores[i].cpu;
    assert_true(listed);
  }
  wh_cpu_budget_deinit(&b);
  wh_cpu_budget_deinit(&b);
  wh_cpu_budget_deinit(NULL);
  wh_topology_deinit(&t);
}

/* ---- memory runs out at every request in turn ---- */

static wh_status read_budget(const wh_allocator *alloc) {
  static const int cpus[] = {0, 1, 2, 3};
  wh_cpu_budget b = {0};
  wh_status st = wh_cpu_budget_read_from(tree.path, cpus, 4, alloc, &b);
  wh_cpu_budget_deinit(&b);
  return st;
}
static wh_status read_synthetic(const wh_allocator *alloc) {
  wh_topology t = {0};
  wh_status st = wh_topology_init_synthetic(&t, "package:2 numa:1 core:2 pu:2", NULL, alloc);
  wh_topology_deinit(&t);
  return st;
}
static wh_status read_machine(const wh_allocator *alloc) {
  wh_topology t = {0};
  wh_status st = wh_topology_init(&t, alloc);
  wh_topology_deinit(&t);
  return st;
}

static void test_out_of_memory(void **state) {
  (void)state;
  wh_status (*const reads[])(const wh_allocator *) = {read_budget, read_synthetic, read_machine};
  put("/proc/self/cgroup", "4:cpu:/g\n0::/h\n");
  put("/proc/self/mountinfo",
      "33 25 0:29 / /v1 rw - cgroup cgroup rw,cpu\n30 23 0:26 / /v2 rw - cgroup2 none rw\n");
  put("/v1/g/cpu.cfs_quota_us", "400000");
  put("/v1/g/cpu.cfs_period_us", "100000");
  put("/v2/h/cpu.max", "700000 100000");
  put("/sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0-1");
  put("/sys/devices/system/cpu/cpu2/topology/core_cpus_list", "2-3");
  put("/sys/devices/system/node/has_cpu", "0-1");
  for (size_t r = 0; r < sizeof reads / sizeof reads[0]; r++) {
    failing_allocator a;
    size_t fail_at = 0;
    wh_status st;
    do {
      st = reads[r](failing_allocator_init(&a, ++fail_at));
      assert_int_equal(a.n_live, 0);
      assert_true(st == WH_OK || st == WH_ERR_OUT_OF_MEMORY);
      assert_true((st == WH_OK) == (a.n_requests < fail_at)); /* no failed request goes unnoticed */
    } while (st != WH_OK);
    assert_true(fail_at > 3);
  }
}

int main(void) {
#define IN_TREE(test) cmocka_unit_test_setup_teardown(test, tree_create, tree_remove)
  const struct CMUnitTest tests[] = {
      IN_TREE(test_no_control_groups),
      IN_TREE(test_version_2),
      IN_TREE(test_version_1),
      IN_TREE(test_both_versions_at_once),
      IN_TREE(test_a_container_sees_part_of_the_hierarchy),
      IN_TREE(test_odd_names),
      IN_TREE(test_nonsense_is_no_limit),
      IN_TREE(test_siblings),
      IN_TREE(test_memory_nodes),
      cmocka_unit_test(test_thread_count),
      cmocka_unit_test(test_smt_and_nodes),
      cmocka_unit_test(test_part_of_a_machine),
      cmocka_unit_test(test_one_package_of_two),
      cmocka_unit_test(test_hybrid),
      cmocka_unit_test(test_bad_descriptions),
      cmocka_unit_test(test_this_machine),
      IN_TREE(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
