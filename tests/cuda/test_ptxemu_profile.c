/* What a launch counts: sectors and wavefronts by where lanes' accesses lie, and the share of matrix
 * products. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include "tests/cuda/emulator.h"

#define HEAD ".version 7.0\n.target sm_80\n.address_size 64\n"

/* Lane l loads at stride l from global memory and stores the same at stride l of shared memory. */
static const char access_text[] = HEAD
    ".visible .entry touch(.param .u64 from, .param .u32 stride) {\n"
    "  .reg .b32 %%r<8>;\n  .reg .b64 %%d<4>;\n  .shared .align 16 .b8 room[8208];\n"
    "  mov.u32 %%r1, %%tid.x;\n  ld.param.u32 %%r2, [stride];\n  mul.lo.u32 %%r1, %%r1, %%r2;\n"
    "  ld.param.u64 %%d1, [from];\n  cvt.u64.u32 %%d2, %%r1;\n  add.s64 %%d1, %%d1, %%d2;\n"
    "  mov.u32 %%r3, room;\n  add.u32 %%r3, %%r3, %%r1;\n"
    "  ld.global%s %s, [%%d1];\n  st.shared%s [%%r3], %s;\n  ret;\n}\n";

/* Ten turns of four instructions, of which one is a product. */
static const char product_text[] = HEAD
    ".visible .entry products() {\n  .reg .b32 %r<16>;\n  .reg .pred %p<2>;\n"
    "  mov.u32 %r1, 0;\n  mov.u32 %r2, 0;\n  mov.u32 %r3, 0;\n  mov.u32 %r4, 0;\n  mov.u32 %r5, 1;\n"
    "  mov.u32 %r9, 0;\n"
    "LOOP:\n"
    "  mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r1, %r2, %r3, %r4}, {%r5, %r5, %r5, %r5}, {%r5, "
    "%r5}, "
    "{%r1, %r2, %r3, %r4};\n"
    "  add.u32 %r9, %r9, 1;\n  setp.lt.u32 %p1, %r9, 10;\n  @%p1 bra LOOP;\n  ret;\n}\n";

/* A block has as many turns as there are blocks from it on along x: what prompts' attention is like. */
static const char uneven_text[] = HEAD
    ".visible .entry uneven() {\n  .reg .b32 %r<4>;\n  .reg .pred %p<2>;\n"
    "  mov.u32 %r1, %ctaid.x;\n  mov.u32 %r2, %nctaid.x;\n  sub.u32 %r3, %r2, %r1;\n"
    "LOOP:\n  sub.u32 %r3, %r3, 1;\n  setp.ne.u32 %p1, %r3, 0;\n  @%p1 bra LOOP;\n  ret;\n}\n";

static ptxemu_profile run(const char *text, const char *name, unsigned threads, void **parameters) {
  CUmodule m = NULL;
  ptxemu_profile p;
  cu.profile_clear();
  assert_int_equal(cu.module_load(&m, text), CUDA_SUCCESS);
  assert_int_equal(emulator_run(emulator_function(m, name), 2, threads, 0, parameters), CUDA_SUCCESS);
  emulator_expect_none();
  assert_int_equal(cu.profile_get(0, &p), 0);
  assert_int_equal(cu.profile_get(1, &p), -1);
  assert_string_equal(p.kernel, name);
  assert_int_equal(p.grid[0], 2);
  assert_int_equal(p.block[0], threads);
  assert_int_equal(cu.module_unload(m), CUDA_SUCCESS);
  return p;
}

static void counts_accesses(void **unused) {
  (void)unused;
  static const struct {
    const char *type, *value;
    uint32_t stride;
    unsigned sectors, wavefronts; /* of a request */
  } cases[] = {{".b32", "%r4", 4, 4, 1},
               {".b32", "%r4", 8, 8, 2},
               {".b32", "%r4", 32, 32, 8},
               {".b32", "%r4", 128, 32, 32},
               {".b32", "%r4", 12, 12, 1},
               {".v2.b32", "{%r4, %r5}", 8, 8, 2},
               {".v4.b32", "{%r4, %r5, %r6, %r7}", 16, 16, 4},
               {".v4.b32", "{%r4, %r5, %r6, %r7}", 32, 32, 8}};
  static const unsigned char zeros[2 * 4112];
  CUdeviceptr from = emulator_upload(zeros, sizeof zeros);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[2048];
    uint32_t stride = cases[i].stride;
    void *parameters[] = {&from, &stride};
    (void)snprintf(text, sizeof text, access_text, cases[i].type, cases[i].value, cases[i].type,
                   cases[i].value);
    const ptxemu_profile p = run(text, "touch", 64, parameters); /* two blocks of two warps */
    if (p.global_requests != 4 || p.shared_requests != 4 || p.sectors != 4ul * cases[i].sectors ||
        p.wavefronts != 4ul * cases[i].wavefronts)
      fail_msg("case %zu: %llu sectors, %llu wavefronts", i, (unsigned long long)p.sectors,
               (unsigned long long)p.wavefronts);
    assert_int_equal(p.shared_bytes, 8208);
    assert_int_equal(p.loop_instructions, 0);
  }
  assert_int_equal(cu.release(from), CUDA_SUCCESS);
}

static void counts_products(void **unused) {
  (void)unused;
  const ptxemu_profile p = run(product_text, "products", 32, NULL);
  assert_int_equal(p.loop_products, 20);
  assert_int_equal(p.loop_instructions, 80);
  assert_int_equal(p.instructions, 2 * (6 + 40 + 1));
  assert_int_equal(p.global_requests + p.shared_requests, 0);
}

static void counts_only_when_asked(void **unused) {
  (void)unused;
  CUmodule m = NULL;
  cu.profile_clear();
  assert_int_equal(cu.set("count=0"), 0);
  assert_int_equal(cu.module_load(&m, product_text), CUDA_SUCCESS);
  assert_int_equal(emulator_run(emulator_function(m, "products"), 1, 32, 0, NULL), CUDA_SUCCESS);
  ptxemu_profile p;
  assert_int_equal(cu.profile_get(0, &p), -1);
  assert_int_equal(cu.set("count"), 0);
}

/* Two blocks do the same, so one stands for both; memory that nobody wrote may be read then. */
static void samples_blocks(void **unused) {
  (void)unused;
  const ptxemu_profile whole = run(product_text, "products", 32, NULL);
  assert_int_equal(cu.set("sample=1"), 0);
  const ptxemu_profile part = run(product_text, "products", 32, NULL);
  assert_int_equal(part.instructions, whole.instructions);
  assert_int_equal(part.products, whole.products);
  assert_int_equal(whole.products, 2 * 10);
  CUdeviceptr room = 0;
  uint32_t read = 0;
  assert_int_equal(cu.alloc(&room, 4), CUDA_SUCCESS);
  assert_int_equal(cu.download(&read, room, 4), CUDA_SUCCESS);
  assert_int_equal(read, 0x01010101);
  assert_int_equal(cu.release(room), CUDA_SUCCESS);
  assert_int_equal(cu.set("sample=0"), 0);
}

static uint64_t instructions_of_uneven(const char *option) {
  CUmodule m = NULL;
  ptxemu_profile p;
  cu.profile_clear();
  assert_int_equal(cu.set(option), 0);
  assert_int_equal(cu.module_load(&m, uneven_text), CUDA_SUCCESS);
  assert_int_equal(cu.launch(emulator_function(m, "uneven"), 129, 8, 1, 32, 1, 1, 0, NULL, NULL, NULL),
                   CUDA_SUCCESS);
  assert_int_equal(cu.synchronize(), CUDA_SUCCESS);
  assert_int_equal(cu.profile_get(0, &p), 0);
  assert_int_equal(cu.module_unload(m), CUDA_SUCCESS);
  assert_int_equal(cu.set("sample=0"), 0);
  return p.instructions;
}

/* Four blocks in steps of the golden section were a third short. */
static void samples_uneven_blocks(void **unused) {
  (void)unused;
  const double whole = (double)instructions_of_uneven("sample=0");
  for (int i = 0; i < 3; i++) {
    const double part =
        (double)instructions_of_uneven((const char *[]){"sample=2", "sample=4", "sample=16"}[i]);
    assert_true(part > 0.95 * whole && part < 1.05 * whole);
  }
}

static int open_emulator(void **unused) {
  (void)unused;
  emulator_open();
  return cu.set("count");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(counts_accesses), cmocka_unit_test(counts_products),
                                     cmocka_unit_test(counts_only_when_asked),
                                     cmocka_unit_test(samples_blocks),
                                     cmocka_unit_test(samples_uneven_blocks)};
  return cmocka_run_group_tests(tests, open_emulator, NULL);
}
