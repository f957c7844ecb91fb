/* A file that nobody sees until it is whole: made in CONTAINER/.lock/, which other programs do not list.
 *
 *     LocalStage stage = LOCAL_STAGE_EMPTY (g_auto);
 *     local_stage_open(...) → write to stage.fd → local_stage_publish(...)
 *
 * Clearing removes what was not published, and the directory when nobody else uses it.
 */
#pragma once

#include "drivers/local/local_instance.h"

typedef struct {
    int container_fd, folder_fd, fd;
    const char *folder; /* ".lock", or ".hash" where a file has the first name */
    char *name;         /* NULL when published */
} LocalStage;
#define LOCAL_STAGE_EMPTY ((LocalStage){.container_fd = -1, .folder_fd = -1, .fd = -1})

/* Fails: NOT_FOUND (container), EXISTS (files have both names), NO_SPACE, DENIED. */
gboolean local_stage_open(const LocalInstance *local, const char *container, LocalStage *out, GError **error);
/* Syncs, then puts the file in its place, with directories made on the way, replacing what is there unless
 * if_absent. Fails: EXISTS, NOT_FOLDER, IS_FOLDER, NO_SPACE. */
gboolean local_stage_publish(const LocalInstance *local, LocalStage *stage, const char *container,
                             const char *key, gboolean if_absent, GError **error);
void local_stage_clear(LocalStage *stage);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LocalStage, local_stage_clear)
