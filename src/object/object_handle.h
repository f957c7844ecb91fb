/* FileHandle on an ObjectFile: open(2)'s flags, read-ahead of its own, the kernel's operations. */
#pragma once

#include "src/object/object_file.h"

/* Takes its own reference of file. Never blocks. */
FileHandle *object_handle_new(ObjectFile *file, int flags);
ObjectFile *object_handle_get_file(FileHandle *handle); /* borrowed */
gboolean object_handle_was_read(FileHandle *handle);
