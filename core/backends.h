/* backends.h - the backends of a process: those that are linked in, and shared objects that are opened when
 * they are asked for. A backend whose ABI version or struct size does not fit is refused with a sentence. */
#ifndef WH_BACKENDS_H
#define WH_BACKENDS_H

#include "core/backend_abi.h"

/* The one symbol of a backend's shared object, "whimbrel-backend-NAME.so":
 *   const wh_backend *wh_backend_entry(void);
 * The struct lives as long as the object is open, which is until the process ends. */
#define WH_BACKEND_ENTRY "wh_backend_entry"
typedef const wh_backend *(*wh_backend_entry_fn)(void);

/* An object has error records of its own. It may export this function, which is given where to put each of
 * them as well: into the record that its caller reads. void wh_backend_errors(void (*set)(const
 * wh_error_record *record)); */
#define WH_BACKEND_ERRORS "wh_backend_errors"
typedef void (*wh_backend_errors_fn)(void (*set)(const wh_error_record *record));

/* The folder of the file that this code was loaded from: of libwhimbrel.so, or of the program that holds the
 * archive. False when the system does not name it by an absolute path. */
bool wh_backend_own_folder(char *out, size_t n_bytes);

/* ERR_UNSUPPORTED says what does not fit: another version, a smaller struct, a missing function. */
WH_NODISCARD wh_status wh_backend_check(const wh_backend *backend, const char *where);

/* The backend of that name: of the linked ones, else from FOLDER/whimbrel-backend-NAME.so (folder NULL: only
 * linked ones). Names are [a-z0-9_]+. ERR_INVALID_ARGUMENT lists the linked ones; ERR_UNAVAILABLE: an object
 * that cannot be opened, with the system's reason. Threads may ask at the same time. */
WH_NODISCARD wh_status wh_backend_find(const char *name, const wh_backend *const *linked, size_t n_linked,
                                       const char *folder, const wh_backend **out);

#endif
