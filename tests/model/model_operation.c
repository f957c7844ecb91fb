/* Random operations, and how they look in a report. */
#include "tests/model/model_operation.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Out of 100 or so; what has no place in a scope becomes another kind. */
static const struct {
    const char *name;
    guint weight;
} KINDS[OP_KINDS] = {
    [OP_OPEN] = {"open", 16},
    [OP_CLOSE] = {"close", 7},
    [OP_WRITE] = {"write", 14},
    [OP_STREAM] = {"stream", 3},
    [OP_APPEND] = {"append", 3},
    [OP_READ] = {"read", 10},
    [OP_CUT] = {"cut", 3},
    [OP_CUT_PATH] = {"cut-path", 3},
    [OP_FLUSH] = {"flush", 4},
    [OP_SYNC] = {"sync", 2},
    [OP_COPY] = {"copy", 4},
    [OP_RENAME] = {"rename", 7},
    [OP_UNLINK] = {"unlink", 4},
    [OP_MKDIR] = {"mkdir", 6},
    [OP_RMDIR] = {"rmdir", 3},
    [OP_SYMLINK] = {"symlink", 1},
    [OP_LIST] = {"list", 4},
    [OP_STAT] = {"stat", 5},
    [OP_CHECK] = {"check", 4},
    [OP_CHMOD] = {"chmod", 2},
    [OP_TOUCH] = {"touch", 2},
    [OP_SET_XATTR] = {"set-xattr", 2},
    [OP_GET_XATTR] = {"get-xattr", 1},
    [OP_REMOVE_XATTR] = {"remove-xattr", 1},
    [OP_REFRESH] = {"refresh", 2},
    [OP_REMOUNT] = {"remount", 1},
    [OP_FOREIGN_PUT] = {"foreign-put", 3},
    [OP_FOREIGN_DELETE] = {"foreign-delete", 2},
    [OP_CONFLICT] = {"conflict", 1},
};

static guint
below(GRand *rand, guint limit)
{
    return (guint)g_rand_int_range(rand, 0, (gint32)limit);
}

static ModelKind
random_kind(GRand *rand)
{
    guint total = 0;
    for (guint kind = 0; kind < OP_KINDS; kind++)
        total += KINDS[kind].weight;
    guint chosen = below(rand, total), kind = 0;
    while (chosen >= KINDS[kind].weight)
        chosen -= KINDS[kind++].weight;
    return (ModelKind)kind;
}

static void
random_path(GRand *rand, const ModelScope *scope, char *out)
{
    static const char *const FLAT[] = {"a", "b", "c", "d", "a%2Fb", "e%"};
    if (!scope->folders) {
        g_strlcpy(out, FLAT[below(rand, G_N_ELEMENTS(FLAT))], MODEL_PATH_BYTES);
        return;
    }
    guint depth = 1 + MIN(below(rand, 3), below(rand, 3));
    out[0] = '\0';
    for (guint i = 0; i < depth; i++) {
        const char part[] = {i > 0 ? '/' : (char)('a' + below(rand, 3)), (char)('a' + below(rand, 3)), '\0'};
        g_strlcat(out, i > 0 ? part : part + 1, MODEL_PATH_BYTES);
    }
}

static guint64
random_offset(GRand *rand)
{
    static const guint64 EDGES[] = {0, 1, 4096, 16384, 65536, 131072, 262144};
    if (g_rand_boolean(rand))
        return EDGES[below(rand, G_N_ELEMENTS(EDGES))];
    return below(rand, MODEL_MAXIMUM_BYTES);
}

static int
random_flags(GRand *rand, ModelKind kind)
{
    static const int OPEN[] = {O_RDONLY, O_RDWR, O_RDWR, O_WRONLY, O_RDWR | O_TRUNC};
    static const int CREATE[] = {0, O_CREAT, O_CREAT, O_CREAT | O_EXCL};
    static const int MODES[] = {0600, 0644, 0755, 0400};
    if (kind == OP_OPEN)
        return OPEN[below(rand, G_N_ELEMENTS(OPEN))] | CREATE[below(rand, G_N_ELEMENTS(CREATE))];
    if (kind == OP_RENAME)
        return below(rand, 4) == 0 ? RENAME_NOREPLACE : 0;
    return MODES[below(rand, G_N_ELEMENTS(MODES))];
}

static void
random_operation(GRand *rand, guint thread, const ModelScope *scope, ModelOperation *out)
{
    static const guint LENGTHS[] = {16, 5000, 40000, 150000};
    *out = (ModelOperation){.kind = random_kind(rand), .thread = thread};
    if (!scope->alone && (out->kind >= OP_REMOUNT))
        out->kind = OP_READ;
    if (scope->journal && out->kind == OP_CONFLICT)
        out->kind = OP_FLUSH;
    out->slot = below(rand, MODEL_SLOTS);
    out->other_slot = below(rand, MODEL_SLOTS);
    random_path(rand, scope, out->path);
    random_path(rand, scope, out->other_path);
    out->flags = random_flags(rand, out->kind);
    out->offset = random_offset(rand);
    out->to_offset = random_offset(rand);
    out->length = 1 + below(rand, LENGTHS[below(rand, G_N_ELEMENTS(LENGTHS))]);
    out->seed = g_rand_int(rand);
}

GArray *
model_operation_random(guint32 seed, guint threads, guint count, const ModelScope *scope)
{
    GArray *operations = g_array_new(FALSE, FALSE, sizeof(ModelOperation));
    GRand *rand = g_rand_new_with_seed(seed);
    for (guint i = 0; i < count; i++) {
        for (guint thread = 0; thread < threads; thread++) {
            ModelOperation operation;
            random_operation(rand, thread, scope, &operation);
            g_array_append_val(operations, operation);
        }
    }
    g_rand_free(rand);
    return operations;
}

static gboolean
is_of_slot(ModelKind kind)
{
    return kind <= OP_CUT || kind == OP_FLUSH || kind == OP_SYNC || kind == OP_COPY || kind == OP_CONFLICT;
}

char *
model_operation_describe(const ModelOperation *op)
{
    GString *text = g_string_new(NULL);
    g_string_printf(text, "[%u] %s", op->thread, KINDS[op->kind].name);
    if (is_of_slot(op->kind))
        g_string_append_printf(text, " slot %u", op->slot);
    if (op->kind == OP_COPY)
        g_string_append_printf(text, " to slot %u at %" G_GUINT64_FORMAT, op->other_slot, op->to_offset);
    if (op->kind == OP_OPEN || !is_of_slot(op->kind))
        g_string_append_printf(text, " %s", op->path);
    if (op->kind == OP_RENAME)
        g_string_append_printf(text, " to %s", op->other_path);
    if (op->kind == OP_OPEN || op->kind == OP_RENAME || op->kind == OP_CHMOD)
        g_string_append_printf(text, " flags 0%o", (guint)op->flags);
    g_string_append_printf(text, " (offset %" G_GUINT64_FORMAT ", length %u, seed %u)", op->offset,
                           op->length, op->seed);
    return g_string_free(text, FALSE);
}
