/* fake_nvml.c - a libnvidia-ml.so.1 for tests: one device, "host2", that takes 50 watts, or what FAKE_NVML
 * says. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, NOT_FOUND = 6, UNKNOWN = 999 };

static int n_open;
static int the_device;

static int is(const char *word) {
  const char *what = getenv("FAKE_NVML");
  return what && strcmp(what, word) == 0;
}

int nvmlInit_v2(void);
int nvmlInit_v2(void) {
  if (is("broken")) return UNKNOWN;
  n_open++;
  return SUCCESS;
}

int nvmlShutdown(void);
int nvmlShutdown(void) {
  n_open--;
  return SUCCESS;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device);
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device) {
  if (n_open != 1 || strcmp(bus_id, "host2") != 0) return NOT_FOUND;
  *device = &the_device;
  return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
  struct timespec t;
  if (n_open != 1 || device != &the_device || is("silent")) return UNKNOWN;
  if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) return UNKNOWN;
  *millijoules = 50ull * ((unsigned long long)t.tv_sec * 1000 + (unsigned long long)t.tv_nsec / 1000000);
  return SUCCESS;
}
