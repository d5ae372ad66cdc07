/* make_gguf_seeds.c - writes the hand-made part of the fuzzer's corpus: make_gguf_seeds FOLDER. */
#include <stdio.h>

#include "tests/formats/gguf_bytes.h"

static gguf_bytes b;

static void save(const char *folder, const char *name) {
  char path[1024];
  (void)snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(b.data, 1, b.n, f) != b.n || fclose(f) != 0) {
    perror(path);
    exit(1);
  }
}

static void every_scalar(uint32_t version) {
  gb_header(&b, version, 0, 13);
  gb_key(&b, "u8", 0), gb_u8(&b, 200);
  gb_key(&b, "i8", 1), gb_u8(&b, 200);
  gb_meta_u16(&b, "u16", 60000);
  gb_key(&b, "i16", 3), gb_u16(&b, 60000);
  gb_meta_u32(&b, "u32", 4000000000u);
  gb_meta_i32(&b, "i32", -5);
  gb_key(&b, "f32", 6), gb_f32(&b, 0.25f);
  gb_key(&b, "bool", 7), gb_u8(&b, 1);
  gb_meta_str(&b, "string", "llama");
  gb_key(&b, "u64", 10), gb_u64(&b, 1u);
  gb_key(&b, "i64", 11), gb_u64(&b, UINT64_MAX);
  gb_key(&b, "f64", 12), gb_f64(&b, 1e300);
  gb_array(&b, "strings", 8, 2), gb_str(&b, "a"), gb_str(&b, "");
}

static void every_array(void) {
  static const uint8_t sizes[13] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  char key[] = "a";
  gb_header(&b, 3, 0, 12);
  for (uint32_t t = 0; t < 13; t++) {
    if (t == 9) continue;
    gb_array(&b, key, t, 3);
    key[0]++;
    for (int i = 0; i < 3; i++) {
      if (t == 8) gb_str(&b, "token");
      for (int k = 0; k < sizes[t]; k++) gb_u8(&b, k == 0 ? (uint8_t)(i & 1) : 0);
    }
  }
}

/* One tensor of every readable type, one row of 256 elements each. */
static void every_tensor_type(void) {
  static const struct {
    uint32_t type, n_bytes;
  } t[] = {{0, 1024}, {1, 512},  {2, 144},   {3, 160},   {6, 176},   {7, 192},  {8, 272},
           {10, 84},  {11, 110}, {12, 144},  {13, 176},  {14, 210},  {20, 144}, {23, 136},
           {24, 256}, {25, 512}, {26, 1024}, {27, 2048}, {28, 2048}, {30, 512}, {39, 136}};
  size_t n = sizeof t / sizeof t[0];
  uint64_t offset = 0;
  char name[] = "t.a";
  gb_header(&b, 3, n, 1);
  gb_meta_str(&b, "general.architecture", "llama");
  for (size_t i = 0; i < n; i++) {
    name[2] = (char)('a' + i);
    gb_tensor_2d(&b, name, 256, 1, t[i].type, offset);
    offset += (t[i].n_bytes + 31u) & ~31u;
  }
  gb_pad(&b, 32);
  gb_data(&b, offset);
}

static void aligned_tensors(uint32_t alignment) {
  gb_header(&b, 3, 2, 1);
  gb_meta_u32(&b, "general.alignment", alignment);
  gb_tensor_2d(&b, "second", 4, 2, 0, alignment);
  gb_tensor(&b, "first", 4, (uint64_t[]){2, 1, 1, 1}, 1, 0);
  gb_pad(&b, alignment);
  gb_data(&b, alignment + 32);
}

static void overlapping_tensors(void) {
  gb_header(&b, 3, 2, 0);
  gb_tensor_2d(&b, "a", 32, 1, 0, 0);
  gb_tensor_2d(&b, "b", 32, 1, 0, 96);
  gb_pad(&b, 32);
  gb_data(&b, 224);
}

static void one_part(void) {
  gb_header(&b, 3, 0, 3);
  gb_meta_u16(&b, "split.no", 0);
  gb_meta_u16(&b, "split.count", 3);
  gb_meta_i32(&b, "split.tensors.count", 2);
}

static void huge_counts(void) {
  gb_header(&b, 3, UINT64_MAX, UINT64_MAX);
  gb_array(&b, "tokens", 8, UINT64_MAX);
}

static void huge_tensor(void) {
  gb_header(&b, 3, 1, 0);
  gb_tensor(&b, "huge", 4, (uint64_t[]){1u << 31, 1u << 31, 2, 1}, 0, 0);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    (void)fprintf(stderr, "usage: make_gguf_seeds FOLDER\n");
    return 2;
  }
  every_scalar(3), save(argv[1], "scalars_v3.gguf");
  every_scalar(2), save(argv[1], "scalars_v2.gguf");
  every_scalar(1), save(argv[1], "scalars_v1.gguf");
  every_scalar(0x03000000), save(argv[1], "big_endian.gguf");
  every_array(), save(argv[1], "arrays.gguf");
  every_tensor_type(), save(argv[1], "tensor_types.gguf");
  aligned_tensors(8), save(argv[1], "aligned_8.gguf");
  aligned_tensors(1024), save(argv[1], "aligned_1024.gguf");
  overlapping_tensors(), save(argv[1], "overlap.gguf");
  one_part(), save(argv[1], "part.gguf");
  huge_counts(), save(argv[1], "huge_counts.gguf");
  huge_tensor(), save(argv[1], "huge_tensor.gguf");
  gb_header(&b, 3, 0, 0), save(argv[1], "empty.gguf");
  return 0;
}
