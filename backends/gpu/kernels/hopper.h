/* hopper.h - what sm_90a adds: products of warpgroups (wgmma), barriers in shared memory, bulk copies. For
 * modules that are compiled for it (linear_warpgroup_*.cu), by nvcc alone. */
#ifndef WH_GPU_HOPPER_H
#define WH_GPU_HOPPER_H

#include "backends/gpu/kernels/gpu.h"

/* A kernel of whole warpgroups, of which one block runs on a processor. */
#define GPU_WARPGROUP_KERNEL_FN(name, args_type, threads) GPU_BOUNDED_KERNEL_FN(name, args_type, threads, 1)

/* ---- barriers in shared memory: a phase is over when all have arrived and all promised bytes are there ----
 */

GPU_FN void gpu_phase_init(uint64_t *barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(gpu_shared_address(barrier)), "r"(arrivals)
               : "memory");
}
/* Shows the barriers that this thread has made to copies; a barrier of the block follows. */
GPU_FN void gpu_phases_ready() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
GPU_FN void gpu_arrive(uint64_t *barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(gpu_shared_address(barrier)) : "memory");
}
GPU_FN void gpu_arrive_expecting(uint64_t *barrier, uint32_t n_bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(gpu_shared_address(barrier)),
               "r"(n_bytes)
               : "memory");
}
/* Until the phase of this parity is over; that before the first one has parity 1. */
GPU_FN void gpu_wait_phase(uint64_t *barrier, uint32_t parity) {
  uint32_t over;
  do
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
        : "=r"(over)
        : "r"(gpu_shared_address(barrier)), "r"(parity)
        : "memory");
  while (!over);
}
/* One thread copies; addresses and size are multiples of 16. */
GPU_FN void gpu_copy_bulk(void *to_shared, const void *from, uint32_t n_bytes, uint64_t *barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
          gpu_shared_address(to_shared)),
      "l"(from), "r"(n_bytes), "r"(gpu_shared_address(barrier))
      : "memory");
}

/* ---- registers, shared out anew among warpgroups ---- */

template <int N>
GPU_FN void gpu_fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N>
GPU_FN void gpu_more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

/* ---- products of a warpgroup ---- */

/* 32 or 64 operands: c "+f" of floats, "+r" of integers. */
#define GPU_8(c, d, i) \
  c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3]), c(d[i + 4]), c(d[i + 5]), c(d[i + 6]), c(d[i + 7])
#define GPU_32(c, d, i) GPU_8(c, d, i), GPU_8(c, d, i + 8), GPU_8(c, d, i + 16), GPU_8(c, d, i + 24)
#define GPU_64(c, d) GPU_32(c, d, 0), GPU_32(c, d, 32)
#define GPU_PLACES_32                                                                          \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, " \
  "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define GPU_PLACES_64                                                             \
  GPU_PLACES_32                                                                   \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, " \
  "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
/* `others`: A's four registers and B; `adds`: whether D is added. */
#define GPU_PRODUCT(shape, places, others, adds, factors) \
  "{\n.reg .pred p;\nsetp.ne.b32 p, " adds                \
  ", 0;\n"                                                \
  "wgmma.mma_async.sync.aligned." shape " {" places "}, " others ", p" factors ";\n}"
#define GPU_PRODUCT_64(shape, factors) \
  GPU_PRODUCT(shape, GPU_PLACES_32, "{%32, %33, %34, %35}, %36", "%37", factors)
#define GPU_PRODUCT_128(shape, factors) \
  GPU_PRODUCT(shape, GPU_PLACES_64, "{%64, %65, %66, %67}, %68", "%69", factors)

/* A matrix in shared memory, 32 bytes of K a row: [2 halves of K][rows / 8][8 rows][16 bytes]. */
GPU_FN uint64_t gpu_matrix_at(const void *p, uint32_t rows) {
  return (uint64_t)(gpu_shared_address(p) >> 4 & 0x3fffu) | (uint64_t)rows << 16 |
         (uint64_t)(128u >> 4) << 32;
}
/* The one so many bytes behind it: addresses of shared memory are below 2^18. */
GPU_FN uint64_t gpu_matrix_behind(uint64_t matrix, uint32_t n_bytes) {
  return (matrix & 0xffffffff00000000u) | ((uint32_t)matrix + (n_bytes >> 4));
}
/* Before products of registers that something else has written. */
GPU_FN void gpu_products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
GPU_FN void gpu_products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/* d = x y', or d += x y' where ADDS: 64 rows, 128 or 64 columns, 16 of K, of f16 with f32 sums. A warp has 16
 * of the rows, x[r] row g + 8 (r % 2), k = 2 t + 8 (r / 2) ..+1; d[4 j + 2 h + e] row g + 8 h, column 8 j + 2
 * t
 * + e. Sums are exact below 2^24 in any order; beyond, their bits are the hardware's choice. */
template <int ADDS>
GPU_FN void gpu_product_f16(float (&d)[64], const uint32_t *x, uint64_t y) {
  asm volatile(GPU_PRODUCT_128("m64n128k16.f32.f16.f16", ", 1, 1, 0")
               : GPU_64("+f", d)
               : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "l"(y), "n"(ADDS));
}
template <int ADDS>
GPU_FN void gpu_product_f16(float (&d)[32], const uint32_t *x, uint64_t y) {
  asm volatile(GPU_PRODUCT_64("m64n64k16.f32.f16.f16", ", 1, 1, 0")
               : GPU_32("+f", d, 0)
               : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "l"(y), "n"(ADDS));
}
/* The same of int8 with sums modulo 2^32, 32 of K: k = 4 t + 16 (r / 2) ..+3. */
template <int ADDS>
GPU_FN void gpu_product_s8(uint32_t (&d)[64], const uint32_t *x, uint64_t y) {
  asm volatile(GPU_PRODUCT_128("m64n128k32.s32.s8.s8", "")
               : GPU_64("+r", d)
               : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "l"(y), "n"(ADDS));
}
/* All products are there; d is not touched before. */
GPU_FN void gpu_products_wait(float (&d)[64]) {
  asm volatile("wgmma.wait_group.sync.aligned 0;" : GPU_64("+f", d)::"memory");
}
GPU_FN void gpu_products_wait(float (&d)[32]) {
  asm volatile("wgmma.wait_group.sync.aligned 0;" : GPU_32("+f", d, 0)::"memory");
}
GPU_FN void gpu_products_wait(uint32_t (&d)[64]) {
  asm volatile("wgmma.wait_group.sync.aligned 0;" : GPU_64("+r", d)::"memory");
}

#endif
