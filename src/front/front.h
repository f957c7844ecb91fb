/* The FUSE front: mounts, reads requests, replies. The only layer that sees libfuse.
 *
 * Start: front_new() mounts (last place for errors the user sees), front_run() serves until unmounted,
 * front_free() waits for what still runs. Requests that need no waiting are answered on the thread that read
 * them; everything else runs on the lane of its storage (front_job.h).
 */
#pragma once

#include "src/object/object_store.h"
#include "src/storage/storage_set.h"
#include "src/tree/tree.h"

#include <glib.h>

typedef struct Front Front;

typedef struct {
    const char *mount_point; /* absolute */
    const char *source;      /* the configuration's path; first column of /proc/mounts */
    uid_t uid;               /* owner of MNT as it is shown, who may steer the mount beside root and us */
    gid_t gid;
    gboolean read_only, allow_other, default_permissions, nosuid, nodev, noexec;
    gboolean passthrough; /* where it can be had */
    /* Re-reads the configuration into the set; run by a write to .control/reload. */
    gboolean (*reload)(gpointer data, GError **error);
    gpointer reload_data;
} FrontOptions;

/* set, store and tree are borrowed and outlive the front. Clears a dead mount left at the mount point.
 * Fails: NOT_FOUND, NOT_FOLDER, DENIED, IO (with what the mount said). */
Front *front_new(StorageSet *set, ObjectStore *store, Tree *tree, const FrontOptions *options,
                 GError **error);
/* Blocks until unmounted from outside, or by SIGTERM, SIGINT or SIGHUP, which the calling thread must be the
 * only one to take. FALSE when the session broke. */
gboolean front_run(Front *front, GError **error);
/* Waits for what still runs; files that programs had open are closed for them: their bytes are published. */
void front_free(Front *front);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Front, front_free)

/* Unmounts a mount point whose daemon is gone ("Transport endpoint is not connected"). Fails: IO. */
gboolean front_clear_dead_mount(const char *mount_point, GError **error);
