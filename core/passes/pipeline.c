/* pipeline.c - the order of the passes, and why. */
#include "core/passes/passes.h"

wh_status wh_passes_run(wh_graph *g, const wh_fold_evaluator *fold) {
  WH_TRY(wh_pass_dce(g)); /* what nobody needs must not be folded */
  if (fold) WH_TRY(wh_pass_fold(g, fold));
  WH_TRY(wh_pass_dce(g)); /* what nobody needs must not count as a use that stops a fusion */
  WH_TRY(wh_pass_cse(g));
  WH_TRY(wh_pass_fuse(g));     /* gates, epilogues: before legalisation, while activations are still f32 */
  WH_TRY(wh_pass_legalise(g)); /* one quantisation per product ... */
  WH_TRY(wh_pass_cse(g));      /* ... of which q, k and v share one, so that ... */
  WH_TRY(wh_pass_fuse(g));     /* ... the norm before them has one use and can end in it */
  WH_TRY(wh_pass_dce(g));
  WH_TRY(wh_pass_compact(g));
  return wh_graph_verify(g);
}
