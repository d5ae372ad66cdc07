/* entry.c - the symbols of whimbrel-backend-hip.so. */
#include "backends/hip/hip_backend.h"

WH_API const wh_backend *wh_backend_entry(void);
const wh_backend *wh_backend_entry(void) { return &wh_backend_hip; }

/* The object has an error record of its own, which the program that opens it does not see: the program says
 * where its own takes records. */
WH_API void wh_backend_errors(void (*set)(const wh_error_record *record));
void wh_backend_errors(void (*set)(const wh_error_record *record)) { wh_error_forward(set); }
