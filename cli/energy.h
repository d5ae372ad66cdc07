/* energy.h - what a GPU takes, by NVIDIA's management library, where that is installed; it is opened when
 * asked for. */
#ifndef CLI_ENERGY_H
#define CLI_ENERGY_H

#include <stdbool.h>

typedef struct cli_energy {
  void *library, *device; /* NULL: nobody tells */
  int (*read)(void *device, unsigned long long *millijoules);
  int (*stop)(void);
} cli_energy;

/* The device of that PCI bus id; false where its energy cannot be told. Close it in any case. */
bool cli_energy_open(const char *bus_id, cli_energy *out);
/* Since the driver was loaded, of all that the device did; less than 0: unknown. */
double cli_energy_joules(const cli_energy *e);
void cli_energy_close(cli_energy *e);

#endif
