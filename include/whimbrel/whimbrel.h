/* whimbrel.h - the whole public API.
 *
 *   wh_model_open      a model file becomes a graph with weights that stay mapped
 *   wh_device_create   something that computes
 *   wh_session_create  the model planned and packed for the device, with its KV state
 *   wh_session_run     tokens in, logits out
 *   wh_runner_run      any graph: named tensors in, named tensors out
 *   text.h             tokens to and from text, chat templates, sampling
 *   quantize.h         weights in a smaller type
 *   speculate.h        several tokens per run, with the same answer
 *
 * Every fallible call returns wh_status; wh_last_error() has the sentence for the user. status.h has the
 * rules for arguments; each header says at its top which objects threads may share. */
#ifndef WHIMBREL_H
#define WHIMBREL_H

#include "whimbrel/allocator.h"
#include "whimbrel/device.h"
#include "whimbrel/model.h"
#include "whimbrel/program.h"
#include "whimbrel/progress.h"
#include "whimbrel/quantize.h"
#include "whimbrel/runner.h"
#include "whimbrel/sequence.h"
#include "whimbrel/session.h"
#include "whimbrel/speculate.h"
#include "whimbrel/status.h"
#include "whimbrel/tensor.h"
#include "whimbrel/text.h"
#include "whimbrel/trace.h"

#define WH_VERSION_MAJOR 0
#define WH_VERSION_MINOR 1
#define WH_VERSION_PATCH 0
#define WH_VERSION_TEXT "0.1.0"

#endif
