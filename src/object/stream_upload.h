/* Parts that go out while writing goes on, so that close has little left to do.
 *
 * While a file is written forward, each part of its layout that the writer has left behind is sent in the
 * background, a few at a time. A part that is changed after it was sent counts as not sent. The publication
 * takes over: it waits for what is under way, reuses what is good, sends the rest and commits. An upload that
 * is not committed is aborted on the server, whatever happens here.
 *
 * Guarded by the file's lock; background tasks hold a reference of the file.
 */
#pragma once

#include "src/object/object_file_state.h"

/* Finds out how this storage wants parts; once, without the lock, under the token. */
void stream_upload_prepare(ObjectFile *file);
/* After a write: continues or begins a forward run, sends the parts it left behind. */
void stream_upload_note_write_locked(ObjectFile *file, guint64 offset, guint64 length_bytes)
    REQUIRES(file->lock);
/* After any other change of offset .. end. */
void stream_upload_note_change_locked(ObjectFile *file, guint64 offset, guint64 end) REQUIRES(file->lock);

/* Starts nothing new and waits for what is under way. FALSE only when the call ended. */
gboolean stream_upload_settle(ObjectFile *file, Call *call, GError **error);
/* The rest after stream_upload_settle(): */
gboolean stream_upload_has_begun(ObjectFile *file);
const char *stream_upload_get_id(ObjectFile *file);     /* borrowed, while the publication runs */
gboolean stream_upload_has_time(ObjectFile *file);      /* began with an mtime somebody asked for */
Metadata *stream_upload_get_metadata(ObjectFile *file); /* what it began with, borrowed */
const char *stream_upload_get_content_type(ObjectFile *file);
/* For upload_plan.h: data is the file. */
gboolean stream_upload_is_sent(gconstpointer data, guint index);
/* Parts that the service may have, sent whole or not; whether this one (from 1) is among them. */
guint stream_upload_count_begun(ObjectFile *file);
gboolean stream_upload_has_part(ObjectFile *file, guint number);
const UploadPart *stream_upload_get_part(ObjectFile *file, guint index);
/* It was committed: nothing to abort. */
void stream_upload_finish(ObjectFile *file);
/* Forgets the upload and aborts it on the server, in the background. Nothing when there is none. */
void stream_upload_abandon(ObjectFile *file);

guint64 stream_upload_get_sent_bytes_locked(ObjectFile *file) REQUIRES(file->lock);
