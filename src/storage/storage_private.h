/* Inside storage*.c only: what a Storage is made of, and the frame around each driver call.
 *
 *     StorageAttempt attempt;
 *     if (!storage_attempt_begin(&attempt, storage, call, container, key, error))
 *         return FALSE;
 *     while (!driver->stat_object(instance, call, container, key, out, &attempt.failure)) {
 *         if (!storage_attempt_again(&attempt, error))
 *             return FALSE;
 *     }
 *     return storage_attempt_done(&attempt);
 */
#pragma once

#include "src/base/lock.h"
#include "src/storage/storage.h"
#include "src/storage/upload_ledger.h"

#include <glib.h>
#include <stdatomic.h>

typedef enum {
    CONNECTION_NEW,     /* storage_connect() was not called */
    CONNECTION_RUNNING, /* the background task is on its way */
    CONNECTION_DONE,
    CONNECTION_FAILED /* something is missing; the next operation after next_connect_us starts it again */
} ConnectionState;

struct Storage {
    atomic_uint references;
    StorageSettings *settings;
    DriverInstance *instance;
    char *place;
    guint64 id;
    WorkerPool *calls, *transfers;
    WorkerPool *background; /* one thread, for connecting */
    WorkerPool *discarding; /* one thread, for storage_discard.c */
    UploadLedger *ledger;   /* NULL: uploads are not noted; set before connecting */
    char *learned_path;     /* of the learned_file, NULL: nothing is kept; set before connecting */
    Call *lifetime;         /* cancelled when the last reference goes */
    _Atomic guint64 requests, retries, failures, body_bytes_sent, body_bytes_received;
    _Atomic guint64 unsure_writes;  /* with a condition of which nobody knows whether it is heeded */
    atomic_int state;               /* StorageState */
    atomic_int connection;          /* ConnectionState; changes under the lock */
    _Atomic gint64 answered_us;     /* when the service last answered anything */
    _Atomic gint64 silent_until_us; /* see storage_attempt_begin_look() */

    Lock lock; /* guards all below */
    Condition changed;
    GHashTable *missing; /* set of create_containers that are not known to exist yet */
    GError *connect_error;
    guint connect_failures;
    gint64 next_connect_us;
    char *last_error;
    gint64 last_error_at_us;
    gint64 silent_at_us; /* when a look had no answer last, 0 never; see storage_get_patience_us() */
    gboolean asking;     /* the background thread finds out whether it answers again */
    GError *silence;     /* what the last look failed with that found nobody */
    gboolean listens;    /* a look is finding out whether anybody answers */
    guint heals;         /* how often it was up again */
    GQueue leftovers;    /* of uploads to be aborted; only the discarding thread takes from it */
    gboolean discards;   /* the discarding thread is at them */
};

/* One operation and its repetitions. */
typedef struct {
    Storage *storage;
    Call *call;
    const char *container, *key; /* for messages; may be NULL */
    guint failures;
    gint64 deadline_us;
    GError *failure; /* where the driver's call puts its error */
    Call *look_call; /* of a look: `call`, which is a child of the caller's and ends before that one; owned */
    Call *outer_call;  /* of a look: the caller's, may be NULL */
    gint64 started_us; /* of a look, else 0 */
} StorageAttempt;

/* Checks that the container is one of those shown, and waits until it is made when it is one to be made. */
gboolean storage_attempt_begin(StorageAttempt *attempt, Storage *storage, Call *call, const char *container,
                               const char *key, GError **error);
/* The same without waiting: for what the background task does. */
void storage_attempt_begin_now(StorageAttempt *attempt, Storage *storage, Call *call, const char *container);
/* For what only looks, and what the kernel makes others wait for: it looks names up one after the other. A
 * storage that has not answered a look, nor anything else since that look began, nor one cheap request that
 * was then made to be sure, is silent for a moment: whoever comes within it gets the same failure at once,
 * instead of a wait of his own. The first answer to anything ends it. The driver gets attempt->call.
 * storage_attempt_done() or a last storage_attempt_again() must follow. */
gboolean storage_attempt_begin_look(StorageAttempt *attempt, Storage *storage, Call *call,
                                    const char *container, const char *key, GError **error);
/* Takes attempt->failure: waits and returns TRUE when the request is to be repeated, else hands it on.
 * Drivers repeat what services say; above this no error holds a secret. */
gboolean storage_attempt_again(StorageAttempt *attempt, GError **error);
/* Always TRUE. Drops a failure that turned out to be none. */
gboolean storage_attempt_done(StorageAttempt *attempt);

/* READ_ONLY for a storage that is; UNSUPPORTED when `offered` is FALSE. */
gboolean storage_check_writable(Storage *storage, GError **error);
gboolean storage_check_offered(Storage *storage, gboolean offered, const char *what, GError **error);
gboolean storage_is_shown(Storage *storage, const char *container);

/* The service answered. */
void storage_note_up(Storage *storage);
/* A look's last try has failed with attempt->failure. Blocks: on the network, inside the caller's deadline.
 */
void storage_silence_note(StorageAttempt *attempt);
/* Somebody was answered. */
void storage_silence_end(Storage *storage);
/* One cheap request without repetition, to a container that the configuration names unless it is
 * `other_than`. UNSUPPORTED: the driver has none. */
gboolean storage_ask_cheaply(Storage *storage, Call *call, const char *other_than, GError **error);
/* Aborts, in the background, what processes that are gone left on the server. */
void storage_discard_dead(Storage *storage);
/* At the end, when nobody aborts any more: says what stays on the server. */
void storage_forget_leftovers(Storage *storage);

/* A write had to look first, because nobody knows whether the service heeds conditions. When there were some,
 * it is found out in the background, on objects of our own in this container. */
void storage_note_unsure_write(Storage *storage, const char *container);

/* Starts connecting again when that is due. */
void storage_heal(Storage *storage);
/* Waits while `container` (NULL: any) is being made. Fails only when the call ends. */
gboolean storage_await_container(Storage *storage, Call *call, const char *container, GError **error);
void storage_forget_missing(Storage *storage, const char *container);

/* What a write leaves behind when it has happened. */
typedef struct {
    guint64 size_bytes;
    gboolean any_size;
    const WriteOptions *options; /* metadata, and the condition as it was asked for */
} StorageExpectation;

typedef gboolean (*StorageWriteStep)(gpointer data, ObjectInfo *out_info, GError **failure);

/* Repeats `step` until it is done, and never takes a lost reply for a refusal or does twice what a condition
 * allows once. out_info: empty. */
gboolean storage_write_surely(StorageAttempt *attempt, const StorageExpectation *expected,
                              StorageWriteStep step, gpointer data, ObjectInfo *out_info, GError **error);
/* Best effort where the service has no conditions: looks, and refuses as the service would have. */
gboolean storage_check_condition(Storage *storage, Call *call, const char *container, const char *key,
                                 const WriteOptions *options, GError **error);

/* Drops from `options` the condition that the service would ignore on a write (or commit), after having
 * looked. */
gboolean storage_prepare_condition(Storage *storage, Call *call, const char *container, const char *key,
                                   gboolean commit, WriteOptions *options, GError **error);

static inline gboolean
storage_has_condition(const WriteOptions *options)
{
    return options && (options->if_absent || options->if_etag);
}
