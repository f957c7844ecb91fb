/* What one endpoint taught by being tried, kept in the state directory so that the next mount need not try
 * again.
 *
 * One small file per storage, written by that storage alone. It holds for the place it was learned at and for
 * a week: a service behind the same address may be upgraded, or go back, and a promise that it no longer
 * keeps would cost a lost update. Losing the file costs one more try.
 */
#pragma once

#include <glib.h>

#define LEARNED_FILE_MAXIMUM_AGE_S (7 * 24 * 3600)

/* The text that learned_file_save() was given for this place; NULL when there is none, it is too old (or from
 * the future), or the file cannot be read. now_s: seconds since the epoch. Caller frees. */
char *learned_file_load(const char *path, const char *place, gint64 now_s);
/* Replaces the file as a whole. Fails: IO. */
gboolean learned_file_save(const char *path, const char *place, gint64 now_s, const char *text,
                           GError **error);
