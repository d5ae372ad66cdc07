/* fuzz_npz.c - any bytes as a .npz archive and as a .npy file: tensors whose elements can all be read, or a
 * message. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "cli/npz.h"
#include "tests/base/memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define REQUIRE(x) \
  if (!(x)) abort()

static volatile uint8_t sink; /* reads that the compiler must not drop */

static void touch(const wh_tensor *t) {
  const uint8_t *bytes = t->data;
  for (uint64_t i = 0; i < t->n_bytes; i++) sink ^= bytes[i];
}

static void read_npy(const uint8_t *data, size_t n_bytes) {
  wh_npy_file *file = NULL;
  if (wh_npy_open_memory("fuzz", data, n_bytes, NULL, &file) != WH_OK) {
    REQUIRE(wh_last_error()->message[0] && wh_last_error()->status != WH_ERR_INTERNAL);
    return;
  }
  touch(wh_npy_tensor(file));
  wh_npy_destroy(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  static const char *const names[] = {"a", "b", "x", "arr_0"};
  const memory_file f = memory_file_create(data, n_bytes);
  cli_npz npz = {0};
  cli_exit code = cli_npz_open(f.path, &npz);
  for (size_t i = 0; code == CLI_OK && i < sizeof names / sizeof names[0]; i++) {
    wh_npy_file *tensor;
    void *bytes;
    code = cli_npz_read(&npz, names[i], &tensor, &bytes);
    if (code != CLI_OK || !tensor) continue;
    touch(wh_npy_tensor(tensor));
    wh_npy_destroy(tensor);
    free(bytes);
  }
  REQUIRE(code == CLI_OK || (cli_error_line()[0] && code != CLI_INTERNAL));
  cli_npz_close(&npz);
  memory_file_close(&f);
  read_npy(data, n_bytes);
  return 0;
}
