/* PUBLIC: what a driver is. This header, http.h, src/base and drivers/common are all that a driver sees.
 *
 * A driver is one const Driver table of blocking, thread-safe functions. It makes no retries (storage/retry.c
 * does), keeps no cache, writes no log, starts no threads, and holds no lock during I/O. Every function
 * blocks until done or until its Call ends; beside the codes named at each operation all may fail with
 * DENIED, TIMEOUT, CANCELLED, UNAVAILABLE, THROTTLED, PROTOCOL. NULL in the table means unsupported.
 *
 * Names: containers and keys are byte strings without NUL, exactly as the service has them. Nothing is ever
 * normalised. ETags are opaque version tokens, without quotes.
 */
#pragma once

#include "src/base/call.h"
#include "src/base/config.h"
#include "src/base/error.h"

#include <glib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define DRIVER_MAX_READ_BYTES (1u << 30)
#define DRIVER_MAX_KEY_BYTES 4096u
#define DRIVER_MAX_METADATA_BYTES (64u << 10)

typedef struct Driver Driver;

/* An opened storage: each driver's own struct begins with this. */
typedef struct DriverInstance {
    const Driver *driver;
} DriverInstance;

/* User metadata: lower-case names (without the service's prefix) → values, both UTF-8 text, owned by the
 * table. Never changed once shared; share with g_hash_table_ref(). */
typedef GHashTable Metadata;
static inline Metadata *
metadata_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

/* What is known of one object. All strings belong to whoever owns the struct: the ListPage's chunk inside a
 * page, else the struct itself (object_info_clear). */
typedef struct {
    char *key;
    guint64 size_bytes;
    gint64 mtime_ns;                    /* the service's Last-Modified, since the epoch; 0 unknown */
    char *etag;                         /* NULL unknown */
    char *version;                      /* version id of a versioned container, or NULL */
    char *storage_class, *content_type; /* NULL unknown */
    Metadata *metadata; /* NULL: not known (a listing without metadata); empty: there is none */
} ObjectInfo;

void object_info_clear(ObjectInfo *info);
void object_info_copy(ObjectInfo *to, const ObjectInfo *from); /* `to` is overwritten, not cleared */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ObjectInfo, object_info_clear)

/* One page of a listing. Objects and prefixes are each in the byte order of their full key. */
typedef struct {
    GStringChunk *text;  /* owns every string of the page */
    GArray *objects;     /* of ObjectInfo, clear function not set: strings are the chunk's, metadata refs are
                            dropped by list_page_clear */
    GPtrArray *prefixes; /* char *, each ends with the delimiter; borrowed from text */
    char *next; /* where the next page starts: opaque, passed back as `after_token`; NULL at the end */
} ListPage;

void list_page_init(ListPage *page);
void list_page_clear(ListPage *page);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ListPage, list_page_clear)

typedef struct {
    const char *prefix;      /* "" for all */
    char delimiter;          /* '/' or 0 */
    const char *start_after; /* first page only: keys strictly greater, in byte order; NULL from the start */
    const char *after_token; /* ListPage.next of the page before; NULL on the first page */
    guint limit;             /* entries wanted, 0: the service's maximum */
    gboolean want_metadata;  /* fill metadata where it comes free */
} ListQuery;

typedef struct {
    char *name;
    gint64 created_ns; /* 0 unknown */
} ContainerInfo;

/* Bytes to be stored. read() fills the buffer wholly with the bytes at `offset`, may be called from several
 * threads and again for the same range (a retry, a signature, a redirect). */
typedef struct {
    guint64 size_bytes;
    gboolean (*read)(gpointer data, guint64 offset, void *buffer, gsize length_bytes, GError **error);
    gpointer data;
} ByteSource;

/* What an object is stored with. Zeroed means defaults. */
typedef struct {
    const char *content_type;  /* NULL: application/octet-stream */
    Metadata *metadata;        /* borrowed; NULL none */
    const char *storage_class; /* NULL: the configured one */
    const char *if_etag;       /* replace only this version → CHANGED */
    gboolean if_absent;        /* create only → EXISTS. Not together with if_etag */
} WriteOptions;

/* A source of a server-side copy. */
typedef struct {
    const char *container, *key;
    const char *if_etag; /* NULL: whatever is there */
} CopySource;

typedef struct {
    guint number; /* 1.. */
    char *etag;   /* as the service answered it, with its quotes taken off */
    guint64 size_bytes;
    char *checksum; /* service's own text or NULL */
} UploadPart;
static inline void
upload_part_clear(UploadPart *part)
{
    g_clear_pointer(&part->etag, g_free);
    g_clear_pointer(&part->checksum, g_free);
}

typedef enum {
    CONDITION_NONE,  /* refused or ignored by the service: look first, then write without it */
    CONDITION_MAYBE, /* accepted, perhaps ignored: look first, then write with it */
    CONDITION_ATOMIC /* the service checks and writes in one step */
} ConditionSupport;

/* What an endpoint can do: the preset's starting values, corrected by probe(). */
typedef struct {
    gboolean ranges, copy_object, copy_part, multipart, set_metadata, metadata_in_listings, sign_url;
    gboolean copy_checks_source; /* CopySource.if_etag is honoured */
    gboolean equal_parts;        /* all parts but the last must be equally long */
    gboolean list_start_after;   /* start_after works: listings may be split */
    gboolean lasting_etags;      /* key, ETag and size never name other bytes, also after a restart: what was
                                    read may be kept on disk */
    ConditionSupport write_if_absent, write_if_etag, commit_if_absent, commit_if_etag, delete_if_etag;
    guint64 minimum_part_bytes, maximum_part_bytes, maximum_put_bytes, maximum_copy_bytes,
        maximum_object_bytes;
    guint maximum_parts;
    guint list_page_limit;
    guint maximum_key_bytes;
    guint maximum_metadata_bytes; /* names and values together */
} Capabilities;

/* A store that is a file system: used in place, by path below the base, links never followed out of it.
 * Keys follow the object layout (key "a/b" is file b in directory a). Times, modes and owners are the file's
 * own. Errors are the kernel's, by error_code_from_errno. */
typedef struct {
    /* lstat. key "" is the container itself; a trailing '/' asks for a directory. */
    gboolean (*stat_file)(DriverInstance *instance, const char *container, const char *key, struct stat *out,
                          GError **error);
    /* flags: open(2)'s; O_NOFOLLOW, O_CLOEXEC and O_NONBLOCK are added, and only regular files are opened.
     * make_parents: the flat layout creates missing directories of the key. */
    gboolean (*open_file)(DriverInstance *instance, const char *container, const char *key, int flags,
                          mode_t mode, gboolean make_parents, int *out_fd, GError **error);
    /* Calls `each` for every name in one directory but "." and ".."; type is DT_*. FALSE from each stops. */
    gboolean (*list_folder)(DriverInstance *instance, const char *container, const char *folder_key,
                            gboolean (*each)(gpointer data, const char *name, unsigned char type),
                            gpointer data, GError **error);
    gboolean (*make_folder)(DriverInstance *instance, const char *container, const char *key, mode_t mode,
                            GError **error);
    gboolean (*remove_folder)(DriverInstance *instance, const char *container, const char *key,
                              GError **error);
    /* prune: the flat layout removes directories that became empty, up to the container. */
    gboolean (*remove_file)(DriverInstance *instance, const char *container, const char *key, gboolean prune,
                            GError **error);
    /* flags: RENAME_NOREPLACE or RENAME_EXCHANGE or 0. make_parents and pruning as above with `flat`. */
    gboolean (*rename_file)(DriverInstance *instance, const char *container, const char *key,
                            const char *to_container, const char *to_key, unsigned flags, gboolean flat,
                            GError **error);
    gboolean (*make_symlink)(DriverInstance *instance, const char *container, const char *key,
                             const char *target, gboolean make_parents, GError **error);
    gboolean (*read_symlink)(DriverInstance *instance, const char *container, const char *key,
                             char **out_target, GError **error);
    /* valid: bits of FILE_SET_*. times as utimensat's (UTIME_OMIT, UTIME_NOW allowed). */
    gboolean (*set_attributes)(DriverInstance *instance, const char *container, const char *key,
                               unsigned valid, const struct stat *attributes, const struct timespec times[2],
                               GError **error);
    /* Only names in "user." are accepted. get and list give exactly the bytes; caller frees. */
    gboolean (*get_xattr)(DriverInstance *instance, const char *container, const char *key, const char *name,
                          GBytes **out_value, GError **error);
    gboolean (*list_xattrs)(DriverInstance *instance, const char *container, const char *key,
                            GBytes **out_names, GError **error);
    gboolean (*set_xattr)(DriverInstance *instance, const char *container, const char *key, const char *name,
                          const void *value, gsize length_bytes, int flags, GError **error);
    gboolean (*remove_xattr)(DriverInstance *instance, const char *container, const char *key,
                             const char *name, GError **error);
    gboolean (*stat_filesystem)(DriverInstance *instance, struct statvfs *out, GError **error);
} FileOperations;

enum { FILE_SET_MODE = 1, FILE_SET_UID = 2, FILE_SET_GID = 4, FILE_SET_SIZE = 8, FILE_SET_TIMES = 16 };

struct Driver {
    const char *name;                 /* as in driver = NAME */
    const char *description;          /* one line for --help and the manual */
    const char *const *presets;       /* other names it answers to, NULL-terminated; NULL none */
    const ConfigKey *keys;            /* its own keys, ended by name NULL */
    const Capabilities *capabilities; /* before probe() */

    /* Makes an instance from checked values. No network, no threads. section is borrowed (ref it to keep it);
     * driver_name is what stood in driver = (a preset's name). Fails: BAD_CONFIG with file and line. */
    DriverInstance *(*open)(const char *driver_name, ConfigSection *section, GError **error);
    void (*close)(DriverInstance *instance);
    /* What this storage is, without secrets: equal for equal data, such as "s3 https://host/ as KEYID" or
     * "local /srv/data". A name that later points elsewhere is refused by comparing this. Caller frees. */
    char *(*describe_place)(DriverInstance *instance);

    /* One cheap authenticated request; with a container to write in (may be NULL) also finds out what the
     * endpoint does with conditions, by objects of our own that it removes again. Fills *out with what is in
     * force from now on. Fails: NOT_FOUND, BAD_CONFIG. */
    gboolean (*probe)(DriverInstance *instance, Call *call, const char *writable_container, Capabilities *out,
                      GError **error);
    /* What probe() found out with a container to write in, as one line of text for a later instance at the
     * same place; NULL while there is nothing certain. Caller frees. Both functions or none. */
    char *(*dump_learned)(DriverInstance *instance);
    /* Before the first request. FALSE, and nothing taken: the text is not ours, or this configuration knows
     * without it. */
    gboolean (*take_learned)(DriverInstance *instance, const char *text);
    /* What is in force now: capabilities as probed, or as learned since. */
    void (*get_capabilities)(DriverInstance *instance, Capabilities *out);

    /* Pure checks by the service's rules. Fails: BAD_NAME, NAME_TOO_LONG. */
    gboolean (*check_container_name)(DriverInstance *instance, const char *name, GError **error);
    gboolean (*check_key)(DriverInstance *instance, const char *key, GError **error);
    gboolean (*check_metadata_name)(DriverInstance *instance, const char *name, GError **error);
    /* All metadata of one object together. NULL: maximum_metadata_bytes alone counts. Fails: TOO_LARGE,
     * BAD_NAME. */
    gboolean (*check_metadata)(DriverInstance *instance, Metadata *metadata, GError **error);

    /* All containers, in byte order of their names. out: GArray of ContainerInfo, names freed with it. */
    gboolean (*list_containers)(DriverInstance *instance, Call *call, GArray **out_containers,
                                GError **error);
    gboolean (*stat_container)(DriverInstance *instance, Call *call, const char *container,
                               ContainerInfo *out, GError **error); /* NOT_FOUND */
    gboolean (*create_container)(DriverInstance *instance, Call *call, const char *container,
                                 GError **error); /* EXISTS (also one's own), BAD_NAME */
    gboolean (*delete_container)(DriverInstance *instance, Call *call, const char *container,
                                 GError **error); /* NOT_FOUND, NOT_EMPTY */

    /* `out` is an initialised, empty page. A page that would not advance is PROTOCOL. Fails: NOT_FOUND. */
    gboolean (*list_objects)(DriverInstance *instance, Call *call, const char *container,
                             const ListQuery *query, ListPage *out, GError **error);
    gboolean (*stat_object)(DriverInstance *instance, Call *call, const char *container, const char *key,
                            ObjectInfo *out, GError **error); /* NOT_FOUND; metadata always known */

    /* Bytes offset .. offset+length of one version.
     * length_bytes 1..DRIVER_MAX_READ_BYTES; buffer is the caller's; *out_length is below length only at the
     * end of the object (0 at or past it). out_info (may be NULL) gets what the reply told beside the bytes.
     * Fails: NOT_FOUND, CHANGED (not if_etag; NULL takes any), PROTOCOL (another range or length than asked).
     */
    gboolean (*read_object)(DriverInstance *instance, Call *call, const char *container, const char *key,
                            guint64 offset, gsize length_bytes, const char *if_etag, void *buffer,
                            gsize *out_length_bytes, ObjectInfo *out_info, GError **error);
    /* Visible all or nothing. out_info (may be NULL): etag and what else the reply told.
     * Fails: CHANGED, EXISTS, TOO_LARGE, NO_SPACE, NOT_FOUND (container). */
    gboolean (*write_object)(DriverInstance *instance, Call *call, const char *container, const char *key,
                             const ByteSource *source, const WriteOptions *options, ObjectInfo *out_info,
                             GError **error);
    /* Absent is success. if_etag (may be NULL) needs delete_if_etag. Fails: CHANGED. */
    gboolean (*delete_object)(DriverInstance *instance, Call *call, const char *container, const char *key,
                              const char *if_etag, GError **error);
    /* Up to maximum_copy_bytes, on the server. options NULL: metadata and type of the source are carried
     * over; else replaced by those. Fails: NOT_FOUND, CHANGED (source), EXISTS, TOO_LARGE. */
    gboolean (*copy_object)(DriverInstance *instance, Call *call, const CopySource *source,
                            const char *container, const char *key, const WriteOptions *options,
                            ObjectInfo *out_info, GError **error);
    /* Replaces content type and all user metadata of an object; everything else stays. if_etag may be NULL.
     * Fails: NOT_FOUND, CHANGED, TOO_LARGE (metadata, or the object where this is a copy). */
    gboolean (*set_metadata)(DriverInstance *instance, Call *call, const char *container, const char *key,
                             const char *if_etag, const char *content_type, Metadata *metadata,
                             ObjectInfo *out_info, GError **error);

    /* Multi-part. Parts in any order and in parallel; a number put again replaces. */
    gboolean (*begin_upload)(DriverInstance *instance, Call *call, const char *container, const char *key,
                             const WriteOptions *options, char **out_upload_id, GError **error);
    gboolean (*put_part)(DriverInstance *instance, Call *call, const char *container, const char *key,
                         const char *upload_id, guint number, const ByteSource *source, UploadPart *out,
                         GError **error);
    gboolean (*copy_part)(DriverInstance *instance, Call *call, const char *container, const char *key,
                          const char *upload_id, guint number, const CopySource *source, guint64 offset,
                          guint64 length_bytes, UploadPart *out, GError **error);
    /* parts: in ascending order. options: the same as at begin_upload plus the condition. */
    gboolean (*commit_upload)(DriverInstance *instance, Call *call, const char *container, const char *key,
                              const char *upload_id, const UploadPart *parts, guint part_count,
                              const WriteOptions *options, ObjectInfo *out_info, GError **error);
    /* Absent is success. */
    gboolean (*abort_upload)(DriverInstance *instance, Call *call, const char *container, const char *key,
                             const char *upload_id, GError **error);

    /* A URL that reads the object without credentials for `lifetime_s` seconds, 0: as the driver is
     * configured. No network. Caller frees. */
    gboolean (*sign_url)(DriverInstance *instance, const char *container, const char *key, guint lifetime_s,
                         char **out_url, GError **error);

    const FileOperations *files; /* NULL for object services */
};
