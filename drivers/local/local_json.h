/* JSON text exactly as Python's json.dumps writes it: ", " and ": ", ASCII only, no newline. */
#pragma once

#include <json-glib/json-glib.h>

char *local_json_dump(JsonNode *node);
