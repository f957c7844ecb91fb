/* See json_text.h. */
#include "drivers/common/json_text.h"

#include "src/base/error.h"
#include "src/base/json_shape.h"
#include "src/base/log.h"

JsonObject *
json_text_parse(const char *text, gsize length, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) why = NULL;
    if (!json_shape_check(text, length) || !json_parser_load_from_data(parser, text, (gssize)length, &why)) {
        g_autofree char *reason =
            log_escape(why ? why->message : "nested too deeply, or something that JSON does not have");
        g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "not JSON: %.200s", reason);
        return NULL;
    }
    JsonNode *root = json_parser_get_root(parser);
    if (root && JSON_NODE_HOLDS_OBJECT(root))
        return json_object_ref(json_node_get_object(root));
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "not a JSON object");
    return NULL;
}

static JsonNode *
find(JsonObject *object, const char *name, GType type)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;
    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type ? node : NULL;
}

const char *
json_text_get_string(JsonObject *object, const char *name)
{
    JsonNode *node = find(object, name, G_TYPE_STRING);
    return node ? json_node_get_string(node) : NULL;
}

gint64
json_text_get_integer(JsonObject *object, const char *name, gint64 otherwise)
{
    JsonNode *node = find(object, name, G_TYPE_INT64);
    return node ? json_node_get_int(node) : otherwise;
}

JsonObject *
json_text_get_object(JsonObject *object, const char *name)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

char *
json_text_print(JsonObject *object)
{
    g_autoptr(JsonNode) node = json_node_alloc();
    json_node_init_object(node, object);
    return json_to_string(node, FALSE);
}
