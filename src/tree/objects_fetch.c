/* Asking the store about one name: HEAD of the object, listing of the folder, both at once when it could be
 * either. Touches no Node.
 */
#include "src/tree/objects.h"

#include "src/object/small_object.h"

#include <string.h>

void
objects_fetched_clear(ObjectsFetched *fetched)
{
    entry_facts_clear(&fetched->facts);
    object_info_clear(&fetched->info);
    memset(fetched, 0, sizeof *fetched);
}

gboolean
objects_fetch_first(Storage *storage, Call *call, const char *container, const char *prefix, guint limit,
                    ListPage *out, GError **error)
{
    ListQuery query = {.prefix = prefix, .limit = limit, .want_metadata = TRUE};
    return storage_list_objects(storage, call, container, &query, out, error);
}

/* NOT_FOUND means absent, everything else is a failure. */
static gboolean
is_absence(GError *failure, GError **error)
{
    if (error_is(failure, ERROR_NOT_FOUND)) {
        g_error_free(failure);
        return TRUE;
    }
    g_propagate_error(error, failure);
    return FALSE;
}

static gboolean
ask_first(const NodePlace *place, Call *call, const char *prefix, ObjectInfo *out, GError **error)
{
    g_auto(ListPage) page;
    list_page_init(&page);
    GError *failure = NULL;
    if (!objects_fetch_first(place->storage, call, place->container, prefix, 1, &page, &failure))
        return is_absence(failure, error);
    if (page.objects->len > 0)
        object_info_copy(out, &g_array_index(page.objects, ObjectInfo, 0));
    return TRUE;
}

static gboolean
ask_object(Tree *tree, const NodePlace *place, Call *call, ObjectsAsk ask, ObjectInfo *out, GError **error)
{
    GError *failure = NULL;
    if (ask.metadata) {
        gboolean found =
            ask.whole_bytes > 0
                ? small_object_stat(tree->store, call, place->storage, place->container, place->key,
                                    ask.whole_bytes, out, &failure)
                : storage_stat_object(place->storage, call, place->container, place->key, out, &failure);
        if (!found)
            return is_absence(failure, error);
        if (out->key == NULL)
            out->key = g_strdup(place->key);
        return TRUE;
    }
    if (!ask_first(place, call, place->key, out, error))
        return FALSE;
    if (out->key != NULL && strcmp(out->key, place->key) != 0)
        object_info_clear(out);
    return TRUE;
}

typedef struct {
    Tree *tree;
    Call *call;
    const NodePlace *place;
    ObjectsAsk ask;
    gboolean is_known_folder;
    ObjectsFetched fetched;
    GError *error;
    gboolean ok;
} FolderQuestion;

static gboolean
take_marker(FolderQuestion *question, ObjectInfo *marker)
{
    const NodePlace *place = question->place;
    AttributeDefaults defaults;
    tree_core_get_defaults(question->tree, &defaults);
    gboolean with_head = question->ask.metadata && marker->metadata == NULL;
    if (with_head) {
        GError *failure = NULL;
        object_info_clear(marker);
        if (!storage_stat_object(place->storage, question->call, place->container, place->prefix, marker,
                                 &failure) &&
            !is_absence(failure, &question->error))
            return FALSE;
    }
    EntryFacts *facts = &question->fetched.facts;
    gboolean has_marker = marker->size_bytes == 0 && (marker->etag != NULL || marker->metadata != NULL);
    if (has_marker) {
        g_free(marker->key);
        marker->key = g_strdup(place->prefix);
        entry_facts_from_info(facts, marker, &defaults, TRUE, tree_core_now());
        facts->kind = NODE_FOLDER;
        facts->flags |= FACT_MARKER;
        question->fetched.info = *marker;
        memset(marker, 0, sizeof *marker);
    } else {
        entry_facts_from_folder(facts, &defaults, tree_core_now());
        facts->flags |= FACT_EXACT;
    }
    facts->flags |= FACT_MARKER_ASKED;
    question->fetched.present = TRUE;
    return TRUE;
}

/* The marker sorts before everything below the folder, so one key tells both. */
static void
ask_folder(gpointer data)
{
    FolderQuestion *question = data;
    const NodePlace *place = question->place;
    g_auto(ObjectInfo) first = {0};
    if (question->is_known_folder) {
        question->ok = take_marker(question, &first);
        return;
    }
    question->ok = ask_first(place, question->call, place->prefix, &first, &question->error);
    if (!question->ok || first.key == NULL)
        return;
    gboolean is_marker = strcmp(first.key, place->prefix) == 0;
    if (!is_marker) {
        object_info_clear(&first);
        AttributeDefaults defaults;
        tree_core_get_defaults(question->tree, &defaults);
        entry_facts_from_folder(&question->fetched.facts, &defaults, tree_core_now());
        question->fetched.facts.flags |= FACT_EXACT | FACT_MARKER_ASKED;
        question->fetched.present = TRUE;
        return;
    }
    question->ok = take_marker(question, &first);
}

gboolean
objects_fetched_take(Tree *tree, const NodePlace *place, ObjectInfo *info, ObjectsFetched *out)
{
    if (info->key == NULL ||
        objects_removal_hides(tree, place->storage, place->container, info, out->asked_us))
        return FALSE;
    /* An empty object whose key ends in '/' is the mark of its folder, not a file in it. */
    gboolean in_folders = storage_get_settings(place->storage)->folders;
    if (in_folders && info->size_bytes == 0 && g_str_has_suffix(place->key, "/"))
        return FALSE;
    AttributeDefaults defaults;
    tree_core_get_defaults(tree, &defaults);
    entry_facts_from_info(&out->facts, info, &defaults, in_folders && !place->beside, tree_core_now());
    if (out->facts.kind == NODE_FOLDER)
        out->facts.flags |= FACT_BARE_MARK;
    object_info_clear(&out->info);
    out->info = *info;
    memset(info, 0, sizeof *info);
    out->present = TRUE;
    return TRUE;
}

/* An object that gives way is there when its folder is, too; one inside its own marker's key always is. */
static gboolean
fetch_beside(Tree *tree, Call *call, const NodePlace *place, ObjectsAsk ask, ObjectsFetched *out,
             GError **error)
{
    g_auto(ObjectInfo) info = {0}, below = {0};
    if (!ask_object(tree, place, call, ask, &info, error))
        return FALSE;
    if (info.key == NULL)
        return TRUE;
    if (!g_str_has_suffix(place->key, "/")) {
        g_autofree char *prefix = g_strconcat(place->key, "/", NULL);
        if (!ask_first(place, call, prefix, &below, error))
            return FALSE;
        if (below.key == NULL)
            return TRUE;
    }
    objects_fetched_take(tree, place, &info, out);
    return TRUE;
}

static gboolean
take_folder(FolderQuestion *question, ObjectsFetched *out, GError **error)
{
    if (!question->ok) {
        g_propagate_error(error, g_steal_pointer(&question->error));
        return FALSE;
    }
    if (question->fetched.present) {
        guint8 bare = out->present && out->facts.kind == NODE_FOLDER ? FACT_BARE_MARK : 0;
        objects_fetched_clear(out);
        *out = question->fetched;
        out->facts.flags |= bare;
        memset(&question->fetched, 0, sizeof question->fetched);
    }
    return TRUE;
}

static gboolean
fetch_in_order(Tree *tree, Call *call, const NodePlace *place, FolderQuestion *question,
               gboolean folder_first, ObjectsFetched *out, GError **error)
{
    for (guint step = 0; step < 2 && !out->present; step++) {
        g_auto(ObjectInfo) info = {0};
        if ((step == 0) == folder_first) {
            ask_folder(question);
            if (!take_folder(question, out, error))
                return FALSE;
        } else if (place->key != NULL) {
            if (!ask_object(tree, place, call, question->ask, &info, error))
                return FALSE;
            objects_fetched_take(tree, place, &info, out);
        }
    }
    return TRUE;
}

static gboolean
fetch_both(Tree *tree, Call *call, const NodePlace *place, FolderQuestion *question, ObjectsFetched *out,
           GError **error)
{
    g_auto(ObjectInfo) info = {0};
    WorkerGroup *group = worker_group_new(storage_get_lane(place->storage, STORAGE_LANE_TRANSFERS), 0);
    worker_group_push(group, ask_folder, question);
    gboolean ok = ask_object(tree, place, call, question->ask, &info, error);
    worker_group_wait(group);
    worker_group_free(group);
    if (!ok) {
        g_clear_error(&question->error);
        return FALSE;
    }
    objects_fetched_take(tree, place, &info, out);
    return take_folder(question, out, error);
}

gboolean
objects_fetch(Tree *tree, Call *call, const NodePlace *place, ObjectsHint hint, ObjectsAsk ask,
              ObjectsFetched *out, GError **error)
{
    out->asked_us = tree_core_now();
    if (place->beside)
        return fetch_beside(tree, call, place, ask, out, error);
    FolderQuestion question = {.tree = tree,
                               .call = call,
                               .place = place,
                               .ask = ask,
                               .is_known_folder = hint == HINT_LISTED_FOLDER};
    gboolean ok;
    if (place->prefix == NULL) {
        g_auto(ObjectInfo) info = {0};
        ok = ask_object(tree, place, call, ask, &info, error);
        if (ok)
            objects_fetched_take(tree, place, &info, out);
    } else if (hint == HINT_NONE && place->key != NULL) {
        ok = fetch_both(tree, call, place, &question, out, error);
    } else {
        ok = fetch_in_order(tree, call, place, &question, hint != HINT_OBJECT, out, error);
    }
    objects_fetched_clear(&question.fetched);
    return ok;
}
