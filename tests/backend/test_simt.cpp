/* test_simt.cpp - the executor of kernels as host code: waves of 32 and 64 lanes do what hardware's do, and
 * what a wave of 64 does not allow ends the launch with a sentence. */
#include "backends/gpu/kernels/gpu.h"

#include <csetjmp>
#include <cstdarg>
#include <cstddef>

extern "C" {
#include <cmocka.h>
}

enum { THREADS = 192 };

typedef struct test_args {
  uint64_t y; /* u32 [THREADS] */
} test_args;

static uint32_t results[THREADS];

/* The sum of a wave's lanes. */
GPU_KERNEL_FN(sum_of_wave, test_args) {
  uint32_t v = threadIdx.x;
  for (uint32_t m = 1; m < simt::wave; m *= 2) v += __shfl_xor(v, (int)m, (int)simt::wave);
  gpu_at<uint32_t>(a.y)[threadIdx.x] = v;
}

/* The sum of a warp's, whose warps take different numbers of turns, and a vote. */
GPU_KERNEL_FN(parted_warps, test_args) {
  uint32_t sum = 0;
  for (uint32_t turn = 0; turn <= gpu_warp() * 3; turn++) {
    uint32_t v = gpu_lane() + turn;
    for (uint32_t m = 1; m < GPU_WARP; m *= 2) v += gpu_shfl_xor(v, m);
    sum += v;
  }
  gpu_barrier();
  sum += gpu_ballot(gpu_lane() == gpu_warp());
  if (gpu_warp() == 1) return;
  gpu_barrier();
  gpu_at<uint32_t>(a.y)[threadIdx.x] = sum + gpu_shfl(gpu_warp(), 7);
}

/* One warp reads the other one of its wave, which is elsewhere. */
GPU_KERNEL_FN(absent_lane, test_args) {
  uint32_t v = threadIdx.x;
  if (gpu_warp() % 2 == 0) v = __shfl_xor(v, 32, 64);
  gpu_barrier();
  gpu_at<uint32_t>(a.y)[threadIdx.x] = v;
}

/* Both warps of a wave wait, but not at one place: the hardware takes it for two waits. */
GPU_KERNEL_FN(two_places, test_args) {
  uint32_t *y = gpu_at<uint32_t>(a.y) + threadIdx.x;
  if (gpu_warp() % 2) {
    *y = 1;
    gpu_barrier();
    *y += 1;
  } else {
    *y = 5;
    gpu_barrier();
    *y *= 3;
  }
}

/* Some lanes of a warp go to a meeting, the others to a barrier. */
GPU_KERNEL_FN(never_meet, test_args) {
  if (gpu_lane() % 2)
    gpu_barrier();
  else
    gpu_at<uint32_t>(a.y)[threadIdx.x] = gpu_shfl(1u, 0);
}

static const char *run(const char *name, uint32_t wave, uint64_t seed) {
  const test_args args = {(uint64_t)results};
  const simt::kernel *k = simt::find(name);
  assert_non_null(k);
  memset(results, 0, sizeof results);
  return simt::launch(k, {1, 1, 1}, {THREADS, 1, 1}, 0, wave, seed, &args);
}

static void test_widths(void **) {
  for (uint32_t wave = 32; wave <= 64; wave *= 2)
    for (uint64_t seed = 0; seed < 20; seed++) {
      assert_null(run("sum_of_wave", wave, seed));
      for (uint32_t i = 0; i < THREADS; i++) {
        const uint32_t first = i / wave * wave;
        assert_int_equal(results[i], wave * first + wave * (wave - 1) / 2);
      }
    }
}

static void test_parted(void **) {
  for (uint32_t wave = 32; wave <= 64; wave *= 2)
    for (uint64_t seed = 0; seed < 20; seed++) {
      assert_null(run("parted_warps", wave, seed));
      for (uint32_t i = 0; i < THREADS; i++) {
        const uint32_t warp = i / 32, turns = warp * 3 + 1;
        const uint32_t sum = turns * (32 * 31 / 2) + 32 * (turns * (turns - 1) / 2);
        assert_int_equal(results[i], warp == 1 ? 0 : sum + (1u << warp) + warp);
      }
    }
}

static void test_planted(void **) {
  for (uint64_t seed = 0; seed < 20; seed++) {
    assert_string_equal(run("absent_lane", 64, seed), "a lane reads of one that takes no part");
    assert_null(run("two_places", 32, seed));
    assert_int_equal(results[0], 15);
    assert_int_equal(results[32], 2);
    assert_string_equal(run("two_places", 64, seed),
                        "lanes of a wave wait for the block at different places");
    for (uint32_t wave = 32; wave <= 64; wave *= 2)
      assert_string_equal(
          run("never_meet", wave, seed),
          "threads of a block wait for each other: a barrier or a meeting that not all reach");
    assert_null(run("sum_of_wave", 64, seed)); /* what was wrong is gone */
  }
  assert_string_equal(run("sum_of_wave", 48, 0), "waves have 32 lanes or 64");
}

int main() {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_widths),
      cmocka_unit_test(test_parted),
      cmocka_unit_test(test_planted),
  };
  return cmocka_run_group_tests_name("simt", tests, NULL, NULL);
}
