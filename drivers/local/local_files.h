/* FileOperations of the local driver: names, attributes and opened files. Extended attributes: local_xattr.h.
 */
#pragma once

#include "src/storage/driver.h"

extern const FileOperations local_files_operations;
