#include "src/storage/upload_ledger.h"

#include "src/base/lock.h"
#include "src/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LINE "storagefs upload 1"
#define LAST_LINE "end"
#define LINES 6u
#define OWNER_BYTES 32u
#define LOCK_SUFFIX ".lock"
#define MAXIMUM_FILE_BYTES 65536

struct UploadLedger {
    char *name, *place, *owner;
    int fd, lock_fd;
    Lock lock; /* a leaf */
    guint64 added;
    GHashTable *files; /* upload id → file name */
};

static gboolean
make_folder(const char *path)
{
    struct stat status;
    return g_mkdir_with_parents(path, 0700) == 0 && lstat(path, &status) == 0 && S_ISDIR(status.st_mode) &&
           status.st_uid == geteuid();
}

static gboolean
open_files(UploadLedger *ledger, const char *path)
{
    g_autofree char *lock_name = g_strconcat(ledger->owner, LOCK_SUFFIX, NULL);
    ledger->fd = make_folder(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (ledger->fd >= 0)
        ledger->lock_fd =
            openat(ledger->fd, lock_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return ledger->lock_fd >= 0 && flock(ledger->lock_fd, LOCK_EX | LOCK_NB) == 0;
}

/* From the system, because a process may have been forked from one with the same numbers. */
static char *
make_owner(void)
{
    guint64 random[2] = {(guint64)g_get_real_time(), (guint64)getpid()};
    if (getrandom(random, sizeof random, 0) != sizeof random)
        log_debug("getrandom: %s", g_strerror(errno));
    return g_strdup_printf("%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x", random[0], random[1]);
}

UploadLedger *
upload_ledger_open(const char *state_dir, guint64 storage_id, const char *name, const char *place)
{
    g_autofree char *id = g_strdup_printf("%016" G_GINT64_MODIFIER "x", storage_id);
    g_autofree char *path = g_build_filename(state_dir, "uploads", id, NULL);
    UploadLedger *ledger = g_new0(UploadLedger, 1);
    ledger->name = g_strdup(name);
    ledger->place = g_strdup(place);
    ledger->owner = make_owner();
    ledger->fd = ledger->lock_fd = -1;
    ledger->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    lock_init(&ledger->lock);
    if (open_files(ledger, path))
        return ledger;
    log_warning("%s: %s: %s: uploads that a crash leaves on the server will stay there", name, path,
                g_strerror(errno));
    upload_ledger_free(ledger);
    return NULL;
}

void
upload_ledger_free(UploadLedger *ledger)
{
    if (ledger == NULL)
        return;
    g_autofree char *lock_name = g_strconcat(ledger->owner, LOCK_SUFFIX, NULL);
    if (ledger->lock_fd >= 0) {
        unlinkat(ledger->fd, lock_name, 0);
        close(ledger->lock_fd);
    }
    if (ledger->fd >= 0)
        close(ledger->fd);
    g_hash_table_unref(ledger->files);
    lock_clear(&ledger->lock);
    g_free(ledger->name);
    g_free(ledger->place);
    g_free(ledger->owner);
    g_free(ledger);
}

static char *
escape(const char *text)
{
    return g_uri_escape_string(text, NULL, FALSE);
}

static gboolean
write_file(UploadLedger *ledger, const char *name, const char *text)
{
    int fd = openat(ledger->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return FALSE;
    gboolean ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
    close(fd);
    return ok && (fsync(ledger->fd) == 0 || errno == EINVAL);
}

void
upload_ledger_add(UploadLedger *ledger, const char *container, const char *key, const char *upload_id)
{
    if (ledger == NULL)
        return;
    g_autofree char *place = escape(ledger->place), *in = escape(container), *of = escape(key);
    g_autofree char *id = escape(upload_id);
    g_autofree char *text = g_strjoin("\n", FIRST_LINE, place, in, of, id, LAST_LINE, "", NULL);
    lock_acquire(&ledger->lock);
    g_autofree char *name = g_strdup_printf("%s-%" G_GUINT64_FORMAT, ledger->owner, ++ledger->added);
    g_hash_table_insert(ledger->files, g_strdup(upload_id), g_strdup(name));
    lock_release(&ledger->lock);
    if (!write_file(ledger, name, text))
        log_warning("%s/%s/%s: a crash would leave upload %s on the server: %s", ledger->name, container, key,
                    upload_id, g_strerror(errno));
}

void
upload_ledger_remove(UploadLedger *ledger, const char *upload_id)
{
    if (ledger == NULL)
        return;
    lock_acquire(&ledger->lock);
    const char *name = g_hash_table_lookup(ledger->files, upload_id);
    if (name != NULL && unlinkat(ledger->fd, name, 0) != 0 && errno != ENOENT)
        log_warning("%s: upload %s stays noted: %s", ledger->name, upload_id, g_strerror(errno));
    g_hash_table_remove(ledger->files, upload_id);
    lock_release(&ledger->lock);
}

/* The owner of a file's name. */
static char *
get_owner(const char *name)
{
    return strlen(name) > OWNER_BYTES + 1 && name[OWNER_BYTES] == '-' ? g_strndup(name, OWNER_BYTES) : NULL;
}

/* Its lock is free: it has died. The lock of one that ended in order is gone. */
static gboolean
is_dead(UploadLedger *ledger, const char *owner)
{
    g_autofree char *name = g_strconcat(owner, LOCK_SUFFIX, NULL);
    if (strcmp(owner, ledger->owner) == 0)
        return FALSE;
    int fd = openat(ledger->fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT;
    gboolean dead = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (dead)
        unlinkat(ledger->fd, name, 0);
    close(fd);
    return dead;
}

static char *
read_file(UploadLedger *ledger, const char *name)
{
    int fd = openat(ledger->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    g_autofree char *text = g_malloc(MAXIMUM_FILE_BYTES + 1);
    ssize_t length = read(fd, text, MAXIMUM_FILE_BYTES);
    close(fd);
    if (length < 0)
        return NULL;
    text[length] = '\0';
    return g_steal_pointer(&text);
}

static void
ledger_upload_free(gpointer data)
{
    LedgerUpload *upload = data;
    g_free(upload->container);
    g_free(upload->key);
    g_free(upload->upload_id);
    g_free(upload);
}

/* NULL: not one of this place, or never finished. */
static LedgerUpload *
parse(UploadLedger *ledger, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    if (g_strv_length(lines) != LINES + 1 || strcmp(lines[0], FIRST_LINE) != 0 ||
        strcmp(lines[LINES - 1], LAST_LINE) != 0)
        return NULL;
    g_autofree char *place = g_uri_unescape_string(lines[1], NULL);
    LedgerUpload *upload = g_new(LedgerUpload, 1);
    *upload = (LedgerUpload){g_uri_unescape_string(lines[2], NULL), g_uri_unescape_string(lines[3], NULL),
                             g_uri_unescape_string(lines[4], NULL)};
    if (g_strcmp0(place, ledger->place) == 0 && upload->container != NULL && upload->key != NULL &&
        upload->upload_id != NULL)
        return upload;
    ledger_upload_free(upload);
    return NULL;
}

static void
take_file(UploadLedger *ledger, const char *name, GPtrArray *out)
{
    g_autofree char *text = read_file(ledger, name);
    if (text == NULL) {
        /* Perhaps only now: the next process looks again. */
        log_warning("%s: uploads/%s cannot be read: an unfinished upload may stay", ledger->name, name);
        return;
    }
    LedgerUpload *upload = parse(ledger, text);
    if (upload == NULL) {
        log_warning("%s: uploads/%s is damaged, or of another place: an unfinished upload may stay",
                    ledger->name, name);
        unlinkat(ledger->fd, name, 0);
        return;
    }
    lock_acquire(&ledger->lock);
    g_hash_table_insert(ledger->files, g_strdup(upload->upload_id), g_strdup(name));
    lock_release(&ledger->lock);
    g_ptr_array_add(out, upload);
}

static GPtrArray *
list_names(UploadLedger *ledger)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", ledger->fd);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
    const char *name;
    if (dir == NULL)
        log_warning("%s: uploads: %s: unfinished uploads may stay", ledger->name, error->message);
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        g_ptr_array_add(names, g_strdup(name));
    return names;
}

GPtrArray *
upload_ledger_take_dead(UploadLedger *ledger)
{
    GPtrArray *uploads = g_ptr_array_new_with_free_func(ledger_upload_free);
    g_autoptr(GPtrArray) names = list_names(ledger);
    g_autoptr(GHashTable) dead = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *owner = get_owner(names->pdata[i]);
        if (owner == NULL)
            continue;
        gboolean known = g_hash_table_contains(dead, owner);
        if (!known && !is_dead(ledger, owner))
            continue;
        take_file(ledger, names->pdata[i], uploads);
        g_hash_table_add(dead, g_steal_pointer(&owner));
    }
    return uploads;
}
