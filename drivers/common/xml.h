/* XML replies of storage services, as a small tree.
 *
 * Reads a complete document from memory with glib's GMarkup (no document types, no external entities) into
 * nodes that all live and die with the XmlDocument. Strict about well-formedness, bounded in depth and number
 * of nodes, blind to namespaces: names are local names. Blanks before the root are allowed: services send
 * them to keep a slow reply alive.
 */
#pragma once

#include <glib.h>

#define XML_MAX_DEPTH 32u
#define XML_MAX_NODES 200000u

typedef struct XmlDocument XmlDocument;

typedef struct XmlNode {
    const char *name; /* without prefix */
    const char *text; /* its own character data, "" if none; UTF-8 */
    struct XmlNode *first_child, *last_child, *next;
} XmlNode;

/* length in bytes. Fails: PROTOCOL (not well-formed, not UTF-8, over the limits, empty). */
XmlDocument *xml_parse(const char *text, gsize length, GError **error);
void xml_document_free(XmlDocument *document);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(XmlDocument, xml_document_free)

/* Never NULL. Borrowed, like everything below it. */
const XmlNode *xml_get_root(const XmlDocument *document);

/* The first child of that name, and the next sibling with the same name as `node`; NULL if there is none. */
const XmlNode *xml_find(const XmlNode *node, const char *name);
const XmlNode *xml_find_next(const XmlNode *node);
/* Text of the first child of that name; NULL if there is none. node may be NULL. */
const char *xml_get_text(const XmlNode *node, const char *name);

/* Appends `text` as character data: & < > " and control characters become references. */
void xml_append_escaped(GString *out, const char *text);
