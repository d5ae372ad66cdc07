/* npz.c - see npz.h. Of zip: one disk, no encryption, no zip64, members that are stored or deflated. */
#include "cli/npz.h"

#include <stdlib.h>
#include <string.h>
#ifdef CLI_HAS_ZLIB
#include <zlib.h>
#endif

bool cli_is_npz(const char *path) {
  const size_t n = path ? strlen(path) : 0;
  return n > 4 && strcmp(path + n - 4, ".npz") == 0;
}

void cli_npz_close(cli_npz *npz) {
  cli_buffer_deinit(&npz->file);
  *npz = (cli_npz){0};
}

#ifdef CLI_HAS_ZLIB
#define LOCAL 0x04034b50u
#define MEMBER 0x02014b50u
#define END 0x06054b50u
#define LOCAL_BYTES 30u
#define MEMBER_BYTES 46u
#define END_BYTES 22u
#define COMMENT_MAX 65535u
#define RATIO_MAX 1032u /* deflate makes of a byte no more */

static uint32_t number(const cli_npz *z, size_t at, unsigned n) {
  uint32_t v = 0;
  for (unsigned i = 0; i < n; i++) v |= (uint32_t)(uint8_t)z->file.data[at + i] << 8 * i;
  return v;
}

static cli_exit wrong(const cli_npz *z, const char *what) {
  return cli_fail(CLI_MODEL, "%s: %s: it is no .npz file", z->path, what);
}

cli_exit cli_npz_open(const char *path, cli_npz *z) {
  z->path = path;
  CLI_TRY(cli_read_all(path, &z->file));
  if (z->file.n < END_BYTES) return wrong(z, "it is too short");
  const size_t last = z->file.n - END_BYTES, first = last > COMMENT_MAX ? last - COMMENT_MAX : 0;
  size_t at = last;
  while (at > first && number(z, at, 4) != END) at--;
  if (number(z, at, 4) != END) return wrong(z, "there is no list of its members");
  z->n_members = number(z, at + 10, 2);
  z->directory = number(z, at + 16, 4);
  if (z->directory > at)
    return wrong(z, "its list of members lies beyond its end (or it is larger than 4 GiB)");
  return CLI_OK;
}

typedef struct member {
  uint32_t method, crc, packed, size;
  size_t at; /* of its local header */
} member;

/* False: there is none of that name. */
static cli_exit find(const cli_npz *z, const char *name, member *m, bool *found) {
  const size_t n = strlen(name);
  size_t at = z->directory;
  *found = false;
  for (size_t i = 0; i < z->n_members; i++) {
    if (z->file.n - at < MEMBER_BYTES || number(z, at, 4) != MEMBER)
      return wrong(z, "its list of members is cut");
    const size_t length = number(z, at + 28, 2), extra = number(z, at + 30, 2),
                 comment = number(z, at + 32, 2);
    if (z->file.n - at - MEMBER_BYTES < length + extra + comment)
      return wrong(z, "its list of members is cut");
    const char *text = z->file.data + at + MEMBER_BYTES;
    if (length == n + 4 && memcmp(text, name, n) == 0 && memcmp(text + n, ".npy", 4) == 0) {
      if (number(z, at + 8, 2) & 1) return wrong(z, "a member is encrypted");
      *m = (member){.method = number(z, at + 10, 2),
                    .crc = number(z, at + 16, 4),
                    .packed = number(z, at + 20, 4),
                    .size = number(z, at + 24, 4),
                    .at = number(z, at + 42, 4)};
      *found = true;
      return CLI_OK;
    }
    at += MEMBER_BYTES + length + extra + comment;
  }
  return CLI_OK;
}

static bool inflate_all(const char *from, uint32_t n, uint8_t *to, uint32_t size) {
  z_stream s = {.next_in = (Bytef *)(uintptr_t)from, /* zlib only reads it */
                .avail_in = n,
                .next_out = to,
                .avail_out = size};
  if (inflateInit2(&s, -MAX_WBITS) != Z_OK) return false;
  const bool whole = inflate(&s, Z_FINISH) == Z_STREAM_END && s.avail_out == 0;
  (void)inflateEnd(&s);
  return whole;
}

/* Where the member's bytes lie in the file. */
static cli_exit locate(const cli_npz *z, const member *m, const char **data) {
  if (m->at > z->file.n || z->file.n - m->at < LOCAL_BYTES || number(z, m->at, 4) != LOCAL)
    return wrong(z, "a member is not where it should be");
  const size_t begin = m->at + LOCAL_BYTES + number(z, m->at + 26, 2) + number(z, m->at + 28, 2);
  if (begin > z->file.n || z->file.n - begin < m->packed) return wrong(z, "a member is cut");
  if ((m->method != 0 && m->method != 8) || (m->method == 0 && m->packed != m->size) ||
      m->size / RATIO_MAX > m->packed)
    return wrong(z, "a member's compression or size is wrong");
  *data = z->file.data + begin;
  return CLI_OK;
}

cli_exit cli_npz_read(const cli_npz *z, const char *name, wh_npy_file **tensor, void **bytes) {
  member m;
  bool found;
  const char *data;
  *tensor = NULL;
  *bytes = NULL;
  CLI_TRY(find(z, name, &m, &found));
  if (!found) return CLI_OK;
  CLI_TRY(locate(z, &m, &data));
  uint8_t *to = malloc((size_t)m.size + 1);
  if (!to) return cli_fail(CLI_LIMIT, "%s: out of memory", z->path);
  bool good = true;
  if (m.method == 0)
    memcpy(to, data, m.size);
  else
    good = inflate_all(data, m.packed, to, m.size);
  if (!good || crc32_z(0, to, m.size) != m.crc) {
    free(to);
    return cli_fail(CLI_MODEL, "%s: '%s' is damaged", z->path, name);
  }
  const wh_status st = wh_npy_open_memory(z->path, to, m.size, NULL, tensor);
  if (st == WH_OK) {
    *bytes = to;
    return CLI_OK;
  }
  free(to);
  cli_exit code = cli_fail_input(st);
  cli_fail_append(" ('%s' in it)", name);
  return code;
}

/* ---- writing ---- */

static void put(char **at, uint32_t v, unsigned n) {
  for (unsigned i = 0; i < n; i++) *(*at)++ = (char)(v >> 8 * i);
}

/* What a member's two headers have in common. */
static void put_common(char **at, uint32_t crc, uint32_t size, size_t name) {
  enum { VERSION = 20, UTF8 = 1 << 11, DAY = 1 << 5 | 1 }; /* 1980-01-01: the same file each time */
  put(at, VERSION, 2);
  put(at, UTF8, 2);
  put(at, 0, 2);
  put(at, 0, 2);
  put(at, DAY, 2);
  put(at, crc, 4);
  put(at, size, 4);
  put(at, size, 4);
  put(at, (uint32_t)name, 2);
  put(at, 0, 2);
}

cli_exit cli_npz_write(cli_npz_writer *w, const char *name, const wh_tensor *tensor) {
  char npy[WH_NPY_HEADER_MAX], member_name[256], head[MEMBER_BYTES], *at = head;
  size_t n_npy;
  CLI_TRY_WH(wh_npy_make_header(tensor, npy, &n_npy));
  const int length = snprintf(member_name, sizeof member_name, "%s.npy", name);
  const uint64_t size = n_npy + tensor->n_bytes, begin = w->n_bytes;
  if (length < 0 || (size_t)length >= sizeof member_name || size + begin > INT32_MAX ||
      w->n_members == UINT16_MAX)
    return cli_fail(CLI_LIMIT, "output '%s' does not fit into a .npz file: give a folder to --output", name);
  uLong crc = crc32_z(0, (const Bytef *)npy, n_npy);
  if (tensor->n_bytes) crc = crc32_z(crc, tensor->data, (size_t)tensor->n_bytes);
  put(&at, LOCAL, 4);
  put_common(&at, (uint32_t)crc, (uint32_t)size, (size_t)length);
  cli_output_write(w->out, head, LOCAL_BYTES);
  cli_output_write(w->out, member_name, (size_t)length);
  cli_output_write(w->out, npy, n_npy);
  cli_output_write(w->out, tensor->data, (size_t)tensor->n_bytes);
  w->n_bytes += LOCAL_BYTES + (uint64_t)length + size;
  w->n_members++;
  at = head;
  put(&at, MEMBER, 4);
  put(&at, 20, 2);
  put_common(&at, (uint32_t)crc, (uint32_t)size, (size_t)length);
  put(&at, 0, 4); /* no comment, first disk */
  put(&at, 0, 2);
  put(&at, 0, 4);
  put(&at, (uint32_t)begin, 4);
  CLI_TRY(cli_buffer_add(&w->directory, head, MEMBER_BYTES));
  CLI_TRY(cli_buffer_add(&w->directory, member_name, (size_t)length));
  return cli_output_flush(w->out);
}

cli_exit cli_npz_end(cli_npz_writer *w) {
  char end[END_BYTES], *at = end;
  put(&at, END, 4);
  put(&at, 0, 4);
  put(&at, w->n_members, 2);
  put(&at, w->n_members, 2);
  put(&at, (uint32_t)w->directory.n, 4);
  put(&at, (uint32_t)w->n_bytes, 4);
  put(&at, 0, 2);
  cli_output_write(w->out, w->directory.data, w->directory.n);
  cli_output_write(w->out, end, END_BYTES);
  cli_buffer_deinit(&w->directory);
  return cli_output_finish(w->out);
}
#else
static cli_exit refuse(const char *path) {
  return cli_fail(CLI_UNSUPPORTED, "%s: this program was built without zlib: use .npy files", path);
}

cli_exit cli_npz_open(const char *path, cli_npz *z) {
  (void)z;
  return refuse(path);
}

cli_exit cli_npz_read(const cli_npz *z, const char *name, wh_npy_file **tensor, void **bytes) {
  (void)name, (void)tensor, (void)bytes;
  return refuse(z->path);
}

cli_exit cli_npz_write(cli_npz_writer *w, const char *name, const wh_tensor *tensor) {
  (void)w, (void)tensor;
  return refuse(name);
}

cli_exit cli_npz_end(cli_npz_writer *w) {
  cli_buffer_deinit(&w->directory);
  return refuse("--output");
}
#endif
