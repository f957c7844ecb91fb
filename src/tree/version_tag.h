/* An ETag in little memory: the usual 32 hexadecimal digits as 16 bytes, with the number of parts that stands
 * behind them ("-N") where there is one; anything else as its own text. */
#pragma once

#include <glib.h>

typedef struct {
    guint8 form; /* 0 none, else private */
    guint8 bytes[16];
    guint16 parts; /* 0: no "-N" */
} VersionTag;

/* etag NULL: none. What the tag held before is given up. */
void version_tag_set(VersionTag *tag, const char *etag);
void version_tag_copy(VersionTag *tag, const VersionTag *from);
void version_tag_clear(VersionTag *tag);
/* NULL for none; caller frees. */
char *version_tag_dup(const VersionTag *tag);
gboolean version_tag_is_set(const VersionTag *tag);
/* Two that are not known are not equal. */
gboolean version_tag_equal(const VersionTag *a, const VersionTag *b);
