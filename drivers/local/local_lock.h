/* The lock that libcloud's local driver takes around its writes and deletes: optional, for bases that both
 * use.
 *
 * File TMPDIR/SHA256.lock, the hash of the object's path as the Python side spells it, never removed; a write
 * lock on all of it, awaited for 5 seconds.
 */
#pragma once

#include "drivers/local/local_instance.h"

typedef struct {
    int fd; /* -1: none is held */
} LocalLock;
#define LOCAL_LOCK_EMPTY ((LocalLock){.fd = -1})

/* Nothing, and TRUE, unless the storage is configured for it. Fails: TIMEOUT, CANCELLED, DENIED, IO. */
gboolean local_lock_take(const LocalInstance *local, const char *container, const char *key, Call *call,
                         LocalLock *out, GError **error);
void local_lock_clear(LocalLock *lock);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LocalLock, local_lock_clear)
