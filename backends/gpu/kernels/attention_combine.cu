// attention_combine.cu - the combination of what attention's units left: chunks to spans, spans to all (docs/NUMERICS.md,
// "attention"). 128 threads per row and head. Largest values are any order's, so all exponentials are taken side by side;
// what is left are the chains over l and o.
#include "backends/gpu/kernels/attention_shared.h"
#include "backends/gpu/kernels/places.h"
#include "backends/gpu/kernels/rows.h"

/* Of the threads of a head: this one, and its warp. */
GPU_FN uint32_t head_thread() { return threadIdx.x % GPU_COMBINE_THREADS; }
GPU_FN uint32_t head_warp() { return head_thread() / GPU_WARP; }

/* The chunks, or spans, that a row sees. */
struct range {
  uint32_t first, last;
};
GPU_FN range chunks_of_span(const range &chunks, uint32_t span) {
  const uint32_t begin = span * GPU_KV_SPAN, end = begin + GPU_KV_SPAN - 1;
  return {begin > chunks.first ? begin : chunks.first, end < chunks.last ? end : chunks.last};
}

/* A thread per span: the factors of its chunks into `factors`, its m and l into `spans`. */
GPU_FN void weigh_chunks(const gpu_attention_args &a, uint64_t vector, const range &chunks, float2 *factors, float2 *spans) {
  const uint32_t first = chunks.first / GPU_KV_SPAN, last = chunks.last / GPU_KV_SPAN;
  for (uint32_t s = first + head_thread(); s <= last; s += GPU_COMBINE_THREADS) {
    const range r = chunks_of_span(chunks, s);
    float m = 0.0f, l = 0.0f;
    for (uint32_t c = r.first; c <= r.last; c++) {
      const float *one = attention_partial_of(a, vector, c).ml;
      const float top = c == r.first || one[0] > m ? one[0] : m;
      const float of_all = c == r.first ? 0.0f : wh_exp_f32(m - top), of_one = wh_exp_f32(one[0] - top);
      l = c == r.first ? one[1] : fmaf(l, of_all, one[1] * of_one);
      m = top;
      factors[c - chunks.first].x = of_all;
      factors[c - chunks.first].y = of_one;
    }
    spans[s - first].x = m;
    spans[s - first].y = l;
  }
}

/* A warp per span: its o, in place of that of its first chunk. */
GPU_FN void add_chunks(const gpu_attention_args &a, uint64_t vector, const range &chunks, const float2 *factors) {
  const uint32_t first = chunks.first / GPU_KV_SPAN, last = chunks.last / GPU_KV_SPAN;
  for (uint32_t s = first + head_warp(); s <= last; s += GPU_COMBINE_THREADS / GPU_WARP) {
    const range r = chunks_of_span(chunks, s);
    float *o = attention_partial_of(a, vector, r.first).o;
    for (uint32_t d = gpu_lane(); d < a.value_dim; d += GPU_WARP) {
      float sum = o[d];
      for (uint32_t c = r.first + 1; c <= r.last; c++) {
        const float2 f = factors[c - chunks.first];
        sum = fmaf(sum, f.x, attention_partial_of(a, vector, c).o[d] * f.y);
      }
      o[d] = sum;
    }
  }
}

/* A thread per span: its factors, from the largest m before it. */
GPU_FN void weigh_spans(uint32_t n, const float2 *spans, float2 *factors) {
  for (uint32_t s = head_thread(); s < n; s += GPU_COMBINE_THREADS) {
    float before = spans[0].x;
    for (uint32_t k = 1; k < s; k++) before = spans[k].x > before ? spans[k].x : before;
    const float top = spans[s].x > before ? spans[s].x : before;
    factors[s].x = wh_exp_f32(before - top);
    factors[s].y = wh_exp_f32(spans[s].x - top);
  }
}

/* y of a vector, `store(d, v)` each: by the threads of its head, while those of the block's others do the same, which see as
 * many chunks. */
template <typename F>
GPU_FN void combine_units(const gpu_attention_args &a, uint64_t vector, const range &chunks, float2 *room, F store) {
  const uint32_t first = chunks.first / GPU_KV_SPAN, n = chunks.last / GPU_KV_SPAN - first + 1;
  float2 *spans = room, *factors = room + n, *of_chunks = room + 2 * n;
  if (a.unit == 1) {
    weigh_chunks(a, vector, chunks, of_chunks, spans);
    gpu_barrier();
    add_chunks(a, vector, chunks, of_chunks);
  } else {
    for (uint32_t s = head_thread(); s < n; s += GPU_COMBINE_THREADS) {
      const float *ml = attention_partial_of(a, vector, first + s).ml;
      spans[s].x = ml[0];
      spans[s].y = ml[1];
    }
  }
  gpu_barrier();
  weigh_spans(n, spans, factors);
  gpu_barrier();
  for (uint32_t d = head_thread(); d < a.value_dim; d += GPU_COMBINE_THREADS) {
    float l = spans[0].y, o = 0.0f;
    for (uint32_t s = 0; s < n; s++) {
      const uint32_t unit = a.unit == 1 ? chunks_of_span(chunks, first + s).first : first + s;
      const float one = attention_partial_of(a, vector, unit).o[d];
      if (s) l = fmaf(l, factors[s].x, spans[s].y * factors[s].y);
      o = s ? fmaf(o, factors[s].x, one * factors[s].y) : one;
    }
    store(d, o / l);
  }
}

GPU_KERNEL_FN(attention_combine, gpu_combine_args) {
  GPU_DYNAMIC_SHARED(float, group);
  float *room = group + (a.codes ? GPU_Q8A_GROUP : 0);
  const gpu_attention_args &all = a.attention;
  if (blockIdx.x == gridDim.x - 1) {
    gpu_report_places(all.places, all.fault, all.node);
    return;
  }
  const uint32_t head = threadIdx.x / GPU_COMBINE_THREADS, row = blockIdx.x * a.heads / all.heads;
  const uint64_t vector = (uint64_t)blockIdx.x * a.heads + head;
  float *y = gpu_at<float>(all.y) + vector * all.value_dim;
  const auto store = [&](uint32_t d, float v) {
    y[d] = v;
    if (a.codes) group[head * all.value_dim + d] = v;
  };
  gpu_place at;
  if (!gpu_find_place(all.places, row, &at) &&
      gpu_has_pages(all.places, at.pages, (uint32_t)at.low / GPU_KV_CHUNK, (uint32_t)at.high / GPU_KV_CHUNK)) {
    const range chunks = {(uint32_t)at.low / GPU_KV_CHUNK, (uint32_t)at.high / GPU_KV_CHUNK};
    room += head * attention_combine_floats(all.unit, all.places.table);
    combine_units(all, vector, chunks, (float2 *)(void *)room, store);
  } else {
    for (uint32_t d = head_thread(); d < all.value_dim; d += GPU_COMBINE_THREADS) store(d, 0.0f);
  }
  if (!a.codes) return;
  gpu_barrier();
  if (gpu_warp()) return;
  float v[8];
  gpu_load_floats<8>(group + gpu_lane() * 8, v);
  gpu_quantize_group(v, GPU_Q8A_GROUP, gpu_q8a_group_at(a.codes, a.form, row, blockIdx.x % (all.heads / a.heads)));
}
