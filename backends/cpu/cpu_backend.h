/* cpu_backend.h - the CPU backend's entry symbol. */
#ifndef WH_CPU_BACKEND_H
#define WH_CPU_BACKEND_H

#include "core/backend_abi.h"

extern const wh_backend wh_backend_cpu;

#endif
