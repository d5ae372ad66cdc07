/* ref/map_ref.c - the elementwise loops of all types. */
#define LEVEL ref
#define MAP_ALL
#include "backends/cpu/map_loops.h"
