/* upload_ledger.h: what a dead process had under way is found, once, by the next. */
#include "src/storage/upload_ledger.h"

#include "tests/unit/folder_fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ID 0x12abu

static char *state;

static UploadLedger *
open_ledger(const char *place)
{
    UploadLedger *ledger = upload_ledger_open(state, ID, "s", place);
    g_assert_nonnull(ledger);
    return ledger;
}

/* A process that adds two uploads, commits one, and dies. */
static void
die_with_one(const char *place)
{
    pid_t child = fork();
    if (child == 0) {
        UploadLedger *ledger = upload_ledger_open(state, ID, "s", place);
        upload_ledger_add(ledger, "c", "done", "id-1");
        upload_ledger_add(ledger, "c", "dir/\xff\n key", "id/2\n");
        upload_ledger_remove(ledger, "id-1");
        _exit(0);
    }
    g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
}

static guint
count_dead(UploadLedger *ledger)
{
    g_autoptr(GPtrArray) dead = upload_ledger_take_dead(ledger);
    return dead->len;
}

static void
test_the_next_process_finds_it(void)
{
    die_with_one("here");
    UploadLedger *ledger = open_ledger("here");
    g_autoptr(GPtrArray) dead = upload_ledger_take_dead(ledger);
    g_assert_cmpuint(dead->len, ==, 1);
    const LedgerUpload *upload = dead->pdata[0];
    g_assert_cmpstr(upload->container, ==, "c");
    g_assert_cmpstr(upload->key, ==, "dir/\xff\n key");
    g_assert_cmpstr(upload->upload_id, ==, "id/2\n");
    /* Until it is settled, also for the one after. */
    upload_ledger_free(ledger);
    ledger = open_ledger("here");
    g_assert_cmpuint(count_dead(ledger), ==, 1);
    upload_ledger_remove(ledger, "id/2\n");
    g_assert_cmpuint(count_dead(ledger), ==, 0);
    upload_ledger_free(ledger);
}

static void
test_what_runs_is_left_alone(void)
{
    UploadLedger *first = open_ledger("here"), *second = open_ledger("here");
    upload_ledger_add(first, "c", "k", "running");
    g_assert_cmpuint(count_dead(first), ==, 0);
    g_assert_cmpuint(count_dead(second), ==, 0);
    upload_ledger_free(first);
    g_assert_cmpuint(count_dead(second), ==, 1);
    upload_ledger_remove(second, "running");
    upload_ledger_free(second);
}

static void
test_another_place_is_not_asked(void)
{
    die_with_one("there");
    UploadLedger *ledger = open_ledger("here");
    g_assert_cmpuint(count_dead(ledger), ==, 0);
    upload_ledger_free(ledger);
}

static void
test_damage_is_no_upload(void)
{
    static const char *const texts[] = {"", "storagefs upload 1\nhere\nc\nk\nid\n",
                                        "storagefs upload 2\nhere\nc\nk\nid\nend\n",
                                        "storagefs upload 1\nhere\nc\n%zz\nid\nend\n"};
    UploadLedger *ledger = open_ledger("here");
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *path =
            g_strdup_printf("%s/uploads/%016x/00000000000000000000000000000000-%u", state, ID, i);
        g_assert_true(g_file_set_contents(path, texts[i], -1, NULL));
    }
    g_assert_cmpuint(count_dead(ledger), ==, 0);
    upload_ledger_free(ledger);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    state = g_dir_make_tmp("storagefs-ledger-XXXXXX", NULL);
    g_test_add_func("/upload_ledger/dead", test_the_next_process_finds_it);
    g_test_add_func("/upload_ledger/running", test_what_runs_is_left_alone);
    g_test_add_func("/upload_ledger/place", test_another_place_is_not_asked);
    g_test_add_func("/upload_ledger/damage", test_damage_is_no_upload);
    int status = g_test_run();
    folder_fixture_remove(state);
    g_free(state);
    return status;
}
