/* kernel_table.h - a program's kernels: those that do the same for the same reason in one line, or one by
 * one. */
#ifndef CLI_KERNEL_TABLE_H
#define CLI_KERNEL_TABLE_H

#include <jansson.h>

#include "cli/output.h"

/* As wh_session_get_instruction; ERR_NOT_FOUND past the end. */
typedef wh_status (*cli_instruction_fn)(const void *program, uint32_t i, wh_instruction_info *info);

WH_NODISCARD cli_exit cli_write_kernels(cli_output *out, cli_instruction_fn get, const void *program);
WH_NODISCARD cli_exit cli_kernels_json(json_t *list, cli_instruction_fn get, const void *program);

#endif
