/* GLib wants the value of a short option in the next word; users of mount(8) write -oro. */
#include "src/cli/cli_words.h"

#include <string.h>

static gboolean
takes_value(const GOptionEntry *entry)
{
    return entry->arg != G_OPTION_ARG_NONE && entry->arg != G_OPTION_ARG_CALLBACK;
}

static const GOptionEntry *
find_short(const GOptionEntry *entries, char letter)
{
    for (const GOptionEntry *entry = entries; entry != NULL && entry->long_name != NULL; entry++)
        if (entry->short_name == letter)
            return entry;
    return NULL;
}

static const GOptionEntry *
find_long(const GOptionEntry *entries, const char *name)
{
    for (const GOptionEntry *entry = entries; entry != NULL && entry->long_name != NULL; entry++)
        if (strcmp(entry->long_name, name) == 0)
            return entry;
    return NULL;
}

/* The letter in "-abc" whose option takes a value, which is what follows it; NULL: there is none. */
static const char *
find_value_letter(const char *word, const GOptionEntry *entries)
{
    for (const char *letter = word + 1; *letter != '\0'; letter++) {
        const GOptionEntry *entry = find_short(entries, *letter);
        if (entry == NULL || takes_value(entry))
            return entry != NULL ? letter : NULL;
    }
    return NULL;
}

/* TRUE: the next word is the value of this one. */
static gboolean
add_word(GStrvBuilder *words, const char *word, const GOptionEntry *entries)
{
    const GOptionEntry *entry = g_str_has_prefix(word, "--") ? find_long(entries, word + 2) : NULL;
    const char *letter = word[0] == '-' && word[1] != '-' ? find_value_letter(word, entries) : NULL;
    if (letter == NULL) {
        g_strv_builder_add(words, word);
        return entry != NULL && takes_value(entry);
    }
    const char option[] = {'-', *letter, '\0'};
    g_autofree char *flags = g_strndup(word, (gsize)(letter - word));
    if (flags[1] != '\0')
        g_strv_builder_add(words, flags);
    g_strv_builder_add(words, option);
    if (letter[1] != '\0')
        g_strv_builder_add(words, letter + 1);
    return letter[1] == '\0';
}

char **
cli_words_separate(int argc, char **argv, const GOptionEntry *entries)
{
    g_autoptr(GStrvBuilder) words = g_strv_builder_new();
    gboolean is_value = TRUE, ended = FALSE;
    for (int i = 0; i < argc; i++) {
        ended = ended || (!is_value && strcmp(argv[i], "--") == 0);
        if (ended || is_value) {
            g_strv_builder_add(words, argv[i]);
            is_value = FALSE;
        } else {
            is_value = add_word(words, argv[i], entries);
        }
    }
    return g_strv_builder_end(words);
}
