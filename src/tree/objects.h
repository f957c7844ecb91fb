/* Containers and folders of object services, and what lies in them: what is known and how to ask, listings,
 * open objects, changes. Reading order: objects_look.c, objects_recall.c, objects_ask.c, objects_fetch.c,
 * objects_pages.c, objects_details.c, objects_ahead.c, objects_entry.c, objects_attributes.c, objects_open.c,
 * objects_order.c, objects_change.c, objects_linger.c, objects_removal.c, objects_doubt.c, objects_folder.c,
 * objects_rename*.c, objects_move.c, objects_journal.c, objects_xattr.c; objects.c is the table.
 */
#pragma once

#include "src/object/loan.h"
#include "src/tree/tree_core.h"

extern const TreeOperations objects_operations;

typedef enum {
    LOOK_KIND,       /* what it is: enough for a look-up and for opening to read */
    LOOK_ATTRIBUTES, /* all that stat shows */
    LOOK_DETAILS, /* the whole ObjectInfo, in tree->details or the open file: objects_get_details_locked() */
    LOOK_VERSION  /* the same, to change a file: its version alone will do where that must be recalled */
} LookDepth;

/* objects_look.c. From what is known alone, at time now_us. ANSWERED: *out_node is attached (hold it or use
 * it before the lock is given up). may_change FALSE: nothing that would have to be announced is taken over.
 */
TreeReady objects_known_locked(Tree *tree, Node *parent, const char *name, LookDepth depth,
                               gboolean may_change, gint64 now_us, Node **out_node,
                               gint64 *out_absent_valid_us) REQUIRES(tree->lock);
/* Asks the store when what is known is too old or not enough. *out_node: a reference, NULL when absent. One
 * listing answers for all names of a directory that need a look at about the same time. */
gboolean objects_look(Tree *tree, Call *call, Node *parent, const char *name, LookDepth depth,
                      Node **out_node, GError **error);
/* objects_recall() for a Node one has. Fails: NOT_FOUND, CHANGED (the name is another Node's now). */
gboolean objects_look_node(Tree *tree, Call *call, Node *node, LookDepth depth, GError **error);
/* Takes facts over into the name's Node. info may be NULL. */
Node *objects_apply_locked(Tree *tree, Node *parent, const char *name, const EntryFacts *facts,
                           const ObjectInfo *info) REQUIRES(tree->lock);
/* The name went away here: Node, listings and count of changes. */
void objects_vanished_locked(Tree *tree, Node *parent, const char *name) REQUIRES(tree->lock);
/* Something was made or published here: listings and count of changes. */
void objects_appeared_locked(Tree *tree, Node *node) REQUIRES(tree->lock);
gboolean objects_fail_absent(Tree *tree, Node *parent, const char *name, GError **error);
gboolean objects_is_deep_locked(Tree *tree, Node *node, LookDepth depth) REQUIRES(tree->lock);

/* objects_recall.c. As objects_look(); but while a storage whose files wait in the journal does not answer,
 * what was known before is the answer, and a name of which nothing is known is absent: whatever is done then
 * must replace nothing else. *out_absent_valid_us: how long an absence holds, 0 when it was recalled. */
gboolean objects_recall(Tree *tree, Call *call, Node *parent, const char *name, LookDepth depth,
                        Node **out_node, gint64 *out_absent_valid_us, GError **error);
/* The same for other requests. Ask with `call` if `asks`; a failure that objects_recall_takes() is none when
 * something is known from before. */
typedef struct {
    Tree *tree;
    Call *call;       /* gives the request the time that it is worth then; lives as long as this */
    gboolean asks;    /* FALSE: there was no answer a moment ago */
    Storage *storage; /* a reference; NULL: nothing is recalled here */
    Call *own_call;
    Listing *kept;
} ObjectsRecall;
void objects_recall_begin(ObjectsRecall *recall, Tree *tree, Call *call, Node *directory);
void objects_recall_end(ObjectsRecall *recall);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ObjectsRecall, objects_recall_end)
gboolean objects_recall_takes(const ObjectsRecall *recall, const GError *failure);
/* Before a new listing takes its place: keeps the complete one that there is. objects_recall_bring_back()
 * makes it the newest again, when it did not come to anything; objects_recall_listing() gives a reference of
 * it, too. NULL: there was none. */
void objects_recall_keep_listing(ObjectsRecall *recall, Node *directory);
void objects_recall_bring_back(ObjectsRecall *recall);
Listing *objects_recall_listing(ObjectsRecall *recall);
/* The directory's listing as objects_open_listing() gives it, or the kept one. */
gboolean objects_recall_open_listing(Tree *tree, Call *call, Node *node, Listing **out, GError **error);

/* objects_ask.c. How to ask for one name: listed may be NULL, and so may the Node. */
typedef struct {
    gboolean metadata; /* by HEAD; FALSE: by listings of one key */
    gsize whole_bytes; /* not 0: the object by a GET of so many bytes, see small_object.h */
} ObjectsAsk;
/* Of a file nobody has open. A listed smaller one may be a symlink, so it costs a request anyway. */
#define OBJECTS_GUESS_MAX_BYTES (64u << 10)
ObjectsAsk objects_choose_ask(Node *directory, const Node *node, const EntryFacts *listed, LookDepth depth);
/* The same, for a GET of the whole where a HEAD will do: the disk cache has the listed version. */
ObjectsAsk objects_ask_less(Tree *tree, const NodePlace *place, const EntryFacts *facts, ObjectsAsk ask);
/* A name of this directory was looked at; a file of it was opened for reading. */
void objects_ask_note_look(Node *directory);
void objects_ask_note_read(Node *directory);

/* objects_fetch.c. What the store says about a name. info may be NULL in listings; *out_present FALSE: none.
 */
typedef struct {
    EntryFacts facts;
    ObjectInfo info; /* of the object or the folder's marker; info.key NULL: not asked for */
    gboolean present;
    gint64 asked_us; /* what it says is no older */
} ObjectsFetched;
typedef enum { HINT_NONE, HINT_OBJECT, HINT_FOLDER, HINT_LISTED_FOLDER } ObjectsHint;
gboolean objects_fetch(Tree *tree, Call *call, const NodePlace *place, ObjectsHint hint, ObjectsAsk ask,
                       ObjectsFetched *out, GError **error);
/* Takes over what the store told about the object at `place`, asked at out->asked_us; info is empty then.
 * FALSE: that is no name here.
 */
gboolean objects_fetched_take(Tree *tree, const NodePlace *place, ObjectInfo *info, ObjectsFetched *out);
void objects_fetched_clear(ObjectsFetched *fetched);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ObjectsFetched, objects_fetched_clear)
/* Up to `limit` keys below a prefix, all levels. */
gboolean objects_fetch_first(Storage *storage, Call *call, const char *container, const char *prefix,
                             guint limit, ListPage *out, GError **error);

/* objects_pages.c */
gboolean objects_open_listing(Tree *tree, Call *call, Node *node, Listing **out, GError **error);
gboolean objects_fetch_page(Tree *tree, Call *call, Node *node, Listing *listing, GError **error);
/* `pages` more, or to the end, side by side where the service can. */
gboolean objects_fetch_pages(Tree *tree, Call *call, Node *node, Listing *listing, guint pages,
                             GError **error);
void objects_prefetch_page(Tree *tree, Node *node, Listing *listing);
/* The newest listing when it is young enough to answer for absent names, else NULL. */
Listing *objects_get_fresh_listing(Node *directory, gint64 now_us);
/* The directory was made here: it is empty. */
void objects_know_empty_locked(Node *directory);

/* objects_details.c. A copy of the Node's details, which its open file knows, too, from then on; FALSE when
 * there are none. */
gboolean objects_get_details_locked(Tree *tree, Node *node, ObjectInfo *out) REQUIRES(tree->lock);
/* What is kept of a name that may have no Node, if these are its facts; borrowed, NULL: nothing. */
const ObjectInfo *objects_get_kept_locked(Tree *tree, Node *directory, const char *name,
                                          const EntryFacts *facts) REQUIRES(tree->lock);
/* objects_look_node() to LOOK_DETAILS, and a copy of them; *out stays empty for a folder without a marker. */
gboolean objects_fetch_details(Tree *tree, Call *call, Node *node, ObjectInfo *out, GError **error);

/* objects_ahead.c. A listed name's metadata is asked for: when names are asked for in listing order, the next
 * ones are fetched ahead. In attributes = listing that is so for LOOK_DETAILS only. */
void objects_ahead_note_locked(Tree *tree, Node *directory, Listing *listing, const char *name,
                               LookDepth depth) REQUIRES(tree->lock);
/* The same for a name whose metadata was known: keeps the window ahead of the reader. */
void objects_ahead_hit_locked(Tree *tree, Node *directory, const char *name, LookDepth depth)
    REQUIRES(tree->lock);
/* One of both, for a Node whose extended attributes are read. */
void objects_ahead_note_details_locked(Tree *tree, Node *node) REQUIRES(tree->lock);
/* What was fetched ahead for the listed name, which is present. */
void objects_ahead_take_locked(Tree *tree, Node *directory, const char *name, EntryFacts *listed,
                               const ObjectsFetched *fetched) REQUIRES(tree->lock);

/* objects_order.c. A file was opened for reading: when files are opened in the order of their listing, the
 * next small ones are fetched ahead. */
void objects_order_note_open_locked(Tree *tree, Node *node) REQUIRES(tree->lock);
/* One was closed without having been read. With the tree's lock held. */
void objects_order_note_unread_locked(Node *directory);

/* objects_open.c */
gboolean objects_open_ready(Tree *tree, Node *node, int flags, FileHandle **out_handle,
                            gboolean *out_keep_cache);
gboolean objects_open(Tree *tree, Call *call, Node *node, int flags, FileHandle **out_handle,
                      gboolean *out_keep_cache, GError **error);
TreeReady objects_create_ready(Tree *tree, Node *parent, const char *name, int flags,
                               const FileAttributes *made, TreeEntry *out, FileHandle **out_handle);
gboolean objects_create(Tree *tree, Call *call, Node *parent, const char *name, int flags,
                        const FileAttributes *made, TreeEntry *out, FileHandle **out_handle, GError **error);
void objects_release(Tree *tree, Call *call, Node *node, FileHandle *handle);
/* A handle that keeps an open file open while it is changed, because the kernel closes without waiting; NULL
 * when it is not open. objects_release() gives it back. */
FileHandle *objects_hold_open(Tree *tree, Node *node);

/* What is fetched for handles whose object must go now; beyond it their later reads give CHANGED. */
#define OBJECTS_DETACH_MAX_BYTES (256ull << 20)

/* Copies of the object that are not stored yet fetch its bytes (loan.h), before it is replaced, deleted or
 * moved; what is returned lives as long as that takes. NULL: error. */
LoanCall *objects_call_in_loans(Tree *tree, Call *call, const NodePlace *place, GError **error);

/* Makes the file the Node's, and keeps the Node; takes file. */
void objects_bind_locked(Tree *tree, Node *node, ObjectFile *file) REQUIRES(tree->lock);
/* For the Node's file. */
void objects_fill_events(Tree *tree, Node *node, ObjectFileEvents *out);
/* The Node's file is let go of when nobody uses it any more. */
void objects_settle(Tree *tree, Call *call, Node *node);

/* objects_journal.c. At the beginning: what the journal has is there. At the end: nothing is. */
void objects_journal_restore(Tree *tree);
void objects_journal_forget(Tree *tree);
/* The configuration was read again. Files of the journal's below a Node that `storage` had before go on below
 * its new one, which is made, open or not: one ObjectFile per key, and what waits stays in sight. */
gboolean objects_journal_is_left_behind(Tree *tree, Storage *storage);
void objects_journal_adopt_locked(Tree *tree, Storage *storage) REQUIRES(tree->lock);
/* Then: they are stored by the new storages, and so are strays whose storage has come. Blocks: yes. */
void objects_journal_rebind(Tree *tree);
/* Something below waits in the journal. With the tree's lock held. */
gboolean objects_journal_has_waiting(Tree *tree, const Node *directory);
/* Renames what waits in the journal and was never stored, in place of what `target` (NULL: nothing) has
 * stored. *out_moved FALSE: it is not such a file. */
gboolean objects_journal_move(Tree *tree, Call *call, ObjectFile *file, Node *target, const NodePlace *to,
                              gboolean *out_moved, GError **error);

/* objects_change.c */
/* The name's Node, however old what is known of it, unless it is open: then the service is asked once that is
 * old. *out_node: a reference. Fails: NOT_FOUND. */
gboolean objects_find(Tree *tree, Call *call, Node *parent, const char *name, Node **out_node,
                      GError **error);
gboolean objects_unlink(Tree *tree, Call *call, Node *parent, const char *name, GError **error);
gboolean objects_make_symlink(Tree *tree, Call *call, Node *parent, const char *name, const char *target,
                              uid_t uid, gid_t gid, TreeEntry *out, GError **error);
gboolean objects_read_symlink(Tree *tree, Call *call, Node *node, char **out_target, GError **error);
/* Deletes the objects of names that were unlinked below `directory` while open, or (name) of that one. */
gboolean objects_finish_lingering(Tree *tree, Call *call, Node *directory, GError **error);
gboolean objects_finish_lingering_node(Tree *tree, Call *call, Node *node, GError **error);
gboolean objects_finish_lingering_name(Tree *tree, Call *call, Node *directory, const char *name,
                                       GError **error);
/* Deletes the object of a lingering Node; file: what was the Node's, or NULL. FALSE: try again, which the
 * last try does not say. */
gboolean objects_try_lingering(Tree *tree, Call *call, Node *node, ObjectFile *file, gboolean last);
/* The last handle of a lingering Node was closed. */
void objects_end_lingering(Tree *tree, Call *call, Node *node, ObjectFile *file);

/* Deletes exactly the version that was unlinked: what others put there since is theirs. TRUE too when it is
 * gone or replaced. */
gboolean objects_delete_version(Call *call, const NodePlace *place, const char *etag, GError **error);

/* objects_removal.c. What is unlinked while open stays so when the process is killed, see there.
 * open: at the beginning, before anything is asked of a storage; start: when the journal is restored too;
 * stop, close: at the end. */
void objects_removal_open(Tree *tree);
void objects_removal_start(Tree *tree);
void objects_removal_stop(Tree *tree);
void objects_removal_close(Tree *tree);
/* Before unlink() of an open file is answered, after object_file_end_publishing(). Durable when it returns;
 * what cannot be written is logged, and keeps nobody from removing files. */
void objects_removal_note(Tree *tree, Node *node, ObjectFile *file);
/* The record of a Node, which is not one of the Node's any more; NULL when there is none. */
JournalRecord *objects_removal_take_locked(Tree *tree, Node *node) REQUIRES(tree->lock);
/* It is done, durably when this returns. Takes record, which may be NULL. */
void objects_removal_end(Tree *tree, JournalRecord *record);
/* It waits in the journal: then it was not removed. At the beginning. */
void objects_removal_overrule(Tree *tree, const JournalRecord *waiting);
/* What a storage has told, asked at asked_us, is an object that was removed before a crash. */
gboolean objects_removal_hides(Tree *tree, Storage *storage, const char *container, const ObjectInfo *info,
                               gint64 asked_us);
/* Takes such ones out of a page. */
void objects_removal_hide_listed_locked(Tree *tree, Storage *storage, const char *container, ListPage *page,
                                        gint64 asked_us) REQUIRES(tree->lock);
/* The name cannot be taken before objects_removal_finish_name(). */
gboolean objects_removal_is_left_locked(Tree *tree, Node *parent, const char *name) REQUIRES(tree->lock);
/* Deletes what such removals have left under the name, or below the directory, or below a prefix, now. */
gboolean objects_removal_finish_name(Tree *tree, Call *call, Node *parent, const char *name, GError **error);
gboolean objects_removal_finish_below(Tree *tree, Call *call, Node *directory, GError **error);
gboolean objects_removal_finish_prefix(Tree *tree, Call *call, const NodePlace *place, GError **error);

/* objects_linger.c. The service did not answer at the last close: the name stays hidden, and its object is
 * deleted in the background as soon as that can be done, at the latest when the tree is freed. */
void objects_linger(Tree *tree, Node *node, ObjectFile *file);
/* Between two tries: longer with each that failed, until the tree is closing. */
void objects_linger_wait_locked(Tree *tree, guint failures) REQUIRES(tree->lock);

/* objects_doubt.c. A change of a name failed. Without an answer it may have happened, or half of it: whoever
 * looks next asks the service. */
void objects_doubt_failure(Tree *tree, Node *parent, const char *name, const GError *failure);
/* Nothing is known of the name any more, but what is written here. node: what was it before, NULL: what is
 * it. */
void objects_doubt_locked(Tree *tree, Node *parent, const char *name, Node *node) REQUIRES(tree->lock);

/* objects_folder.c */
gboolean objects_make_directory(Tree *tree, Call *call, Node *parent, const char *name, mode_t mode,
                                uid_t uid, gid_t gid, TreeEntry *out, GError **error);
gboolean objects_remove_directory(Tree *tree, Call *call, Node *parent, const char *name, GError **error);
/* Before the object or prefix `key` below `folder` is deleted: if nothing else keeps the folder alive, its
 * marker is written. */
gboolean objects_keep_folder(Tree *tree, Call *call, Node *folder, const char *key, GError **error);
/* The same for the folder that the Node lies in. */
gboolean objects_keep_parent(Tree *tree, Call *call, Node *node, const char *key, GError **error);
/* Before the name is made: nothing has it, as far as is known (asks when too little is), and what lingers
 * there is ended. Fails: EXISTS. */
gboolean objects_check_absent(Tree *tree, Call *call, Node *parent, const char *name, GError **error);
/* Fails: NOT_EMPTY. */
gboolean objects_check_empty(Tree *tree, Call *call, Node *folder, GError **error);
gboolean objects_write_marker(Tree *tree, Call *call, const NodePlace *place,
                              const FileAttributes *attributes, Metadata *others, gboolean if_absent,
                              ObjectInfo *out_info, GError **error);

/* objects_entry.c, objects_attributes.c */
TreeReady objects_lookup_ready(Tree *tree, Node *parent, const char *name, TreeEntry *out,
                               gint64 *out_absent_valid_us);
gboolean objects_lookup(Tree *tree, Call *call, Node *parent, const char *name, TreeEntry *out,
                        gint64 *out_absent_valid_us, GError **error);
gboolean objects_stat_ready(Tree *tree, Node *node, FileHandle *handle, struct stat *out,
                            gint64 *out_valid_us);
gboolean objects_stat(Tree *tree, Call *call, Node *node, FileHandle *handle, struct stat *out,
                      gint64 *out_valid_us, GError **error);
gboolean objects_take(Tree *tree, Node *node, Listing *listing, const char *name, TreeEntry *out);
gboolean objects_set_attributes(Tree *tree, Call *call, Node *node, FileHandle *handle, unsigned valid,
                                const struct stat *attributes, const struct timespec times[2],
                                GError **error);
/* Stores metadata with a closed object or a folder's marker, whose details are known. *out_overtaken:
 * somebody has opened it meanwhile, and may have published it as it was before: they are to be set once more.
 */
gboolean objects_store_metadata(Tree *tree, Call *call, Node *node, const FileAttributes *attributes,
                                const char *content_type, Metadata *others, gboolean *out_overtaken,
                                GError **error);
/* How often they are set once more. */
#define OBJECTS_METADATA_ATTEMPTS 4u

/* objects_rename.c, objects_move.c */
gboolean objects_rename(Tree *tree, Call *call, Node *parent, const char *name, Node *new_parent,
                        const char *new_name, unsigned flags, GError **error);
/* Copies all keys below a prefix, then deletes the sources; journalled. The call's end stops the copying and
 * takes it back; once all is copied, nothing stops the deletion. */
gboolean objects_move_prefix(Tree *tree, Call *call, const NodePlace *from, const NodePlace *to,
                             GError **error);
/* Finishes folder renames that a crash interrupted, as far as their storages are there. */
void objects_move_recover(Tree *tree);

/* objects_xattr.c */
gboolean objects_get_xattr(Tree *tree, Call *call, Node *node, const char *name, GBytes **out_value,
                           GError **error);
gboolean objects_list_xattrs(Tree *tree, Call *call, Node *node, GBytes **out_names, GError **error);
gboolean objects_set_xattr(Tree *tree, Call *call, Node *node, const char *name, GBytes *value, int flags,
                           GError **error);
gboolean objects_remove_xattr(Tree *tree, Call *call, Node *node, const char *name, GError **error);
