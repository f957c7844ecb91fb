/* Metadata of any writer: decoded to attributes that can be shown, and written so that they come back. */
#include "src/object/attributes.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const AttributeDefaults defaults = {0644, 0755, 1000, 1001};

void
fuzz_begin(void)
{
}

/* Size, time, then NAME=VALUE lines; "key" and "content-type" are the object's own. */
static void
read_info(FuzzInput *input, ObjectInfo *out)
{
    *out = (ObjectInfo){.size_bytes = fuzz_take_number(input) & G_MAXINT64,
                        .mtime_ns = (gint64)fuzz_take_number(input),
                        .metadata = metadata_new()};
    while (fuzz_left(input) > 0) {
        g_autofree char *name = fuzz_take_text(input, '=');
        g_autofree char *value = fuzz_take_text(input, '\n');
        if (strcmp(name, "key") == 0) {
            g_free(out->key);
            out->key = g_steal_pointer(&value);
        } else if (strcmp(name, "content-type") == 0) {
            g_free(out->content_type);
            out->content_type = g_steal_pointer(&value);
        } else {
            g_hash_table_replace(out->metadata, g_steal_pointer(&name), g_steal_pointer(&value));
        }
    }
}

static void
check_type(const ObjectInfo *info, const FileAttributes *attributes)
{
    const char *target = attributes_get_symlink_target(info);
    g_assert_true(S_ISREG(attributes->mode) || S_ISDIR(attributes->mode) || S_ISLNK(attributes->mode));
    g_assert_cmpuint(attributes->uid, !=, (uid_t)-1);
    g_assert_cmpuint(attributes->gid, !=, (gid_t)-1);
    if (S_ISLNK(attributes->mode) && target)
        g_assert_cmpuint(attributes->size_bytes, ==, strlen(target));
    else
        g_assert_cmpuint(attributes->size_bytes, ==, info->size_bytes);
}

/* Also when nothing but ours is there: what we write, we read as the same. */
static void
check_writing(const ObjectInfo *info, const FileAttributes *attributes, Metadata *others)
{
    FileAttributes back, want = *attributes;
    ObjectInfo stored = *info;
    g_autoptr(GHashTable) written = attributes_encode(attributes, others);
    stored.metadata = written;
    attributes_decode(&stored, &defaults, &back);
    if (!S_ISLNK(want.mode))
        want.size_bytes = info->size_bytes;
    g_assert_cmpuint(back.mode, ==, want.mode);
    g_assert_cmpuint(back.uid, ==, want.uid);
    g_assert_cmpuint(back.gid, ==, want.gid);
    g_assert_cmpint(back.mtime_ns, ==, want.mtime_ns);
    if (others)
        g_assert_cmpuint(back.size_bytes, ==, want.size_bytes);
}

void
fuzz_one(FuzzInput *input)
{
    ObjectInfo info;
    FileAttributes attributes;
    read_info(input, &info);
    attributes_decode(&info, &defaults, &attributes);
    check_type(&info, &attributes);
    check_writing(&info, &attributes, info.metadata);
    check_writing(&info, &attributes, NULL);
    g_assert_nonnull(attributes_guess_content_type(info.key ? info.key : ""));
    object_info_clear(&info);
}
