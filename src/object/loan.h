/* Loans: what copy_file_range copied is, until it is published, only a reference to the version it came from.
 * Before this mount replaces, deletes or moves the object behind that version, it calls the loans in: the
 * borrowing files fetch what they refer to.
 *
 *     g_autoptr(LoanCall) loans = loan_call_in(store, call, storage, container, key, FALSE, error);
 *     if (loans == NULL)
 *         return FALSE;
 *     ...replace or delete the object; while `loans` lives, copies from it get its bytes and no reference...
 *
 * What other clients do to the object is not seen here: then the borrower's reads and publication are
 * CHANGED.
 */
#pragma once

#include "src/object/object_store.h"
#include "src/object/object_version.h"

#include <glib.h>

typedef struct ObjectFile ObjectFile;

typedef struct LoanTable LoanTable;
LoanTable *loan_table_new(void);
/* Nothing may be lent or called in any more. */
void loan_table_free(LoanTable *table);

typedef struct LoanCall LoanCall;
/* key: of one object, or (is_prefix) of all whose keys begin with it. The caller has no token of any file.
 * Fails: NO_SPACE, CANCELLED, what reading reports; not when the version is gone already.
 * Blocks: yes; each request has the storage's time. */
LoanCall *loan_call_in(ObjectStore *store, Call *call, Storage *storage, const char *container,
                       const char *key, gboolean is_prefix, GError **error);
void loan_call_end(LoanCall *loans);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LoanCall, loan_call_end)
/* Whether it is about this object, which may have been renamed meanwhile. */
gboolean loan_call_covers(const LoanCall *loans, const char *container, const char *key);

/* FALSE: what the version's place holds is called in now; take the bytes instead. No I/O; with the lock of
 * the file that the extent was found in, which may borrow it itself. */
gboolean loan_add(ObjectStore *store, ObjectVersion *version, ObjectFile *borrower);
/* The file refers to nothing borrowed any more. */
void loan_end_all(ObjectStore *store, ObjectFile *borrower);
