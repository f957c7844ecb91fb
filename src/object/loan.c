#include "src/object/loan.h"

#include "src/base/error.h"
#include "src/base/lock.h"
#include "src/base/log.h"
#include "src/object/file_content.h"
#include "src/object/object_file_state.h"

#include <string.h>

typedef struct {
    ObjectFile *borrower;   /* borrowed: it ends its loans before it is freed */
    ObjectVersion *version; /* a reference */
} Loan;

/* Both lists are short: copies that are not published yet, and changes that are made right now. */
struct LoanTable {
    Lock lock; /* below object_file, above object_version */
    GArray *loans;
    GPtrArray *calls; /* of LoanCall, borrowed */
};

struct LoanCall {
    LoanTable *table;
    Storage *storage;
    char *container, *key;
    gboolean is_prefix;
};

static void
loan_clear(gpointer data)
{
    object_version_unref(((Loan *)data)->version);
}

LoanTable *
loan_table_new(void)
{
    LoanTable *table = g_new0(LoanTable, 1);
    lock_init(&table->lock);
    table->loans = g_array_new(FALSE, FALSE, sizeof(Loan));
    g_array_set_clear_func(table->loans, loan_clear);
    table->calls = g_ptr_array_new();
    return table;
}

void
loan_table_free(LoanTable *table)
{
    g_assert(table->loans->len == 0 && table->calls->len == 0);
    g_array_unref(table->loans);
    g_ptr_array_unref(table->calls);
    lock_clear(&table->lock);
    g_free(table);
}

gboolean
loan_call_covers(const LoanCall *loans, const char *container, const char *key)
{
    return strcmp(loans->container, container) == 0 &&
           (loans->is_prefix ? g_str_has_prefix(key, loans->key) : strcmp(loans->key, key) == 0);
}

static gboolean
covers_version(const LoanCall *loans, ObjectVersion *version)
{
    g_auto(ObjectVersionPlace) place = {0};
    if (loans->storage != object_version_get_storage(version))
        return FALSE;
    object_version_get_place(version, &place);
    return loan_call_covers(loans, place.container, place.key);
}

gboolean
loan_add(ObjectStore *store, ObjectVersion *version, ObjectFile *borrower)
{
    LoanTable *table = store->loans;
    gboolean called_in = FALSE, known = FALSE;
    lock_acquire(&table->lock);
    for (guint i = 0; i < table->calls->len && !called_in; i++)
        called_in = covers_version(g_ptr_array_index(table->calls, i), version);
    for (guint i = 0; i < table->loans->len && !known; i++) {
        const Loan *loan = &g_array_index(table->loans, Loan, i);
        known = loan->borrower == borrower && loan->version == version;
    }
    if (!called_in && !known) {
        Loan loan = {borrower, object_version_ref(version)};
        g_array_append_val(table->loans, loan);
    }
    lock_release(&table->lock);
    return !called_in;
}

/* version NULL: every one. */
static void
end_loans(LoanTable *table, const ObjectFile *borrower, const ObjectVersion *version)
{
    lock_acquire(&table->lock);
    for (guint i = table->loans->len; i-- > 0;) {
        const Loan *loan = &g_array_index(table->loans, Loan, i);
        if (loan->borrower == borrower && (version == NULL || loan->version == version))
            g_array_remove_index_fast(table->loans, i);
    }
    lock_release(&table->lock);
}

void
loan_end_all(ObjectStore *store, ObjectFile *borrower)
{
    end_loans(store->loans, borrower, NULL);
}

/* The next file that borrows what is called in, with references. A file that is being freed ends its loans
 * itself. */
static gboolean
find_loan(const LoanCall *loans, Loan *out)
{
    LoanTable *table = loans->table;
    gboolean found = FALSE;
    lock_acquire(&table->lock);
    for (guint i = 0; i < table->loans->len && !found; i++) {
        *out = g_array_index(table->loans, Loan, i);
        found = covers_version(loans, out->version) && object_file_ref_if_alive(out->borrower);
    }
    if (found)
        object_version_ref(out->version);
    lock_release(&table->lock);
    return found;
}

/* Under the file's token. */
static gboolean
fetch(const Loan *loan, Call *call, GError **error)
{
    ObjectFile *file = loan->borrower;
    g_autoptr(GError) failure = NULL;
    gboolean ok = file_content_stage_version(file, call, loan->version, &failure);
    if (!ok && !error_is(failure, ERROR_CHANGED)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    /* Somebody else has replaced the object before: nothing is left to be saved. */
    if (!ok) {
        g_autofree char *name = object_file_describe(file);
        log_warning("%s: what was copied into it is gone: %s", name, failure->message);
    }
    return TRUE;
}

static gboolean
settle_loan(const Loan *loan, Call *call, GError **error)
{
    ObjectFile *file = loan->borrower;
    if (!object_file_begin_change(file, call, error))
        return FALSE;
    gboolean ok = fetch(loan, call, error);
    lock_acquire(&file->lock);
    if (ok) {
        extent_map_forget(file->extents, loan->version);
        end_loans(file->store->loans, file, loan->version);
        file->generation++;
    }
    object_file_end_change_locked(file);
    lock_release(&file->lock);
    return ok;
}

static gboolean
settle_all(const LoanCall *loans, Call *call, GError **error)
{
    g_autoptr(Call) long_call = call_new_without_deadline(call);
    gboolean ok = TRUE;
    Loan loan;
    while (ok && find_loan(loans, &loan)) {
        ok = settle_loan(&loan, long_call, error);
        object_version_unref(loan.version);
        object_file_unref(loan.borrower);
    }
    return ok;
}

LoanCall *
loan_call_in(ObjectStore *store, Call *call, Storage *storage, const char *container, const char *key,
             gboolean is_prefix, GError **error)
{
    LoanTable *table = store->loans;
    g_autoptr(LoanCall) loans = g_new0(LoanCall, 1);
    *loans = (LoanCall){table, storage_ref(storage), g_strdup(container), g_strdup(key), is_prefix};
    lock_acquire(&table->lock);
    g_ptr_array_add(table->calls, loans);
    lock_release(&table->lock);
    return settle_all(loans, call, error) ? g_steal_pointer(&loans) : NULL;
}

void
loan_call_end(LoanCall *loans)
{
    if (loans == NULL)
        return;
    lock_acquire(&loans->table->lock);
    g_ptr_array_remove_fast(loans->table->calls, loans);
    lock_release(&loans->table->lock);
    storage_unref(loans->storage);
    g_free(loans->container);
    g_free(loans->key);
    g_free(loans);
}
