/* Attributes as other programs write and read them. */
#include "src/object/attributes.h"

#include <string.h>

static const AttributeDefaults DEFAULTS = {0640, 0750, 11, 22};

typedef struct {
    const char *name, *value;
} Pair;

static Metadata *
make_metadata(const Pair *pairs)
{
    Metadata *metadata = metadata_new();
    for (; pairs->name != NULL; pairs++)
        g_hash_table_insert(metadata, g_strdup(pairs->name), g_strdup(pairs->value));
    return metadata;
}

static FileAttributes
decode(const char *key, guint64 size, const char *type, const Pair *pairs)
{
    FileAttributes out;
    Metadata *metadata = pairs != NULL ? make_metadata(pairs) : NULL;
    ObjectInfo info = {.key = (char *)key,
                       .size_bytes = size,
                       .mtime_ns = 77,
                       .content_type = (char *)type,
                       .metadata = metadata};
    attributes_decode(&info, &DEFAULTS, &out);
    if (metadata != NULL)
        g_hash_table_unref(metadata);
    return out;
}

#define SECONDS(s) ((s)*G_GINT64_CONSTANT(1000000000))

static void
test_mtime(void)
{
    static const struct {
        const char *name, *value;
        gint64 expected;
    } CASES[] = {
        {"mtime", "1700000000", SECONDS(1700000000)},
        {"mtime", "1700000000.123456789", SECONDS(1700000000) + 123456789},
        {"mtime", "1700000000.5", SECONDS(1700000000) + 500000000},
        {"mtime", "1700000000.1234567891234", SECONDS(1700000000) + 123456789},
        {"mtime", "-1.5", -1500000000},
        {"mtime", "0", 0},
        {"mtime", "2023-11-14T22:13:20Z", SECONDS(1700000000)},
        {"mtime", "2023-11-14T22:13:20.25+00:00", SECONDS(1700000000) + 250000000},
        {"mtime", "2023-11-15T00:13:20.25+02:00", SECONDS(1700000000) + 250000000},
        {"goog-reserved-file-mtime", "1700000000", SECONDS(1700000000)},
        {"gcsfuse_mtime", "2023-11-14T22:13:20.000000001Z", SECONDS(1700000000) + 1},
        {"mtime", "", 77},
        {"mtime", "1700000000.", 77},
        {"mtime", "1.7e9", 77},
        {"mtime", "0x10", 77},
        {"mtime", "99999999999999999999", 77},
        {"mtime", "2023-11-14", 77},
        {"mtime", " 5", 77},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(CASES); i++) {
        Pair pairs[] = {{CASES[i].name, CASES[i].value}, {NULL, NULL}};
        g_assert_cmpint(decode("a", 1, NULL, pairs).mtime_ns, ==, CASES[i].expected);
    }
    Pair both[] = {{"goog-reserved-file-mtime", "5"}, {"mtime", "broken"}, {NULL, NULL}};
    g_assert_cmpint(decode("a", 1, NULL, both).mtime_ns, ==, SECONDS(5));
}

static void
test_mode_and_owner(void)
{
    Pair s3fs[] = {{"mode", "33188"}, {"uid", "1000"}, {"gid", "1001"}, {NULL, NULL}};
    FileAttributes a = decode("a", 5, NULL, s3fs);
    g_assert_cmpuint(a.mode, ==, S_IFREG | 0644);
    g_assert_cmpuint(a.uid, ==, 1000);
    g_assert_cmpuint(a.gid, ==, 1001);
    g_assert_cmpuint(a.size_bytes, ==, 5);
    Pair sync[] = {{"permissions", "420"}, {"owner", "7"}, {"group", "8"}, {NULL, NULL}};
    a = decode("a", 5, NULL, sync);
    g_assert_cmpuint(a.mode, ==, S_IFREG | 0644);
    g_assert_cmpuint(a.uid, ==, 7);
    Pair google[] = {{"goog-reserved-posix-mode", "600"}, {"goog-reserved-posix-uid", "9"}, {NULL, NULL}};
    a = decode("a", 5, NULL, google);
    g_assert_cmpuint(a.mode, ==, S_IFREG | 0600);
    g_assert_cmpuint(a.uid, ==, 9);
    Pair broken[] = {{"mode", "100644"}, {"uid", "-1"}, {"gid", "4294967295"}, {NULL, NULL}};
    a = decode("a", 5, NULL, broken);
    g_assert_cmpuint(a.mode, ==, S_IFREG | 0640);
    g_assert_cmpuint(a.uid, ==, 11);
    g_assert_cmpuint(a.gid, ==, 22);
    a = decode("a", 5, NULL, NULL);
    g_assert_cmpuint(a.mode, ==, S_IFREG | 0640);
    g_assert_cmpint(a.mtime_ns, ==, 77);
    Pair device[] = {{"mode", "8630"}, {NULL, NULL}};
    g_assert_true(S_ISREG(decode("a", 5, NULL, device).mode));
}

static void
test_types(void)
{
    Pair none[] = {{NULL, NULL}}, azure[] = {{"hdi_isfolder", "true"}, {NULL, NULL}};
    g_assert_true(S_ISDIR(decode("a/", 0, NULL, none).mode));
    g_assert_cmpuint(decode("a/", 0, NULL, none).mode, ==, S_IFDIR | 0750);
    g_assert_true(S_ISREG(decode("a/", 1, NULL, none).mode));
    g_assert_true(S_ISDIR(decode("a", 0, "application/x-directory", none).mode));
    g_assert_true(S_ISDIR(decode("a", 0, "httpd/unix-directory; charset=utf-8", none).mode));
    g_assert_true(S_ISREG(decode("a", 0, "application/x-directory-listing", none).mode));
    g_assert_true(S_ISDIR(decode("a", 0, NULL, azure).mode));
    Pair folder[] = {{"mode", "16877"}, {NULL, NULL}};
    g_assert_cmpuint(decode("a", 0, NULL, folder).mode, ==, S_IFDIR | 0755);
    Pair s3fs[] = {{"mode", "41471"}, {NULL, NULL}}, blobfuse[] = {{"is_symlink", "true"}, {NULL, NULL}};
    Pair gcsfuse[] = {{"goog-reserved-file-is-symlink", "true"}, {NULL, NULL}};
    g_assert_cmpuint(decode("a", 3, NULL, s3fs).mode, ==, S_IFLNK | 0777);
    g_assert_true(S_ISLNK(decode("a", 3, NULL, blobfuse).mode));
    g_assert_true(S_ISLNK(decode("a", 3, NULL, gcsfuse).mode));
    static const char *const VALUES[] = {"--symlink-target", "gcsfuse_symlink_target"};
    for (gsize i = 0; i < G_N_ELEMENTS(VALUES); i++) {
        Pair pairs[] = {{VALUES[i], "../b"}, {NULL, NULL}};
        Metadata *metadata = make_metadata(pairs);
        ObjectInfo info = {.metadata = metadata};
        g_assert_cmpstr(attributes_get_symlink_target(&info), ==, "../b");
        g_assert_true(S_ISLNK(decode("a", 0, NULL, pairs).mode));
        g_hash_table_unref(metadata);
    }
}

static void
assert_text(Metadata *metadata, const char *name, const char *expected)
{
    g_assert_cmpstr(g_hash_table_lookup(metadata, name), ==, expected);
}

static void
test_encode(void)
{
    Pair before[] = {{"owner", "5"},    {"mtime", "1"},         {"goog-reserved-posix-mode", "644"},
                     {"colour", "red"}, {"is_symlink", "true"}, {"xattr", "%7B%7D"},
                     {NULL, NULL}};
    g_autoptr(GHashTable) others = make_metadata(before);
    FileAttributes a = {.mtime_ns = SECONDS(12) + 5, .mode = S_IFREG | 0644, .uid = 3, .gid = 4};
    g_autoptr(GHashTable) metadata = attributes_encode(&a, others);
    assert_text(metadata, "mtime", "12.000000005");
    assert_text(metadata, "mode", "33188");
    assert_text(metadata, "uid", "3");
    assert_text(metadata, "gid", "4");
    assert_text(metadata, "colour", "red");
    assert_text(metadata, "xattr", "%7B%7D");
    assert_text(metadata, "owner", NULL);
    assert_text(metadata, "is_symlink", NULL);
    assert_text(metadata, "goog-reserved-posix-mode", NULL);
    a.mtime_ns = SECONDS(12);
    g_autoptr(GHashTable) whole = attributes_encode(&a, NULL);
    assert_text(whole, "mtime", "12");
    a.mtime_ns = ATTRIBUTES_NO_TIME;
    g_autoptr(GHashTable) timeless = attributes_encode(&a, NULL);
    assert_text(timeless, "mtime", NULL);
    g_assert_true(attributes_is_reserved("permissions"));
    g_assert_false(attributes_is_reserved("colour"));
}

static void
test_round_trip(void)
{
    static const mode_t TYPES[] = {S_IFREG, S_IFDIR, S_IFLNK};
    for (guint i = 0; i < 20000; i++) {
        FileAttributes a = {.size_bytes = i,
                            .mtime_ns =
                                (gint64)(((guint64)g_test_rand_int() << 32) | (guint32)g_test_rand_int()),
                            .mode = TYPES[i % 3] | ((guint)g_test_rand_int() & 07777),
                            .uid = (guint)g_test_rand_int() & 0x7fffffff,
                            .gid = (guint)g_test_rand_int() & 0x7fffffff};
        FileAttributes back;
        /* Times that the decimal form cannot pass are not times of files. */
        a.mtime_ns = a.mtime_ns / 2;
        g_autoptr(GHashTable) metadata = attributes_encode(&a, NULL);
        ObjectInfo info = {.key = (char *)"k", .size_bytes = i, .metadata = metadata};
        attributes_decode(&info, &DEFAULTS, &back);
        g_assert_cmpint(back.mtime_ns, ==, a.mtime_ns);
        g_assert_cmpuint(back.mode, ==, a.mode);
        g_assert_cmpuint(back.uid, ==, a.uid);
        g_assert_cmpuint(back.gid, ==, a.gid);
    }
}

/* Whatever stands there, decoding ends with a plausible file. */
static void
test_garbage(void)
{
    static const char *const NAMES[] = {"mtime", "gcsfuse_mtime", "mode", "goog-reserved-posix-mode", "uid",
                                        "gid"};
    for (guint i = 0; i < 20000; i++) {
        char text[40];
        gint length = g_test_rand_int_range(0, (gint)sizeof text);
        for (gint c = 0; c < length; c++)
            text[c] = "0123456789.-+TZ: eE\x01\xc3"[g_test_rand_int_range(0, 21)];
        text[MIN(length, (gint)sizeof text - 1)] = '\0';
        Pair pairs[] = {{NAMES[i % G_N_ELEMENTS(NAMES)], text}, {NULL, NULL}};
        FileAttributes a = decode("k", 1, NULL, pairs);
        g_assert_true(S_ISREG(a.mode) || S_ISDIR(a.mode) || S_ISLNK(a.mode));
    }
}

static void
test_content_type(void)
{
    static const struct {
        const char *key, *type;
    } CASES[] = {
        {"a.png", "image/png"},
        {"dir.png/A.JPEG", "image/jpeg"},
        {"a.tar.gz", "application/gzip"},
        {"page.HTML", "text/html"},
        {"dir.html/file", "application/octet-stream"},
        {".txt", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {"a.unknownextension", "application/octet-stream"},
        {"", "application/octet-stream"},
        {"x.7z", "application/x-7z-compressed"},
        {"x.zst", "application/zstd"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(CASES); i++)
        g_assert_cmpstr(attributes_guess_content_type(CASES[i].key), ==, CASES[i].type);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/object/attributes/mtime", test_mtime);
    g_test_add_func("/object/attributes/mode-and-owner", test_mode_and_owner);
    g_test_add_func("/object/attributes/types", test_types);
    g_test_add_func("/object/attributes/encode", test_encode);
    g_test_add_func("/object/attributes/round-trip", test_round_trip);
    g_test_add_func("/object/attributes/garbage", test_garbage);
    g_test_add_func("/object/attributes/content-type", test_content_type);
    return g_test_run();
}
