/* gpu_backend.h - what a provider makes its wh_backend of: `open` with its driver, and the functions that all
 * GPUs share. */
#ifndef WH_GPU_BACKEND_H
#define WH_GPU_BACKEND_H

#include "backends/gpu/gpu_api.h"
#include "core/backend_abi.h"

#define WH_GPU_PACK_VERSION 1u

/* Device `index` of the driver, which lives as long as the process. */
wh_status gpu_open(const gpu_api *api, uint32_t index, const wh_device_options *options, void **out);
/* How many devices the driver has. */
wh_status gpu_count(const gpu_api *api, uint32_t *out);
/* GPU_SUCCESS is WH_OK; anything else ERR_DEVICE, or ERR_OUT_OF_MEMORY, with the driver's words. */
wh_status gpu_check(const gpu_api *api, gpu_result result, const char *what);

void gpu_close(void *dev);
void gpu_get_info(void *dev, wh_device_info *info);
wh_status gpu_measure(void *dev, double seconds, wh_device_roofline *out);
wh_status gpu_buffer_create(void *dev, wh_memory_kind kind, uint64_t n_bytes, wh_buffer **out);
wh_status gpu_buffer_import(void *dev, const void *host, uint64_t n_bytes, wh_buffer **out);
void gpu_buffer_destroy(void *dev, wh_buffer *buffer);
void *gpu_buffer_host(void *dev, wh_buffer *buffer);
uint64_t gpu_buffer_footprint(void *dev, wh_memory_kind kind, uint64_t n_bytes);
wh_status gpu_free_memory(void *dev, uint64_t *n_bytes);
wh_status gpu_claim(void *dev, const wh_graph *g, wh_node node, const int64_t *dims, wh_claim *out);
wh_status gpu_value_bytes(void *dev, const wh_graph *g, wh_value v, const int64_t *dims, uint64_t *out);
wh_status gpu_pack(void *dev, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks);
wh_status gpu_compile(void *dev, const wh_block *block, wh_code **out);
void gpu_code_destroy(void *dev, wh_code *code);
void gpu_describe(void *dev, const wh_code *code, size_t step, wh_step_info *out);
wh_status gpu_queue_create(void *dev, wh_queue **out);
void gpu_queue_destroy(wh_queue *queue);
wh_status gpu_submit(wh_queue *queue, wh_code *code, size_t first, size_t count, const wh_frame *frame,
                     const wh_point *waits, size_t n_waits, wh_point *done);
wh_status gpu_upload(wh_queue *queue, wh_buffer *dst, uint64_t to, const void *src, uint64_t n_bytes,
                     const wh_point *waits, size_t n_waits, wh_point *done);
wh_status gpu_download(wh_queue *queue, void *dst, wh_buffer *src, uint64_t from, uint64_t n_bytes,
                       const wh_point *waits, size_t n_waits, wh_point *done);
wh_status gpu_copy(wh_queue *queue, wh_buffer *dst, uint64_t to, wh_buffer *src, uint64_t from,
                   uint64_t n_bytes, const wh_point *waits, size_t n_waits, wh_point *done);
wh_status gpu_wait(wh_point point);
wh_status gpu_read_value(void *dev, const wh_graph *g, wh_value v, const int64_t *dims, wh_buffer *buffer,
                         uint64_t offset, void *row_major);

void gpu_parallel(void *dev, wh_parallel_fn fn, void *arg);

/* All of a wh_backend but its name, count and open. */
#define GPU_BACKEND_FUNCTIONS                                                                               \
  .struct_size = sizeof(wh_backend), .abi_version = WH_BACKEND_ABI_VERSION,                                 \
  .pack_version = WH_GPU_PACK_VERSION, .traits = WH_BACKEND_CHAINS | WH_BACKEND_PEERS, .close = gpu_close,  \
  .get_info = gpu_get_info, .measure = gpu_measure, .buffer_create = gpu_buffer_create,                     \
  .buffer_import = gpu_buffer_import, .buffer_destroy = gpu_buffer_destroy, .buffer_host = gpu_buffer_host, \
  .buffer_footprint = gpu_buffer_footprint, .claim = gpu_claim, .value_bytes = gpu_value_bytes,             \
  .pack = gpu_pack, .compile = gpu_compile, .code_destroy = gpu_code_destroy, .describe = gpu_describe,     \
  .queue_create = gpu_queue_create, .queue_destroy = gpu_queue_destroy, .submit = gpu_submit,               \
  .upload = gpu_upload, .download = gpu_download, .copy = gpu_copy, .wait = gpu_wait,                       \
  .read_value = gpu_read_value, .free_memory = gpu_free_memory, .parallel = gpu_parallel

#endif
