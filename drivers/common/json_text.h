/* JSON replies: one object, read with json-glib behind the checks of json_shape.h. */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

/* The object that `text` holds; free with json_object_unref(). Fails: PROTOCOL. */
JsonObject *json_text_parse(const char *text, gsize length, GError **error);
/* A string member, or NULL when it is absent or something else. Borrowed. object may be NULL. */
const char *json_text_get_string(JsonObject *object, const char *name);
/* A number member, or `otherwise`. */
gint64 json_text_get_integer(JsonObject *object, const char *name, gint64 otherwise);
/* An object member or NULL. Borrowed. */
JsonObject *json_text_get_object(JsonObject *object, const char *name);
/* The object on one line; caller frees. */
char *json_text_print(JsonObject *object);
