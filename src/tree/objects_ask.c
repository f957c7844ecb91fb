/* How one name is asked for: by a listing, a HEAD, or a GET of the whole small object (small_object.h), which
 * saves the request that reads it. Whole objects are worth their bytes only while files of the directory are
 * read: what was fetched so and not opened yet is counted, and its bound grows with the reads that were seen.
 */
#include "src/object/small_object.h"
#include "src/tree/objects.h"

#define FIRST_UNREAD 4u
#define MAXIMUM_UNREAD 64u
#define MAXIMUM_READS_SEEN (MAXIMUM_UNREAD / 4)
#define READS_BEFORE_GUESSING 2u
/* So many looks in a row without one: nobody reads any more. */
#define LOOKS_AFTER_READS 8u

static gboolean
may_guess(FolderState *folder)
{
    return folder->wholes_unread < MIN(FIRST_UNREAD + 4u * folder->reads_seen, MAXIMUM_UNREAD);
}

static gboolean
is_worth_guessing(FolderState *folder, const EntryFacts *listed, LookDepth depth)
{
    if (listed->size_bytes == 0 || listed->kind != NODE_FILE || listed->flags & FACT_EXACT)
        return FALSE;
    if (!entry_facts_is_ambiguous(listed) &&
        (depth == LOOK_KIND || folder->reads_seen < READS_BEFORE_GUESSING ||
         listed->size_bytes > OBJECTS_GUESS_MAX_BYTES))
        return FALSE;
    return may_guess(folder);
}

ObjectsAsk
objects_choose_ask(Node *directory, const Node *node, const EntryFacts *listed, LookDepth depth)
{
    const ObjectsAsk head = {.metadata = TRUE};
    if (depth == LOOK_DETAILS)
        return head;
    if (!storage_get_settings(node_get_storage(directory))->exact_attributes)
        return (ObjectsAsk){.metadata = FALSE};
    /* Where the kernel may still have the pages a HEAD is enough. */
    if (node != NULL && node->facts.flags & FACT_EXACT)
        return head;
    /* An open file is read right after it was asked for its attributes. */
    if (node != NULL && node->kind == NODE_FILE && node->file != NULL) {
        gboolean small = node->facts.size_bytes <= SMALL_OBJECT_MAX_BYTES;
        return (ObjectsAsk){TRUE, small ? (gsize)node->facts.size_bytes : 0};
    }
    if (listed == NULL || !is_worth_guessing(directory->folder, listed, depth))
        return head;
    directory->folder->wholes_unread++;
    return (ObjectsAsk){TRUE, (gsize)listed->size_bytes};
}

ObjectsAsk
objects_ask_less(Tree *tree, const NodePlace *place, const EntryFacts *facts, ObjectsAsk ask)
{
    if (ask.whole_bytes == 0 || facts == NULL || place->key == NULL)
        return ask;
    g_autofree char *etag = version_tag_dup(&facts->tag);
    if (etag != NULL && small_object_is_on_disk(tree->store, place->storage, place->container, place->key,
                                                etag, ask.whole_bytes))
        ask.whole_bytes = 0;
    return ask;
}

void
objects_ask_note_look(Node *directory)
{
    FolderState *folder = directory->folder;
    if (folder->reads_seen > 0 && ++folder->looks_unread > LOOKS_AFTER_READS)
        folder->reads_seen = 0;
}

void
objects_ask_note_read(Node *directory)
{
    FolderState *folder = directory->folder;
    folder->reads_seen = (guint8)MIN(folder->reads_seen + 1u, MAXIMUM_READS_SEEN);
    folder->wholes_unread -= folder->wholes_unread > 0;
    folder->looks_unread = 0;
}
