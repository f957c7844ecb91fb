#include "drivers/common/xml.h"
#include "src/base/error.h"

#include <string.h>

static void
test_tree(void)
{
    static const char text[] = "\xef\xbb\xbf  \n<?xml version=\"1.0\"?>\n<s3:List xmlns:s3='http://x/'>\n"
                               " <Name>a &amp; b&#233;</Name><!-- no --><Item><Key>1</Key></Item>"
                               "<Other/><Item><Key><![CDATA[<2>]]></Key></Item></s3:List>\n";
    g_autoptr(GError) error = NULL;
    g_autoptr(XmlDocument) document = xml_parse(text, strlen(text), &error);
    g_assert_no_error(error);
    const XmlNode *root = xml_get_root(document);
    g_assert_cmpstr(root->name, ==, "List");
    g_assert_cmpstr(root->text, ==, "");
    g_assert_cmpstr(xml_get_text(root, "Name"), ==, "a & b\xc3\xa9");
    const XmlNode *item = xml_find(root, "Item");
    g_assert_cmpstr(xml_get_text(item, "Key"), ==, "1");
    item = xml_find_next(item);
    g_assert_cmpstr(xml_get_text(item, "Key"), ==, "<2>");
    g_assert_null(xml_find_next(item));
    g_assert_cmpstr(xml_get_text(root, "Other"), ==, "");
    g_assert_null(xml_get_text(root, "Absent"));
    g_assert_null(xml_get_text(NULL, "Absent"));
}

static void
refuse(const char *text, gsize length)
{
    g_autoptr(GError) error = NULL;
    g_test_message("%.40s", text);
    g_assert_null(xml_parse(text, length, &error));
    g_assert_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL);
    g_assert_null(strchr(error->message, '\n'));
}

static void
test_refused(void)
{
    static const char *const texts[] = {"",
                                        "   ",
                                        "text",
                                        "<a>",
                                        "<a></b>",
                                        "<a/><b/>",
                                        "<a>&undefined;</a>",
                                        "<html><br></html>",
                                        "{\"a\":1}",
                                        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
                                        "<!DOCTYPE html><html/>",
                                        "<a>\xff</a>",
                                        "<a>&#0;</a>"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        refuse(texts[i], strlen(texts[i]));
    refuse("<a>\0</a>", 8);
}

/* Neither depth nor number of elements of a reply can exhaust anything. */
static void
test_limits(void)
{
    g_autoptr(GString) deep = g_string_new(NULL);
    for (guint i = 0; i <= XML_MAX_DEPTH; i++)
        g_string_append(deep, "<a>");
    refuse(deep->str, deep->len);

    g_autoptr(GString) wide = g_string_new("<r>");
    for (guint i = 0; i <= XML_MAX_NODES; i++)
        g_string_append(wide, "<a/>");
    g_string_append(wide, "</r>");
    refuse(wide->str, wide->len);
}

static void
test_escape(void)
{
    g_autoptr(GString) out = g_string_new(NULL);
    xml_append_escaped(out, "a<b>&\"'\n\xc3\xa9");
    g_assert_cmpstr(out->str, ==, "a&#x3C;b&#x3E;&#x26;&#x22;&#x27;&#xA;\xc3\xa9");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/common/xml/tree", test_tree);
    g_test_add_func("/common/xml/refused", test_refused);
    g_test_add_func("/common/xml/limits", test_limits);
    g_test_add_func("/common/xml/escape", test_escape);
    return g_test_run();
}
