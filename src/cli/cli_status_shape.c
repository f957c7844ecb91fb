#include "src/cli/cli_status_shape.h"

typedef enum { IS_TEXT, IS_NUMBER, IS_TRUTH } MemberType;

typedef struct {
    const char *name;
    MemberType type;
    gboolean needed;
} Member;

static const Member STATUS[] = {{"version", IS_TEXT, FALSE},         {"mount_point", IS_TEXT, FALSE},
                                {"default", IS_TEXT, FALSE},         {"pid", IS_NUMBER, FALSE},
                                {"pid_namespace", IS_NUMBER, FALSE}, {"reload_error", IS_TEXT, FALSE},
                                {"read_only", IS_TRUTH, FALSE},      {NULL}};
static const Member STORAGE[] = {{"name", IS_TEXT, TRUE},
                                 {"state", IS_TEXT, TRUE},
                                 {"place", IS_TEXT, FALSE},
                                 {"last_error", IS_TEXT, FALSE},
                                 {"last_error_age_s", IS_NUMBER, FALSE},
                                 {NULL}};
static const Member UPLOAD[] = {{"id", IS_TEXT, FALSE},
                                {"state", IS_TEXT, TRUE},
                                {"storage", IS_TEXT, TRUE},
                                {"container", IS_TEXT, TRUE},
                                {"key", IS_TEXT, TRUE},
                                {"size_bytes", IS_NUMBER, TRUE},
                                {"sent_bytes", IS_NUMBER, TRUE},
                                {"age_s", IS_NUMBER, TRUE},
                                {"attempts", IS_NUMBER, TRUE},
                                {"last_error", IS_TEXT, FALSE},
                                {"recovery_path", IS_TEXT, FALSE},
                                {NULL}};
static const Member FAST_PATHS[] = {
    {"passthrough", IS_TRUTH, FALSE}, {"passthrough_off_because", IS_TEXT, FALSE}, {NULL}};
static const Member MEMORY[] = {{"used_bytes", IS_NUMBER, TRUE}, {"limit_bytes", IS_NUMBER, TRUE}, {NULL}};
static const Member ERRORS[] = {{"logged", IS_NUMBER, TRUE}, {NULL}};
static const Member DISK_CACHE[] = {{"reason", IS_TEXT, FALSE},
                                    {"on", IS_TRUTH, FALSE},
                                    {"used_bytes", IS_NUMBER, FALSE},
                                    {"limit_bytes", IS_NUMBER, FALSE},
                                    {"hits", IS_NUMBER, FALSE},
                                    {"misses", IS_NUMBER, FALSE},
                                    {NULL}};
static const struct {
    const char *name;
    const Member *members;
} LISTS[] = {{"storages", STORAGE}, {"uploads", UPLOAD}},
  SECTIONS[] = {
      {"fast_paths", FAST_PATHS}, {"memory", MEMORY}, {"errors", ERRORS}, {"disk_cache", DISK_CACHE}};

static gboolean
check_members(JsonObject *object, const Member *members)
{
    static const GType TYPES[] = {
        [IS_TEXT] = G_TYPE_STRING, [IS_NUMBER] = G_TYPE_INT64, [IS_TRUTH] = G_TYPE_BOOLEAN};
    for (; members->name != NULL; members++) {
        JsonNode *node = json_object_get_member(object, members->name);
        if (node == NULL || JSON_NODE_HOLDS_NULL(node)) {
            if (members->needed)
                return FALSE;
            continue;
        }
        if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != TYPES[members->type])
            return FALSE;
    }
    return TRUE;
}

static gboolean
check_list(JsonObject *status, const char *name, const Member *members)
{
    JsonNode *node = json_object_get_member(status, name);
    if (node == NULL || !JSON_NODE_HOLDS_ARRAY(node))
        return FALSE;
    JsonArray *list = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonNode *item = json_array_get_element(list, i);
        if (!JSON_NODE_HOLDS_OBJECT(item) || !check_members(json_node_get_object(item), members))
            return FALSE;
    }
    return TRUE;
}

static gboolean
check_section(JsonObject *status, const char *name, const Member *members)
{
    JsonNode *node = json_object_get_member(status, name);
    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) && check_members(json_node_get_object(node), members);
}

gboolean
cli_status_shape_check(JsonObject *status)
{
    gboolean ok = check_members(status, STATUS);
    for (guint i = 0; ok && i < G_N_ELEMENTS(LISTS); i++)
        ok = check_list(status, LISTS[i].name, LISTS[i].members);
    for (guint i = 0; ok && i < G_N_ELEMENTS(SECTIONS); i++)
        ok = check_section(status, SECTIONS[i].name, SECTIONS[i].members);
    return ok;
}
