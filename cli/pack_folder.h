/* pack_folder.h - where packed weights are kept when the user did not say: the user's cache folder, for
 * models that take long to pack and disks that have the room. */
#ifndef CLI_PACK_FOLDER_H
#define CLI_PACK_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a file system. */
typedef struct cli_disk {
  uint64_t total, available;
} cli_disk;

/* Bytes of weights from which on packing takes a noticeable time. */
#define CLI_LARGE_WEIGHTS (UINT64_C(256) << 20)

/* Whether `weight_bytes` of weights are worth keeping on this disk: 256 MiB or more, which take a noticeable
 * time to pack, on a disk of 64 GiB or more of which a fifth stays free. */
bool cli_pack_worth_keeping(uint64_t weight_bytes, cli_disk disk);
/* Most that all kept weights together may take: a tenth of the disk. */
uint64_t cli_pack_folder_limit(cli_disk disk);

/* $XDG_CACHE_HOME/whimbrel/packed, or ~/.cache/whimbrel/packed; what is missing of it is made, for the user
 * alone, as the XDG Base Directory Specification asks. `path` has room for `size` bytes; only with
 * CLI_PACK_KEEP and CLI_PACK_NO_FOLDER, where errno says what is wrong with it, it is set. */
typedef enum cli_pack_choice {
  CLI_PACK_KEEP,
  CLI_PACK_NOT_WORTH_IT, /* the model is small, the disk is, or the user has neither folder */
  CLI_PACK_NO_FOLDER     /* it could not be made */
} cli_pack_choice;
cli_pack_choice cli_pack_folder(uint64_t weight_bytes, char *path, size_t size);

/* Removes the files that were not used for the longest time until those left take at most `limit` bytes. Only
 * files that end in ".pack". */
void cli_pack_folder_trim(const char *path, uint64_t limit);
/* The same to the limit of the folder's disk. */
void cli_pack_folder_trim_to_disk(const char *path);

#endif
