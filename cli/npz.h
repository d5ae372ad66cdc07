/* npz.h - NumPy's .npz files: zip archives of a tensor each. Read where the program was built with zlib,
 * whether their members are compressed or not; written uncompressed. */
#ifndef CLI_NPZ_H
#define CLI_NPZ_H

#include "cli/input.h"
#include "cli/output.h"

bool cli_is_npz(const char *path); /* by its name */

/* Owned: close frees what it holds. Zero-initialise. */
typedef struct cli_npz {
  const char *path; /* borrowed */
  cli_buffer file;
  size_t directory, n_members; /* where the list of members begins */
} cli_npz;
WH_NODISCARD cli_exit cli_npz_open(const char *path, cli_npz *out);
/* The tensor called `name`, *tensor NULL where there is none. It is valid until wh_npy_destroy(*tensor) and
 * free(*bytes), in that order. */
WH_NODISCARD cli_exit cli_npz_read(const cli_npz *npz, const char *name, wh_npy_file **tensor, void **bytes);
void cli_npz_close(cli_npz *npz);

/* Begin, any number of tensors, then end. */
typedef struct cli_npz_writer {
  cli_output *out;
  uint64_t n_bytes;
  cli_buffer directory;
  uint32_t n_members;
} cli_npz_writer;
WH_NODISCARD cli_exit cli_npz_write(cli_npz_writer *w, const char *name, const wh_tensor *tensor);
WH_NODISCARD cli_exit cli_npz_end(cli_npz_writer *w);

#endif
