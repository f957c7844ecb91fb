/* JSON of services and other programs: parsed within the limit of depth, written again as the same. */
#include "drivers/common/json_text.h"
#include "drivers/local/local_json.h"
#include "src/base/json_shape.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

void
fuzz_begin(void)
{
}

static void
look(JsonObject *object)
{
    static const char *const names[] = {"AccessKeyId", "Expiration", "roleCredentials", ""};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        const char *text = json_text_get_string(object, names[i]);
        g_assert_true(!text || strlen(text) < G_MAXINT);
        (void)json_text_get_integer(object, names[i], 7);
        JsonObject *below = json_text_get_object(object, names[i]);
        if (below)
            g_assert_nonnull(below);
    }
}

/* The parser recursed as deep as this. */
static guint
measure(JsonNode *node)
{
    guint depth = 0;
    g_autoptr(GList) below = NULL;
    if (JSON_NODE_HOLDS_OBJECT(node))
        below = json_object_get_values(json_node_get_object(node));
    else if (JSON_NODE_HOLDS_ARRAY(node))
        below = json_array_get_elements(json_node_get_array(node));
    else
        return 0;
    for (GList *item = below; item; item = item->next)
        depth = MAX(depth, measure(item->data));
    return depth + 1;
}

/* What we print is read again, and printed as the same. */
static void
check_dump(JsonObject *object)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) node = json_node_alloc();
    json_node_init_object(node, object);
    g_assert_cmpuint(measure(node), <=, JSON_SHAPE_MAX_DEPTH);
    g_autofree char *first = local_json_dump(node);
    g_assert_true(g_str_is_ascii(first));
    JsonObject *again = json_text_parse(first, strlen(first), &error);
    g_assert_no_error(error);
    g_autoptr(JsonNode) again_node = json_node_alloc();
    json_node_init_object(again_node, again);
    g_autofree char *second = local_json_dump(again_node);
    g_assert_cmpstr(first, ==, second);
    json_object_unref(again);
}

void
fuzz_one(FuzzInput *input)
{
    g_autoptr(GError) error = NULL;
    JsonObject *object = json_text_parse((const char *)input->at, fuzz_left(input), &error);
    if (!object) {
        fuzz_check_line(error);
        return;
    }
    look(object);
    check_dump(object);
    json_object_unref(object);
}
