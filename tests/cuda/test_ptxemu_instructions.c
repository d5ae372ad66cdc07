/* One instruction after another, on edge values and random ones, against what C computes. */
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include "core/base/exact_math.h"
#include "tests/cuda/emulator.h"

enum { N = 1024 };

static float f32(uint64_t u) { return wh_f32_from_bits((uint32_t)u); }
static uint64_t bits32(float f) { return f != f ? 0x7fffffff : wh_f32_bits(f); }
static double f64(uint64_t u) {
  double f;
  memcpy(&f, &u, sizeof f);
  return f;
}
static uint64_t bits64(double f) {
  uint64_t u;
  memcpy(&u, &f, sizeof u);
  return u;
}

/* One operation in a rounding of the processor's. */
#define ROUNDED(name, mode, type, expression)                              \
  static uint64_t name(uint64_t a_, uint64_t b_, uint64_t c_) {            \
    volatile type a = TO_##type(a_), b = TO_##type(b_), c = TO_##type(c_); \
    (void)b, (void)c;                                                      \
    (void)fesetround(mode);                                                \
    volatile type r = expression;                                          \
    (void)fesetround(FE_TONEAREST);                                        \
    return OF_##type(r);                                                   \
  }
#define TO_float f32
#define TO_double f64
#define OF_float bits32
#define OF_double bits64
ROUNDED(add_rn, FE_TONEAREST, float, a + b)
ROUNDED(add_rz, FE_TOWARDZERO, float, a + b)
ROUNDED(add_rm, FE_DOWNWARD, float, a + b)
ROUNDED(add_rp, FE_UPWARD, float, a + b)
ROUNDED(mul_rz, FE_TOWARDZERO, float, a *b)
ROUNDED(fma_rm, FE_DOWNWARD, float, fmaf(a, b, c))
ROUNDED(fma_rp, FE_UPWARD, float, fmaf(a, b, c))
ROUNDED(div_rn, FE_TONEAREST, float, a / b)
ROUNDED(div_rz, FE_TOWARDZERO, float, a / b)
ROUNDED(rcp_rn, FE_TONEAREST, float, 1.0f / a)
ROUNDED(sqrt_rp, FE_UPWARD, float, sqrtf(a))
ROUNDED(dadd_rm, FE_DOWNWARD, double, a + b)
ROUNDED(dfma_rn, FE_TONEAREST, double, fma(a, b, c))
ROUNDED(ddiv_rn, FE_TONEAREST, double, a / b)
ROUNDED(dsqrt_rn, FE_TONEAREST, double, sqrt(a))
ROUNDED(rni, FE_TONEAREST, float, rintf(a))
ROUNDED(rmi, FE_TONEAREST, float, floorf(a))

#define PLAIN(name, expression)                              \
  static uint64_t name(uint64_t a, uint64_t b, uint64_t c) { \
    (void)a, (void)b, (void)c;                               \
    return expression;                                       \
  }
static float flushed(float f) { return fabsf(f) < 0x1p-126f ? copysignf(0.0f, f) : f; }
PLAIN(add_ftz, bits32(flushed(flushed(f32(a)) + flushed(f32(b)))))
PLAIN(add_sat, bits32(f32(a) + f32(b) > 0 ? fminf(f32(a) + f32(b), 1.0f) : 0.0f))
PLAIN(min_f32, f32(a) != f32(a) || f32(b) != f32(b) ? bits32(f32(a) != f32(a) ? f32(b) : f32(a))
               : f32(a) == f32(b)                   ? (a | b)
                                                    : bits32(f32(a) < f32(b) ? f32(a) : f32(b)))
PLAIN(to_s32_rzi, f32(a) != f32(a)    ? 0
                  : f32(a) >= 0x1p31f ? 0x7fffffff
                  : f32(a) < -0x1p31f ? 0x80000000
                                      : (uint32_t)(int32_t)f32(a))
PLAIN(to_u32_rni, !(f32(a) > 0) ? 0 : rintf(f32(a)) >= 0x1p32f ? 0xffffffff : (uint32_t)rintf(f32(a)))
PLAIN(from_s32, bits32((float)(int32_t)a))
PLAIN(from_u64, bits64((double)a))
PLAIN(to_f16, f32(a) != f32(a) ? 0x7fff : wh_f16_from_f32(f32(a)))
static uint32_t f16_toward_zero(float x) {
  const uint32_t h = wh_f16_from_f32(x);
  return h - (fabsf(wh_f32_from_f16((uint16_t)h)) > fabsf(x)); /* the next smaller one */
}
PLAIN(to_f16_rz, f32(a) != f32(a) ? 0x7fff : f16_toward_zero(f32(a)))
PLAIN(to_bf16, f32(a) != f32(a) ? 0x7fff : ((uint32_t)a + 0x7fff + ((uint32_t)a >> 16 & 1)) >> 16)
PLAIN(from_f16, bits32(wh_f32_from_f16((uint16_t)a)))
PLAIN(widen, f32(a) != f32(a) ? ~(uint64_t)0 : bits64((double)f32(a)))
PLAIN(narrow_s8, (uint32_t)(int32_t)(int8_t)a)
PLAIN(saturate_u8, (int32_t)a<0 ? 0 : (int32_t)a> 255 ? 255 : a)
PLAIN(mulhi_s32, (uint32_t)((uint64_t)((int64_t)(int32_t)a *(int32_t)b) >> 32))
PLAIN(mulhi_u64, (uint64_t)((unsigned __int128)a *b >> 64))
PLAIN(madwide, (uint64_t)((int64_t)(int32_t)a *(int32_t)b) + c)
PLAIN(div_s32, b ? (uint32_t)((int64_t)(int32_t)a / (int32_t)b) : 0)
PLAIN(rem_u32, b ? (uint32_t)a % (uint32_t)b : 0)
PLAIN(shl, (uint32_t)b > 31 ? 0 : (uint32_t)a << b)
PLAIN(shr_s32, (uint32_t)((int32_t)a >> ((uint32_t)b > 31 ? 31 : b)))
PLAIN(shf_wrap, (uint32_t)((((uint64_t)(uint32_t)b << 32 | (uint32_t)a) << (c & 31)) >> 32))
PLAIN(lop3, (uint32_t)((a & b) | (~a & c)))
PLAIN(bfe_u32, (uint32_t)a >> 5 & 0x1ff)
PLAIN(bfe_s32, (uint32_t)((int32_t)((uint32_t)a << 20) >> 24))
PLAIN(bfi, (uint32_t)((b & ~0xff0u) | (a << 4 & 0xff0)))
PLAIN(prmt, (uint32_t)((b & 255) << 24 | (a >> 24 & 255) << 16 | (a & 128 ? 0xff00 : 0) | (b >> 24 & 255)))
PLAIN(popc, (unsigned)__builtin_popcountll(a))
PLAIN(clz, (uint32_t)a ? (unsigned)__builtin_clz((uint32_t)a) : 32)
PLAIN(bfind, (uint32_t)a ? 31 - (unsigned)__builtin_clz((uint32_t)a) : 0xffffffff)
PLAIN(sad, (uint32_t)(c + ((int32_t)a < (int32_t)b ? b - a : a - b)))
PLAIN(dp4a_us, (uint32_t)(c + (uint32_t)((int)(a & 255) * (int8_t)b + (int)(a >> 8 & 255) * (int8_t)(b >> 8) +
                                         (int)(a >> 16 & 255) * (int8_t)(b >> 16) +
                                         (int)(a >> 24 & 255) * (int8_t)(b >> 24))))
PLAIN(min_s64, (int64_t)a < (int64_t)b ? a : b)
PLAIN(ltu, !(f32(a) >= f32(b)))
PLAIN(gt_s16, (int16_t)a > (int16_t)b)
PLAIN(copy_sign, (b & 0x7fffffff) | (a & 0x80000000))
static uint64_t brev(uint64_t a, uint64_t b, uint64_t c) {
  (void)b, (void)c;
  uint32_t r = 0;
  for (int k = 0; k < 32; k++) r |= (uint32_t)(a >> k & 1) << (31 - k);
  return r;
}

/* %a, %b, %c: 64-bit registers w, 32-bit ones r, 16-bit ones h; the result goes to %d in 64 or 32 bits. */
static const struct {
  const char *text;
  unsigned result; /* bits */
  uint64_t (*right)(uint64_t, uint64_t, uint64_t);
} rows[] = {
    {"add.rn.f32 %rd, %ra, %rb;", 32, add_rn},
    {"add.rz.f32 %rd, %ra, %rb;", 32, add_rz},
    {"add.rm.f32 %rd, %ra, %rb;", 32, add_rm},
    {"add.rp.f32 %rd, %ra, %rb;", 32, add_rp},
    {"add.ftz.f32 %rd, %ra, %rb;", 32, add_ftz},
    {"add.sat.f32 %rd, %ra, %rb;", 32, add_sat},
    {"mul.rz.f32 %rd, %ra, %rb;", 32, mul_rz},
    {"fma.rm.f32 %rd, %ra, %rb, %rc;", 32, fma_rm},
    {"fma.rp.f32 %rd, %ra, %rb, %rc;", 32, fma_rp},
    {"div.rn.f32 %rd, %ra, %rb;", 32, div_rn},
    {"div.rz.f32 %rd, %ra, %rb;", 32, div_rz},
    {"rcp.rn.f32 %rd, %ra;", 32, rcp_rn},
    {"sqrt.rp.f32 %rd, %ra;", 32, sqrt_rp},
    {"min.f32 %rd, %ra, %rb;", 32, min_f32},
    {"copysign.f32 %rd, %ra, %rb;", 32, copy_sign},
    {"cvt.rni.f32.f32 %rd, %ra;", 32, rni},
    {"cvt.rmi.f32.f32 %rd, %ra;", 32, rmi},
    {"cvt.rzi.s32.f32 %rd, %ra;", 32, to_s32_rzi},
    {"cvt.rni.u32.f32 %rd, %ra;", 32, to_u32_rni},
    {"cvt.rn.f32.s32 %rd, %ra;", 32, from_s32},
    {"cvt.rn.f64.u64 %wd, %wa;", 64, from_u64},
    {"cvt.rn.f16.f32 %hd, %ra; cvt.u32.u16 %rd, %hd;", 32, to_f16},
    {"cvt.rz.f16.f32 %hd, %ra; cvt.u32.u16 %rd, %hd;", 32, to_f16_rz},
    {"cvt.rn.bf16.f32 %hd, %ra; cvt.u32.u16 %rd, %hd;", 32, to_bf16},
    {"cvt.u16.u32 %hd, %ra; cvt.f32.f16 %rd, %hd;", 32, from_f16},
    {"cvt.f64.f32 %wd, %ra;", 64, widen},
    {"cvt.s32.s8 %rd, %ra;", 32, narrow_s8},
    {"cvt.sat.u8.s32 %hd, %ra; cvt.u32.u8 %rd, %hd;", 32, saturate_u8},
    {"add.rm.f64 %wd, %wa, %wb;", 64, dadd_rm},
    {"fma.rn.f64 %wd, %wa, %wb, %wc;", 64, dfma_rn},
    {"div.rn.f64 %wd, %wa, %wb;", 64, ddiv_rn},
    {"sqrt.rn.f64 %wd, %wa;", 64, dsqrt_rn},
    {"mul.hi.s32 %rd, %ra, %rb;", 32, mulhi_s32},
    {"mul.hi.u64 %wd, %wa, %wb;", 64, mulhi_u64},
    {"mad.wide.s32 %wd, %ra, %rb, %wc;", 64, madwide},
    {"setp.ne.s32 %p, %rb, 0; mov.b32 %rd, 0; @%p div.s32 %rd, %ra, %rb;", 32, div_s32},
    {"setp.ne.s32 %p, %rb, 0; mov.b32 %rd, 0; @%p rem.u32 %rd, %ra, %rb;", 32, rem_u32},
    {"shl.b32 %rd, %ra, %rb;", 32, shl},
    {"shr.s32 %rd, %ra, %rb;", 32, shr_s32},
    {"shf.l.wrap.b32 %rd, %ra, %rb, %rc;", 32, shf_wrap},
    {"lop3.b32 %rd, %ra, %rb, %rc, 0xca;", 32, lop3},
    {"bfe.u32 %rd, %ra, 5, 9;", 32, bfe_u32},
    {"bfe.s32 %rd, %ra, 4, 8;", 32, bfe_s32},
    {"bfi.b32 %rd, %ra, %rb, 4, 8;", 32, bfi},
    {"prmt.b32 %rd, %ra, %rb, 0x4387;", 32, prmt},
    {"popc.b64 %rd, %wa;", 32, popc},
    {"clz.b32 %rd, %ra;", 32, clz},
    {"bfind.u32 %rd, %ra;", 32, bfind},
    {"brev.b32 %rd, %ra;", 32, brev},
    {"sad.s32 %rd, %ra, %rb, %rc;", 32, sad},
    {"dp4a.u32.s32 %rd, %ra, %rb, %rc;", 32, dp4a_us},
    {"min.s64 %wd, %wa, %wb;", 64, min_s64},
    {"setp.ltu.f32 %p, %ra, %rb; selp.u32 %rd, 1, 0, %p;", 32, ltu},
    {"cvt.u16.u32 %hd, %ra; cvt.u16.u32 %he, %rb; setp.gt.s16 %p, %hd, %he; selp.u32 %rd, 1, 0, %p;", 32,
     gt_s16},
    {"mov.b64 {%rd, %re}, %wa; mov.b64 %wd, {%re, %rd}; shf.l.wrap.b32 %rd, %ra, %rb, %rc;", 32, shf_wrap},
};

static const char frame[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry f(.param .u64 f_0)\n{\n"
    ".reg .pred %%p;\n.reg .b16 %%hd, %%he;\n.reg .b32 %%ra, %%rb, %%rc, %%rd, %%re, %%i, %%n;\n"
    ".reg .b64 %%wa, %%wb, %%wc, %%wd, %%at;\n"
    "ld.param.u64 %%at, [f_0];\nmov.u32 %%i, %%tid.x;\nmov.u32 %%n, %%ctaid.x;\nmad.lo.s32 %%i, %%n, 128, "
    "%%i;\n"
    "mad.wide.u32 %%at, %%i, 32, %%at;\n"
    "ld.global.u64 %%wa, [%%at];\nld.global.u64 %%wb, [%%at+8];\nld.global.u64 %%wc, [%%at+16];\n"
    "cvt.u32.u64 %%ra, %%wa;\ncvt.u32.u64 %%rb, %%wb;\ncvt.u32.u64 %%rc, %%wc;\n"
    "%s\n%s\nst.global.u64 [%%at+24], %%wd;\nret;\n}\n";

static uint64_t state = 5;
static uint64_t any(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return state ^ state >> 29;
}

/* Values that matter in 32 or in 64 bits; random ones with close exponents too, so that sums do round. */
static uint64_t input(unsigned bits) {
  static const uint32_t edges32[] = {0,          0x80000000, 1,          0x80000001, 0x7f800000,
                                     0xff800000, 0x7fc00000, 0x7f7fffff, 0x00800000, 0x3f800000,
                                     0xbf800000, 0x4f000000, 0xcf000000, 0x4f800000, 31,
                                     32,         33,         0x7fffffff, 0xffffffff};
  const uint64_t r = any();
  if (r % 8 == 0) return bits == 64 ? (uint64_t)edges32[r / 8 % 19] << 32 : edges32[r / 8 % 19];
  if (r % 8 < 4)
    return bits == 64 ? bits64(ldexp((double)(int64_t)any(), -60))
                      : bits32(ldexpf((float)(int32_t)any(), (int)(any() % 12) - 31));
  return bits == 64 ? any() : any() & 0xffffffff;
}

static bool is_nan(unsigned bits, uint64_t v) { return bits == 64 ? f64(v) != f64(v) : f32(v) != f32(v); }

static void computes_each_instruction(void **unused) {
  (void)unused;
  static uint64_t data[N][4];
  const CUdeviceptr at = emulator_room(sizeof data);
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    char text[2048];
    (void)snprintf(text, sizeof text, frame, rows[r].text,
                   rows[r].result == 32 ? "cvt.u64.u32 %wd, %rd;" : "");
    CUmodule m;
    if (cu.module_load(&m, text)) fail_msg("%s: %s", rows[r].text, cu.report(0));
    const unsigned bits = strstr(rows[r].text, "%wa") && !strstr(rows[r].text, "{") ? 64 : 32;
    for (int i = 0; i < N; i++) {
      for (int k = 0; k < 3; k++) data[i][k] = input(bits);
      if (strstr(rows[r].text, "mad.wide")) data[i][2] = any();
      if (strstr(rows[r].text, "sqrt")) data[i][0] &= bits == 64 ? INT64_MAX : INT32_MAX;
    }
    assert_false(cu.upload(at, data, sizeof data));
    const CUdeviceptr p = at;
    void *parameters[] = {(void *)(uintptr_t)&p};
    assert_int_equal(emulator_run(emulator_function(m, "f"), N / 128, 128, 0, parameters), CUDA_SUCCESS);
    static uint64_t got[N][4];
    emulator_download(got, at, sizeof got);
    for (int i = 0; i < N; i++) {
      const uint64_t right = rows[r].right(data[i][0], data[i][1], data[i][2]);
      if (rows[r].result == 64 && is_nan(64, right) && strchr(rows[r].text, 'f') && is_nan(64, got[i][3]))
        continue;
      if (got[i][3] != right)
        fail_msg("%s of %llx, %llx, %llx: %llx and not %llx", rows[r].text, (unsigned long long)data[i][0],
                 (unsigned long long)data[i][1], (unsigned long long)data[i][2],
                 (unsigned long long)got[i][3], (unsigned long long)right);
    }
    assert_int_equal(cu.module_unload(m), CUDA_SUCCESS);
  }
  emulator_expect_none();
  assert_false(cu.release(at));
}

/* ---- data of a module, and fat binaries ---- */

static const char with_data[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".global .align 4 .u32 table[4] = {10, 20, 0x1e, 40};\n.const .align 8 .b8 bytes[8] = {1, 2, 3};\n"
    ".visible .entry f(.param .u64 f_0)\n{\n.reg .b32 %r<4>;\n.reg .b64 %rd<4>;\n"
    "ld.param.u64 %rd1, [f_0];\nmov.u64 %rd2, table;\nld.global.u32 %r1, [%rd2+8];\nld.global.u32 %r2, "
    "[table+4];\n"
    "ld.const.u8 %r3, [bytes+2];\nst.global.v2.b32 [%rd1], {%r1, %r2};\nst.global.u32 [%rd1+8], "
    "%r3;\nret;\n}\n";

static void check_data(CUmodule m) {
  unsigned got[3] = {0}, table[4];
  CUdeviceptr at = emulator_room(16), global;
  size_t n;
  void *p[] = {&at};
  assert_int_equal(emulator_run(emulator_function(m, "f"), 1, 1, 0, p), CUDA_SUCCESS);
  emulator_download(got, at, sizeof got);
  assert_true(got[0] == 30 && got[1] == 20 && got[2] == 3);
  assert_int_equal(cu.module_global(&global, &n, m, "table"), CUDA_SUCCESS);
  assert_int_equal(n, sizeof table);
  emulator_download(table, global, sizeof table);
  assert_true(table[0] == 10 && table[3] == 40);
  assert_int_equal(cu.module_global(&global, &n, m, "none"), CUDA_ERROR_NOT_FOUND);
  emulator_expect_none();
  assert_false(cu.release(at) || cu.module_unload(m));
}

static void loads_data(void **unused) {
  (void)unused;
  CUmodule m;
  assert_int_equal(cu.module_load(&m, with_data), CUDA_SUCCESS);
  check_data(m);
}

/* A load fills a wider register by the sign of its type. */
static const char with_signs[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry f(.param .u64 f_0)\n{\n.reg .b32 %r<4>;\n.reg .b64 %rd<6>;\nld.param.u64 %rd1, [f_0];\n"
    "ld.global.s32 %rd2, [%rd1];\nld.global.s8 %rd3, [%rd1];\nld.global.u32 %rd4, [%rd1];\n"
    "ld.global.s8 %r1, [%rd1];\ncvt.u64.u32 %rd5, %r1;\nst.global.v2.b64 [%rd1], {%rd2, %rd3};\n"
    "st.global.v2.b64 [%rd1+16], {%rd4, %rd5};\nret;\n}\n";

static void fills_registers_by_sign(void **unused) {
  (void)unused;
  uint64_t got[4] = {0xfffffff0u};
  CUmodule m;
  CUdeviceptr at = emulator_upload(got, sizeof got);
  void *p[] = {&at};
  assert_int_equal(cu.module_load(&m, with_signs), CUDA_SUCCESS);
  assert_int_equal(emulator_run(emulator_function(m, "f"), 1, 1, 0, p), CUDA_SUCCESS);
  emulator_download(got, at, sizeof got);
  assert_true(got[0] == (uint64_t)-16 && got[1] == (uint64_t)-16);
  assert_true(got[2] == 0xfffffff0u && got[3] == 0xfffffff0u);
  emulator_expect_none();
  assert_false(cu.release(at) || cu.module_unload(m));
}

static void put(unsigned char *p, size_t at, unsigned bytes, uint64_t v) { memcpy(p + at, &v, bytes); }

static void loads_fat_binaries(void **unused) {
  (void)unused;
  enum { HEADER = 16, ENTRY = 80, PAYLOAD = 1024 };
  static unsigned char image[HEADER + ENTRY + PAYLOAD];
  memset(image, 0, sizeof image);
  put(image, 0, 4, 0xba55ed50);
  put(image, 4, 2, 1);
  put(image, 6, 2, HEADER);
  put(image, 8, 8, ENTRY + PAYLOAD);
  unsigned char *entry = image + HEADER;
  put(entry, 0, 2, 1);
  put(entry, 4, 4, ENTRY);
  put(entry, 8, 8, PAYLOAD);
  put(entry, 28, 4, 80);
  memcpy(entry + ENTRY, with_data, sizeof with_data);
  CUmodule m;
  assert_int_equal(cu.module_load(&m, image), CUDA_SUCCESS);
  check_data(m);
  put(entry, 40, 8, 0x8011); /* compressed */
  assert_int_equal(cu.module_load(&m, image), CUDA_ERROR_NO_BINARY_FOR_GPU);
  assert_true(strstr(cu.report(0), "-no-compress") != NULL);
  cu.clear();
  put(entry, 40, 8, 0);
  put(entry, 28, 4, 100); /* for a later device */
  assert_int_equal(cu.module_load(&m, image), CUDA_ERROR_NO_BINARY_FOR_GPU);
  put(entry, 28, 4, 80);
  put(entry, 8, 8, PAYLOAD + 1); /* beyond the image */
  assert_int_equal(cu.module_load(&m, image), CUDA_ERROR_NO_BINARY_FOR_GPU);
  cu.clear();
}

static int open_emulator(void **unused) {
  (void)unused;
  emulator_open();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(computes_each_instruction),
                                     cmocka_unit_test(loads_data), cmocka_unit_test(fills_registers_by_sign),
                                     cmocka_unit_test(loads_fat_binaries)};
  return cmocka_run_group_tests(tests, open_emulator, NULL);
}
