/* energy.c - see energy.h. The names are those of NVML's interface, which do not change; no toolkit is needed
 * to build this. */
#include "cli/energy.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#define LIBRARY "libnvidia-ml.so.1"

typedef int (*start_fn)(void);
typedef int (*find_fn)(const char *bus_id, void **device);

/* ISO C has no conversion from an object's address to a function's. */
static bool find(void *library, const char *name, void *to) {
  void *address = dlsym(library, name);
  memcpy(to, &address, sizeof address);
  return address != NULL;
}

static bool open_device(const char *bus_id, cli_energy *e) {
  start_fn start = NULL;
  find_fn by_bus = NULL;
  unsigned long long now = 0;
  if (!find(e->library, "nvmlInit_v2", &start) ||
      !find(e->library, "nvmlDeviceGetHandleByPciBusId_v2", &by_bus) ||
      !find(e->library, "nvmlDeviceGetTotalEnergyConsumption", &e->read) || start() != 0)
    return false;
  (void)find(e->library, "nvmlShutdown", &e->stop); /* to be called from here on */
  return by_bus(bus_id, &e->device) == 0 && e->device && e->read(e->device, &now) == 0;
}

bool cli_energy_open(const char *bus_id, cli_energy *out) {
  *out = (cli_energy){.library = bus_id ? dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL) : NULL};
  if (!out->library) return false;
  if (open_device(bus_id, out)) return true;
  cli_energy_close(out);
  return false;
}

double cli_energy_joules(const cli_energy *e) {
  unsigned long long millijoules = 0;
  if (!e->device || e->read(e->device, &millijoules) != 0) return -1;
  return (double)millijoules / 1e3;
}

void cli_energy_close(cli_energy *e) {
  if (e->stop) (void)e->stop();
  if (e->library) (void)dlclose(e->library);
  *e = (cli_energy){.library = NULL};
}
