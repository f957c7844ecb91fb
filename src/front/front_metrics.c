#include "src/front/front_metrics.h"

#include "src/front/front_passthrough.h"

static void
metric(GString *out, const char *name, const char *type, const char *help, guint64 value)
{
    g_string_append_printf(
        out, "# HELP storagefs_%s %s\n# TYPE storagefs_%s %s\nstoragefs_%s %" G_GUINT64_FORMAT "\n", name,
        help, name, type, name, value);
}

typedef struct {
    const char *name, *help;
    guint64 (*get)(const StorageHealth *health);
} StorageMetric;

static guint64
get_up(const StorageHealth *health)
{
    return health->state == STORAGE_UP;
}

static guint64
get_requests(const StorageHealth *health)
{
    return health->requests;
}

static guint64
get_retries(const StorageHealth *health)
{
    return health->retries;
}

static guint64
get_failures(const StorageHealth *health)
{
    return health->failures;
}

static guint64
get_sent(const StorageHealth *health)
{
    return health->body_bytes_sent;
}

static guint64
get_received(const StorageHealth *health)
{
    return health->body_bytes_received;
}

static const StorageMetric storage_metrics[] = {
    {"storage_up", "1 while the storage answers.", get_up},
    {"storage_requests_total", "Requests sent.", get_requests},
    {"storage_retries_total", "Requests that were repeated.", get_retries},
    {"storage_failures_total", "Operations that failed after all retries.", get_failures},
    {"storage_sent_bytes_total", "Bytes of bodies sent.", get_sent},
    {"storage_received_bytes_total", "Bytes of bodies received.", get_received},
};

/* The exposition format wants backslash, quote and newline escaped in label values. */
static char *
label_value(const char *name)
{
    GString *out = g_string_new(NULL);
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '\\' || *c == '"')
            g_string_append_c(out, '\\');
        g_string_append_c(out, *c);
    }
    return g_string_free(out, FALSE);
}

static void
append_storage_metrics(GString *out, Front *front)
{
    g_autoptr(GPtrArray) storages = storage_set_list(front->set);
    for (guint m = 0; m < G_N_ELEMENTS(storage_metrics); m++) {
        const StorageMetric *metric = &storage_metrics[m];
        const char *type = g_str_has_suffix(metric->name, "_total") ? "counter" : "gauge";
        g_string_append_printf(out, "# HELP storagefs_%s %s\n# TYPE storagefs_%s %s\n", metric->name,
                               metric->help, metric->name, type);
        for (guint i = 0; i < storages->len; i++) {
            g_auto(StorageHealth) health;
            storage_get_health(storages->pdata[i], &health);
            g_autofree char *name = label_value(storage_get_name(storages->pdata[i]));
            g_string_append_printf(out, "storagefs_%s{storage=\"%s\"} %" G_GUINT64_FORMAT "\n", metric->name,
                                   name, metric->get(&health));
        }
    }
}

static void
append_disk_cache_metrics(GString *out, Front *front)
{
    DiskCacheStatistics cache;
    object_store_get_disk_cache(front->store, &cache);
    metric(out, "disk_cache_on", "gauge", "1 while the disk cache reads and keeps.", cache.on);
    metric(out, "disk_cache_limit_bytes", "gauge", "Bound of the disk cache.", cache.limit_bytes);
    metric(out, "disk_cache_used_bytes", "gauge", "What the disk cache takes on disk.", cache.used_bytes);
    metric(out, "disk_cache_objects", "gauge", "Objects of which the disk cache has something.",
           cache.objects);
    metric(out, "disk_cache_hits_total", "counter", "Ranges found in the disk cache.", cache.hits);
    metric(out, "disk_cache_misses_total", "counter", "Ranges not found there.", cache.misses);
    metric(out, "disk_cache_hit_bytes_total", "counter", "Bytes found there.", cache.hit_bytes);
    metric(out, "disk_cache_stored_bytes_total", "counter", "Fetched bytes that were kept.",
           cache.stored_bytes);
    metric(out, "disk_cache_dropped_bytes_total", "counter",
           "Fetched bytes that were not kept, because disk or memory did not follow.", cache.dropped_bytes);
    metric(out, "disk_cache_evictions_total", "counter", "Objects removed for others.", cache.evictions);
    metric(out, "disk_cache_damaged_total", "counter", "Ranges or files that were not as they were left.",
           cache.damaged);
}

/* What is on its way or could not be stored, by state. */
typedef struct {
    guint64 count, bytes, oldest_s, attempts;
} UploadSums;

static void
append_upload_metric(GString *out, const char *name, const char *help, const UploadSums *sums, gsize offset)
{
    static const char *const states[] = {"writing", "publishing", "parked", "waiting"};
    g_string_append_printf(out, "# HELP storagefs_%s %s\n# TYPE storagefs_%s gauge\n", name, help, name);
    for (guint i = 0; i < G_N_ELEMENTS(states); i++)
        g_string_append_printf(out, "storagefs_%s{state=\"%s\"} %" G_GUINT64_FORMAT "\n", name, states[i],
                               G_STRUCT_MEMBER(guint64, &sums[i], offset));
}

static void
append_upload_metrics(GString *out, Front *front)
{
    UploadSums sums[UPLOAD_WAITING + 1] = {{0}};
    g_autoptr(GPtrArray) uploads = object_store_list_uploads(front->store);
    for (guint i = 0; i < uploads->len; i++) {
        const UploadStatus *upload = uploads->pdata[i];
        UploadSums *sum = &sums[upload->state];
        sum->count++;
        sum->bytes += upload->size_bytes;
        sum->attempts += upload->attempts;
        sum->oldest_s = MAX(sum->oldest_s, (guint64)(upload->age_us / G_USEC_PER_SEC));
    }
    append_upload_metric(out, "uploads", "Objects that are not stored yet.", sums,
                         offsetof(UploadSums, count));
    append_upload_metric(out, "upload_bytes", "Their bytes.", sums, offsetof(UploadSums, bytes));
    append_upload_metric(out, "upload_oldest_seconds", "The age of the oldest one.", sums,
                         offsetof(UploadSums, oldest_s));
    append_upload_metric(out, "upload_attempts", "Attempts to store them.", sums,
                         offsetof(UploadSums, attempts));
}

GString *
front_metrics_text(Front *front)
{
    GString *out = g_string_new(NULL);
    ObjectStoreStatistics store;
    object_store_get_statistics(front->store, &store);
    metric(out, "memory_limit_bytes", "gauge", "Bound of all buffers.", store.memory_limit_bytes);
    metric(out, "memory_used_bytes", "gauge", "Buffers in use.", store.memory_used_bytes);
    metric(out, "open_files", "gauge", "Objects that are open.", store.open_files);
    metric(out, "staged_bytes", "gauge", "Written bytes that are not stored yet.", store.staged_bytes);
    metric(out, "publications_total", "counter", "Objects stored.", store.publications);
    metric(out, "publication_failures_total", "counter", "Objects that could not be stored.",
           store.publication_failures);
    metric(out, "block_hits_total", "counter", "Reads answered from memory.", store.block_hits);
    metric(out, "block_misses_total", "counter", "Reads that asked the storage.", store.block_misses);
    PassthroughStatistics passthrough;
    front_passthrough_get_statistics(front->passthrough, &passthrough);
    metric(out, "passthrough_opens_total", "counter", "Opens whose bytes the kernel reads and writes itself.",
           passthrough.opens);
    metric(out, "errors_total", "counter", "Failures logged as errors.",
           __atomic_load_n(&front->errors, __ATOMIC_RELAXED));
    append_disk_cache_metrics(out, front);
    metric(out, "journal_bytes", "gauge", "Bytes that only the journal has.", store.journal_bytes);
    metric(out, "journal_limit_bytes", "gauge", "What it may have; 0: no limit.", store.journal_limit_bytes);
    append_upload_metrics(out, front);
    append_storage_metrics(out, front);
    return out;
}
