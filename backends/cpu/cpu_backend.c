/* cpu_backend.c - the CPU backend's struct of functions. */
#include "backends/cpu/cpu_backend.h"

#include "backends/cpu/cpu_internal.h"

const wh_backend wh_backend_cpu = {
    .struct_size = sizeof(wh_backend),
    .abi_version = WH_BACKEND_ABI_VERSION,
    .name = "cpu",
    .pack_version = WH_CPU_PACK_VERSION,
    .traits = WH_BACKEND_CHAINS | WH_BACKEND_BLOCKS | WH_BACKEND_CODES | WH_BACKEND_PRODUCTS |
              WH_BACKEND_PARTS | WH_BACKEND_ATTENTION,
    .count = wh_cpu_count,
    .open = wh_cpu_open,
    .close = wh_cpu_close,
    .get_info = wh_cpu_get_info,
    .measure = wh_cpu_measure_locked,
    .buffer_create = wh_cpu_buffer_create,
    .buffer_import = wh_cpu_buffer_import,
    .buffer_destroy = wh_cpu_buffer_destroy,
    .buffer_host = wh_cpu_buffer_host,
    .buffer_footprint = wh_cpu_buffer_footprint,
    .claim = wh_cpu_claim,
    .value_bytes = wh_cpu_value_bytes,
    .pack = wh_cpu_pack,
    .compile = wh_cpu_compile,
    .code_destroy = wh_cpu_code_destroy,
    .describe = wh_cpu_describe,
    .queue_create = wh_cpu_queue_create,
    .queue_destroy = wh_cpu_queue_destroy,
    .submit = wh_cpu_submit,
    .upload = wh_cpu_upload,
    .download = wh_cpu_download,
    .copy = wh_cpu_copy,
    .wait = wh_cpu_wait,
    .read_value = wh_cpu_read_value,
    .parallel = wh_cpu_parallel,
    .buffer_grow = wh_cpu_buffer_grow,
};
