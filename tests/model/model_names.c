/* Operations on names and attributes. */
#include "tests/model/model_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Where a name lies. TRUE: its folder is there, and the model says so too. */
typedef struct {
    Node *parent;
    char *name;
} Place;

static gboolean
place_find(ModelThread *thread, const char *path, Place *out)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *parent = model_path_parent(path);
    gboolean wanted = model_state_is_folder(&thread->state, parent);
    ModelReach reach = model_reach_parent(thread, path, &out->parent, &out->name, &error);
    if (reach == REACH_ERROR)
        model_judge(thread, FALSE, error, MODEL_OK);
    else if ((reach == REACH_OK) != wanted)
        model_differ(thread, "the folder of %s is %s", path, wanted ? "not there" : "there");
    return reach == REACH_OK;
}

static void
place_clear(ModelThread *thread, Place *place)
{
    if (place->parent != NULL)
        model_forget(thread, place->parent);
    g_free(place->name);
}

static void
make_folder(ModelThread *thread, const ModelOperation *op, Place *place)
{
    g_autoptr(GError) error = NULL;
    Tree *tree = thread->world->tree;
    g_autoptr(Call) call = tree_new_call(tree, place->parent);
    ModelFile *file = model_state_get(&thread->state, op->path);
    TreeEntry entry = {0};
    if (file != NULL && !thread->world->variant->scope.folders)
        return;
    int expected = file != NULL                            ? ERROR_EXISTS
                   : thread->world->variant->scope.folders ? MODEL_OK
                                                           : ERROR_NOT_PERMITTED;
    gboolean ok =
        tree_make_directory(tree, call, place->parent, place->name, 0755, 1000, 1001, &entry, &error);
    if (ok)
        model_forget(thread, entry.node);
    if (model_judge(thread, ok, error, expected))
        model_state_set(&thread->state, op->path, model_file_new(S_IFDIR | 0755));
}

static void
remove_folder(ModelThread *thread, const ModelOperation *op, Place *place)
{
    g_autoptr(GError) error = NULL;
    Tree *tree = thread->world->tree;
    g_autoptr(Call) call = tree_new_call(tree, place->parent);
    ModelFile *file = model_state_get(&thread->state, op->path);
    if (file != NULL && !S_ISDIR(file->mode))
        return;
    int expected = MODEL_OK;
    if (file == NULL)
        expected = thread->world->variant->scope.folders ? ERROR_NOT_FOUND : -2;
    else if (!model_state_is_empty(&thread->state, op->path))
        expected = ERROR_NOT_EMPTY;
    if (expected == -2)
        return;
    gboolean ok = tree_remove_directory(tree, call, place->parent, place->name, &error);
    if (model_judge(thread, ok, error, expected))
        model_state_remove(&thread->state, op->path);
}

static void
remove_file(ModelThread *thread, const ModelOperation *op, Place *place)
{
    g_autoptr(GError) error = NULL;
    Tree *tree = thread->world->tree;
    g_autoptr(Call) call = tree_new_call(tree, place->parent);
    ModelFile *file = model_state_get(&thread->state, op->path);
    if (file != NULL && S_ISDIR(file->mode))
        return;
    gboolean ok = tree_unlink(tree, call, place->parent, place->name, &error);
    if (model_judge(thread, ok, error, file != NULL ? MODEL_OK : ERROR_NOT_FOUND)) {
        model_note_unlinked(thread, op->path, file);
        model_state_remove(&thread->state, op->path);
    }
}

static void
make_symlink(ModelThread *thread, const ModelOperation *op, Place *place)
{
    g_autoptr(GError) error = NULL;
    Tree *tree = thread->world->tree;
    g_autoptr(Call) call = tree_new_call(tree, place->parent);
    gboolean is_there = model_state_get(&thread->state, op->path) != NULL;
    g_autofree char *target = g_strdup_printf("target-%u", op->seed);
    TreeEntry entry = {0};
    gboolean ok =
        tree_make_symlink(tree, call, place->parent, place->name, target, 1000, 1001, &entry, &error);
    if (ok)
        model_forget(thread, entry.node);
    if (!model_judge(thread, ok, error, is_there ? ERROR_EXISTS : MODEL_OK))
        return;
    ModelFile *file = model_file_new(S_IFLNK | 0777);
    model_file_write(file, 0, target, strlen(target));
    model_state_set(&thread->state, op->path, file);
}

static int
expect_rename(ModelState *state, const ModelOperation *op)
{
    ModelFile *from = model_state_get(state, op->path), *to = model_state_get(state, op->other_path);
    if (from == NULL)
        return ERROR_NOT_FOUND;
    if (to != NULL && op->flags & RENAME_NOREPLACE)
        return ERROR_EXISTS;
    if (to != NULL && S_ISDIR(from->mode) && !S_ISDIR(to->mode))
        return ERROR_NOT_FOLDER;
    if (to != NULL && !S_ISDIR(from->mode) && S_ISDIR(to->mode))
        return ERROR_IS_FOLDER;
    if (to != NULL && S_ISDIR(to->mode) && !model_state_is_empty(state, op->other_path))
        return ERROR_NOT_EMPTY;
    return MODEL_OK;
}

static void
rename_name(ModelThread *thread, const ModelOperation *op, Place *from)
{
    g_autoptr(GError) error = NULL;
    Tree *tree = thread->world->tree;
    Place to = {0};
    /* The kernel itself answers these. */
    if (strcmp(op->path, op->other_path) == 0 || model_path_is_below(op->path, op->other_path) ||
        model_path_is_below(op->other_path, op->path))
        return;
    if (place_find(thread, op->other_path, &to)) {
        g_autoptr(Call) call = tree_new_call(tree, from->parent);
        gboolean ok = tree_rename(tree, call, from->parent, from->name, to.parent, to.name,
                                  (unsigned)op->flags, &error);
        if (model_judge(thread, ok, error, expect_rename(&thread->state, op)))
            model_state_rename(&thread->state, op->path, op->other_path);
    }
    place_clear(thread, &to);
}

static void
set_attributes(ModelThread *thread, const ModelOperation *op, ModelFile *file, Node *node)
{
    g_autoptr(GError) error = NULL;
    Tree *tree = thread->world->tree;
    g_autoptr(Call) call = tree_new_call(tree, node);
    struct stat wanted = {.st_mode = (mode_t)op->flags, .st_size = (off_t)op->offset}, found;
    const struct timespec times[2] = {{0, UTIME_OMIT}, {op->seed % 2000000000, op->length}};
    unsigned valid = op->kind == OP_CHMOD   ? FILE_SET_MODE
                     : op->kind == OP_TOUCH ? FILE_SET_TIMES
                                            : FILE_SET_SIZE;
    gint64 valid_us;
    gboolean ok =
        tree_set_attributes(tree, call, node, NULL, valid, &wanted, times, &found, &valid_us, &error);
    if (!model_judge(thread, ok, error, MODEL_OK))
        return;
    if (op->kind == OP_CHMOD)
        file->mode = (file->mode & S_IFMT) | (mode_t)op->flags;
    else if (op->kind == OP_TOUCH)
        file->mtime_ns = times[1].tv_sec * G_GINT64_CONSTANT(1000000000) + times[1].tv_nsec;
    else
        model_file_cut(file, op->offset);
}

static void
change_xattr(ModelThread *thread, const ModelOperation *op, ModelFile *file, Node *node)
{
    g_autoptr(GError) error = NULL;
    Tree *tree = thread->world->tree;
    g_autoptr(Call) call = tree_new_call(tree, node);
    const char *name = op->seed % 2 == 0 ? "user.one" : "user.two";
    g_autofree char *value = g_strdup_printf("value %u", op->seed);
    if (op->kind == OP_SET_XATTR) {
        gboolean ok = tree_set_xattr(tree, call, node, name, value, strlen(value), 0, &error);
        if (model_judge(thread, ok, error, MODEL_OK))
            g_hash_table_insert(file->xattrs, g_strdup(name), g_steal_pointer(&value));
        return;
    }
    int expected = g_hash_table_contains(file->xattrs, name) ? MODEL_OK : ERROR_NO_ATTRIBUTE;
    gboolean ok = tree_remove_xattr(tree, call, node, name, &error);
    if (model_judge(thread, ok, error, expected))
        g_hash_table_remove(file->xattrs, name);
}

/* Of a file or folder that is there. */
static void
change_attributes(ModelThread *thread, const ModelOperation *op)
{
    g_autoptr(GError) error = NULL;
    ModelFile *file = model_state_get(&thread->state, op->path);
    TreeEntry entry = {0};
    if (file == NULL || S_ISLNK(file->mode) || (S_ISDIR(file->mode) && op->kind != OP_CHMOD))
        return;
    if (op->kind == OP_GET_XATTR) {
        model_check_xattr(thread, op->path, op->seed % 2 == 0 ? "user.one" : "user.two");
        return;
    }
    ModelReach reach = model_reach(thread, op->path, &entry, &error);
    if (reach == REACH_ERROR)
        model_judge(thread, FALSE, error, MODEL_OK);
    else if (reach != REACH_OK)
        model_differ(thread, "%s is absent", op->path);
    if (reach != REACH_OK)
        return;
    if (op->kind == OP_SET_XATTR || op->kind == OP_REMOVE_XATTR)
        change_xattr(thread, op, file, entry.node);
    else
        set_attributes(thread, op, file, entry.node);
    model_forget(thread, entry.node);
}

gboolean
model_apply_name(ModelThread *thread, const ModelOperation *op)
{
    static void (*const CHANGES[OP_KINDS])(ModelThread *, const ModelOperation *, Place *) = {
        [OP_MKDIR] = make_folder,    [OP_RMDIR] = remove_folder, [OP_UNLINK] = remove_file,
        [OP_SYMLINK] = make_symlink, [OP_RENAME] = rename_name,
    };
    switch ((int)op->kind) {
    case OP_CHMOD:
    case OP_TOUCH:
    case OP_CUT_PATH:
    case OP_SET_XATTR:
    case OP_GET_XATTR:
    case OP_REMOVE_XATTR:
        change_attributes(thread, op);
        return TRUE;
    default:
        break;
    }
    if (CHANGES[op->kind] == NULL)
        return FALSE;
    Place place = {0};
    if (place_find(thread, op->path, &place))
        CHANGES[op->kind](thread, op, &place);
    place_clear(thread, &place);
    return TRUE;
}
