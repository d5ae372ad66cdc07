/* program_text.c - a program as text: what `inspect --plan` shows. */
#include "core/plan/program.h"

static void print_arg(const wh_program *p, const wh_layout *l, const wh_arg *a, wh_text_buffer *out) {
  if (a->slot == WH_NO_SLOT) {
    wh_text_buffer_puts(out, "_");
    return;
  }
  const wh_slot *s = &p->slots[a->slot];
  const wh_program_device *d = &p->devices[s->device];
  if (s->kind == WH_SLOT_WEIGHT)
    wh_weight_set_print_place(d->weights, a->slot - d->first_weight, out);
  else
    wh_text_buffer_printf(out, "%s+%llu", s->kind == WH_SLOT_STATE ? "state" : "arena",
                          (unsigned long long)l->offsets[a->slot]);
  const wh_shape *shape = &p->graph->values[a->value].shape;
  wh_text_buffer_printf(out, ":%s[", wh_dtype_name(shape->dtype));
  for (int i = 0; i < shape->rank; i++)
    wh_text_buffer_printf(out, "%s%lld", i ? "," : "", (long long)l->dims[shape->dims[i]]);
  wh_text_buffer_puts(out, "]");
}

void wh_program_print(const wh_program *p, const wh_layout *l, wh_text_buffer *out) {
  for (size_t k = 0; k < p->n_blocks; k++) {
    const wh_program_block *b = &p->blocks[k];
    if (p->n_devices > 1)
      wh_text_buffer_printf(out, "block %zu on %s\n", k, wh_plan_device_name(&p->devices[b->device].device));
    for (size_t c = 0; c < b->n_copies; c++)
      wh_text_buffer_printf(out, "     copy %s from %s\n", p->graph->values[b->copies[c].value].name,
                            wh_plan_device_name(&p->devices[p->slots[b->copies[c].from].device].device));
    for (size_t i = b->first_step; i < b->first_step + b->block.n_steps; i++) {
      const wh_step *s = &p->steps[i];
      wh_program_step_info info;
      wh_program_describe(p, i, &info);
      wh_text_buffer_printf(out, "%4zu %s %-28s %-32s ", i, info.barrier ? "|" : " ", info.node->name,
                            info.kernel);
      for (unsigned o = 0; o < s->n_outputs; o++)
        print_arg(p, l, &p->args[s->first_arg + s->n_inputs + o], out);
      wh_text_buffer_puts(out, " <-");
      for (unsigned a = 0; a < s->n_inputs; a++) {
        wh_text_buffer_puts(out, " ");
        print_arg(p, l, &p->args[s->first_arg + a], out);
      }
      if (s->scratch != WH_NO_SLOT && l->n_bytes[s->scratch])
        wh_text_buffer_printf(out, " scratch %llu", (unsigned long long)l->n_bytes[s->scratch]);
      wh_text_buffer_puts(out, "\n");
    }
  }
}
