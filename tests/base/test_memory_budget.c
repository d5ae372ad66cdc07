/* test_memory_budget.c - what is left for a process on made-up machines, and on this one. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/memory_budget.h"
#include "tests/base/failing_allocator.h"
#include "tests/base/file_tree.h"

#define MIB (UINT64_C(1) << 20)
static const wh_memory_rlimits no_rlimits = {UINT64_MAX, UINT64_MAX};

static wh_memory_budget budget_with(wh_memory_rlimits limits) {
  wh_memory_budget b = {.available = 0};
  assert_int_equal(wh_memory_budget_read_from(tree.path, &limits, NULL, &b), WH_OK);
  return b;
}

static void assert_budget(uint64_t available, const char *limit) {
  const wh_memory_budget b = budget_with(no_rlimits);
  assert_int_equal(b.available, available);
  assert_string_equal(b.limit, limit);
}

static void a_silent_system_limits_nothing(void **state) {
  (void)state;
  assert_budget(UINT64_MAX, "");
  put("/proc/meminfo", "MemTotal: 8 kB\nMemFree: 1 kB\n"); /* kernels before 3.14 */
  put("/proc/self/cgroup", "nonsense\n");
  put("/proc/self/mountinfo", "\n- - -\n");
  assert_budget(UINT64_MAX, "");
}

static void the_machine(void **state) {
  (void)state;
  put("/proc/meminfo",
      "MemTotal:       4194304 kB\nMemFree:  100 kB\nMemAvailable:  1048576 kB\nSwapTotal: 9 kB\nSwapFree: 0 "
      "kB\n");
  assert_budget(1024 * MIB, "this machine's memory of 4.0 GiB");
  put("/proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\nSwapFree: 2048 kB\n");
  assert_budget(1026 * MIB, "this machine's memory of 4.0 GiB");
  put("/proc/spl/kstat/zfs/arcstats",
      "13 1 0x01 96\nname type data\nsize 4 8388608\nc_min 4 1048576\nsize_x 4 5\n");
  assert_budget(1033 * MIB, "this machine's memory of 4.0 GiB");
}

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"

static void version_2(void **state) {
  (void)state;
  put("/proc/self/cgroup", "0::/a.slice/b.scope\n");
  put("/proc/self/mountinfo", V2_MOUNT);
  put("/proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\nSwapFree: 0 kB\n");
  put("/sys/fs/cgroup/a.slice/b.scope/memory.max", "max\n");
  assert_budget(1024 * MIB, "this machine's memory of 4.0 GiB");
  put("/sys/fs/cgroup/a.slice/b.scope/memory.max", "536870912\n");
  put("/sys/fs/cgroup/a.slice/b.scope/memory.current", "209715200\n");
  assert_budget(312 * MIB, "the control group's limit of 512.0 MiB");
  /* pages of files count as free, those on their way to the disk do not */
  put("/sys/fs/cgroup/a.slice/b.scope/memory.stat",
      "anon 104857600\nfile 104857600\ninactive_file 83886080\nactive_file 20971520\nfile_dirty 4194304\n"
      "file_writeback 1048576\ninactive_anon 999999999\n");
  assert_budget(407 * MIB, "the control group's limit of 512.0 MiB");
  /* the group above has less left, though its limit is larger */
  put("/sys/fs/cgroup/a.slice/memory.max", "1073741824\n");
  put("/sys/fs/cgroup/a.slice/memory.current", "1063256064\n");
  assert_budget(10 * MIB, "the control group's limit of 1.0 GiB");
  put("/sys/fs/cgroup/a.slice/memory.current", "2073741824\n"); /* above it for a moment */
  assert_budget(0, "the control group's limit of 1.0 GiB");
}

/* Swap puts the end off: as much as the group may use, and as there is. */
static void swap_of_version_2(void **state) {
  (void)state;
  put("/proc/self/cgroup", "0::/g\n");
  put("/proc/self/mountinfo", V2_MOUNT);
  put("/proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\nSwapFree: 65536 kB\n");
  put("/sys/fs/cgroup/g/memory.max", "104857600");
  put("/sys/fs/cgroup/g/memory.current", "0");
  assert_budget(164 * MIB, "the control group's limit of 100.0 MiB");
  put("/sys/fs/cgroup/g/memory.swap.max", "33554432");
  put("/sys/fs/cgroup/g/memory.swap.current", "1048576");
  assert_budget(131 * MIB, "the control group's limit of 100.0 MiB");
  put("/sys/fs/cgroup/g/memory.swap.max", "0");
  assert_budget(100 * MIB, "the control group's limit of 100.0 MiB");
}

static void version_1(void **state) {
  (void)state;
  put("/proc/self/cgroup", "4:memory:/docker/0123\n3:cpu:/x\n0::/z\n");
  put("/proc/self/mountinfo", "33 25 0:29 /docker /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  put("/proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\nSwapFree: 65536 kB\n");
  put("/sys/fs/cgroup/memory/0123/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
  put("/sys/fs/cgroup/memory/0123/memory.usage_in_bytes", "41943040\n");
  assert_budget(1088 * MIB, "this machine's memory of 4.0 GiB");
  put("/sys/fs/cgroup/memory/0123/memory.limit_in_bytes", "104857600\n");
  put("/sys/fs/cgroup/memory/0123/memory.stat",
      "inactive_file 1\ntotal_inactive_file 10485760\ntotal_active_file 0\ntotal_dirty 0\ntotal_writeback "
      "0\n");
  assert_budget(134 * MIB, "the control group's limit of 100.0 MiB"); /* 100 - 40 + 10, and 64 of swap */
  put("/sys/fs/cgroup/memory/0123/memory.memsw.limit_in_bytes", "104857600\n");
  put("/sys/fs/cgroup/memory/0123/memory.memsw.usage_in_bytes", "52428800\n");
  assert_budget(60 * MIB, "the control group's limit of 100.0 MiB");
}

static void resource_limits(void **state) {
  (void)state;
  put("/proc/self/status", "Name:\tx\nVmPeak:\t  999999 kB\nVmSize:\t  102400 kB\nVmData:\t   51200 kB\n");
  wh_memory_budget b = budget_with((wh_memory_rlimits){300 * MIB, UINT64_MAX});
  assert_int_equal(b.available, 200 * MIB);
  assert_string_equal(b.limit, "the limit of address space (ulimit -v) of 300.0 MiB");
  b = budget_with((wh_memory_rlimits){300 * MIB, 80 * MIB});
  assert_int_equal(b.available, 30 * MIB);
  assert_string_equal(b.limit, "the limit of data (ulimit -d) of 80.0 MiB");
  b = budget_with((wh_memory_rlimits){50 * MIB, UINT64_MAX});
  assert_int_equal(b.available, 0);
}

static void bytes_for_people(void **state) {
  (void)state;
  char text[WH_BYTES_TEXT];
  assert_string_equal(wh_bytes_text(0, text), "0 bytes");
  assert_string_equal(wh_bytes_text(1023, text), "1023 bytes");
  assert_string_equal(wh_bytes_text(1536, text), "1.5 KiB");
  assert_string_equal(wh_bytes_text(UINT64_MAX, text), "16.0 EiB");
}

static void out_of_memory(void **state) {
  (void)state;
  put("/proc/self/cgroup", "4:memory:/g\n0::/h\n");
  put("/proc/self/mountinfo",
      "33 25 0:29 / /v1 rw - cgroup cgroup rw,memory\n30 23 0:26 / /v2 rw - cgroup2 none rw\n");
  put("/proc/self/status", "VmSize: 1 kB\n");
  put("/proc/meminfo", "MemAvailable: 1048576 kB\n");
  put("/v1/g/memory.limit_in_bytes", "1000000");
  put("/v2/h/memory.max", "1000000");
  put("/v2/h/memory.stat", "inactive_file 1\n");
  wh_status st;
  size_t fail_at = 0;
  do {
    failing_allocator a;
    wh_memory_budget b;
    const wh_memory_rlimits limits = {MIB, MIB};
    st = wh_memory_budget_read_from(tree.path, &limits, failing_allocator_init(&a, ++fail_at), &b);
    assert_int_equal(a.n_live, 0);
    assert_true(st == WH_OK || st == WH_ERR_OUT_OF_MEMORY);
    assert_true((st == WH_OK) == (a.n_requests < fail_at));
  } while (st != WH_OK);
  assert_true(fail_at > 8);
}

static void this_machine(void **state) {
  (void)state;
  wh_memory_budget b;
  assert_int_equal(wh_memory_budget_read(NULL, &b), WH_OK);
  assert_true(b.available > 0);
  assert_true(b.available == UINT64_MAX || b.limit[0]);
}

#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, tree_create, tree_remove)
int main(void) {
  const struct CMUnitTest tests[] = {
      TREE_TEST(a_silent_system_limits_nothing),
      TREE_TEST(the_machine),
      TREE_TEST(version_2),
      TREE_TEST(swap_of_version_2),
      TREE_TEST(version_1),
      TREE_TEST(resource_limits),
      cmocka_unit_test(bytes_for_people),
      TREE_TEST(out_of_memory),
      cmocka_unit_test(this_machine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
