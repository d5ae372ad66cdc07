/* options.c - the words of PTXEMU and of ptxemu_set. */
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/ptxemu/driver.h"

/* What programs ask for: data sheets and the toolkit's tables of compute capabilities. */
static const device_profile profiles[] = {
    {"h100", "ptxemu H100", 9, 0, 132, 232448, 233472, 1980000},
    {"h200", "ptxemu H200", 9, 0, 132, 232448, 233472, 1980000},
    {"a100", "ptxemu A100", 8, 0, 108, 166912, 167936, 1410000},
    {"l4", "ptxemu L4", 8, 9, 58, 101376, 102400, 2040000},
    {"rtx4090", "ptxemu RTX 4090", 8, 9, 128, 101376, 102400, 2520000},
    {"orin", "ptxemu Orin", 8, 7, 16, 166912, 167936, 1300000},
    {"rtx5090", "ptxemu RTX 5090", 12, 0, 170, 101376, 102400, 2410000},
    {"t4", "ptxemu T4", 7, 5, 40, 65536, 65536, 1590000},
};

static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *v) {
  char *end;
  *v = strtoull(text, &end, 10);
  return end != text && !*end && *v >= least && *v <= most;
}

static bool set_one(const char *name, const char *value, driver_options *o) {
  uint64_t v = 0;
  if (!strcmp(name, "profile")) {
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
      if (!strcmp(value, profiles[i].name)) {
        o->profile = &profiles[i];
        return true;
      }
    return false;
  }
  if (!strcmp(name, "mma")) {
    o->truncating_mma = !strcmp(value, "cut");
    return o->truncating_mma || !strcmp(value, "chain");
  }
  struct {
    const char *name;
    bool *flag;
  } flags[] = {{"strict", &o->strict},
               {"refuse_approx", &o->refuse_approx},
               {"quiet", &o->quiet},
               {"lost", &o->lost},
               {"count", &o->count}};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    if (!strcmp(name, flags[i].name)) {
      if (*value && !number(value, 0, 1, &v)) return false;
      *flags[i].flag = !*value || v;
      return true;
    }
  if (!strcmp(name, "counts")) {
    if (!*value || strlen(value) >= sizeof o->counts) return false;
    strcpy(o->counts, value);
    return o->count = true;
  }
  if (!strcmp(name, "seed")) return number(value, 0, UINT64_MAX, &o->seed);
  if (!strcmp(name, "steps")) return number(value, 1, UINT64_MAX, &o->max_steps);
  if (!strcmp(name, "memory")) return number(value, 1, 1 << 20, &o->memory_mb);
  unsigned *small = !strcmp(name, "fail")         ? &o->fail_at
                    : !strcmp(name, "fail_code")  ? &o->fail_code
                    : !strcmp(name, "devices")    ? &o->n_devices
                    : !strcmp(name, "version")    ? &o->version
                    : !strcmp(name, "sample")     ? &o->sample
                    : !strcmp(name, "processors") ? &o->processors
                                                  : NULL;
  const uint64_t most = small == &o->n_devices    ? MAX_DEVICES
                        : small == &o->processors ? INT32_MAX
                                                  : UINT32_MAX;
  if (!small || !number(value, small == &o->n_devices, most, &v)) return false;
  *small = (unsigned)v;
  return true;
}

bool options_set(const char *text, driver_options *o) {
  driver_options next = *o;
  while (*text) {
    char word[sizeof o->counts + 8];
    const size_t n = strcspn(text, ",");
    if (n >= sizeof word) return false;
    memcpy(word, text, n);
    word[n] = 0;
    char *value = strchr(word, '=');
    if (value) *value++ = 0;
    if (n && !set_one(word, value ? value : "", &next)) return false;
    text += n + (text[n] == ',');
  }
  *o = next;
  return true;
}

bool options_from_environment(driver_options *o) {
  *o = (driver_options){
      .max_steps = 1000000000, .memory_mb = 4096, .n_devices = 1, .version = 13000, .profile = &profiles[0]};
  const char *text = getenv("PTXEMU");
  return !text || options_set(text, o);
}
