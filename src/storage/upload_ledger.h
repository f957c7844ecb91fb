/* The multi-part uploads of one storage that run, on disk: what a process leaves on the server when it dies
 * is aborted by the next one.
 *
 *   STATE_DIR/uploads/ID/OWNER-N     one upload; ID: of the storage, OWNER: of the process, see below
 *   STATE_DIR/uploads/ID/OWNER.lock  locked while its process lives
 *
 * A file has six lines: "storagefs upload 1", the storage's place, container, key and upload id, each
 * percent-escaped, and "end". One without its end was never finished. Nothing here is needed to have an
 * object: what cannot be written or read costs an unfinished upload, and is logged. Thread-safe.
 */
#pragma once

#include <glib.h>

typedef struct UploadLedger UploadLedger;

typedef struct {
    char *container, *key, *upload_id;
} LedgerUpload;

/* NULL when there can be none, which is logged. name: of the storage, for the log. */
UploadLedger *upload_ledger_open(const char *state_dir, guint64 storage_id, const char *name,
                                 const char *place);
/* What runs stays noted. */
void upload_ledger_free(UploadLedger *ledger);

/* Of processes that are gone, at this place: GPtrArray of LedgerUpload, freed with it. They stay noted until
 * they are removed. */
GPtrArray *upload_ledger_take_dead(UploadLedger *ledger);
/* On disk when it returns. ledger may be NULL. */
void upload_ledger_add(UploadLedger *ledger, const char *container, const char *key, const char *upload_id);
/* It was committed or aborted. ledger may be NULL. */
void upload_ledger_remove(UploadLedger *ledger, const char *upload_id);
