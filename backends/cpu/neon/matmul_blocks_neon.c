/* neon/matmul_blocks_neon.c - products with weights of few bits, 128-bit vectors. */
#include "backends/cpu/neon/vec_neon.h"

#define LEVEL neon
typedef uint32x4_t vu;
#define vu_load(p) vld1q_u32(p)
#define vu_set1(x) vdupq_n_u32(x)
#define vu_right(x, n) vshlq_u32(x, vnegq_s32(vreinterpretq_s32_u32(n)))
#define VF_2_23(x) vreinterpretq_f32_u32(vorrq_u32(x, vdupq_n_u32(0x4b000000u)))
#define vf_from_code(x, mask) VF_2_23(vandq_u32(x, vdupq_n_u32(mask)))
static inline vf vf_from_zeros(const uint8_t *p) {
  uint32_t bytes;
  memcpy(&bytes, p, sizeof bytes);
  return VF_2_23(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes)))));
}

#include "backends/cpu/matmul_blocks_tiles.h"
