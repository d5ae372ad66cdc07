/* exec/extract.h - one node of a program by itself: a graph of it, of whose inputs a run gives the values. To
 * report what a device computes wrong, and to compute it again. */
#ifndef WH_EXEC_EXTRACT_H
#define WH_EXEC_EXTRACT_H

#include "core/plan/program.h"

typedef struct wh_extract wh_extract;

/* A node by its name. */
WH_NODISCARD wh_status wh_extract_create(const char *node, const wh_allocator *alloc, wh_extract **out);
void wh_extract_destroy(wh_extract *x); /* NULL is fine */

/* ---- for the run that is asked for it ---- */

/* Before an execution: looks for the node in the program's graph, unless it was extracted before. What is in
 * a device's own form, quantised activations and states, is no input: the nodes that make it come along, and
 * where the node itself makes it, one that reads it. A state of floats that the node reads is filled with
 * what it held. */
WH_NODISCARD wh_status wh_extract_begin(wh_extract *x, const wh_program *p);
/* Where the value of an operand of a step's node goes, in row-major form; NULL: nowhere. */
WH_NODISCARD wh_status wh_extract_place(wh_extract *x, wh_node node, wh_value operand, const int64_t *dims,
                                        void **out);
/* After an execution that succeeded. */
WH_NODISCARD wh_status wh_extract_end(wh_extract *x, const int64_t *dims);

/* ---- what came of it ---- */

/* NULL: no run had the node. Its dims are numbers; data of constants is borrowed from the program's graph. */
const wh_graph *wh_extract_graph(const wh_extract *x);
/* The node reads states (of q8_0) that hold what this run appended only. */
bool wh_extract_reads_states(const wh_extract *x);
/* An input of the graph, by its name: bytes in row-major form. */
const void *wh_extract_input(const wh_extract *x, const char *name, size_t *n_bytes);

#endif
