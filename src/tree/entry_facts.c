/* What is known of one name, see entry_facts.h. */
#include "src/tree/entry_facts.h"

#include <limits.h>
#include <string.h>

mode_t
entry_facts_type(NodeKind kind)
{
    switch (kind) {
    case NODE_FILE:
        return S_IFREG;
    case NODE_DEFAULT:
    case NODE_LINK:
    case NODE_SYMLINK:
        return S_IFLNK;
    default:
        return S_IFDIR;
    }
}

static NodeKind
kind_of_mode(mode_t mode, gboolean in_folders)
{
    if (S_ISLNK(mode))
        return NODE_SYMLINK;
    return S_ISDIR(mode) && in_folders ? NODE_FOLDER : NODE_FILE;
}

void
entry_facts_from_attributes(EntryFacts *facts, const FileAttributes *attributes)
{
    facts->size_bytes = attributes->size_bytes;
    facts->mtime_ns = attributes->mtime_ns;
    facts->mode = (guint16)(attributes->mode & 07777);
    facts->uid = attributes->uid;
    facts->gid = attributes->gid;
}

void
entry_facts_to_attributes(const EntryFacts *facts, FileAttributes *out)
{
    *out = (FileAttributes){.size_bytes = facts->size_bytes,
                            .mtime_ns = facts->mtime_ns,
                            .mode = entry_facts_type((NodeKind)facts->kind) | facts->mode,
                            .uid = facts->uid,
                            .gid = facts->gid};
}

void
entry_facts_from_info(EntryFacts *facts, const ObjectInfo *info, const AttributeDefaults *defaults,
                      gboolean in_folders, gint64 now_us)
{
    FileAttributes attributes;
    attributes_decode(info, defaults, &attributes);
    entry_facts_clear(facts);
    entry_facts_from_attributes(facts, &attributes);
    facts->kind = (guint8)kind_of_mode(attributes.mode, in_folders);
    if (S_ISDIR(attributes.mode) && !in_folders)
        facts->mode = (guint16)(defaults->file_mode & 07777);
    facts->flags = info->metadata != NULL ? FACT_EXACT : 0;
    facts->known_at_us = now_us;
    version_tag_set(&facts->tag, info->etag);
}

void
entry_facts_from_folder(EntryFacts *facts, const AttributeDefaults *defaults, gint64 now_us)
{
    entry_facts_clear(facts);
    facts->kind = NODE_FOLDER;
    facts->mode = (guint16)(defaults->folder_mode & 07777);
    facts->uid = defaults->uid;
    facts->gid = defaults->gid;
    facts->known_at_us = now_us;
}

void
entry_facts_copy(EntryFacts *to, const EntryFacts *from)
{
    if (to == from)
        return;
    VersionTag tag = {0};
    version_tag_copy(&tag, &from->tag);
    version_tag_clear(&to->tag);
    *to = *from;
    to->tag = tag;
}

void
entry_facts_clear(EntryFacts *facts)
{
    version_tag_clear(&facts->tag);
    memset(facts, 0, sizeof *facts);
}

/* Folders have no version: a listing only repeats that they exist. */
static gboolean
is_same_version(const EntryFacts *facts, const EntryFacts *newer)
{
    if (newer->kind == NODE_FOLDER || newer->kind == NODE_CONTAINER)
        return facts->kind == newer->kind;
    /* A symlink's size may be that of a target that no listing tells. */
    gboolean same_size = facts->size_bytes == newer->size_bytes || facts->kind == NODE_SYMLINK;
    return version_tag_equal(&facts->tag, &newer->tag) && same_size;
}

gboolean
entry_facts_say_more(const EntryFacts *facts, const EntryFacts *newer)
{
    return (facts->flags & FACT_EXACT) && !(newer->flags & FACT_EXACT) && is_same_version(facts, newer);
}

gboolean
entry_facts_update(EntryFacts *facts, const EntryFacts *newer)
{
    gboolean same = is_same_version(facts, newer);
    if (entry_facts_say_more(facts, newer)) {
        facts->known_at_us = MAX(facts->known_at_us, newer->known_at_us);
        return FALSE;
    }
    guint8 kept = same ? facts->flags & (FACT_MARKER | FACT_MARKER_ASKED | FACT_BARE_MARK) : 0;
    entry_facts_copy(facts, newer);
    if (!(facts->flags & FACT_MARKER_ASKED))
        facts->flags |= kept;
    return !same;
}

gboolean
entry_facts_is_ambiguous(const EntryFacts *facts)
{
    return facts->kind == NODE_FILE && !(facts->flags & FACT_EXACT) && facts->size_bytes < PATH_MAX;
}
