/* formats/limits.h - how much a model file may ask for. Every reader and writer takes its limits from here.
 *
 * A limit is far above what any real model needs and low enough that a hostile file cannot make the library
 * allocate or loop out of proportion to its own size. Exceeding one is WH_ERR_LIMIT. */
#ifndef WH_FORMATS_LIMITS_H
#define WH_FORMATS_LIMITS_H

#define WH_LIMIT_META_ENTRIES 65536     /* metadata keys of one file */
#define WH_LIMIT_META_KEY_BYTES 65535   /* the GGUF specification's own bound */
#define WH_LIMIT_ARRAY_ELEMS (1u << 24) /* one metadata array; vocabularies have about 2^18 entries */
#define WH_LIMIT_META_ELEMS (1u << 26)  /* all metadata arrays of one file together */
#define WH_LIMIT_WEIGHTS 262144         /* weights of one model, all parts together */
#define WH_LIMIT_WEIGHT_NAME_BYTES 1024 /* ggml's own bound is 64 */
#define WH_LIMIT_ALIGNMENT_MIN 8        /* the specification: a multiple of 8 */
#define WH_LIMIT_ALIGNMENT_MAX (1u << 20)
#define WH_LIMIT_PARTS 1024 /* files of one split model */

#endif
