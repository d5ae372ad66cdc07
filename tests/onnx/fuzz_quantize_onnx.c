/* fuzz_quantize_onnx.c - any bytes as an ONNX model that is quantised: a file that can be read again, or a
 * message and no file. The last byte chooses the type. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>

#include "formats/onnx/onnx.h"
#include "tests/base/memory_file.h"
#include "tests/base/temp_folder.h"
#include "whimbrel/quantize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define REQUIRE(x) \
  if (!(x)) abort()

static temp_folder folder;
static void remove_folder(void) { temp_folder_remove(&folder); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  wh_quantize_options options = WH_QUANTIZE_OPTIONS_INIT;
  if (n_bytes == 0) return 0;
  if (!folder.path[0]) {
    folder = (temp_folder){"/dev/shm/whimbrel-fuzz-XXXXXX"}; /* files that nobody waits for a disk to keep */
    if (!mkdtemp(folder.path)) folder = temp_folder_create();
    (void)atexit(remove_folder);
  }
  const temp_path to = temp_path_of(&folder, "out.onnx");
  const memory_file from = memory_file_create(data, n_bytes - 1);
  options.dtype = data[n_bytes - 1] % 3 ? WH_DTYPE_I8 : WH_DTYPE_I4;
  options.dynamic = data[n_bytes - 1] % 3 == 2;
  const wh_status status = wh_quantize(from.path, to.text, &options);
  memory_file_close(&from);
  REQUIRE((status == WH_OK) == (access(to.text, F_OK) == 0));
  if (status != WH_OK) {
    REQUIRE(wh_last_error()->message[0] && status != WH_ERR_INTERNAL);
    return 0;
  }
  wh_onnx_file *file = NULL;
  REQUIRE(wh_onnx_open(to.text, NULL, &file) == WH_OK);
  wh_onnx_close(file);
  (void)unlink(to.text);
  return 0;
}
