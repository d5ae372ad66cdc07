/* foreign.c - files that people have in the place of a GGUF file: says what they are and what to do about it.
 *
 * Looks at the first bytes only. Messages lack the path. */
#include <string.h>

#include "formats/gguf_internal.h"

/* What to do. */
#define CONVERT "get the model as a GGUF file, or convert it with llama.cpp's convert_hf_to_gguf.py"
#define CONVERT_ORIGINAL                                                                      \
  "get the model as a GGUF file, or convert its original safetensors files with llama.cpp's " \
  "convert_hf_to_gguf.py"
#define DOWNLOAD "the download went wrong: download the .gguf file itself"
#define UNPACK "unpack it and give the .gguf file inside it"

typedef struct magic {
  size_t at, n_bytes;
  const char *bytes;
  wh_status status;
  const char *what;
} magic;

static const magic magics[] = {
    {0, 4, "FUGG", WH_ERR_UNSUPPORTED,
     "a big-endian GGUF file: convert the model for little-endian machines"},
    {0, 4, "tjgg", WH_ERR_UNSUPPORTED, "an old GGML file (ggjt): get or convert the model as GGUF"},
    {0, 4, "lmgg", WH_ERR_UNSUPPORTED, "an old GGML file: get or convert the model as GGUF"},
    {0, 4, "fmgg", WH_ERR_UNSUPPORTED, "an old GGML file (ggmf): get or convert the model as GGUF"},
    {0, 4, "algg", WH_ERR_UNSUPPORTED,
     "an old LoRA adapter (ggla): merge it into its model, and convert that to GGUF"},
    {0, 23, "version https://git-lfs", WH_ERR_CORRUPT,
     "a Git LFS pointer and not the model itself: run `git lfs pull`, or download the file"},
    {0, 8, "\x89HDF\r\n\x1a\n", WH_ERR_UNSUPPORTED, "an HDF5 file, as Keras writes: " CONVERT_ORIGINAL},
    {4, 4, "TFL3", WH_ERR_UNSUPPORTED, "a TensorFlow Lite model: " CONVERT_ORIGINAL},
    {0, 6, "\x93NUMPY", WH_ERR_UNSUPPORTED, "a NumPy array: give a model file"},
    {0, 6, "MZqFpD", WH_ERR_UNSUPPORTED,
     "a llamafile, a program that holds a model: take the .gguf file out of it with `unzip`"},
    {0, 2, "MZ", WH_ERR_UNSUPPORTED, "a Windows program: give a model file"},
    {0, 4,
     "\x7f"
     "ELF",
     WH_ERR_UNSUPPORTED, "a program: give a model file"},
    {0, 2, "\x1f\x8b", WH_ERR_UNSUPPORTED, "a gzip archive: " UNPACK},
    {0, 4, "\x28\xb5\x2f\xfd", WH_ERR_UNSUPPORTED, "a Zstandard archive: " UNPACK},
    {0, 3, "BZh", WH_ERR_UNSUPPORTED, "a bzip2 archive: " UNPACK},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     WH_ERR_UNSUPPORTED, "an xz archive: " UNPACK},
    {0, 6, "7z\xbc\xaf\x27\x1c", WH_ERR_UNSUPPORTED, "a 7-Zip archive: " UNPACK},
    {0, 4, "Rar!", WH_ERR_UNSUPPORTED, "a RAR archive: " UNPACK},
    {257, 5, "ustar", WH_ERR_UNSUPPORTED, "a tar archive: " UNPACK},
};

typedef struct file_head {
  const uint8_t *data;
  size_t n; /* of the bytes that are looked at */
} file_head;

static bool has(const file_head *h, size_t at, const char *bytes, size_t n) {
  return h->n >= at && h->n - at >= n && memcmp(h->data + at, bytes, n) == 0;
}

static bool holds(const file_head *h, const char *text) {
  const size_t n = strlen(text);
  for (size_t i = 0; i + n <= h->n; i++)
    if (memcmp(h->data + i, text, n) == 0) return true;
  return false;
}

/* Behind a byte order mark and white space. */
static file_head skip_space(file_head h) {
  size_t at = has(&h, 0, "\xef\xbb\xbf", 3) ? 3 : 0;
  while (at < h.n && h.data[at] && strchr(" \t\r\n", h.data[at])) at++;
  return (file_head){h.data + at, h.n - at};
}

static bool begins_like(const file_head *h, const char *lower) {
  const size_t n = strlen(lower);
  if (h->n < n) return false;
  for (size_t i = 0; i < n; i++) {
    const uint8_t c = h->data[i];
    if ((c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c) != lower[i]) return false;
  }
  return true;
}

static bool is_text(const file_head *h) {
  for (size_t i = 0; i < h->n; i++)
    if (h->data[i] < 32 && !(h->data[i] && strchr("\t\r\n\f", h->data[i]))) return false;
  return h->n > 0;
}

static bool all_zero(const file_head *h) {
  for (size_t i = 0; i < h->n; i++)
    if (h->data[i]) return false;
  return true;
}

/* Eight bytes of length, then that much JSON. */
static bool is_safetensors(const file_head *h) {
  uint64_t n_json;
  if (h->n < sizeof n_json + 2 || h->data[sizeof n_json] != '{') return false;
  memcpy(&n_json, h->data, sizeof n_json);
  return n_json >= 2 && n_json < UINT64_C(1) << 32 && strchr("\" }", h->data[sizeof n_json + 1]);
}

/* A protocol buffer whose first field is a small ir_version and whose next is one that ONNX has there. */
static bool is_onnx(const file_head *h) {
  return h->n >= 4 && h->data[0] == 0x08 && h->data[1] >= 1 && h->data[1] <= 32 && h->data[2] &&
         strchr("\x12\x1a\x22\x28\x32\x3a\x42", h->data[2]);
}

static wh_status text_file(const file_head *h) {
  if (begins_like(h, "<!doctype") || begins_like(h, "<html") || begins_like(h, "<head"))
    return WH_FAIL(ERR_CORRUPT, "not a GGUF file but a web page: " DOWNLOAD);
  if (begins_like(h, "<?xml"))
    return WH_FAIL(ERR_CORRUPT,
                   "not a GGUF file but an XML text, such as servers send with an error: " DOWNLOAD);
  if (h->data[0] == '{' && holds(h, "\"schemaVersion\""))
    return WH_FAIL(
        ERR_UNSUPPORTED,
        "not a GGUF file but an Ollama manifest: give the file in blobs/ that is its layer of type 'model'");
  if (h->data[0] == '{' && holds(h, "\"weight_map\""))
    return WH_FAIL(ERR_UNSUPPORTED, "not a GGUF file but the index of a safetensors model: " CONVERT);
  if (h->data[0] == '{' || h->data[0] == '[')
    return WH_FAIL(ERR_CORRUPT,
                   "not a GGUF file but a JSON text, such as a model's configuration or a server's error: "
                   "download the .gguf file itself");
  const void *end = memchr(h->data, '\n', h->n);
  const wh_str line = {(const char *)h->data, end ? (size_t)((const uint8_t *)end - h->data) : h->n};
  return WH_FAIL(ERR_CORRUPT, "not a GGUF file but a text ('%s'): give a model file, or download it again",
                 wh_printable(line).text);
}

wh_status wh_foreign_file(const uint8_t *data, size_t n_bytes) {
  const file_head h = {data, n_bytes < 1024 ? n_bytes : 1024}, text = skip_space(h);
  if (n_bytes < WH_GGUF_MAGIC_BYTES && memcmp(data, WH_GGUF_MAGIC, n_bytes) == 0)
    return WH_FAIL(ERR_CORRUPT, "the file ends after %zu bytes: download it again", n_bytes);
  for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
    const magic *m = &magics[i];
    if (!has(&h, m->at, m->bytes, m->n_bytes)) continue;
    return m->status == WH_ERR_CORRUPT ? WH_FAIL(ERR_CORRUPT, "not a GGUF file but %s", m->what)
                                       : WH_FAIL(ERR_UNSUPPORTED, "not a GGUF file but %s", m->what);
  }
  if (has(&h, 0, "PK\3\4", 4))
    return holds(&h, "data.pkl")
               ? WH_FAIL(ERR_UNSUPPORTED, "not a GGUF file but a PyTorch checkpoint: " CONVERT)
               : WH_FAIL(ERR_UNSUPPORTED, "not a GGUF file but a zip archive: " UNPACK);
  if (h.n >= 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5)
    return WH_FAIL(ERR_UNSUPPORTED, "not a GGUF file but a Python pickle, as PyTorch wrote: " CONVERT);
  if (is_safetensors(&h)) return WH_FAIL(ERR_UNSUPPORTED, "not a GGUF file but a safetensors file: " CONVERT);
  if (is_onnx(&h)) return WH_FAIL(ERR_UNSUPPORTED, "not a GGUF file but an ONNX model: " CONVERT_ORIGINAL);
  if (h.n >= 16 && all_zero(&h))
    return WH_FAIL(ERR_CORRUPT,
                   "the file begins with zeros, as a download does that was not finished: "
                   "download it again");
  if (text.n >= 4 && is_text(&text)) return text_file(&text);
  const wh_str first = {(const char *)data, n_bytes < 4 ? n_bytes : 4};
  return WH_FAIL(ERR_UNSUPPORTED, "not a GGUF file: it begins with '%s', want '" WH_GGUF_MAGIC "'",
                 wh_printable(first).text);
}
