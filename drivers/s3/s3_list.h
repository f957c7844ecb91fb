/* ListObjects and ListObjectsV2. Contract: Driver.list_objects. */
#pragma once

#include "src/storage/driver.h"

gboolean s3_list_objects(DriverInstance *instance, Call *call, const char *container, const ListQuery *query,
                         ListPage *out, GError **error);
/* "a%2Fb+c" → "a/b c"; NULL when it is malformed or holds a NUL. Caller frees. */
char *s3_list_decode_key(const char *text);
