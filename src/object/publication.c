#include "src/object/publication.h"

#include "src/base/error.h"
#include "src/object/file_content.h"
#include "src/object/object_doubt.h"
#include "src/object/part_sender.h"
#include "src/object/stream_upload.h"
#include "src/object/upload_begin.h"
#include "src/object/upload_plan.h"

typedef struct {
    ObjectFile *file;
    Call *call; /* without a deadline: each request gets the storage's time */
    PublicationResult *result;
    Capabilities can;
    char *container, *key;
    ObjectVersionPlace base; /* etag: the condition */
    gboolean is_new;
    gboolean uses_begun; /* some of what was sent while writing went on is committed */
    unsigned explicit_attributes;
    guint64 changes; /* the file's, when it began */
    char *content_type;
    Metadata *metadata; /* to be stored */
} Publication;

void
publication_result_clear(PublicationResult *result)
{
    object_info_clear(&result->info);
    object_info_clear(&result->confirmed);
}

/* Before the requests that store this: should nobody learn how they ended, it is looked for. */
static void
begin_attempt(const Publication *p, const WriteOptions *options, gboolean has_time)
{
    const Attempt values = {.size_bytes = p->result->attributes.size_bytes,
                            .changes = p->changes,
                            .is_new = options->if_absent,
                            .has_time = has_time,
                            .if_etag = (char *)options->if_etag,
                            .content_type = (char *)options->content_type,
                            .metadata = options->metadata};
    object_file_begin_attempt(p->file, attempt_new(&values));
}

/* What is published is what stood at this moment; attributes set later make the file dirty again. */
static void
publication_init(Publication *p, ObjectFile *file, Call *call, PublicationResult *result, gboolean content)
{
    *p = (Publication){.file = file, .call = call, .result = result};
    lock_acquire(&file->lock);
    p->container = g_strdup(file->container);
    p->key = g_strdup(file->key);
    p->content_type = g_strdup(file->content_type);
    p->is_new = file->base == NULL;
    p->explicit_attributes = file->explicit_attributes;
    p->changes = file->changes;
    result->attributes = file->attributes;
    p->metadata = attributes_encode(&file->attributes, file->others);
    if (content)
        attributes_forget_content(p->metadata);
    file->attributes_dirty = FALSE;
    lock_release(&file->lock);
    if (file->base != NULL)
        object_version_get_place(file->base, &p->base);
    storage_await_capabilities(object_file_get_storage(file), call, &p->can);
}

static void
publication_clear(Publication *p)
{
    object_version_place_clear(&p->base);
    g_free(p->container);
    g_free(p->key);
    g_free(p->content_type);
    g_hash_table_unref(p->metadata);
}

static WriteOptions
make_options(const Publication *p)
{
    return (WriteOptions){.content_type = p->content_type,
                          .metadata = p->metadata,
                          .if_etag = p->is_new ? NULL : p->base.etag,
                          .if_absent = p->is_new};
}

/* The content is stored. What the reply did not tell is asked for; when that fails, the first read pins the
 * version instead. */
static void
note_stored(Publication *p, ObjectInfo *stored, Metadata *metadata, gboolean need_time)
{
    ObjectInfo *info = &p->result->info;
    if (stored->etag == NULL || (need_time && stored->mtime_ns == 0)) {
        g_auto(ObjectInfo) asked = {0};
        if (storage_stat_object(object_file_get_storage(p->file), p->call, p->container, p->key, &asked,
                                NULL) &&
            (stored->etag == NULL || g_strcmp0(stored->etag, asked.etag) == 0)) {
            object_info_clear(stored);
            *stored = asked;
            asked = (ObjectInfo){0};
        }
    }
    object_info_clear(info);
    *info = *stored;
    *stored = (ObjectInfo){0};
    info->size_bytes = p->result->attributes.size_bytes;
    if (info->key == NULL)
        info->key = g_strdup(p->key);
    if (info->content_type == NULL)
        info->content_type = g_strdup(p->content_type);
    if (info->metadata != NULL)
        g_hash_table_unref(info->metadata);
    info->metadata = g_hash_table_ref(metadata);
    p->result->content_stored = TRUE;
}

/* These were looked into before they were told; after anything else the object may be stored, or be stored
 * yet.
 */
static gboolean
is_refusal(const GError *failure)
{
    return error_is(failure, ERROR_CHANGED) || error_is(failure, ERROR_EXISTS) ||
           error_is(failure, ERROR_NOT_FOUND) || error_is(failure, ERROR_UNSUPPORTED);
}

static gboolean
fail_in_doubt(Publication *p, GError *failure, GError **error)
{
    if (!is_refusal(failure)) {
        object_file_doubt_attempt(p->file);
        p->result->in_doubt = TRUE;
    }
    g_propagate_error(error, failure);
    return FALSE;
}

/* Before the request that makes it visible: given up until now, it is not sent; given up from now on, its end
 * is waited for, because a request that is cut off may be carried out all the same, and nobody would know of
 * the object.
 */
static gboolean
begin_last_request(Publication *p, GError **error)
{
    lock_acquire(&p->file->lock);
    gboolean dropped = p->file->dropped;
    p->file->publication_call = NULL;
    lock_release(&p->file->lock);
    if (dropped)
        g_set_error(error, STORAGEFS_ERROR, ERROR_CANCELLED, "%s was removed", p->key);
    return !dropped;
}

static gboolean
store_by_put(Publication *p, GError **error)
{
    g_auto(ObjectInfo) stored = {0};
    guint64 size_bytes = p->result->attributes.size_bytes;
    FileContentSource content;
    ByteSource source;
    GError *failure = NULL;
    WriteOptions options = make_options(p);
    /* A driver may read its source twice (a hash, a retry): what is remote is fetched once, before. */
    if (!file_content_stage(p->file, p->call, 0, size_bytes, error) || !begin_last_request(p, error))
        return FALSE;
    file_content_init_source(&content, p->file, p->call, 0, size_bytes, &source);
    if (!storage_write_object(object_file_get_storage(p->file), p->call, p->container, p->key, &source,
                              &options, &stored, &failure))
        return fail_in_doubt(p, failure, error);
    note_stored(p, &stored, p->metadata, FALSE);
    return TRUE;
}

static gboolean
store_by_copy(Publication *p, ObjectVersion *from, GError **error)
{
    g_auto(ObjectInfo) stored = {0};
    g_auto(ObjectVersionPlace) place = {0};
    GError *failure = NULL;
    WriteOptions options = make_options(p);
    if (!begin_last_request(p, error))
        return FALSE;
    object_version_get_place(from, &place);
    CopySource source = {place.container, place.key, place.etag};
    if (!storage_copy_object(object_file_get_storage(p->file), p->call, &source,
                             object_version_get_size(from), p->container, p->key, &options, &stored,
                             &failure)) {
        if (error_is(failure, ERROR_NOT_FOUND) && !object_version_check(from, p->call, error)) {
            g_error_free(failure);
            return FALSE;
        }
        return fail_in_doubt(p, failure, error);
    }
    if (!p->can.copy_checks_source && !object_version_check(from, p->call, error))
        return FALSE;
    note_stored(p, &stored, p->metadata, FALSE);
    return TRUE;
}

/* A service that does not compare the source's etag copies whatever is there: looked at before the commit. */
static gboolean
check_sources(Publication *p, const UploadPlan *plan, GError **error)
{
    g_autoptr(GHashTable) checked = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < plan->parts->len && !p->can.copy_checks_source; i++) {
        const PlanPart *part = &g_array_index(plan->parts, PlanPart, i);
        if (part->kind == PLAN_PART_COPIED && g_hash_table_add(checked, part->version) &&
            !object_version_check(part->version, p->call, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
commit(Publication *p, const char *upload_id, const UploadPlan *plan, GArray *parts,
       const WriteOptions *options, ObjectInfo *out_stored, GError **error)
{
    GError *failure = NULL;
    if (!check_sources(p, plan, error) || !call_check(p->call, error) || !begin_last_request(p, error))
        return FALSE;
    return storage_commit_upload(object_file_get_storage(p->file), p->call, p->container, p->key, upload_id,
                                 (const UploadPart *)(gpointer)parts->data, parts->len, options,
                                 p->result->attributes.size_bytes, out_stored, &failure) ||
           fail_in_doubt(p, failure, error);
}

static gboolean
send_and_commit(Publication *p, const char *upload_id, const UploadPlan *plan, const WriteOptions *options,
                ObjectInfo *out_stored, GError **error)
{
    PartSender sender = {p->file, p->call, p->container, p->key, upload_id, plan};
    g_autoptr(GArray) parts = part_sender_send(&sender, error);
    return parts != NULL && commit(p, upload_id, plan, parts, options, out_stored, error);
}

static gboolean
store_by_parts(Publication *p, const UploadPlan *plan, GError **error)
{
    g_auto(ObjectInfo) stored = {0};
    g_autofree char *upload_id = NULL;
    WriteOptions options = make_options(p);
    if (!upload_begin(p->file->store, object_file_get_storage(p->file), p->call, p->container, p->key,
                      &options, &upload_id, error))
        return FALSE;
    if (!send_and_commit(p, upload_id, plan, &options, &stored, error)) {
        storage_discard_upload(object_file_get_storage(p->file), p->container, p->key, upload_id);
        return FALSE;
    }
    note_stored(p, &stored, p->metadata, FALSE);
    return TRUE;
}

static gboolean
replace_metadata(Publication *p, const ObjectInfo *known, ObjectInfo *out_stored, GError **error)
{
    const WriteOptions options = {.content_type = p->content_type, .metadata = p->metadata};
    GError *failure = NULL;
    begin_attempt(p, &options, TRUE);
    /* A copy of a large object onto itself may need many requests. */
    if (storage_set_metadata(object_file_get_storage(p->file), p->call, p->container, p->key, known,
                             p->content_type, p->metadata, out_stored, &failure))
        return TRUE;
    return fail_in_doubt(p, failure, error);
}

static gboolean
equal_metadata(Metadata *a, Metadata *b)
{
    GHashTableIter iter;
    gpointer name = NULL, value = NULL;
    if (g_hash_table_size(a) != g_hash_table_size(b))
        return FALSE;
    g_hash_table_iter_init(&iter, a);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        if (g_strcmp0(g_hash_table_lookup(b, name), value) != 0)
            return FALSE;
    }
    return TRUE;
}

/* The upload began before the last write, so with what was known then; now the object must have what somebody
 * asked for since. A time nobody asked for is the service's. */
static gboolean
correct_metadata(Publication *p, Metadata *begun, const char *begun_type, gboolean begun_with_time,
                 GError **error)
{
    PublicationResult *result = p->result;
    gboolean asked = (p->explicit_attributes & FILE_SET_TIMES) != 0;
    if (!asked && !begun_with_time) {
        if (result->info.mtime_ns != 0)
            result->attributes.mtime_ns = result->info.mtime_ns;
        g_hash_table_remove(p->metadata, "mtime");
    }
    if (equal_metadata(begun, p->metadata) && g_strcmp0(begun_type, p->content_type) == 0)
        return TRUE;
    if (!asked) {
        FileAttributes attributes = result->attributes;
        g_autoptr(GHashTable) others = g_steal_pointer(&p->metadata);
        p->metadata = attributes_encode(&attributes, others);
    }
    g_auto(ObjectInfo) stored = {0};
    g_autoptr(GError) local_error = NULL;
    if (replace_metadata(p, &result->info, &stored, &local_error)) {
        note_stored(p, &stored, p->metadata, FALSE);
        return TRUE;
    }
    /* Where metadata cannot be changed, what the upload began with stays. */
    if (error_is(local_error, ERROR_UNSUPPORTED))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&local_error));
    return FALSE;
}

static gboolean
store_by_begun_upload(Publication *p, const UploadPlan *plan, GError **error)
{
    ObjectFile *file = p->file;
    g_auto(ObjectInfo) stored = {0};
    g_autoptr(GHashTable) begun = g_hash_table_ref(stream_upload_get_metadata(file));
    g_autofree char *begun_type = g_strdup(stream_upload_get_content_type(file));
    gboolean with_time = stream_upload_has_time(file);
    WriteOptions options = make_options(p);
    options.metadata = begun;
    options.content_type = begun_type;
    begin_attempt(p, &options, with_time);
    if (!send_and_commit(p, stream_upload_get_id(file), plan, &options, &stored, error)) {
        stream_upload_abandon(file);
        return FALSE;
    }
    stream_upload_finish(file);
    note_stored(p, &stored, begun, !with_time && (p->explicit_attributes & FILE_SET_TIMES) == 0);
    return correct_metadata(p, begun, begun_type, with_time, error);
}

/* Some services (RGW) commit only what names every part they were sent: not so when the file was cut since.
 */
static gboolean
names_all_begun(ObjectFile *file, const UploadPlan *plan)
{
    guint named = 0;
    for (guint i = 0; i < plan->parts->len; i++)
        named += stream_upload_has_part(file, g_array_index(plan->parts, PlanPart, i).number);
    return named == stream_upload_count_begun(file);
}

static gboolean
make_plan(Publication *p, UploadPlan *out, GError **error)
{
    ObjectFile *file = p->file;
    UploadPlanInput input = {.capabilities = &p->can,
                             .preferred_part_bytes =
                                 (guint64)storage_get_settings(object_file_get_storage(file))->part_bytes};
    if (stream_upload_has_begun(file)) {
        input.sent_layout = &file->layout;
        input.is_sent = stream_upload_is_sent;
        input.is_sent_data = file;
    }
    gboolean ok = upload_plan_make(file->extents, &input, out, error);
    if (ok && out->uses_sent && !names_all_begun(file, out)) {
        upload_plan_clear(out);
        input.sent_layout = NULL;
        ok = upload_plan_make(file->extents, &input, out, error);
    }
    if (!ok)
        g_prefix_error(error, "%s/%s: ", p->container, p->key);
    return ok;
}

static gboolean
store_once(Publication *p, GError **error)
{
    g_auto(UploadPlan) plan = {0};
    if (!stream_upload_settle(p->file, p->call, error) || !make_plan(p, &plan, error))
        return FALSE;
    p->uses_begun = plan.uses_sent;
    if (plan.uses_sent)
        return store_by_begun_upload(p, &plan, error);
    const WriteOptions options = make_options(p);
    begin_attempt(p, &options, TRUE);
    stream_upload_abandon(p->file);
    switch (plan.kind) {
    case UPLOAD_PLAN_COPY:
        return store_by_copy(p, plan.source, error);
    case UPLOAD_PLAN_PARTS:
        return store_by_parts(p, &plan, error);
    case UPLOAD_PLAN_PUT:
        break;
    }
    return store_by_put(p, error);
}

/* Nothing was written since: it is published, but for attributes. */
static gboolean
take_doubted(ObjectFile *file, Call *call, gboolean content, ObjectInfo *found, PublicationResult *result,
             GError **error)
{
    Publication p;
    g_autoptr(Attempt) done = attempt_ref(file->doubts->pdata[0]);
    publication_init(&p, file, call, result, content);
    note_stored(&p, found, done->metadata, FALSE);
    gboolean ok = correct_metadata(&p, done->metadata, done->content_type, done->has_time, error);
    publication_clear(&p);
    return ok;
}

/* Looks whether a publication that failed in doubt was carried out: or our own object would be taken for
 * somebody else's. *out_done: nothing is left to store, or (FALSE) that failed. */
static gboolean
resolve_doubt(ObjectFile *file, Call *call, gboolean content, PublicationResult *result, gboolean *out_done,
              GError **error)
{
    g_auto(ObjectInfo) found = {0};
    Doubt doubt = DOUBT_UNFOUNDED;
    *out_done = FALSE;
    if (file->doubts == NULL)
        return TRUE;
    if (!object_file_look_into_doubt(file, call, &doubt, &found, error))
        return FALSE;
    *out_done = doubt == DOUBT_DONE;
    if (*out_done)
        return take_doubted(file, call, content, &found, result, error);
    if (doubt == DOUBT_EARLIER) {
        object_file_build_on(file, &found);
        object_file_clear_doubt(file);
        result->confirmed = found;
        found = (ObjectInfo){0};
    }
    return TRUE;
}

static gboolean
store_content(ObjectFile *file, Call *call, PublicationResult *result, GError **error)
{
    Publication p;
    g_autoptr(GError) local_error = NULL;
    publication_init(&p, file, call, result, TRUE);
    gboolean ok = store_once(&p, &local_error);
    /* The service forgot an upload that took long: everything is still here. */
    if (!ok && p.uses_begun && !result->content_stored && error_is(local_error, ERROR_NOT_FOUND)) {
        g_clear_error(&local_error);
        ok = store_once(&p, &local_error);
    }
    if (!ok)
        g_propagate_error(error, g_steal_pointer(&local_error));
    publication_clear(&p);
    return ok;
}

static gboolean
store_attributes(ObjectFile *file, Call *call, PublicationResult *result, GError **error)
{
    Publication p;
    g_auto(ObjectInfo) known = {0}, stored = {0};
    publication_init(&p, file, call, result, FALSE);
    object_file_get_info(file, &known);
    gboolean ok = replace_metadata(&p, &known, &stored, error);
    if (ok)
        note_stored(&p, &stored, p.metadata, FALSE);
    publication_clear(&p);
    return ok;
}

/* What was in doubt may have arrived only after we looked: a refusal makes us look once more. */
static gboolean
store(ObjectFile *file, Call *call, gboolean content, PublicationResult *result, GError **error)
{
    for (guint round = 1;; round++) {
        gboolean done = FALSE;
        GError *failure = NULL;
        gboolean ok = resolve_doubt(file, call, content, result, &done, &failure) &&
                      (done || object_file_complete_base(file, call, &failure));
        if (ok && !done)
            ok = content ? store_content(file, call, result, &failure)
                         : store_attributes(file, call, result, &failure);
        if (ok)
            return TRUE;
        gboolean refused = is_refusal(failure) && !result->content_stored;
        if (!refused || round > 1 || file->doubts == NULL) {
            if (refused)
                object_file_clear_doubt(file);
            g_propagate_error(error, failure);
            return FALSE;
        }
        g_error_free(failure);
    }
}

gboolean
publication_store(ObjectFile *file, Call *call, PublicationResult *result, GError **error)
{
    return store(file, call, TRUE, result, error);
}

gboolean
publication_store_attributes(ObjectFile *file, Call *call, PublicationResult *result, GError **error)
{
    return store(file, call, FALSE, result, error);
}
