#include "src/object/journal_record.h"

#include "src/base/crc32c.h"
#include "src/base/error.h"

#include <limits.h>
#include <string.h>

#define PARKINGS (JOURNAL_REFUSED + 1)
#define MAGIC "SFSJRNL"
#define VERSION 1
#define HEADER_BYTES 16u
/* A damaged count must not make us reserve memory: an extent takes this much of the file. */
#define EXTENT_BYTES 26u

JournalRecord *
journal_record_new(void)
{
    JournalRecord *record = g_new0(JournalRecord, 1);
    record->extents = g_array_new(FALSE, FALSE, sizeof(JournalExtent));
    record->earlier = attempt_list_new();
    return record;
}

void
journal_record_free(JournalRecord *record)
{
    if (record == NULL)
        return;
    g_free(record->last_error);
    g_free(record->storage);
    g_free(record->place);
    g_free(record->container);
    g_free(record->key);
    object_info_clear(&record->base);
    g_free(record->content_type);
    g_clear_pointer(&record->others, g_hash_table_unref);
    g_free(record->data_name);
    g_array_unref(record->extents);
    g_ptr_array_unref(record->earlier);
    g_clear_pointer(&record->bytes, g_bytes_unref);
    g_free(record);
}

static void
put_u8(GByteArray *out, guint value)
{
    guint8 byte = (guint8)value;
    g_byte_array_append(out, &byte, 1);
}

static void
put_u32(GByteArray *out, guint32 value)
{
    guint32 wire = GUINT32_TO_LE(value);
    g_byte_array_append(out, (const guint8 *)&wire, sizeof wire);
}

static void
put_u64(GByteArray *out, guint64 value)
{
    guint64 wire = GUINT64_TO_LE(value);
    g_byte_array_append(out, (const guint8 *)&wire, sizeof wire);
}

static void
put_bytes(GByteArray *out, const void *data, gsize length_bytes)
{
    put_u32(out, (guint32)length_bytes);
    if (length_bytes > 0)
        g_byte_array_append(out, data, (guint)length_bytes);
}

static void
put_text(GByteArray *out, const char *text)
{
    put_bytes(out, text, strlen(text));
}

static void
put_optional(GByteArray *out, const char *text)
{
    put_u8(out, text != NULL);
    if (text != NULL)
        put_text(out, text);
}

static void
put_map(GByteArray *out, Metadata *map)
{
    put_u8(out, map != NULL);
    if (map == NULL)
        return;
    /* In order: the same record has the same bytes. */
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(map), (GCompareFunc)strcmp);
    put_u32(out, g_hash_table_size(map));
    for (GList *name = names; name != NULL; name = name->next) {
        put_text(out, name->data);
        put_text(out, g_hash_table_lookup(map, name->data));
    }
}

static void
put_base(GByteArray *out, const ObjectInfo *base)
{
    put_u64(out, base->size_bytes);
    put_u64(out, (guint64)base->mtime_ns);
    put_optional(out, base->etag);
    put_optional(out, base->version);
    put_optional(out, base->storage_class);
    put_optional(out, base->content_type);
    put_map(out, base->metadata);
}

static void
put_extents(GByteArray *out, const GArray *extents)
{
    put_u32(out, extents->len);
    for (guint i = 0; i < extents->len; i++) {
        const JournalExtent *extent = &g_array_index(extents, JournalExtent, i);
        put_u8(out, extent->kind);
        put_u8(out, extent->clean != FALSE);
        put_u64(out, extent->offset);
        put_u64(out, extent->length_bytes);
        put_u64(out, extent->source_offset);
    }
}

static void
put_attempts(GByteArray *out, const GPtrArray *attempts)
{
    put_u32(out, attempts->len);
    for (guint i = 0; i < attempts->len; i++) {
        const Attempt *attempt = attempts->pdata[i];
        put_u64(out, attempt->size_bytes);
        put_u8(out, attempt->is_new != FALSE);
        put_u8(out, attempt->has_time != FALSE);
        put_optional(out, attempt->if_etag);
        put_optional(out, attempt->content_type);
        put_map(out, attempt->metadata);
    }
}

static void
put_body(GByteArray *out, const JournalRecord *record)
{
    put_u64(out, record->id);
    put_u64(out, record->sequence);
    put_u64(out, (guint64)record->since_us);
    put_u8(out, (guint8)(record->parked + (record->deleting ? PARKINGS : 0)));
    put_u32(out, record->attempts);
    put_optional(out, record->last_error);
    put_text(out, record->storage);
    put_text(out, record->place);
    put_text(out, record->container);
    put_text(out, record->key);
    put_u8(out, record->has_base != FALSE);
    put_u8(out, record->exclusive != FALSE);
    put_u8(out, record->content != FALSE);
    put_u32(out, record->explicit_attributes);
    if (record->has_base)
        put_base(out, &record->base);
    put_u64(out, record->attributes.size_bytes);
    put_u64(out, (guint64)record->attributes.mtime_ns);
    put_u32(out, record->attributes.mode);
    put_u32(out, record->attributes.uid);
    put_u32(out, record->attributes.gid);
    put_optional(out, record->content_type);
    put_map(out, record->others);
    put_optional(out, record->data_name);
    put_extents(out, record->extents);
    gsize length_bytes = 0;
    const void *data = record->bytes != NULL ? g_bytes_get_data(record->bytes, &length_bytes) : NULL;
    put_bytes(out, data, length_bytes);
    put_attempts(out, record->earlier);
}

static guint32
checksum(const guint8 *file, gsize length_bytes)
{
    return crc32c_append(crc32c_append(0, file, 12), file + HEADER_BYTES, length_bytes - HEADER_BYTES);
}

GBytes *
journal_record_encode(const JournalRecord *record)
{
    GByteArray *out = g_byte_array_new();
    g_byte_array_append(out, (const guint8 *)MAGIC, strlen(MAGIC));
    put_u8(out, VERSION);
    put_u32(out, 0);
    put_u32(out, 0);
    put_body(out, record);
    guint32 length = GUINT32_TO_LE(out->len - HEADER_BYTES);
    memcpy(out->data + 8, &length, sizeof length);
    guint32 crc = GUINT32_TO_LE(checksum(out->data, out->len));
    memcpy(out->data + 12, &crc, sizeof crc);
    return g_byte_array_free_to_bytes(out);
}

/* Reads on after the end, or what cannot be, mark it as bad and give zeros. */
typedef struct {
    const guint8 *at, *end;
    const char *bad; /* the first thing that was wrong; NULL none */
} Reader;

static const guint8 *
take(Reader *reader, gsize length_bytes)
{
    if (reader->bad == NULL && (gsize)(reader->end - reader->at) < length_bytes)
        reader->bad = "it ends too early";
    if (reader->bad != NULL)
        return NULL;
    const guint8 *data = reader->at;
    reader->at += length_bytes;
    return data;
}

static guint32
get_u32(Reader *reader)
{
    guint32 wire = 0;
    const guint8 *data = take(reader, sizeof wire);
    if (data != NULL)
        memcpy(&wire, data, sizeof wire);
    return GUINT32_FROM_LE(wire);
}

static guint64
get_u64(Reader *reader)
{
    guint64 wire = 0;
    const guint8 *data = take(reader, sizeof wire);
    if (data != NULL)
        memcpy(&wire, data, sizeof wire);
    return GUINT64_FROM_LE(wire);
}

static guint
get_below(Reader *reader, guint limit, const char *what)
{
    const guint8 *data = take(reader, 1);
    if (data == NULL)
        return 0;
    if (*data >= limit)
        reader->bad = what;
    return reader->bad == NULL ? *data : 0;
}

static gboolean
get_flag(Reader *reader)
{
    return (gboolean)get_below(reader, 2, "a flag is neither 0 nor 1");
}

static char *
get_text(Reader *reader)
{
    gsize length_bytes = get_u32(reader);
    const guint8 *data = take(reader, length_bytes);
    if (data != NULL && length_bytes > 0 && memchr(data, '\0', length_bytes) != NULL)
        reader->bad = "a text holds a zero byte";
    return g_strndup(reader->bad == NULL ? (const char *)data : "", reader->bad == NULL ? length_bytes : 0);
}

static char *
get_optional(Reader *reader)
{
    return get_flag(reader) ? get_text(reader) : NULL;
}

static Metadata *
get_map(Reader *reader)
{
    if (!get_flag(reader))
        return NULL;
    Metadata *map = metadata_new();
    guint32 count = get_u32(reader);
    for (guint32 i = 0; i < count && reader->bad == NULL; i++) {
        char *name = get_text(reader), *value = get_text(reader);
        if (!g_hash_table_insert(map, name, value))
            reader->bad = "metadata has a name twice";
    }
    return map;
}

static void
get_base(Reader *reader, ObjectInfo *base)
{
    base->size_bytes = get_u64(reader);
    base->mtime_ns = (gint64)get_u64(reader);
    base->etag = get_optional(reader);
    base->version = get_optional(reader);
    base->storage_class = get_optional(reader);
    base->content_type = get_optional(reader);
    base->metadata = get_map(reader);
}

static void
get_extents(Reader *reader, GArray *extents)
{
    guint32 count = get_u32(reader);
    if (count > (gsize)(reader->end - reader->at) / EXTENT_BYTES)
        reader->bad = "it has more ranges than bytes";
    for (guint32 i = 0; i < count && reader->bad == NULL; i++) {
        JournalExtent extent = {.kind = get_below(reader, JOURNAL_EXTENT_BASE + 1, "unknown kind of range")};
        extent.clean = get_flag(reader);
        extent.offset = get_u64(reader);
        extent.length_bytes = get_u64(reader);
        extent.source_offset = get_u64(reader);
        g_array_append_val(extents, extent);
    }
}

static GBytes *
get_bytes(Reader *reader)
{
    gsize length_bytes = get_u32(reader);
    const guint8 *data = take(reader, length_bytes);
    return data != NULL && length_bytes > 0 ? g_bytes_new(data, length_bytes) : NULL;
}

static void
get_attempts(Reader *reader, GPtrArray *attempts)
{
    guint32 count = get_u32(reader);
    if (count > JOURNAL_MAXIMUM_ATTEMPTS)
        reader->bad = "it has too many attempts";
    for (guint32 i = 0; i < count && reader->bad == NULL; i++) {
        guint64 size_bytes = get_u64(reader);
        gboolean is_new = get_flag(reader), has_time = get_flag(reader);
        g_autofree char *if_etag = get_optional(reader), *content_type = get_optional(reader);
        g_autoptr(GHashTable) metadata = get_map(reader);
        if (reader->bad == NULL && metadata == NULL)
            reader->bad = "an attempt has no metadata";
        const Attempt values = {.size_bytes = size_bytes,
                                .changes = ATTEMPT_BEFORE,
                                .is_new = is_new,
                                .has_time = has_time,
                                .if_etag = if_etag,
                                .content_type = content_type,
                                .metadata = metadata};
        g_ptr_array_add(attempts, attempt_new(&values));
    }
}

static void
get_body(Reader *reader, JournalRecord *record)
{
    record->id = get_u64(reader);
    record->sequence = get_u64(reader);
    record->since_us = (gint64)get_u64(reader);
    guint parked = get_below(reader, 2 * PARKINGS, "unknown reason of parking");
    record->parked = parked % PARKINGS;
    record->deleting = parked >= PARKINGS;
    record->attempts = get_u32(reader);
    record->last_error = get_optional(reader);
    record->storage = get_text(reader);
    record->place = get_text(reader);
    record->container = get_text(reader);
    record->key = get_text(reader);
    record->has_base = get_flag(reader);
    record->exclusive = get_flag(reader);
    record->content = get_flag(reader);
    record->explicit_attributes = get_u32(reader);
    if (record->has_base)
        get_base(reader, &record->base);
    record->attributes.size_bytes = get_u64(reader);
    record->attributes.mtime_ns = (gint64)get_u64(reader);
    record->attributes.mode = get_u32(reader);
    record->attributes.uid = get_u32(reader);
    record->attributes.gid = get_u32(reader);
    record->content_type = get_optional(reader);
    record->others = get_map(reader);
    record->data_name = get_optional(reader);
    get_extents(reader, record->extents);
    record->bytes = get_bytes(reader);
    get_attempts(reader, record->earlier);
    if (reader->bad == NULL && reader->at != reader->end)
        reader->bad = "it goes on after its end";
}

static gboolean
is_inside_base(const JournalRecord *record, const JournalExtent *extent)
{
    guint64 size_bytes = record->base.size_bytes;
    return record->has_base && extent->length_bytes <= size_bytes &&
           extent->source_offset <= size_bytes - extent->length_bytes;
}

/* The file is removed with its record: it must not be another record, or lie elsewhere. */
static gboolean
is_data_name(const char *name)
{
    return *name != '.' && strchr(name, '/') == NULL && g_str_has_suffix(name, ".data") &&
           strlen(name) <= NAME_MAX;
}

/* What is wrong with a record whose bytes are as they were written; NULL nothing. */
static const char *
check(const JournalRecord *record)
{
    guint64 at = 0;
    for (guint i = 0; i < record->extents->len; i++) {
        const JournalExtent *extent = &g_array_index(record->extents, JournalExtent, i);
        if (extent->offset != at || extent->length_bytes == 0 ||
            extent->length_bytes > (guint64)G_MAXINT64 - at)
            return "its ranges have gaps";
        if ((extent->kind == JOURNAL_EXTENT_BASE || extent->clean) && !is_inside_base(record, extent))
            return "it refers to what the stored version does not have";
        at += extent->length_bytes;
    }
    if (at != record->attributes.size_bytes)
        return "its ranges do not make its size";
    guint64 here = record->bytes != NULL ? g_bytes_get_size(record->bytes) : 0;
    if (here != (record->data_name == NULL ? journal_record_get_local_bytes(record) : 0))
        return "its bytes do not fit its ranges";
    if (*record->storage == '\0' || *record->container == '\0' || *record->key == '\0' || record->id == 0)
        return "it has no name";
    if (record->data_name != NULL && !is_data_name(record->data_name))
        return "its data file has an impossible name";
    return NULL;
}

static const char *
check_header(const guint8 *file, gsize length_bytes)
{
    guint32 length, crc;
    if (length_bytes < HEADER_BYTES || memcmp(file, MAGIC, strlen(MAGIC)) != 0)
        return "it is none";
    memcpy(&length, file + 8, sizeof length);
    memcpy(&crc, file + 12, sizeof crc);
    if (GUINT32_FROM_LE(length) != length_bytes - HEADER_BYTES)
        return "it is not as long as it says";
    return GUINT32_FROM_LE(crc) != checksum(file, length_bytes) ? "its checksum differs" : NULL;
}

JournalRecord *
journal_record_decode(const void *data, gsize length_bytes, GError **error)
{
    const guint8 *file = data;
    const char *bad = check_header(file, length_bytes);
    if (bad == NULL && file[7] != VERSION) {
        g_set_error(error, STORAGEFS_ERROR, ERROR_UNSUPPORTED,
                    "journal record of version %u, this program knows %u", file[7], VERSION);
        return NULL;
    }
    g_autoptr(JournalRecord) record = journal_record_new();
    if (bad == NULL) {
        Reader reader = {.at = file + HEADER_BYTES, .end = file + length_bytes};
        get_body(&reader, record);
        bad = reader.bad != NULL ? reader.bad : check(record);
    }
    if (bad == NULL)
        return g_steal_pointer(&record);
    g_set_error(error, STORAGEFS_ERROR, ERROR_PROTOCOL, "damaged journal record: %s", bad);
    return NULL;
}

Attempt *
journal_record_get_attempt(const JournalRecord *record)
{
    g_autoptr(GHashTable) metadata = attributes_encode(&record->attributes, record->others);
    if (record->content)
        attributes_forget_content(metadata);
    const Attempt values = {.size_bytes = record->attributes.size_bytes,
                            .changes = ATTEMPT_BEFORE,
                            .is_new = !record->has_base,
                            .has_time = TRUE,
                            .if_etag = record->content && record->has_base ? record->base.etag : NULL,
                            .content_type = record->content_type,
                            .metadata = metadata};
    return attempt_new(&values);
}

guint64
journal_record_get_local_bytes(const JournalRecord *record)
{
    guint64 total = 0;
    for (guint i = 0; i < record->extents->len; i++) {
        const JournalExtent *extent = &g_array_index(record->extents, JournalExtent, i);
        total += extent->kind == JOURNAL_EXTENT_DATA ? extent->length_bytes : 0;
    }
    return total;
}

gboolean
journal_record_has_data(const JournalRecord *record, guint64 offset, guint64 length_bytes)
{
    if (record->data_name == NULL || length_bytes == 0)
        return FALSE;
    guint low = 0, high = record->extents->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        const JournalExtent *extent = &g_array_index(record->extents, JournalExtent, middle);
        if (extent->offset + extent->length_bytes <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < record->extents->len; low++) {
        const JournalExtent *extent = &g_array_index(record->extents, JournalExtent, low);
        if (extent->offset - MIN(offset, extent->offset) >= length_bytes)
            return FALSE;
        if (extent->kind == JOURNAL_EXTENT_DATA)
            return TRUE;
    }
    return FALSE;
}

gboolean
journal_record_is_same_object(const JournalRecord *a, const JournalRecord *b)
{
    return strcmp(a->storage, b->storage) == 0 && strcmp(a->place, b->place) == 0 &&
           strcmp(a->container, b->container) == 0 && strcmp(a->key, b->key) == 0;
}
