/* XML replies: what is accepted keeps to the limits of xml.h, is UTF-8, and can be written again. */
#include "drivers/common/xml.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

void
fuzz_begin(void)
{
}

static guint
walk(const XmlNode *node, guint depth)
{
    guint count = 1;
    g_assert_cmpuint(depth, <=, XML_MAX_DEPTH);
    fuzz_check_utf8(node->name);
    fuzz_check_utf8(node->text);
    g_assert_null(strchr(node->name, ':'));
    for (const XmlNode *child = node->first_child; child; child = child->next) {
        g_assert_nonnull(xml_find(node, child->name));
        count += walk(child, depth + 1);
    }
    return count;
}

static void
check_escaping(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) out = g_string_new("<a>");
    xml_append_escaped(out, text);
    g_string_append(out, "</a>");
    g_autoptr(XmlDocument) document = xml_parse(out->str, out->len, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(xml_get_root(document)->text, ==, text);
}

void
fuzz_one(FuzzInput *input)
{
    g_autoptr(GError) error = NULL;
    gsize length = fuzz_left(input);
    g_autofree char *text = length > 0 ? g_strndup((const char *)input->at, length) : g_strdup("");
    g_autoptr(XmlDocument) document = xml_parse((const char *)input->at, length, &error);
    if (document)
        g_assert_cmpuint(walk(xml_get_root(document), 1), <=, XML_MAX_NODES);
    else
        fuzz_check_line(error);
    if (g_utf8_validate(text, -1, NULL))
        check_escaping(text);
}
