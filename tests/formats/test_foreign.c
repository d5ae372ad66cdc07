/* test_foreign.c - files in the place of a GGUF file: each is named, with what to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "formats/model_file.h"

typedef struct foreign_file {
  const char *bytes;
  size_t n; /* 0: the string's length */
  wh_status status;
  const char *what, *advice;
} foreign_file;

#define BYTES(s) s, sizeof(s) - 1
#define TEXT(s) s, 0

static const foreign_file files[] = {
    {TEXT("version https://git-lfs.github.com/spec/v1\noid "
          "sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2"),
     WH_ERR_CORRUPT, "a Git LFS pointer", "git lfs pull"},
    {TEXT("<!DOCTYPE html><html>"), WH_ERR_CORRUPT, "a web page", "download the .gguf file itself"},
    {TEXT("\n  <!doctype html>\n"), WH_ERR_CORRUPT, "a web page", "download"},
    {TEXT("\xef\xbb\xbf<HTML lang=en>"), WH_ERR_CORRUPT, "a web page", "download"},
    {TEXT("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>"), WH_ERR_CORRUPT, "an XML text",
     "download"},
    {TEXT("{\"error\": \"Repository not found\"}"), WH_ERR_CORRUPT, "a JSON text",
     "download the .gguf file itself"},
    {TEXT("{\n  \"architectures\": [\n    \"LlamaForCausalLM\"\n  ],"), WH_ERR_CORRUPT, "a JSON text",
     "download"},
    {TEXT("{\"metadata\": {\"total_size\": 16060522496}, \"weight_map\": {}}"), WH_ERR_UNSUPPORTED,
     "the index of a safetensors model", "convert_hf_to_gguf.py"},
    {TEXT("{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\"}"),
     WH_ERR_UNSUPPORTED, "an Ollama manifest", "blobs/"},
    {TEXT("Entry not found"), WH_ERR_CORRUPT, "a text ('Entry not found')", "download it again"},
    {TEXT("Access to model x is restricted.\nLog in."), WH_ERR_CORRUPT,
     "a text ('Access to model x is restricted.')", "download it again"},
    {BYTES("\x42\1\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"pt\"}"), WH_ERR_UNSUPPORTED,
     "a safetensors file", "convert_hf_to_gguf.py"},
    {BYTES("PK\3\4\0\0\10\10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\20\0\22\0archive/data.pklFB\16\0"),
     WH_ERR_UNSUPPORTED, "a PyTorch checkpoint", "convert_hf_to_gguf.py"},
    {BYTES("PK\3\4\24\0\0\0\10\0model.gguf"), WH_ERR_UNSUPPORTED, "a zip archive", "unpack it"},
    {BYTES("\x80\2\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."), WH_ERR_UNSUPPORTED, "a Python pickle",
     "convert_hf_to_gguf.py"},
    {BYTES("\10\7\22\7pytorch\32\0052.1.0"), WH_ERR_UNSUPPORTED, "an ONNX model", "convert_hf_to_gguf.py"},
    {BYTES("\x89HDF\r\n\x1a\n\0\0\0"), WH_ERR_UNSUPPORTED, "an HDF5 file", "convert_hf_to_gguf.py"},
    {BYTES("\x1c\0\0\0TFL3\x14\0"), WH_ERR_UNSUPPORTED, "a TensorFlow Lite model", "convert"},
    {BYTES("\x93NUMPY\1\0"), WH_ERR_UNSUPPORTED, "a NumPy array", "give a model file"},
    {BYTES("tjgg\1\0\0\0"), WH_ERR_UNSUPPORTED, "an old GGML file (ggjt)", "GGUF"},
    {BYTES("lmgg\0\0\0\0"), WH_ERR_UNSUPPORTED, "an old GGML file", "GGUF"},
    {BYTES("fmgg\1\0\0\0"), WH_ERR_UNSUPPORTED, "an old GGML file (ggmf)", "GGUF"},
    {BYTES("algg\1\0\0\0"), WH_ERR_UNSUPPORTED, "an old LoRA adapter", "merge it into its model"},
    {BYTES("FUGG\0\0\0\3"), WH_ERR_UNSUPPORTED, "a big-endian GGUF file", "convert"},
    {BYTES("GGUF\0\0\0\3\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1"), WH_ERR_UNSUPPORTED, "big-endian GGUF", "convert"},
    {BYTES("GGUF\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), WH_ERR_UNSUPPORTED, "GGUF version 1", "convert"},
    {BYTES("GGUF\3\0\0\0\5\0"), WH_ERR_CORRUPT, "ends at byte 10", "download it again"},
    {BYTES("GGU"), WH_ERR_CORRUPT, "ends after 3 bytes", "download it again"},
    {BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), WH_ERR_CORRUPT, "begins with zeros",
     "download it again"},
    {BYTES("MZqFpD='\n"), WH_ERR_UNSUPPORTED, "a llamafile", "unzip"},
    {BYTES("MZ\x90\0\3\0\0\0"), WH_ERR_UNSUPPORTED, "a Windows program", "give a model file"},
    {BYTES("\x7f"
           "ELF\2\1\1\0"),
     WH_ERR_UNSUPPORTED, "a program", "give a model file"},
    {BYTES("\x1f\x8b\10\0\0\0\0\0"), WH_ERR_UNSUPPORTED, "a gzip archive", "unpack it"},
    {BYTES("\x28\xb5\x2f\xfd\4\0"), WH_ERR_UNSUPPORTED, "a Zstandard archive", "unpack it"},
    {BYTES("BZh91AY&SY"), WH_ERR_UNSUPPORTED, "a bzip2 archive", "unpack it"},
    {BYTES("\xfd"
           "7zXZ\0\0\4"),
     WH_ERR_UNSUPPORTED, "an xz archive", "unpack it"},
    {BYTES("7z\xbc\xaf\x27\x1c\0\4"), WH_ERR_UNSUPPORTED, "a 7-Zip archive", "unpack it"},
    {BYTES("Rar!\x1a\7\1\0"), WH_ERR_UNSUPPORTED, "a RAR archive", "unpack it"},
    {BYTES("\1\2\3\4\5\6\7\x88"), WH_ERR_UNSUPPORTED, "begins with '?\?\?\?'", "want 'GGUF'"},
};

static void check(const foreign_file *f, const void *bytes, size_t n) {
  wh_model_file *file = NULL;
  wh_status st = wh_model_file_open_memory("it.gguf", bytes, n, NULL, &file);
  const char *message = wh_last_error()->message;
  assert_null(file);
  if (st != f->status || strncmp(message, "it.gguf: ", 9) != 0 || !strstr(message, f->what) ||
      !strstr(message, f->advice))
    fail_msg("%s: '%s', want '%s' and '%s'", wh_status_name(st), message, f->what, f->advice);
}

static void each_is_named(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
    check(&files[i], files[i].bytes, files[i].n ? files[i].n : strlen(files[i].bytes));
}

static void a_tar_archive_too(void **state) {
  (void)state;
  static const foreign_file tar = {NULL, 0, WH_ERR_UNSUPPORTED, "a tar archive", "unpack it"};
  char bytes[512] = "model.gguf";
  memcpy(bytes + 257, "ustar", 5);
  check(&tar, bytes, sizeof bytes);
}

/* Every beginning of every file is refused in order, and nothing is read past it. */
static void short_files(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    const size_t n = files[i].n ? files[i].n : strlen(files[i].bytes);
    for (size_t k = 1; k < n; k++) {
      wh_model_file *file = NULL;
      char *exact = test_malloc(k); /* to its last byte */
      memcpy(exact, files[i].bytes, k);
      wh_status st = wh_model_file_open_memory("x", exact, k, NULL, &file);
      assert_true(st == WH_ERR_CORRUPT || st == WH_ERR_UNSUPPORTED);
      test_free(exact);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_is_named),
      cmocka_unit_test(a_tar_archive_too),
      cmocka_unit_test(short_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
