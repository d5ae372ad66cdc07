/* api_internal.h - the objects behind the public handles. This folder is where formats, models, text, core
 * and backends meet; none of them knows another. */
#ifndef WH_API_INTERNAL_H
#define WH_API_INTERNAL_H

#include <stdatomic.h>

#include "core/backend_abi.h"
#include "formats/model_file.h"
#include "models/model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "whimbrel/whimbrel.h"

struct wh_device {
  const wh_allocator *alloc;
  const wh_backend *backend;
  void *device;
};

/* Built at the first use, then shared: tokenizer and template cost time that a run without text need not
 * spend. */
typedef struct lazy {
  _Atomic(void *) object;
  atomic_flag building;
} lazy;

struct wh_model {
  const wh_allocator *alloc;
  wh_model_file *file;
  wh_model_hparams hparams;
  char *name;
  lazy tokenizer, chat_template;
};

/* Borrowed; live as long as the model. */
wh_status wh_model_tokenizer(const wh_model *m, const wh_tokenizer **out);
wh_status wh_model_template(const wh_model *m, const wh_chat_template **out);

/* As wh_session_create filled them in. */
const wh_session_options *wh_session_get_options(const wh_session *s);
const wh_model *wh_session_get_model(const wh_session *s);
/* A sequence that grows beyond so many tokens is computed again from its beginning (LongRoPE); 0: none is. */
uint32_t wh_session_rope_border(const wh_session *s);

/* Reads what a versioned options struct of the caller's size holds; the rest keeps its defaults. */
#define WH_READ_OPTIONS(dst, src)                                                             \
  do {                                                                                        \
    if (src) {                                                                                \
      size_t wh_n_ = (src)->struct_size < sizeof *(dst) ? (src)->struct_size : sizeof *(dst); \
      memcpy((dst), (src), wh_n_);                                                            \
    }                                                                                         \
  } while (0)
/* Writes a versioned info struct: no more than the caller's size, which stays as it is. */
#define WH_WRITE_INFO(dst, src)                                         \
  do {                                                                  \
    uint32_t wh_size_ = (dst)->struct_size;                             \
    size_t wh_n_ = wh_size_ < sizeof *(dst) ? wh_size_ : sizeof *(dst); \
    memcpy((dst), &(src), wh_n_);                                       \
    (dst)->struct_size = wh_size_;                                      \
  } while (0)

#endif
