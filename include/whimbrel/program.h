/* program.h - what became of a graph on its devices: instructions, and the memory that they work in. A
 * session has one program, and so has a runner of a graph; a runner of an ONNX model one for each graph that
 * its runs have built. */
#ifndef WHIMBREL_PROGRAM_H
#define WHIMBREL_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which node, which kernel, why. */
typedef struct wh_instruction_info {
  uint32_t struct_size;
  uint32_t barrier;   /* 1: waits for the instructions before it */
  const char *node;   /* "blk.0.attn_q" */
  const char *op;     /* "linear" */
  const char *kernel; /* "linear_q4_1__avx512vnni" */
  const char *reason;
  uint64_t weight_bytes; /* of weights that it reads, of a language model's for one token */
  const char *device;    /* "cpu": which device runs it */
} wh_instruction_info;
#define WH_INSTRUCTION_INFO_INIT \
  { sizeof(wh_instruction_info), 0, NULL, NULL, NULL, NULL, 0, NULL }

/* Where the memory goes, in bytes. */
typedef struct wh_program_info {
  uint32_t struct_size;
  uint32_t n_instructions;
  uint64_t activations;             /* the planned arena */
  uint64_t activations_lower_bound; /* most that is live at any one step: no plan can be smaller */
  uint64_t activations_unshared;    /* what it would be without sharing */
  uint64_t states;
  uint64_t packed_weights; /* programs of one model on one device share them */
  uint64_t mapped_weights; /* used in place from the mapped file */
} wh_program_info;
#define WH_PROGRAM_INFO_INIT \
  { sizeof(wh_program_info), 0, 0, 0, 0, 0, 0, 0 }

/* A node of an ONNX model whose result the host worked out itself (a program may compute it, too), or that
 * ends a program. */
typedef struct wh_host_node_info {
  uint32_t struct_size;
  uint32_t times;   /* in one run: nodes of loops and functions come more than once */
  const char *node; /* its name, or its first output's */
  const char *op;   /* "NonZero" */
  const char *reason;
} wh_host_node_info;
#define WH_HOST_NODE_INFO_INIT \
  { sizeof(wh_host_node_info), 0, NULL, NULL, NULL }

#ifdef __cplusplus
}
#endif
#endif
