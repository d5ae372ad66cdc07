/* ref/reduce_ref.c - the reductions of all types. */
#define LEVEL ref
#define REDUCE_ALL
#include "backends/cpu/reduce_loops.h"
