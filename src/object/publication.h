/* One publication: what an ObjectFile holds, made an object of the storage by as few and as small requests as
 * its plan allows. The caller has the file's token `publishing`.
 */
#pragma once

#include "src/object/object_file_state.h"

typedef struct {
    gboolean content_stored;   /* also when what followed failed */
    ObjectInfo info;           /* what the service has now: etag, size, metadata always known */
    FileAttributes attributes; /* as published */
} PublicationResult;
void publication_result_clear(PublicationResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PublicationResult, publication_result_clear)

/* Removes what describes content that is being replaced (rclone's checksum). */
void publication_forget_content(Metadata *metadata);

/* The file was to be stored as it is by a process that is gone: as after a publication that failed in doubt.
 */
void publication_make_doubt(ObjectFile *file);

/* Content and attributes. Fails: CHANGED, EXISTS (exclusive), TOO_LARGE, NO_SPACE and what the storage says.
 * On FALSE *result may still say that the content is stored: only its attributes are not. Blocks: yes. */
gboolean publication_store(ObjectFile *file, Call *call, PublicationResult *result, GError **error);
/* Attributes alone, of an object whose content is published. Blocks: yes. */
gboolean publication_store_attributes(ObjectFile *file, Call *call, PublicationResult *result,
                                      GError **error);
/* Looks what became of a publication that failed in doubt (there is one). If it was carried out, the file is
 * based on what it stored from now on, and *out_found is that; else *out_found stays empty. The caller has
 * either token. Blocks: yes. */
gboolean publication_settle_doubt(ObjectFile *file, Call *call, ObjectInfo *out_found, GError **error);
