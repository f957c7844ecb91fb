#include "src/front/front_status.h"

#include "src/base/log.h"
#include "src/front/front_passthrough.h"

#include <json-glib/json-glib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *
state_name(StorageState state)
{
    static const char *const names[] = {"connecting", "up", "down"};
    return names[state];
}

static const char *
upload_state_name(UploadState state)
{
    static const char *const names[] = {"writing", "publishing", "parked", "waiting"};
    return names[state];
}

static void
add_string(JsonBuilder *json, const char *name, const char *value)
{
    g_autofree char *valid = value != NULL ? g_utf8_make_valid(value, -1) : NULL;
    json_builder_set_member_name(json, name);
    if (valid != NULL)
        json_builder_add_string_value(json, valid);
    else
        json_builder_add_null_value(json);
}

static void
add_integer(JsonBuilder *json, const char *name, guint64 value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_int_value(json, (gint64)MIN(value, (guint64)G_MAXINT64));
}

static void
add_boolean(JsonBuilder *json, const char *name, gboolean value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_boolean_value(json, value);
}

static void
begin(JsonBuilder *json, const char *name)
{
    json_builder_set_member_name(json, name);
    json_builder_begin_object(json);
}

static const char *
condition_name(ConditionSupport support)
{
    static const char *const names[] = {
        [CONDITION_NONE] = "best effort", [CONDITION_MAYBE] = "unknown", [CONDITION_ATOMIC] = "atomic"};
    return names[support];
}

static void
add_capabilities(JsonBuilder *json, Storage *storage)
{
    Capabilities able;
    storage_get_capabilities(storage, &able);
    begin(json, "capabilities");
    add_string(json, "write_if_absent", condition_name(able.write_if_absent));
    add_string(json, "write_if_unchanged", condition_name(able.write_if_etag));
    add_string(json, "commit_if_absent", condition_name(able.commit_if_absent));
    add_string(json, "commit_if_unchanged", condition_name(able.commit_if_etag));
    add_boolean(json, "multipart", able.multipart);
    add_boolean(json, "server_side_copy", able.copy_object);
    add_boolean(json, "server_side_copy_of_parts", able.copy_part);
    add_boolean(json, "metadata_in_listings", able.metadata_in_listings);
    json_builder_end_object(json);
}

static void
add_storage(JsonBuilder *json, Storage *storage)
{
    const StorageSettings *settings = storage_get_settings(storage);
    g_auto(StorageHealth) health;
    storage_get_health(storage, &health);
    json_builder_begin_object(json);
    add_string(json, "name", settings->name);
    add_string(json, "driver", settings->driver_name);
    add_string(json, "place", storage_get_place(storage));
    add_string(json, "state", state_name(health.state));
    add_string(json, "layout", settings->folders ? "folders" : "flat");
    add_boolean(json, "read_only", settings->read_only);
    add_string(json, "durability", settings->journal ? "journal" : "storage");
    add_boolean(json, "in_place", storage_is_file_system(storage));
    add_string(json, "last_error", health.last_error);
    if (health.last_error != NULL)
        add_integer(json, "last_error_age_s", (guint64)(health.last_error_age_us / G_USEC_PER_SEC));
    add_integer(json, "requests", health.requests);
    add_integer(json, "retries", health.retries);
    add_integer(json, "failures", health.failures);
    add_integer(json, "body_bytes_sent", health.body_bytes_sent);
    add_integer(json, "body_bytes_received", health.body_bytes_received);
    if (!storage_is_file_system(storage))
        add_capabilities(json, storage);
    json_builder_end_object(json);
}

static void
add_storages(JsonBuilder *json, Front *front)
{
    g_autoptr(GPtrArray) storages = storage_set_list(front->set);
    json_builder_set_member_name(json, "storages");
    json_builder_begin_array(json);
    for (guint i = 0; i < storages->len; i++)
        add_storage(json, storages->pdata[i]);
    json_builder_end_array(json);
}

static void
add_upload(JsonBuilder *json, const UploadStatus *upload)
{
    json_builder_begin_object(json);
    add_string(json, "id", upload->id);
    add_string(json, "state", upload_state_name(upload->state));
    add_string(json, "storage", upload->storage);
    add_string(json, "container", upload->container);
    add_string(json, "key", upload->key);
    add_integer(json, "size_bytes", upload->size_bytes);
    add_integer(json, "sent_bytes", upload->sent_bytes);
    add_integer(json, "age_s", (guint64)(upload->age_us / G_USEC_PER_SEC));
    add_integer(json, "attempts", upload->attempts);
    add_string(json, "last_error", upload->last_error);
    add_string(json, "recovery_path", upload->recovery_path);
    json_builder_end_object(json);
}

static void
add_uploads(JsonBuilder *json, Front *front)
{
    g_autoptr(GPtrArray) uploads = object_store_list_uploads(front->store);
    json_builder_set_member_name(json, "uploads");
    json_builder_begin_array(json);
    for (guint i = 0; i < uploads->len; i++)
        add_upload(json, uploads->pdata[i]);
    json_builder_end_array(json);
}

static void
add_store(JsonBuilder *json, Front *front)
{
    ObjectStoreStatistics store;
    object_store_get_statistics(front->store, &store);
    begin(json, "memory");
    add_integer(json, "limit_bytes", store.memory_limit_bytes);
    add_integer(json, "used_bytes", store.memory_used_bytes);
    add_integer(json, "peak_bytes", store.memory_peak_bytes);
    json_builder_end_object(json);
    begin(json, "objects");
    add_integer(json, "open_files", store.open_files);
    add_integer(json, "staged_bytes", store.staged_bytes);
    add_integer(json, "publications", store.publications);
    add_integer(json, "publication_failures", store.publication_failures);
    add_integer(json, "block_hits", store.block_hits);
    add_integer(json, "block_misses", store.block_misses);
    json_builder_end_object(json);
    begin(json, "journal");
    add_boolean(json, "on", object_store_has_journal(front->store));
    add_integer(json, "bytes", store.journal_bytes);
    add_integer(json, "limit_bytes", store.journal_limit_bytes);
    add_integer(json, "waiting", store.journal_waiting);
    add_integer(json, "parked", store.journal_parked);
    json_builder_end_object(json);
    TreeStatistics tree;
    tree_get_statistics(front->tree, &tree);
    begin(json, "names");
    add_integer(json, "known", tree.nodes);
    add_integer(json, "listed", tree.listed_names);
    add_integer(json, "too_long", tree.long_names);
    json_builder_end_object(json);
}

static void
add_disk_cache(JsonBuilder *json, Front *front)
{
    DiskCacheStatistics cache;
    object_store_get_disk_cache(front->store, &cache);
    begin(json, "disk_cache");
    add_boolean(json, "on", cache.on);
    add_string(json, "reason", cache.reason[0] != '\0' ? cache.reason : NULL);
    add_integer(json, "limit_bytes", cache.limit_bytes);
    add_integer(json, "used_bytes", cache.used_bytes);
    add_integer(json, "objects", cache.objects);
    add_integer(json, "hits", cache.hits);
    add_integer(json, "misses", cache.misses);
    add_integer(json, "hit_bytes", cache.hit_bytes);
    add_integer(json, "stored_bytes", cache.stored_bytes);
    add_integer(json, "dropped_bytes", cache.dropped_bytes);
    add_integer(json, "evictions", cache.evictions);
    add_integer(json, "damaged", cache.damaged);
    json_builder_end_object(json);
}

static void
add_errors(JsonBuilder *json, Front *front)
{
    begin(json, "errors");
    add_integer(json, "logged", __atomic_load_n(&front->errors, __ATOMIC_RELAXED));
    for (int i = 0; i < ERROR_CODE_COUNT; i++) {
        guint64 count = __atomic_load_n(&front->failed_by_code[i], __ATOMIC_RELAXED);
        if (count > 0)
            add_integer(json, error_code_name((ErrorCode)i), count);
    }
    json_builder_end_object(json);
}

/* A process number means nothing to whoever reads this in another namespace. */
static void
add_process(JsonBuilder *json)
{
    struct stat namespace;
    add_integer(json, "pid", (guint64)getpid());
    if (stat("/proc/self/ns/pid", &namespace) == 0)
        add_integer(json, "pid_namespace", namespace.st_ino);
}

static void
add_passthrough(JsonBuilder *json, FrontPassthrough *passthrough)
{
    const char *reason = front_passthrough_get_reason(passthrough);
    PassthroughStatistics statistics;
    front_passthrough_get_statistics(passthrough, &statistics);
    add_boolean(json, "passthrough", reason == NULL);
    add_string(json, "passthrough_off_because", reason);
    add_integer(json, "passthrough_opens", statistics.opens);
    add_integer(json, "passthrough_refusals", statistics.refusals);
}

static void
add_reload_error(JsonBuilder *json, Front *front)
{
    lock_acquire(&front->reload_lock);
    g_autofree char *told = g_strdup(front->reload_error);
    lock_release(&front->reload_lock);
    add_string(json, "reload_error", told);
}

static void
add_header(JsonBuilder *json, Front *front)
{
    g_autofree char *default_name = storage_set_get_default_name(front->set);
    add_string(json, "version", STORAGEFS_VERSION);
    add_process(json);
    add_string(json, "mount_point", front->options.mount_point);
    add_string(json, "configuration", front->options.source);
    add_reload_error(json, front);
    add_integer(json, "uptime_s", (guint64)((g_get_monotonic_time() - front->started_us) / G_USEC_PER_SEC));
    add_string(json, "default", default_name);
    add_boolean(json, "read_only", front->options.read_only);
    begin(json, "fast_paths");
    add_boolean(json, "readdirplus", front->readdirplus);
    add_boolean(json, "keep_cache", TRUE);
    add_boolean(json, "large_read_ahead", g_atomic_int_get(&front->large_read_ahead));
    add_boolean(json, "direct_writes", front->direct_writes);
    add_passthrough(json, front->passthrough);
    json_builder_end_object(json);
}

GString *
front_status_json(Front *front)
{
    g_autoptr(JsonBuilder) json = json_builder_new();
    json_builder_begin_object(json);
    add_header(json, front);
    add_storages(json, front);
    add_uploads(json, front);
    add_store(json, front);
    add_disk_cache(json, front);
    add_errors(json, front);
    json_builder_end_object(json);
    g_autoptr(JsonNode) root = json_builder_get_root(json);
    g_autofree char *text = json_to_string(root, TRUE);
    GString *out = g_string_new(text);
    g_string_append_c(out, '\n');
    return out;
}

GString *
front_status_storages(Front *front)
{
    GString *out = g_string_new(NULL);
    g_autoptr(GPtrArray) storages = storage_set_list(front->set);
    for (guint i = 0; i < storages->len; i++) {
        Storage *storage = storages->pdata[i];
        g_auto(StorageHealth) health;
        storage_get_health(storage, &health);
        g_string_append_printf(out, "%s\t%s\t%s\t%s\n", storage_get_name(storage),
                               storage_get_settings(storage)->driver_name, state_name(health.state),
                               storage_get_place(storage));
    }
    return out;
}

static void
append_escaped(GString *out, const char *text)
{
    g_autofree char *escaped = g_strescape(text != NULL ? text : "-", NULL);
    g_string_append(out, escaped);
}

GString *
front_status_uploads(Front *front)
{
    GString *out = g_string_new(NULL);
    g_autoptr(GPtrArray) uploads = object_store_list_uploads(front->store);
    for (guint i = 0; i < uploads->len; i++) {
        const UploadStatus *upload = uploads->pdata[i];
        g_string_append_printf(out,
                               "%s\t%" G_GUINT64_FORMAT "\t%" G_GUINT64_FORMAT "\t%" G_GINT64_FORMAT "\t%u\t",
                               upload_state_name(upload->state), upload->size_bytes, upload->sent_bytes,
                               upload->age_us / G_USEC_PER_SEC, upload->attempts);
        g_autofree char *path = g_strjoin("/", upload->storage, upload->container, upload->key, NULL);
        append_escaped(out, path);
        g_string_append_c(out, '\t');
        append_escaped(out, upload->last_error);
        g_string_append_c(out, '\t');
        append_escaped(out, upload->recovery_path);
        g_string_append_c(out, '\t');
        append_escaped(out, upload->id);
        g_string_append_c(out, '\n');
    }
    return out;
}
