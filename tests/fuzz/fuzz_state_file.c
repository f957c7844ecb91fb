/* The state directory's files. Read as they are: an error, nothing, or a state that is written and read as
 * the same. And what is written, whatever it holds, is read as the same. */
#include "src/base/error.h"
#include "src/storage/learned_file.h"
#include "src/storage/state_file.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define NOW_S G_GINT64_CONSTANT(1700000000)

static char *learned_path;

void
fuzz_begin(void)
{
    learned_path = fuzz_path("learned");
}

static void
check_equal(const StateFile *a, const StateFile *b)
{
    GHashTableIter iter;
    gpointer name, place;
    g_assert_cmpstr(a->chosen, ==, b->chosen);
    g_assert_cmpuint(g_hash_table_size(a->places), ==, g_hash_table_size(b->places));
    g_hash_table_iter_init(&iter, a->places);
    while (g_hash_table_iter_next(&iter, &name, &place))
        g_assert_cmpstr(g_hash_table_lookup(b->places, name), ==, place);
}

static void
check_state(const StateFile *state)
{
    g_autoptr(GError) error = NULL;
    state_file_save(state, &error);
    g_assert_no_error(error);
    g_autoptr(StateFile) again = state_file_load(fuzz_folder(), &error);
    g_assert_no_error(error);
    check_equal(state, again);
    if (state->chosen)
        g_assert_cmpstr(again->chosen_against, ==, state->chosen_against ? state->chosen_against : "");
}

static void
read_state(const FuzzInput *input)
{
    g_autoptr(GError) error = NULL;
    fuzz_write("storages", input->at, fuzz_left(input));
    g_autoptr(StateFile) state = state_file_load(fuzz_folder(), &error);
    if (state)
        check_state(state);
    else
        fuzz_check_error(error);
}

/* Of a storage: UTF-8 without control characters, as the configuration wants it. A place may be any path. */
static char *
take_name(FuzzInput *input)
{
    g_autofree char *bytes = fuzz_take_text(input, '\n');
    char *name = g_utf8_make_valid(bytes, -1);
    for (char *c = name; *c; c++)
        *c = g_ascii_iscntrl(*c) ? '_' : *c;
    return name;
}

static void
write_state(FuzzInput *input)
{
    g_autoptr(GError) error = NULL;
    fuzz_write("storages", "", 0);
    g_autoptr(StateFile) state = state_file_load(fuzz_folder(), &error);
    g_assert_no_error(error);
    state->chosen = take_name(input);
    state->chosen_against = take_name(input);
    while (fuzz_left(input) > 0) {
        char *name = take_name(input);
        g_autofree char *path = fuzz_take_text(input, '\n');
        g_hash_table_replace(state->places, name, g_strconcat("local ", path, NULL));
    }
    check_state(state);
}

static void
read_learned(const FuzzInput *input)
{
    fuzz_write("learned", input->at, fuzz_left(input));
    g_autofree char *text = learned_file_load(learned_path, "place", NOW_S);
    if (text)
        fuzz_check_utf8(text);
}

static void
write_learned(FuzzInput *input)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *place = fuzz_take_text(input, '\n');
    g_autofree char *text = fuzz_take_text(input, '\n');
    /* As drivers write them: they begin with a word. */
    g_strstrip(place);
    g_strstrip(text);
    g_assert_true(learned_file_save(learned_path, place, NOW_S, text, &error));
    g_autofree char *back = learned_file_load(learned_path, place, NOW_S + 1);
    /* What is no text may be forgotten, it only may not come back as something else. */
    if (back || (g_utf8_validate(place, -1, NULL) && g_utf8_validate(text, -1, NULL)))
        g_assert_cmpstr(back, ==, text);
}

void
fuzz_one(FuzzInput *input)
{
    switch (fuzz_take_byte(input) & 3) {
    case 0:
        read_state(input);
        break;
    case 1:
        write_state(input);
        break;
    case 2:
        read_learned(input);
        break;
    default:
        write_learned(input);
    }
}
