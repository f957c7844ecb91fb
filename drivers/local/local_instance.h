/* What an open local storage knows; shared by the files of this driver. */
#pragma once

#include "drivers/local/local_path.h"
#include "src/storage/driver.h"

typedef struct {
    DriverInstance base;
    LocalRoot root;
    char *path;       /* of the base directory, for messages and describe_place */
    mode_t file_mode; /* of objects that the driver makes; files opened through FileOperations bring theirs */
    gboolean folders; /* an empty directory is the object "dir/" and is kept */
    gboolean sidecar; /* metadata in NAME.metadata.json, as sqlalchemy-file has it */
    char *lock_path;  /* the base as the other side spells it, for its locks; NULL: none are taken */
} LocalInstance;
