/* driver_graph.c - recording the work of a stream, and launching what was recorded. A graph is a chain here:
 * a capture takes one stream's work, and nothing else can join it. */
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/ptxemu/driver.h"
#include "backends/cuda/ptxemu/report.h"

EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, int mode);
EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph);
EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags);
EXPORT CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream);
EXPORT CUresult cuGraphDestroy(CUgraph graph);
EXPORT CUresult cuGraphExecDestroy(CUgraphExec exec);

enum { CAPTURE_MODE_LAST = 2 };

void graph_append(CUgraph g, work *w) {
  if (g->end)
    g->end->next = w;
  else
    g->first = w;
  g->end = w;
}

CUresult graph_invalidate(CUgraph g) {
  g->is_invalid = true;
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

void graph_free(CUgraph g) {
  if (!g) return;
  for (work *w = g->first, *next; w; w = next) {
    next = w->next;
    work_free(w);
  }
  free(g);
}

static CUgraph *find(CUgraph g, bool is_exec) {
  for (CUgraph *at = &driver.graphs; *at; at = &(*at)->next)
    if (*at == g && g->is_exec == is_exec) return at;
  return NULL;
}

static void keep(CUgraph g) {
  g->next = driver.graphs;
  driver.graphs = g;
}

unsigned graphs_close(int device) {
  unsigned n = 0;
  for (CUgraph *at = &driver.graphs; *at;) {
    CUgraph g = *at;
    if (g->device != device) {
      at = &g->next;
      continue;
    }
    *at = g->next;
    graph_free(g);
    n++;
  }
  return n;
}

/* Work that is recorded holds nothing of the host's but a kernel's parameters. */
static work *copy_of(const work *w) {
  work *c = malloc(sizeof *c);
  if (!c) return NULL;
  *c = *w;
  c->next = NULL;
  if (!w->parameters) return c;
  const size_t n = w->function->ptx->parameter_bytes + 1;
  c->parameters = malloc(n);
  if (c->parameters) {
    memcpy(c->parameters, w->parameters, n);
    return c;
  }
  work_free(c);
  return NULL;
}

/* ---- the API ---- */

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  CUstream s = stream_of(stream);
  if (!s || mode < 0 || mode > CAPTURE_MODE_LAST)
    return driver_leave(s ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE);
  if (s->is_legacy) return driver_leave(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  if (s->capture) return driver_leave(CUDA_ERROR_ILLEGAL_STATE);
  s->capture = calloc(1, sizeof *s->capture);
  if (!s->capture) return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
  s->capture->device = s->device;
  return driver_leave(CUDA_SUCCESS);
}

/* Whatever it returns, the stream does not record any more. */
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  CUresult r = driver_enter(CALL_IN_CONTEXT);
  CUstream s = driver_current ? stream_of(stream) : NULL;
  CUgraph g = s ? s->capture : NULL;
  if (s) s->capture = NULL;
  if (!r && !s) r = CUDA_ERROR_INVALID_HANDLE;
  if (!r && !g) r = CUDA_ERROR_ILLEGAL_STATE;
  if (!r && !graph) r = CUDA_ERROR_INVALID_VALUE;
  if (!r && g->is_invalid) r = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (r) {
    graph_free(g);
    return driver_leave(r);
  }
  keep(g);
  *graph = g;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
  const CUresult r = driver_enter(CALL_ALLOCATES);
  if (r) return driver_leave(r);
  if (!exec || flags) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  if (!find(graph, false)) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  CUgraph e = calloc(1, sizeof *e);
  if (!e) return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
  e->is_exec = true;
  e->device = graph->device;
  for (const work *w = graph->first; w; w = w->next) {
    work *c = copy_of(w);
    if (!c) {
      graph_free(e);
      return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    graph_append(e, c);
  }
  keep(e);
  *exec = e;
  return driver_leave(CUDA_SUCCESS);
}

/* All of the chain, or nothing: first the copies. */
static CUresult copy_chain(CUgraph e, struct CUgraph_st *out) {
  for (const work *w = e->first; w; w = w->next) {
    if (w->kind == WORK_KERNEL && !function_is(w->function)) {
      report_add("use-after-free", "a graph launches a kernel whose module was unloaded");
      return CUDA_ERROR_INVALID_HANDLE;
    }
    work *c = copy_of(w);
    if (!c) return CUDA_ERROR_OUT_OF_MEMORY;
    graph_append(out, c);
  }
  return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  CUstream s = stream_of(stream);
  if (!s || !find(exec, true)) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  if (s->capture) return driver_leave(graph_invalidate(s->capture)); /* no graphs within graphs */
  struct CUgraph_st copies = {.is_exec = true};
  r = copy_chain(exec, &copies);
  for (work *w = copies.first, *next; w; w = next) {
    next = w->next;
    w->next = NULL;
    if (r)
      work_free(w);
    else
      stream_push(s, w);
  }
  return driver_leave(r);
}

static CUresult destroy(CUgraph g, bool is_exec) {
  const CUresult r = driver_enter(CALL_DESTROYS);
  if (r) return driver_leave(r);
  CUgraph *at = find(g, is_exec);
  if (!at) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  *at = g->next;
  graph_free(g);
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuGraphDestroy(CUgraph graph) { return destroy(graph, false); }
/* What was launched still runs, as with the real one. */
CUresult cuGraphExecDestroy(CUgraphExec exec) { return destroy(exec, true); }
