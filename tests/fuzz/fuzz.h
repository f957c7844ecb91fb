/* One fuzz target: hostile bytes into one parser, and what must hold of everything it accepts.
 *
 * fuzz_NAME.c defines fuzz_one(). Built with -DSTORAGEFS_FUZZ=ON (clang) it is a libFuzzer program; in every
 * other build replay.c feeds it the corpus, corpus/NAME, so that each sanitizer sees each input that was ever
 * interesting. A broken property aborts (g_assert). Inputs must not influence each other.
 */
#pragma once

#include <glib.h>

/* One input, taken apart from front to back. Past the end there are zeros and empty texts. */
typedef struct {
    const guint8 *at, *end;
} FuzzInput;

/* What a target defines. */
void fuzz_one(FuzzInput *input);
/* May be empty: once, before the first input. */
void fuzz_begin(void);

/* The entries that libFuzzer, or replay.c, calls. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

guint8 fuzz_take_byte(FuzzInput *input);
guint64 fuzz_take_number(FuzzInput *input); /* 8 bytes, little-endian */
gsize fuzz_left(const FuzzInput *input);
/* Up to `separator`, which is dropped, or the end. A NUL before that ends the text. Caller frees. */
char *fuzz_take_text(FuzzInput *input, char separator);
/* The same as bytes: borrowed, not terminated. */
const guint8 *fuzz_take_bytes(FuzzInput *input, char separator, gsize *out_length);

/* A directory of this process, on a file system in memory where there is one; gone at exit. */
const char *fuzz_folder(void);
/* Path below it; caller frees. */
char *fuzz_path(const char *name);
/* Writes (mode 0600) a file there, whose directory exists. */
void fuzz_write(const char *name, gconstpointer data, gsize length_bytes);

/* Of our domain, with a message that is no longer than such a thing may be. */
void fuzz_check_error(const GError *error);
/* And of one line, although what came from outside is shown in it. */
void fuzz_check_line(const GError *error);
void fuzz_check_utf8(const char *text);
