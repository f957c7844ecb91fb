/* Content type by a name's extension: what browsers and other clients of a container expect.
 *
 * A table of our own rather than the system's mime.types, so that the same name gets the same type
 * everywhere.
 */
#pragma once

/* Never NULL; constant. application/octet-stream when the extension says nothing. */
const char *content_type_guess(const char *key);
