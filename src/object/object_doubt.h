/* The inside of an ObjectFile: publications that may have been carried out although they failed
 * (object_file_doubt.c). What the file's other parts call is in object_file_state.h and object_file.h.
 */
#pragma once

#include "src/object/object_file_state.h"

/* What the storage has: nothing that was tried here; something that was, of which the file is a later state;
 * or exactly the file's content (its attributes may have changed since). */
typedef enum { DOUBT_UNFOUNDED, DOUBT_EARLIER, DOUBT_DONE } Doubt;

/* A publication's next request stores this; takes attempt. A record of the journal that does not say so is
 * written again first. With the token `publishing`. Blocks: for local disk. */
void object_file_begin_attempt(ObjectFile *file, Attempt *attempt);
/* It failed without a verdict: it is the latest of what is in doubt. With the token `publishing`. */
void object_file_doubt_attempt(ObjectFile *file);
/* There is no doubt any more; under a token. */
void object_file_clear_doubt(ObjectFile *file);
/* The process before may have stored what the record says, or what it had tried earlier. The file is new. */
void object_file_restore_doubt(ObjectFile *file, const JournalRecord *record);

/* Compares what is stored with what is in doubt (there is something). *out_found stays empty when that is
 * UNFOUNDED. Under a token. Fails: what the look reports; nothing is settled. Blocks: yes. */
gboolean object_file_look_into_doubt(ObjectFile *file, Call *call, Doubt *out_doubt, ObjectInfo *out_found,
                                     GError **error);
/* The file is a later state of what was found: what is clean is to be had there. Under a token. */
void object_file_build_on(ObjectFile *file, const ObjectInfo *found);
