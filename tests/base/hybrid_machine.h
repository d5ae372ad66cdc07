/* hybrid_machine.h - a made-up machine: processors 0 to 3 are small cores, 4 and 5 big ones. After cmocka.h.
 */
#ifndef WH_TESTS_HYBRID_MACHINE_H
#define WH_TESTS_HYBRID_MACHINE_H

#include <hwloc.h>

#include "core/base/topology.h"

static inline wh_topology hybrid_machine(void) {
  hwloc_topology_t h;
  wh_topology t;
  assert_int_equal(hwloc_topology_init(&h), 0);
  assert_int_equal(hwloc_topology_set_synthetic(h, "core:6 pu:1"), 0);
  assert_int_equal(hwloc_topology_load(h), 0);
  hwloc_bitmap_t set = hwloc_bitmap_alloc();
  assert_int_equal(hwloc_bitmap_set_range(set, 0, 3), 0);
  assert_int_equal(hwloc_cpukinds_register(h, set, 1, 0, NULL, 0), 0);
  hwloc_bitmap_zero(set);
  assert_int_equal(hwloc_bitmap_set_range(set, 4, 5), 0);
  assert_int_equal(hwloc_cpukinds_register(h, set, 9, 0, NULL, 0), 0);
  assert_int_equal(wh_topology_init_hwloc(&t, h, NULL, NULL), WH_OK);
  hwloc_bitmap_free(set);
  hwloc_topology_destroy(h);
  return t;
}

#endif
