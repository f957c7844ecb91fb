/* See s3_list.h. Spec: "ListObjects", "ListObjectsV2" of the Amazon S3 API Reference. */
#include "drivers/s3/s3_list.h"

#include "drivers/common/xml.h"
#include "drivers/s3/s3_headers.h"
#include "drivers/s3/s3_metadata.h"
#include "src/base/error.h"

#include <string.h>

#define UUID_LENGTH 36
#define NS_PER_S G_GINT64_CONSTANT(1000000000)
/* No probe takes so long. */
#define PROBE_MAXIMUM_S (15 * 60)

/* 1000 entries of 1024 bytes, each as %XX, and as much again of metadata and markup. */
#define MAX_PAGE_BYTES (16u << 20)
/* Pages without an entry that still lead on: services skip deleted versions in that way. */
#define MAX_EMPTY_PAGES 1000u

/* Where a listing goes on. As text: "EMPTY-PAGES LAST CONTINUATION", the latter two escaped. */
typedef struct {
    guint empty_pages;
    char *last;         /* greatest key or prefix given so far, "" none */
    char *continuation; /* version 2's token, version 1's marker */
} Token;

static void
token_clear(Token *token)
{
    g_free(token->last);
    g_free(token->continuation);
    *token = (Token){0};
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Token, token_clear)

/* One page on its way from reply to ListPage. */
typedef struct {
    S3 *s3;
    const S3Request *request;
    const ListQuery *query;
    const Token *token;
    ListPage *page;
    gboolean encoded;
    char *last; /* greatest entry so far */
} Reading;

static gboolean
token_parse(const char *text, Token *out)
{
    g_auto(GStrv) parts = g_strsplit(text, " ", 3);
    guint64 empty_pages;
    if (g_strv_length(parts) != 3 ||
        !g_ascii_string_to_unsigned(parts[0], 10, 0, MAX_EMPTY_PAGES, &empty_pages, NULL))
        return FALSE;
    *out = (Token){(guint)empty_pages, s3_list_decode_key(parts[1]), s3_list_decode_key(parts[2])};
    return out->last && out->continuation;
}

static char *
token_print(const Token *token)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "%u ", token->empty_pages);
    http_append_escaped(text, token->last, -1, "");
    g_string_append_c(text, ' ');
    http_append_escaped(text, token->continuation, -1, "");
    return g_string_free(text, FALSE);
}

char *
s3_list_decode_key(const char *text)
{
    GString *out = g_string_new(NULL);
    for (const char *c = text; *c; c++) {
        if (*c == '%') {
            int high = g_ascii_xdigit_value(c[1]);
            int low = high < 0 ? -1 : g_ascii_xdigit_value(c[2]);
            if (low < 0 || high * 16 + low == 0) {
                g_string_free(out, TRUE);
                return NULL;
            }
            g_string_append_c(out, (char)(high * 16 + low));
            c += 2;
        } else {
            g_string_append_c(out, (char)(*c == '+' ? ' ' : *c));
        }
    }
    return g_string_free(out, FALSE);
}

/* A key of the reply, decoded where the reply says it is encoded, checked, in the page's memory; NULL
 * refused. */
static const char *
take_key(const Reading *reading, const char *text)
{
    g_autofree char *decoded = text && reading->encoded ? s3_list_decode_key(text) : g_strdup(text);
    if (!decoded || !*decoded || strlen(decoded) > DRIVER_MAX_KEY_BYTES ||
        !g_str_has_prefix(decoded, reading->query->prefix))
        return NULL;
    return g_string_chunk_insert(reading->page->text, decoded);
}

static gboolean
is_after(const char *key, const char *previous)
{
    return !previous || strcmp(key, previous) > 0;
}

static void
raise_last(Reading *reading, const char *key)
{
    if (is_after(key, reading->last)) {
        g_free(reading->last);
        reading->last = g_strdup(key);
    }
}

static char *
insert_or_null(GStringChunk *strings, const char *text)
{
    return text && *text ? g_string_chunk_insert(strings, text) : NULL;
}

/* MinIO's <UserMetadata>: its children's names are header names. More than there can be is as good as none:
 * who needs it asks for the object. */
static void
read_metadata(const XmlNode *contents, ListPage *page, ObjectInfo *out)
{
    const XmlNode *list = xml_find(contents, "UserMetadata");
    if (!list)
        return;
    gsize total_bytes = 0;
    out->metadata = metadata_new();
    for (const XmlNode *item = list->first_child; item; item = item->next) {
        g_autofree char *name = g_ascii_strdown(item->name, -1);
        total_bytes += strlen(name) + strlen(item->text);
        if (total_bytes > DRIVER_MAX_METADATA_BYTES) {
            g_clear_pointer(&out->metadata, g_hash_table_unref);
            return;
        }
        if (strcmp(name, "content-type") == 0)
            out->content_type = insert_or_null(page->text, item->text);
        else if (g_str_has_prefix(name, S3_METADATA_PREFIX) &&
                 s3_metadata_is_name(name + strlen(S3_METADATA_PREFIX)))
            g_hash_table_replace(out->metadata, g_strdup(name + strlen(S3_METADATA_PREFIX)),
                                 s3_metadata_decode(item->text));
    }
}

/* A probe that runs is not the user's business, whichever instance runs it: another section, another mount.
 * What a crash has left long ago is: it keeps the container from being deleted. */
static gboolean
is_running_probe(const Reading *reading, const ObjectInfo *info)
{
    if (!g_str_has_prefix(info->key, S3_PROBE_PREFIX))
        return FALSE;
    const char *random = info->key + strlen(S3_PROBE_PREFIX);
    g_autofree char *uuid = g_strndup(random, UUID_LENGTH);
    if (!g_uuid_string_is_valid(uuid) || (random[UUID_LENGTH] && strcmp(random + UUID_LENGTH, "-copy") != 0))
        return FALSE;
    gint64 age_s = s3_learned_get_time_s(reading->s3->learned) - info->mtime_ns / NS_PER_S;
    return age_s < PROBE_MAXIMUM_S || g_str_has_prefix(info->key, reading->s3->probe_key);
}

static gboolean
read_object(Reading *reading, const XmlNode *contents, GError **error)
{
    ListPage *page = reading->page;
    ObjectInfo info = {0};
    const char *modified = xml_get_text(contents, "LastModified");
    const char *key = take_key(reading, xml_get_text(contents, "Key"));
    const char *before =
        page->objects->len ? g_array_index(page->objects, ObjectInfo, page->objects->len - 1).key : NULL;
    if (!key || !s3_headers_parse_size(xml_get_text(contents, "Size"), &info.size_bytes))
        return s3_request_fail(reading->s3, reading->request, error,
                               "a listed object without valid key and size");
    const char *start = reading->query->after_token ? reading->token->last : reading->query->start_after;
    if (!is_after(key, before) || !is_after(key, start && *start ? start : NULL))
        return s3_request_fail(reading->s3, reading->request, error,
                               "the listing is not in the order of the keys");
    g_autofree char *etag = s3_headers_dup_etag(xml_get_text(contents, "ETag"));
    info.key = (char *)key;
    info.etag = insert_or_null(page->text, etag);
    info.storage_class = insert_or_null(page->text, xml_get_text(contents, "StorageClass"));
    if (modified)
        (void)http_parse_date(modified, &info.mtime_ns);
    if (reading->query->want_metadata && reading->s3->options->metadata_in_listings)
        read_metadata(contents, page, &info);
    if (!is_running_probe(reading, &info))
        g_array_append_val(page->objects, info);
    raise_last(reading, key);
    return TRUE;
}

static gboolean
read_prefix(Reading *reading, const XmlNode *node, GError **error)
{
    GPtrArray *prefixes = reading->page->prefixes;
    const char *prefix = take_key(reading, xml_get_text(node, "Prefix"));
    const char *before = prefixes->len ? g_ptr_array_index(prefixes, prefixes->len - 1) : NULL;
    gsize length = prefix ? strlen(prefix) : 0;
    if (!prefix || !reading->query->delimiter || prefix[length - 1] != reading->query->delimiter)
        return s3_request_fail(reading->s3, reading->request, error, "a listed prefix that does not fit");
    if (!is_after(prefix, before) || (reading->query->after_token && !is_after(prefix, reading->token->last)))
        return s3_request_fail(reading->s3, reading->request, error,
                               "the listing is not in the order of the keys");
    g_ptr_array_add(prefixes, (gpointer)prefix);
    raise_last(reading, prefix);
    return TRUE;
}

/* Version 1 goes on from the last entry: NextMarker comes only with a delimiter, and not everywhere encoded
 * as the keys are. */
static gboolean
set_next(Reading *reading, const XmlNode *root, GError **error)
{
    gboolean empty = reading->page->objects->len == 0 && reading->page->prefixes->len == 0;
    const char *truncated = xml_get_text(root, "IsTruncated");
    if (!truncated || g_ascii_strcasecmp(truncated, "true") != 0)
        return TRUE;
    const char *last = reading->last ? reading->last : reading->token->last;
    g_auto(Token) next = {.empty_pages = empty ? reading->token->empty_pages + 1 : 0,
                          .last = g_strdup(last ? last : "")};
    if (reading->s3->options->list_version == 2) {
        next.continuation = g_strdup(xml_get_text(root, "NextContinuationToken"));
    } else if (empty) {
        const char *text = xml_get_text(root, "NextMarker");
        next.continuation = text && reading->encoded ? s3_list_decode_key(text) : g_strdup(text);
    } else {
        next.continuation = g_strdup(next.last);
    }
    if (!next.continuation || !*next.continuation || next.empty_pages > MAX_EMPTY_PAGES ||
        g_strcmp0(next.continuation, reading->token->continuation) == 0)
        return s3_request_fail(reading->s3, reading->request, error, "the listing does not advance");
    g_autofree char *text = token_print(&next);
    reading->page->next = g_string_chunk_insert(reading->page->text, text);
    return TRUE;
}

static gboolean
read_page(Reading *reading, const HttpResponse *response, GError **error)
{
    g_autoptr(XmlDocument) document =
        xml_parse((const char *)response->body->data, response->body->len, error);
    if (!document) {
        g_autofree char *subject = s3_request_describe(reading->s3, reading->request);
        g_prefix_error(error, "%s: %s", subject,
                       reading->s3->options->encoding_type ? "" : "(encoding_type = yes may help) ");
        return FALSE;
    }
    const XmlNode *root = xml_get_root(document);
    if (strcmp(root->name, "ListBucketResult") != 0)
        return s3_request_fail(reading->s3, reading->request, error,
                               "not a listing but <%.40s> (is this the right endpoint?)", root->name);
    const char *encoding = xml_get_text(root, "EncodingType");
    reading->encoded = encoding && g_ascii_strcasecmp(encoding, "url") == 0;
    for (const XmlNode *node = root->first_child; node; node = node->next) {
        if (strcmp(node->name, "Contents") == 0 && !read_object(reading, node, error))
            return FALSE;
        if (strcmp(node->name, "CommonPrefixes") == 0 && !read_prefix(reading, node, error))
            return FALSE;
    }
    return set_next(reading, root, error);
}

static void
add_parameters(S3 *s3, S3Request *request, const ListQuery *query, const Token *token)
{
    const S3Options *options = s3->options;
    gboolean second = options->list_version == 2;
    Capabilities capabilities;
    s3_learned_get_capabilities(s3->learned, &capabilities);
    guint limit =
        query->limit ? MIN(query->limit, capabilities.list_page_limit) : capabilities.list_page_limit;
    g_autofree char *limit_text = g_strdup_printf("%u", limit);
    char delimiter[2] = {query->delimiter, 0};
    if (second)
        s3_request_add_parameter(request, "list-type", "2");
    if (second && query->want_metadata && options->metadata_in_listings)
        s3_request_add_parameter(request, "metadata", "true");
    if (options->encoding_type)
        s3_request_add_parameter(request, "encoding-type", "url");
    s3_request_add_parameter(request, "max-keys", limit_text);
    s3_request_add_parameter(request, "prefix", query->prefix);
    if (query->delimiter)
        s3_request_add_parameter(request, "delimiter", delimiter);
    if (query->after_token)
        s3_request_add_parameter(request, second ? "continuation-token" : "marker", token->continuation);
    else if (query->start_after)
        s3_request_add_parameter(request, second ? "start-after" : "marker", query->start_after);
}

gboolean
s3_list_objects(DriverInstance *instance, Call *call, const char *container, const ListQuery *query,
                ListPage *out, GError **error)
{
    S3 *s3 = (S3 *)instance;
    g_auto(S3Request) request = {0};
    g_auto(HttpResponse) response = {0};
    g_auto(Token) token = {0};
    if (query->after_token && !token_parse(query->after_token, &token)) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_BAD_ARGUMENT, "not a place where a listing goes on");
        return FALSE;
    }
    s3_request_init(&request, "GET", container, NULL);
    request.maximum_bytes = MAX_PAGE_BYTES;
    s3_headers_add_access(s3, &request);
    add_parameters(s3, &request, query, &token);
    if (!s3_request_perform(s3, &request, call, &response, error))
        return FALSE;
    Reading reading = {.s3 = s3, .request = &request, .query = query, .token = &token, .page = out};
    gboolean good = read_page(&reading, &response, error);
    g_free(reading.last);
    if (!good) {
        list_page_clear(out);
        list_page_init(out);
    }
    return good;
}
