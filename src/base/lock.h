/* Mutex and condition with clang's thread-safety annotations.
 *
 * pthread primitives rather than GMutex: GLib's are futexes inside an uninstrumented library, which
 * ThreadSanitizer cannot see. Everything handed from thread to thread goes through one of these (or an
 * atomic), never through GAsyncQueue or GThreadPool.
 *
 * The lock order of the whole program, outermost first; a thread holding one may only take those below it:
 *   tree > storage_set > directory listing > object_store's files > object_file > loans > read_ahead >
 *   block_cache > memory_budget > staging_window > staging_pool > pools > object_version > disk_cache > log
 * No lock is held across a driver call, a fuse reply or a wait for the network.
 */
#pragma once

#include <glib.h>
#include <pthread.h>

#if defined(__clang__)
#define LOCK_ANNOTATION(x) __attribute__((x))
#else
#define LOCK_ANNOTATION(x)
#endif
#define REQUIRES(...) LOCK_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) LOCK_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ACQUIRES(...) LOCK_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASES(...) LOCK_ANNOTATION(release_capability(__VA_ARGS__))
/* A function whose body clang cannot follow: one that takes or gives back a lock on some ways only. */
#define UNCHECKED LOCK_ANNOTATION(no_thread_safety_analysis)

typedef struct LOCK_ANNOTATION(capability("mutex")) Lock {
    pthread_mutex_t mutex;
} Lock;

typedef struct Condition {
    pthread_cond_t cond; /* on CLOCK_MONOTONIC */
} Condition;

void lock_init(Lock *lock);
void lock_clear(Lock *lock);
void lock_acquire(Lock *lock) ACQUIRES(*lock);
void lock_release(Lock *lock) RELEASES(*lock);

void condition_init(Condition *condition);
void condition_clear(Condition *condition);
void condition_wake_one(Condition *condition);
void condition_wake_all(Condition *condition);

/* Waits with `lock` held. deadline_us is g_get_monotonic_time() based, 0 waits for ever.
 * Returns FALSE when the deadline passed. */
gboolean condition_wait(Condition *condition, Lock *lock, gint64 deadline_us) REQUIRES(*lock);
