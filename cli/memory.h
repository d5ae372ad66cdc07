/* memory.h - counts what the library takes, so that `inspect --plan` can tell before a run what `run` reports
 * after it. */
#ifndef CLI_MEMORY_H
#define CLI_MEMORY_H

#include "whimbrel/whimbrel.h"

/* The heap with a running count. Every verb's model, device and session use it. */
const wh_allocator *cli_allocator(void);

/* Bytes that are taken from cli_allocator now. */
uint64_t cli_allocated(void);

/* Bytes of this process that are neither the mapped model file nor any other file: what the system counts as
 * anonymous. 0 where the system does not tell. */
uint64_t cli_process_bytes(void);

#endif
