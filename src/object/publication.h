/* One publication: what an ObjectFile holds, made an object of the storage by as few and as small requests as
 * its plan allows. The caller has the file's token `publishing`.
 */
#pragma once

#include "src/object/object_file_state.h"

typedef struct {
    gboolean content_stored;   /* also when what followed failed */
    gboolean in_doubt;         /* the last request may be carried out, or have been */
    ObjectInfo confirmed;      /* etag set: what an earlier attempt has stored, and this one builds on */
    ObjectInfo info;           /* what the service has now: etag, size, metadata always known */
    FileAttributes attributes; /* as published */
} PublicationResult;
void publication_result_clear(PublicationResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PublicationResult, publication_result_clear)

/* Content and attributes. Fails: CHANGED, EXISTS (exclusive), TOO_LARGE, NO_SPACE and what the storage says.
 * On FALSE *result may still say that the content is stored: only its attributes are not. Blocks: yes. */
gboolean publication_store(ObjectFile *file, Call *call, PublicationResult *result, GError **error);
/* Attributes alone, of an object whose content is published. Blocks: yes. */
gboolean publication_store_attributes(ObjectFile *file, Call *call, PublicationResult *result,
                                      GError **error);
