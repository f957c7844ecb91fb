/* What the tests of the local driver's FileOperations share: the opened storage, its base on disk, short
 * calls.
 *
 * Everything is tried twice, with openat2 and without. Beside the base lies `outside`, which no operation may
 * ever touch: it holds the file "secret".
 */
#pragma once

#include "tests/contract/contract.h"

typedef struct {
    const FileOperations *files;
    char *folder; /* temporary; holds base/ and outside/ */
    char *base;   /* contract.container lies in it */
    char *outside;
} LocalFiles;
extern LocalFiles local_files;

void local_files_open(void);
void local_files_close(void);
/* Runs with openat2 as /contract/files/PATH, and without as /contract/files-walked/PATH. */
void local_files_add(const char *path, void (*test)(void));

/* "BASE/CONTAINER/name"; caller frees. */
char *local_files_get_path(const char *name);
/* Makes a file by the driver, with its directories. */
void local_files_put(const char *key, const char *text);
/* What is on the disk under the key, NULL when nothing is. Caller frees. */
char *local_files_read_disk(const char *key);
gboolean local_files_exists(const char *key);
/* open_file on the container; -1 with error. */
int local_files_try_open(const char *key, int flags, gboolean make_parents, GError **error);
/* outside/ holds nothing but the unchanged "secret". */
void local_files_assert_outside_untouched(void);

void local_files_add_escapes(void);
