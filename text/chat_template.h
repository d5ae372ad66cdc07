/* text/chat_template.h - renders the Jinja templates that model files carry.
 *
 * A template is compiled once (immutable, shareable) and rendered with a list of messages. Both are total and
 * bounded: any input ends in text or in one clear error, within fixed limits of steps, depth and output
 * bytes. */
#ifndef WH_TEXT_CHAT_TEMPLATE_H
#define WH_TEXT_CHAT_TEMPLATE_H

#include "core/base/allocator.h"
#include "core/base/str.h"
#include "core/base/text_buffer.h"

typedef struct wh_chat_template wh_chat_template;

/* Errors name the line of the template. `source` is copied. */
WH_NODISCARD wh_status wh_chat_template_compile(wh_str source, const wh_allocator *alloc,
                                                wh_chat_template **out);
void wh_chat_template_destroy(wh_chat_template *t);

/* `context_json`: a JSON object whose members become the template's variables: messages (a list of {role,
 * content, tool_calls ...}), tools, documents, add_generation_prompt, bos_token, eos_token, and whatever else
 * the caller passes (enable_thinking ...). Appends to `out`. raise_exception(message) ends in
 * ERR_INVALID_ARGUMENT with that message. `now` is what strftime_now() shows, in seconds since 1970-01-01
 * 00:00 of the clock that is meant: a local one, as transformers has it, or UTC. */
WH_NODISCARD wh_status wh_chat_template_render(const wh_chat_template *t, wh_str context_json, int64_t now,
                                               wh_text_buffer *out);

#endif
