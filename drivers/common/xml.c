/* A tree of nodes built by GMarkup's callbacks; names and texts lie in one string chunk. See xml.h. */
#include "drivers/common/xml.h"

#include "src/base/error.h"
#include "src/base/log.h"

#include <string.h>

struct XmlDocument {
    GStringChunk *strings;
    GPtrArray *nodes;
    XmlNode *root;
};

/* While parsing: the open elements, and the text seen in each so far. */
typedef struct {
    XmlDocument *document;
    XmlNode *open[XML_MAX_DEPTH];
    GString *text[XML_MAX_DEPTH];
    guint depth;
} Builder;

static gboolean
refuse(GError **error, const char *why)
{
    g_set_error_literal(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, why);
    return FALSE;
}

static const char *
local_name(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon ? colon + 1 : name;
}

static void
append_child(XmlNode *parent, XmlNode *child)
{
    if (parent->last_child)
        parent->last_child->next = child;
    else
        parent->first_child = child;
    parent->last_child = child;
}

static void
on_start(GMarkupParseContext *context, const char *name, const char **attribute_names,
         const char **attribute_values, gpointer data, GError **error)
{
    Builder *builder = data;
    XmlDocument *document = builder->document;
    if (builder->depth == XML_MAX_DEPTH) {
        refuse(error, "nested too deeply");
        return;
    }
    if (document->nodes->len == XML_MAX_NODES || (builder->depth == 0 && document->root)) {
        refuse(error, document->nodes->len == XML_MAX_NODES ? "too many elements" : "a second root");
        return;
    }
    XmlNode *node = g_new0(XmlNode, 1);
    g_ptr_array_add(document->nodes, node);
    node->name = g_string_chunk_insert_const(document->strings, local_name(name));
    node->text = "";
    if (builder->depth == 0)
        document->root = node;
    else
        append_child(builder->open[builder->depth - 1], node);
    if (!builder->text[builder->depth])
        builder->text[builder->depth] = g_string_new(NULL);
    g_string_truncate(builder->text[builder->depth], 0);
    builder->open[builder->depth++] = node;
}

static void
on_end(GMarkupParseContext *context, const char *name, gpointer data, GError **error)
{
    Builder *builder = data;
    builder->depth--;
    GString *text = builder->text[builder->depth];
    XmlNode *node = builder->open[builder->depth];
    /* Blanks between children are layout, not data. */
    if (text->len > 0 && !node->first_child)
        node->text = g_string_chunk_insert_len(builder->document->strings, text->str, (gssize)text->len);
}

static void
on_text(GMarkupParseContext *context, const char *text, gsize length, gpointer data, GError **error)
{
    Builder *builder = data;
    if (builder->depth > 0)
        g_string_append_len(builder->text[builder->depth - 1], text, (gssize)length);
}

static void
on_passthrough(GMarkupParseContext *context, const char *text, gsize length, gpointer data, GError **error)
{
    if (length >= 9 && g_ascii_strncasecmp(text, "<!DOCTYPE", 9) == 0)
        refuse(error, "a document type is not expected");
}

XmlDocument *
xml_parse(const char *text, gsize length, GError **error)
{
    static const GMarkupParser parser = {
        .start_element = on_start, .end_element = on_end, .text = on_text, .passthrough = on_passthrough};
    g_autoptr(XmlDocument) document = g_new0(XmlDocument, 1);
    document->strings = g_string_chunk_new(4096);
    document->nodes = g_ptr_array_new_with_free_func(g_free);
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        length -= 3;
    }

    Builder builder = {.document = document};
    g_autoptr(GMarkupParseContext) context =
        g_markup_parse_context_new(&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, &builder, NULL);
    g_autoptr(GError) why = NULL;
    /* GMarkup lets a NUL pass, and texts would end there; of bytes that are not UTF-8 it complains twice, the
     * second time on stderr. */
    gboolean good = g_utf8_validate_len(text, length, NULL) &&
                    g_markup_parse_context_parse(context, text, (gssize)length, &why) &&
                    g_markup_parse_context_end_parse(context, &why) && document->root;
    for (guint i = 0; i < XML_MAX_DEPTH; i++) {
        if (builder.text[i])
            g_string_free(builder.text[i], TRUE);
    }
    if (good)
        return g_steal_pointer(&document);
    g_autofree char *reason = log_escape(why ? why->message : length > 0 ? "not UTF-8" : "nothing there");
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "not XML: %.200s", reason);
    return NULL;
}

void
xml_document_free(XmlDocument *document)
{
    g_string_chunk_free(document->strings);
    g_ptr_array_unref(document->nodes);
    g_free(document);
}

const XmlNode *
xml_get_root(const XmlDocument *document)
{
    return document->root;
}

const XmlNode *
xml_find(const XmlNode *node, const char *name)
{
    for (const XmlNode *child = node->first_child; child; child = child->next) {
        if (strcmp(child->name, name) == 0)
            return child;
    }
    return NULL;
}

const XmlNode *
xml_find_next(const XmlNode *node)
{
    for (const XmlNode *sibling = node->next; sibling; sibling = sibling->next) {
        if (strcmp(sibling->name, node->name) == 0)
            return sibling;
    }
    return NULL;
}

const char *
xml_get_text(const XmlNode *node, const char *name)
{
    const XmlNode *child = node ? xml_find(node, name) : NULL;
    return child ? child->text : NULL;
}

void
xml_append_escaped(GString *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20 || strchr("&<>\"'", *c))
            g_string_append_printf(out, "&#x%X;", *c);
        else
            g_string_append_c(out, (char)*c);
    }
}
