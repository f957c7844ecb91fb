/* See s3_credential_store.h. */
#include "drivers/s3/s3_credential_store.h"

#include "src/base/error.h"
#include "src/base/lock.h"

/* Renewed so long before they expire; not used any more so shortly before. */
#define RENEW_AHEAD_S 300
#define MARGIN_S 30
/* After a renewal that gave nothing better, while the old ones still work: it failed, or whoever was asked
 * hands out what it keeps until shortly before its end. */
#define RENEW_PAUSE_S 30
/* How often a waiting thread looks whether its call has ended. */
#define WAIT_SLICE_US (100 * 1000)

struct S3CredentialStore {
    S3CredentialSource source;
    Lock lock;
    Condition renewed;
    /* All below: under lock. */
    S3Credentials *current; /* NULL: none yet, or rejected */
    gboolean renewing;
    gint64 next_try_s;
};

S3CredentialStore *
s3_credential_store_new(const S3CredentialSource *source)
{
    S3CredentialStore *store = g_new0(S3CredentialStore, 1);
    store->source = *source;
    lock_init(&store->lock);
    condition_init(&store->renewed);
    return store;
}

void
s3_credential_store_free(S3CredentialStore *store)
{
    g_clear_pointer(&store->current, s3_credentials_unref);
    condition_clear(&store->renewed);
    lock_clear(&store->lock);
    g_free(store);
}

static S3Credentials *
ref_valid_locked(S3CredentialStore *store)
{
    if (!store->current || s3_credentials_get_remaining_s(store->current) <= MARGIN_S)
        return NULL;
    return s3_credentials_ref(store->current);
}

/* TRUE: this thread is to renew them. Else *out is set, or the wait goes on. */
static gboolean
claim_locked(S3CredentialStore *store, S3Credentials **out)
{
    gint64 now_s = g_get_monotonic_time() / G_USEC_PER_SEC;
    *out = ref_valid_locked(store);
    if (store->renewing)
        return FALSE;
    gboolean fresh =
        *out && (s3_credentials_get_remaining_s(*out) > RENEW_AHEAD_S || now_s < store->next_try_s);
    if (fresh)
        return FALSE;
    g_clear_pointer(out, s3_credentials_unref);
    store->renewing = TRUE;
    return TRUE;
}

static gboolean
renew(S3CredentialStore *store, Call *call, S3Credentials **out, GError **error)
{
    g_autoptr(GError) why = NULL;
    S3Credentials *found = NULL;
    gboolean good = s3_credential_chain_fetch(&store->source, call, &found, &why);
    S3Credentials *result = NULL;
    S3Credentials *old = NULL;

    lock_acquire(&store->lock);
    store->renewing = FALSE;
    store->next_try_s = g_get_monotonic_time() / G_USEC_PER_SEC + RENEW_PAUSE_S;
    if (good) {
        old = store->current;
        store->current = found;
        result = s3_credentials_ref(found);
    } else {
        result = ref_valid_locked(store);
    }
    condition_wake_all(&store->renewed);
    lock_release(&store->lock);

    g_clear_pointer(&old, s3_credentials_unref);
    if (result) {
        *out = result;
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

gboolean
s3_credential_store_fetch(S3CredentialStore *store, Call *call, S3Credentials **out, GError **error)
{
    S3Credentials *found = NULL;
    gboolean mine = FALSE;
    while (!found && !mine) {
        if (!call_check(call, error))
            return FALSE;
        lock_acquire(&store->lock);
        mine = claim_locked(store, &found);
        if (!mine && !found)
            condition_wait(&store->renewed, &store->lock, g_get_monotonic_time() + WAIT_SLICE_US);
        lock_release(&store->lock);
    }
    if (mine)
        return renew(store, call, out, error);
    *out = found;
    return TRUE;
}

S3Credentials *
s3_credential_store_get(S3CredentialStore *store)
{
    lock_acquire(&store->lock);
    S3Credentials *found = ref_valid_locked(store);
    lock_release(&store->lock);
    return found;
}

void
s3_credential_store_end_pause(S3CredentialStore *store)
{
    lock_acquire(&store->lock);
    store->next_try_s = 0;
    lock_release(&store->lock);
}

void
s3_credential_store_reject(S3CredentialStore *store, const S3Credentials *credentials)
{
    S3Credentials *old = NULL;
    lock_acquire(&store->lock);
    if (store->current == credentials) {
        old = store->current;
        store->current = NULL;
    }
    lock_release(&store->lock);
    g_clear_pointer(&old, s3_credentials_unref);
}
