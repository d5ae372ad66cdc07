/* entry.c - the symbols of whimbrel-backend-host2.so. */
#include "backends/host2/host2_backend.h"

WH_API const wh_backend *wh_backend_entry(void);
const wh_backend *wh_backend_entry(void) { return &wh_backend_host2; }
