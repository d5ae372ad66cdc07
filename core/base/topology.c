/* topology.c - copies what Whimbrel wants to know out of hwloc into our own memory; hwloc's memory is its own
 * and is given back before wh_topology_init returns. */
#define _GNU_SOURCE
#include "core/base/topology.h"

#include <hwloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void wh_topology_deinit(wh_topology *t) {
  if (!t) return;
  for (int i = 0; t->nodes && i < t->n_numa_nodes; i++) wh_free(t->alloc, t->nodes[i].cpus);
  wh_free(t->alloc, t->nodes);
  wh_free(t->alloc, t->cores);
  wh_free(t->alloc, t->model_name);
  *t = (wh_topology){0};
}

/* What hwloc shows and the budget allows. hwloc has already left out what cpusets forbid. */
static wh_status allowed_set(hwloc_topology_t h, const wh_cpu_budget *budget, hwloc_bitmap_t out) {
  if (!budget)
    return hwloc_bitmap_copy(out, hwloc_topology_get_topology_cpuset(h)) < 0 ? WH_OOM("processor set")
                                                                             : WH_OK;
  for (int i = 0; i < budget->n_cpus; i++)
    if (hwloc_bitmap_set(out, (unsigned)budget->cpus[i]) < 0) return WH_OOM("processor set");
  if (hwloc_bitmap_and(out, out, hwloc_topology_get_topology_cpuset(h)) < 0) return WH_OOM("processor set");
  if (hwloc_bitmap_iszero(out))
    return WH_FAIL(ERR_UNAVAILABLE, "hwloc does not show the processors of this process");
  return WH_OK;
}

/* Allowed processors of `part` in ascending order; the bitmaps are finite. */
static int next_allowed(hwloc_const_bitmap_t part, hwloc_const_bitmap_t allowed, int after) {
  do after = hwloc_bitmap_next(part, after);
  while (after >= 0 && !hwloc_bitmap_isset(allowed, (unsigned)after));
  return after;
}
static int count_allowed(hwloc_const_bitmap_t part, hwloc_const_bitmap_t allowed, int *list) {
  int n = 0;
  for (int cpu = -1; (cpu = next_allowed(part, allowed, cpu)) >= 0; n++)
    if (list) list[n] = cpu;
  return n;
}

static wh_status copy_nodes(wh_topology *t, hwloc_topology_t h, hwloc_const_bitmap_t allowed) {
  int n = hwloc_get_nbobjs_by_type(h, HWLOC_OBJ_NUMANODE);
  if (n <= 0) return WH_OK;
  t->nodes = wh_alloc_array(t->alloc, (size_t)n, sizeof *t->nodes);
  if (!t->nodes) return WH_OOM("memory nodes");
  for (t->n_numa_nodes = 0; t->n_numa_nodes < n; t->n_numa_nodes++) {
    hwloc_obj_t obj = hwloc_get_obj_by_type(h, HWLOC_OBJ_NUMANODE, (unsigned)t->n_numa_nodes);
    wh_topology_node *node = &t->nodes[t->n_numa_nodes];
    node->os_index = (int)obj->os_index;
    node->memory_bytes = obj->attr->numanode.local_memory;
    node->n_cpus = count_allowed(obj->cpuset, allowed, NULL);
    node->cpus = wh_alloc_array(t->alloc, (size_t)node->n_cpus, sizeof *node->cpus);
    if (!node->cpus) return WH_OOM("processors of a memory node");
    (void)count_allowed(obj->cpuset, allowed, node->cpus);
  }
  return WH_OK;
}

static int node_of(const wh_topology *t, int cpu) {
  for (int i = 0; i < t->n_numa_nodes; i++)
    for (int j = 0; j < t->nodes[i].n_cpus; j++)
      if (t->nodes[i].cpus[j] == cpu) return i;
  return -1;
}

static int efficiency_of(hwloc_topology_t h, hwloc_const_bitmap_t cpuset) {
  int efficiency = 0;
  int kind = hwloc_cpukinds_get_by_cpuset(h, cpuset, 0);
  if (kind < 0 || hwloc_cpukinds_get_info(h, (unsigned)kind, NULL, &efficiency, NULL, NULL, 0) < 0) return 0;
  return efficiency < 0 ? 0 : efficiency; /* -1: not ranked */
}

static int compare_cores(const void *pa, const void *pb) {
  const wh_topology_core *a = pa, *b = pb;
  if (a->efficiency != b->efficiency) return a->efficiency > b->efficiency ? -1 : 1;
  return (a->cpu > b->cpu) - (a->cpu < b->cpu);
}

static wh_status copy_cores(wh_topology *t, hwloc_topology_t h, hwloc_const_bitmap_t allowed) {
  /* some systems show no cores: then every logical processor is one */
  hwloc_obj_type_t type = hwloc_get_nbobjs_by_type(h, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  int n = hwloc_get_nbobjs_by_type(h, type);
  t->cores = wh_alloc_array(t->alloc, n > 0 ? (size_t)n : 0, sizeof *t->cores);
  if (!t->cores) return WH_OOM("cores");
  for (int i = 0; i < n; i++) {
    hwloc_obj_t obj = hwloc_get_obj_by_type(h, type, (unsigned)i);
    int cpu = next_allowed(obj->cpuset, allowed, -1);
    if (cpu < 0) continue;
    wh_topology_core *core = &t->cores[t->n_cores++];
    *core = (wh_topology_core){.cpu = cpu, .n_threads = count_allowed(obj->cpuset, allowed, NULL)};
    core->node = node_of(t, cpu);
    core->efficiency = efficiency_of(h, obj->cpuset);
    t->n_cpus += core->n_threads;
  }
  if (t->n_cores == 0) return WH_FAIL(ERR_UNAVAILABLE, "hwloc shows no cores");
  qsort(t->cores, (size_t)t->n_cores, sizeof *t->cores, compare_cores);
  return WH_OK;
}

static void copy_caches(wh_topology *t, hwloc_topology_t h) {
  hwloc_obj_t obj = hwloc_get_pu_obj_by_os_index(h, (unsigned)t->cores[0].cpu);
  for (; obj; obj = obj->parent) {
    if (obj->type == HWLOC_OBJ_L1CACHE) t->l1d_bytes = obj->attr->cache.size;
    if (obj->type == HWLOC_OBJ_L2CACHE) t->l2_bytes = obj->attr->cache.size;
    if (obj->type == HWLOC_OBJ_L3CACHE) t->l3_bytes = obj->attr->cache.size;
  }
}

static wh_status copy_packages(wh_topology *t, hwloc_topology_t h, hwloc_const_bitmap_t allowed) {
  const char *model = hwloc_obj_get_info_by_name(hwloc_get_root_obj(h), "CPUModel");
  int n = hwloc_get_nbobjs_by_type(h, HWLOC_OBJ_PACKAGE);
  for (int i = 0; i < n; i++) {
    hwloc_obj_t obj = hwloc_get_obj_by_type(h, HWLOC_OBJ_PACKAGE, (unsigned)i);
    if (!hwloc_bitmap_intersects(obj->cpuset, allowed)) continue;
    t->n_packages++;
    if (!model) model = hwloc_obj_get_info_by_name(obj, "CPUModel");
  }
  if (t->n_packages == 0) t->n_packages = 1;
  if (!model) model = "unknown";
  size_t len = strlen(model);
  while (len && model[len - 1] == ' ') len--;
  t->model_name = wh_alloc_string(t->alloc, model, len);
  return t->model_name ? WH_OK : WH_OOM("processor name");
}

wh_status wh_topology_init_hwloc(wh_topology *out, struct hwloc_topology *h, const wh_cpu_budget *budget,
                                 const wh_allocator *alloc) {
  hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
  wh_topology t = {.alloc = alloc, .quota = budget ? budget->quota : 0.0};
  wh_status st = allowed ? allowed_set(h, budget, allowed) : WH_OOM("processor set");
  if (st == WH_OK) st = copy_nodes(&t, h, allowed);
  if (st == WH_OK) st = copy_cores(&t, h, allowed);
  if (st == WH_OK) st = copy_packages(&t, h, allowed);
  if (st == WH_OK) {
    copy_caches(&t, h);
    t.memory_bytes = hwloc_get_root_obj(h)->total_memory;
    *out = t;
  } else {
    wh_topology_deinit(&t);
  }
  hwloc_bitmap_free(allowed);
  return st;
}

/* Asks for processors, cores, data caches, packages and memory nodes, and for nothing that must be probed. */
static int load_filtered(hwloc_topology_t h) {
  static const hwloc_obj_type_t kept[] = {HWLOC_OBJ_CORE, HWLOC_OBJ_PACKAGE, HWLOC_OBJ_L1CACHE,
                                          HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE};
  static const char *const unwanted[] = {"pci",  "opencl",    "cuda", "nvml",
                                         "rsmi", "levelzero", "gl",   "linuxio"};
  if (hwloc_topology_set_all_types_filter(h, HWLOC_TYPE_FILTER_KEEP_NONE) < 0) return -1;
  for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
    if (hwloc_topology_set_type_filter(h, kept[i], HWLOC_TYPE_FILTER_KEEP_ALL) < 0) return -1;
  /* memory nodes hang on groups while hwloc builds its tree: without them each would seem near to every
   * processor */
  if (hwloc_topology_set_type_filter(h, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE) < 0) return -1;
  for (size_t i = 0; i < sizeof unwanted / sizeof unwanted[0]; i++) /* fails for one that this hwloc lacks */
    (void)hwloc_topology_set_components(h, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, unwanted[i]);
#if HWLOC_API_VERSION >= 0x00020800
  if (hwloc_topology_set_flags(h, HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS) < 0)
    return -1;
#endif
  return hwloc_topology_load(h);
}

wh_status wh_topology_init_synthetic(wh_topology *out, const char *description, const wh_cpu_budget *budget,
                                     const wh_allocator *alloc) {
  hwloc_topology_t h = NULL;
  if (hwloc_topology_init(&h) < 0) return WH_OOM("hwloc topology");
  wh_status st =
      hwloc_topology_set_synthetic(h, description) < 0 || load_filtered(h) < 0
          ? WH_FAIL(ERR_INVALID_ARGUMENT, "machine description '%.100s': hwloc refuses it", description)
          : wh_topology_init_hwloc(out, h, budget, alloc);
  hwloc_topology_destroy(h);
  return st;
}

/* Without hwloc: the cores that the system's files show. */
static wh_status init_plain(wh_topology *out, const wh_cpu_budget *budget, const wh_allocator *alloc) {
  wh_topology t = {.alloc = alloc, .n_cpus = budget->n_cpus, .n_cores = budget->n_cores, .n_packages = 1};
  t.quota = budget->quota;
  t.cores = wh_alloc_array(alloc, (size_t)budget->n_cores, sizeof *t.cores);
  t.model_name = wh_alloc_string(alloc, "unknown", 7);
  if (!t.cores || !t.model_name) {
    wh_topology_deinit(&t);
    return WH_OOM("machine topology");
  }
  for (int i = 0; i < t.n_cores; i++) t.cores[i] = (wh_topology_core){budget->core_cpus[i], 1, -1, 0};
  *out = t;
  return WH_OK;
}

/* Without /sys (a bare container) hwloc finds nothing and writes a complaint to standard error, where a
 * library has no business. */
static bool system_describes_cpus(void) {
#ifdef __linux__
  return access("/sys/devices/system/cpu", R_OK) == 0;
#else
  return true;
#endif
}

wh_status wh_topology_init(wh_topology *out, const wh_allocator *alloc) {
  wh_cpu_budget budget = {0};
  hwloc_topology_t h = NULL;
  WH_TRY(wh_cpu_budget_read(alloc, &budget));
  bool loaded = system_describes_cpus() && hwloc_topology_init(&h) == 0 && load_filtered(h) == 0;
  wh_status st = loaded ? wh_topology_init_hwloc(out, h, &budget, alloc) : WH_ERR_UNAVAILABLE;
  if (st == WH_ERR_UNAVAILABLE) st = init_plain(out, &budget, alloc);
  if (h) hwloc_topology_destroy(h);
  wh_cpu_budget_deinit(&budget);
  return st;
}
