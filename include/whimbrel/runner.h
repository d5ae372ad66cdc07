/* runner.h - running any graph: named tensors in, named tensors out.
 *
 * Every model has a graph, whose inputs and outputs are listed here. A language model's is run through
 * session.h, which knows what its tensors mean, or through a runner, which does not. Other graphs are given
 * as text (wh_model_parse), and have a runner only.
 *
 *   wh_runner_create(model, device, NULL, &runner);
 *   wh_runner_set_input(runner, "x", &x);
 *   wh_runner_run(runner);
 *   wh_runner_get_output(runner, "y", &y);
 *
 * Dims of inputs and outputs may be symbols, such as "tokens", or expressions of them. A symbol that is a dim
 * of an input has the value that the input's tensor gives it, in each run anew. One that is not, or that a
 * state's size depends on, is given by the caller when the runner is created.
 *
 * Threads: a runner is used by one thread at a time, and so are the tensors that it gives out; runners of one
 * model or device by as many threads as there are. Retaining and destroying: status.h. */
#ifndef WHIMBREL_RUNNER_H
#define WHIMBREL_RUNNER_H

#include "whimbrel/device.h"
#include "whimbrel/model.h"
#include "whimbrel/program.h"
#include "whimbrel/progress.h"
#include "whimbrel/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what a model's graph takes and gives; strings live as long as the model ---- */

typedef struct wh_graph_info {
  uint32_t struct_size;
  uint32_t n_inputs, n_outputs, n_symbols;
} wh_graph_info;
#define WH_GRAPH_INFO_INIT \
  { sizeof(wh_graph_info), 0, 0, 0 }
WH_API WH_NODISCARD wh_status wh_model_get_graph_info(const wh_model *model, wh_graph_info *info);

/* A dim of an input or output. Has no struct_size and does not grow. */
typedef struct wh_axis {
  const char *text; /* "576", "tokens", "(tokens + 1)" */
  int64_t min, max; /* equal where it is a number */
} wh_axis;

typedef struct wh_port_info {
  uint32_t struct_size;
  wh_dtype dtype;
  const char *name;
  const char *text; /* "f32[tokens, 576]" */
  int32_t rank;
  uint32_t reserved;
  wh_axis dims[WH_MAX_RANK];
} wh_port_info;
#define WH_PORT_INFO_INIT                                   \
  {                                                         \
    sizeof(wh_port_info), WH_DTYPE_F32, NULL, NULL, 0, 0, { \
      { NULL, 0, 0 }                                        \
    }                                                       \
  }
/* ERR_NOT_FOUND past the end. */
WH_API WH_NODISCARD wh_status wh_model_get_input(const wh_model *model, size_t i, wh_port_info *info);
WH_API WH_NODISCARD wh_status wh_model_get_output(const wh_model *model, size_t i, wh_port_info *info);

typedef struct wh_symbol_info {
  uint32_t struct_size;
  uint32_t needs_bound; /* 1: a runner must be told its value, see wh_bound */
  const char *name;
  int64_t min, max;
} wh_symbol_info;
#define WH_SYMBOL_INFO_INIT \
  { sizeof(wh_symbol_info), 0, NULL, 0, 0 }
WH_API WH_NODISCARD wh_status wh_model_get_symbol(const wh_model *model, size_t i, wh_symbol_info *info);

/* ---- graphs as text ---- */

/* A constant's elements. Has no struct_size and does not grow. */
typedef struct wh_constant {
  const char *name;
  const wh_tensor *tensor;
} wh_constant;

/* A model of a graph in the text form that wh_model_graph_text gives, and of its constants, each of which the
 * text declares with the same dtype and dims; their data is copied. Errors name the text's line or the
 * constant. The model has no file, metadata, tokenizer or session: what asks for them is ERR_UNSUPPORTED. */
WH_API WH_NODISCARD wh_status wh_model_parse(const char *text, size_t n_bytes, const wh_constant *constants,
                                             size_t n_constants, const wh_model_options *options,
                                             wh_model **out);

/* A model of a folder that wh_session_extract or wh_runner_extract wrote: graph.txt, the text, and NAME.npy
 * for each of its constants, as many bytes as the text says. Its inputs lie there, too, for the caller to
 * set. */
WH_API WH_NODISCARD wh_status wh_model_open_folder(const char *folder, const wh_model_options *options,
                                                   wh_model **out);

/* ---- running ---- */

typedef struct wh_runner wh_runner;

/* The value of a symbol that no input determines, or the largest of one that an input does: memory for it is
 * taken when the runner is created, and runs allocate nothing. Has no struct_size and does not grow. */
typedef struct wh_bound {
  const char *symbol;
  int64_t value;
} wh_bound;

typedef struct wh_runner_options {
  uint32_t struct_size;
  uint32_t n_bounds;
  const wh_bound *bounds;
  const wh_allocator *allocator; /* NULL: the heap; borrowed */
  wh_progress_fn progress;       /* during wh_runner_create, and between an ONNX model's nodes; NULL: none */
  void *progress_ctx;            /* borrowed by the runner */
  uint64_t memory_limit;     /* as wh_session_options has it; activations of open dims take an eighth more */
  uint64_t max_iterations;   /* of an ONNX model's loops, in one run; 0: 1 << 20 */
  uint32_t lists_host_nodes; /* 1: wh_runner_get_host_node has something to say */
  uint32_t reserved;
} wh_runner_options;
#define WH_RUNNER_OPTIONS_INIT \
  { sizeof(wh_runner_options), 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0 }

/* Plans the graph, packs its weights and takes memory; runners and sessions of one model on one device share
 * its weights. The runner holds references to both. A symbol that needs a bound and has none, or a bound that
 * the graph does not allow, is an error that names it; ERR_UNSUPPORTED names what the device does not
 * compute, and an output that is a state (the device has those in a form of its own). */
WH_API WH_NODISCARD wh_status wh_runner_create(const wh_model *model, wh_device *device,
                                               const wh_runner_options *options, wh_runner **out);
WH_API wh_runner *wh_runner_retain(wh_runner *runner);
WH_API void wh_runner_destroy(wh_runner *runner);

/* Copies the tensor: it is the input of this and all later runs until another one is set. A tensor that is
 * not what the graph wants is ERR_INVALID_ARGUMENT, names the input and both shapes, and changes nothing.
 * Inputs are found by name (ERR_NOT_FOUND lists them) or by their number in wh_model_get_input. */
WH_API WH_NODISCARD wh_status wh_runner_set_input(wh_runner *runner, const char *name,
                                                  const wh_tensor *tensor);
WH_API WH_NODISCARD wh_status wh_runner_set_input_at(wh_runner *runner, size_t i, const wh_tensor *tensor);

/* Waits for the device's turn and computes. ERR_INVALID_ARGUMENT names an input that was never set, two
 * inputs that do not agree in a symbol, or a node whose index is out of range. ERR_LIMIT names a loop that
 * went on beyond max_iterations. Symbols beyond their bounds,
 * or without one, make it take more memory, within the limit. States are zero at first, and what the run
 * before left; after a failure, what it got to. */
WH_API WH_NODISCARD wh_status wh_runner_run(wh_runner *runner);

/* Of this and later runs; fn NULL: off, as at first. What the host works out for itself, such as shapes, is
 * not seen. */
WH_API void wh_runner_set_trace(wh_runner *runner, wh_trace_fn fn, void *ctx);

/* The next run that succeeds also writes the node of that name by itself into `folder`, as wh_session_extract
 * says. */
WH_API WH_NODISCARD wh_status wh_runner_extract(wh_runner *runner, const char *node, const char *folder);

/* An output of the last run, valid until the next; ERR_NOT_FOUND when that failed or there was none. */
WH_API WH_NODISCARD wh_status wh_runner_get_output(const wh_runner *runner, const char *name,
                                                   wh_tensor *tensor);
WH_API WH_NODISCARD wh_status wh_runner_get_output_at(const wh_runner *runner, size_t i, wh_tensor *tensor);

/* ---- how it runs; ERR_NOT_FOUND past the end. Strings live until the next run ----
 *
 * A graph has program 0 from the beginning. An ONNX model's runs make them: one as a rule, and more where the
 * elements that one computes decide how the next goes on, or where inputs are of other shapes. They are here
 * in the order in which they were made, as many as are kept (64). */
WH_API WH_NODISCARD wh_status wh_runner_get_program(const wh_runner *runner, uint32_t program,
                                                    wh_program_info *info);
WH_API WH_NODISCARD wh_status wh_runner_get_instruction(const wh_runner *runner, uint32_t program, uint32_t i,
                                                        wh_instruction_info *info);
/* The graph after all passes; and the program as text with buffer offsets. *out is owned by the caller:
 * wh_string_destroy. */
WH_API WH_NODISCARD wh_status wh_runner_graph_text(const wh_runner *runner, uint32_t program, char **out);
WH_API WH_NODISCARD wh_status wh_runner_plan_text(const wh_runner *runner, uint32_t program, char **out);
/* Node i that the host worked out itself in the last run that went through an ONNX model's nodes, and why; or
 * that ended a program, as it needs elements that this computes. Constants are not listed. */
WH_API WH_NODISCARD wh_status wh_runner_get_host_node(const wh_runner *runner, uint32_t i,
                                                      wh_host_node_info *info);

#ifdef __cplusplus
}
#endif
#endif
