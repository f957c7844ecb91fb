/* What is known of one name: kind, attributes, version, and since when. Part of a Node and of a ListEntry, so
 * it is kept small. Pure data; the tree's lock protects it where it is shared.
 */
#pragma once

#include "src/object/attributes.h"
#include "src/tree/version_tag.h"

#include <glib.h>

typedef enum {
    NODE_ROOT,
    NODE_DEFAULT, /* the symlink MNT/default */
    NODE_LINK,    /* a symlink in MNT on its way to become the default (ln -sfn) */
    NODE_STORAGE,
    NODE_CONTAINER,
    NODE_FOLDER,
    NODE_FILE,
    NODE_SYMLINK
} NodeKind;

enum {
    FACT_EXACT = 1,        /* metadata was looked at: attributes are the object's own */
    FACT_MARKER = 2,       /* folder: the object "name/" exists */
    FACT_MARKER_ASKED = 4, /* folder: FACT_MARKER is known, not a guess */
    FACT_BARE_MARK = 8,    /* folder: an object "name" marks it (foreign writers) */
    FACT_ASKING = 16,      /* list entry: a HEAD for it is under way */
    FACT_BESIDE = 32,      /* list entry: an object that gives its name to a folder */
    FACT_PREFIX = 64,      /* list entry: it came as a prefix, and sorts with its '/' */
    FACT_PROBED = 128      /* list entry: FACT_BESIDE was asked for */
};

typedef struct {
    guint64 size_bytes;
    gint64 mtime_ns;
    gint64 known_at_us; /* monotonic */
    uid_t uid;
    gid_t gid;
    guint16 mode; /* permission bits */
    guint8 kind;  /* NodeKind */
    guint8 flags; /* FACT_* */
    VersionTag tag;
} EntryFacts;
/* Every known name has one, looked-up ones two. */
G_STATIC_ASSERT(sizeof(EntryFacts) <= 56);

/* S_IFMT bits of a kind. */
mode_t entry_facts_type(NodeKind kind);
/* in_folders: the folder layout, where a mark makes a folder; else what is no symlink is a file. */
void entry_facts_from_info(EntryFacts *facts, const ObjectInfo *info, const AttributeDefaults *defaults,
                           gboolean in_folders, gint64 now_us);
/* A folder of which nothing but its existence is known. */
void entry_facts_from_folder(EntryFacts *facts, const AttributeDefaults *defaults, gint64 now_us);
void entry_facts_from_attributes(EntryFacts *facts, const FileAttributes *attributes);
void entry_facts_to_attributes(const EntryFacts *facts, FileAttributes *out);
void entry_facts_copy(EntryFacts *to, const EntryFacts *from); /* gives up what `to` held */
void entry_facts_clear(EntryFacts *facts);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EntryFacts, entry_facts_clear)

/* A newer look saw the same version, and less of it than a HEAD has told. */
gboolean entry_facts_say_more(const EntryFacts *facts, const EntryFacts *newer);
/* Takes over a newer look: where the version is the same, what a HEAD once told is kept. TRUE when the
 * content is another one than before. */
gboolean entry_facts_update(EntryFacts *facts, const EntryFacts *newer);
/* TRUE when a file of this size, its metadata unknown, could still be a symlink or a folder's mark. */
gboolean entry_facts_is_ambiguous(const EntryFacts *facts);
