/* host2_backend.h - a backend for tests: the CPU's reference kernels as a device behind a wire.
 *
 * It computes what the CPU backend computes at level "ref", in memory that the host cannot address and on
 * queues that have a thread each, start late and report late. So what core takes for granted about memory,
 * order and errors on the CPU shows here: its checks (checks.c) turn a misuse into ERR_DEVICE with a
 * sentence, and a stray access by the host into a fault of the process.
 *
 * wh_device_options.isa holds its options, "NAME:NUMBER" joined by commas; NULL or "auto": none.
 *   seed:N           of the delays (default 1)
 *   delay:N          longest delay before and after a piece of work, in microseconds (default 200)
 *   fail_alloc:N     the N-th buffer cannot be created (ERR_OUT_OF_MEMORY)
 *   fail_copy:N      the N-th upload, download or copy fails while it runs, fail_submit:N the N-th submit
 *   refuse_copy:N    the N-th of these calls fails itself; refuse_submit:N likewise
 * n_threads are the kernels' threads (0: one). */
#ifndef WH_HOST2_BACKEND_H
#define WH_HOST2_BACKEND_H

#include "core/backend_abi.h"

extern const wh_backend wh_backend_host2;

#endif
