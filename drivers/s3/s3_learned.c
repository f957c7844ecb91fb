/* See s3_learned.h. */
#include "drivers/s3/s3_learned.h"

#include "drivers/s3/s3_metadata.h"
#include "src/base/lock.h"

#include <string.h>

#define TIB (1ull << 40)
#define MAX_PLACES 4096u
#define MAX_DIFFERING 1024u
#define MAX_SKEW_S (4 * 60)
#define SECONDS_A_DAY 86400
#define LIST_PAGE_LIMIT 1000u
#define MAX_KEY_BYTES 1024u

typedef struct {
    char *region, *host;
} Place;

/* The last signing key that was made. */
typedef struct {
    char *secret, *region;
    gint64 day;
    guint8 key[S3_SIGN_KEY_BYTES];
} SigningKey;

struct S3Learned {
    const S3Options *options;
    Lock lock;
    /* All below: under lock. */
    GHashTable *places; /* container → Place */
    GHashTable *blind;  /* set of containers */
    gint64 skew_s;
    S3Support supports[S3_CONDITION_COUNT];
    S3Quotes quotes;
    gboolean copy_object, copy_part, tried;
    gboolean was_md5, is_no_md5;
    GHashTable *differing; /* set of texts */
    SigningKey signing_key;
};

static void
free_place(gpointer data)
{
    Place *place = data;
    g_free(place->region);
    g_free(place->host);
    g_free(place);
}

static void
start_supports(S3Learned *learned)
{
    const S3Options *options = learned->options;
    S3Support start = S3_SUPPORT_MAYBE;
    if (options->conditions == S3_CONDITIONS_YES)
        start = S3_SUPPORT_ATOMIC;
    if (options->conditions == S3_CONDITIONS_NO)
        start = S3_SUPPORT_NONE;
    for (int i = 0; i < S3_CONDITION_COUNT; i++)
        learned->supports[i] = start;
    if (options->conditions == S3_CONDITIONS_PUT)
        learned->supports[S3_CONDITION_WRITE_IF_ABSENT] = learned->supports[S3_CONDITION_WRITE_IF_ETAG] =
            S3_SUPPORT_ATOMIC;
    if (start == S3_SUPPORT_ATOMIC && !options->preset->delete_if_etag)
        learned->supports[S3_CONDITION_DELETE_IF_ETAG] = S3_SUPPORT_MAYBE;
    /* Came later than the others everywhere, so that even a service with conditions may ignore them. */
    if (start == S3_SUPPORT_ATOMIC)
        learned->supports[S3_CONDITION_COPY_IF_ABSENT] = learned->supports[S3_CONDITION_COPY_IF_ETAG] =
            S3_SUPPORT_MAYBE;
    if (options->preset->if_absent_header)
        learned->supports[S3_CONDITION_WRITE_IF_ABSENT] = S3_SUPPORT_ATOMIC;
    /* Every S3 has had this one from the beginning, so it is always sent. */
    if (start == S3_SUPPORT_NONE)
        learned->supports[S3_CONDITION_COPY_SOURCE] = learned->supports[S3_CONDITION_COPY_PART_SOURCE] =
            S3_SUPPORT_MAYBE;
}

S3Learned *
s3_learned_new(const S3Options *options)
{
    S3Learned *learned = g_new0(S3Learned, 1);
    learned->options = options;
    lock_init(&learned->lock);
    learned->places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_place);
    learned->blind = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    learned->differing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    learned->copy_object = TRUE;
    learned->copy_part = options->copy_part;
    start_supports(learned);
    return learned;
}

void
s3_learned_free(S3Learned *learned)
{
    g_hash_table_unref(learned->places);
    g_hash_table_unref(learned->blind);
    g_hash_table_unref(learned->differing);
    g_free(learned->signing_key.secret);
    g_free(learned->signing_key.region);
    lock_clear(&learned->lock);
    g_free(learned);
}

void
s3_learned_get_place(S3Learned *learned, const char *container, char **out_region, char **out_host)
{
    lock_acquire(&learned->lock);
    const Place *place = container ? g_hash_table_lookup(learned->places, container) : NULL;
    *out_region = g_strdup(place ? place->region : learned->options->region);
    *out_host = g_strdup(place ? place->host : NULL);
    lock_release(&learned->lock);
}

void
s3_learned_set_place(S3Learned *learned, const char *container, const char *region, const char *host)
{
    Place *place = g_new0(Place, 1);
    place->region = g_strdup(region);
    place->host = g_strdup(host);
    lock_acquire(&learned->lock);
    if (g_hash_table_size(learned->places) >= MAX_PLACES)
        g_hash_table_remove_all(learned->places);
    g_hash_table_replace(learned->places, g_strdup(container), place);
    lock_release(&learned->lock);
}

gint64
s3_learned_get_time_s(S3Learned *learned)
{
    lock_acquire(&learned->lock);
    gint64 skew_s = learned->skew_s;
    lock_release(&learned->lock);
    return g_get_real_time() / G_USEC_PER_SEC + skew_s;
}

gboolean
s3_learned_set_server_time(S3Learned *learned, gint64 server_time_s)
{
    gint64 skew_s = server_time_s - g_get_real_time() / G_USEC_PER_SEC;
    lock_acquire(&learned->lock);
    gboolean differs = server_time_s > 0 && ABS(skew_s - learned->skew_s) > MAX_SKEW_S;
    if (differs)
        learned->skew_s = skew_s;
    lock_release(&learned->lock);
    return differs;
}

void
s3_learned_derive_key(S3Learned *learned, const S3Signer *signer, gint64 time_s, const char *region,
                      guint8 out[S3_SIGN_KEY_BYTES])
{
    SigningKey *known = &learned->signing_key;
    gint64 day = time_s / SECONDS_A_DAY;
    lock_acquire(&learned->lock);
    if (known->day != day || g_strcmp0(known->region, region) != 0 ||
        g_strcmp0(known->secret, signer->secret_access_key) != 0) {
        g_free(known->secret);
        g_free(known->region);
        known->secret = g_strdup(signer->secret_access_key);
        known->region = g_strdup(region);
        known->day = day;
        s3_sign_derive_key(signer->secret_access_key, time_s, region, "s3", known->key);
    }
    memcpy(out, known->key, S3_SIGN_KEY_BYTES);
    lock_release(&learned->lock);
}

S3Support
s3_learned_get_support(S3Learned *learned, S3Condition condition)
{
    lock_acquire(&learned->lock);
    S3Support support = learned->supports[condition];
    lock_release(&learned->lock);
    return support;
}

void
s3_learned_set_support(S3Learned *learned, S3Condition condition, S3Support support)
{
    lock_acquire(&learned->lock);
    learned->supports[condition] = support;
    lock_release(&learned->lock);
}

S3Quotes
s3_learned_get_quotes(S3Learned *learned)
{
    lock_acquire(&learned->lock);
    S3Quotes quotes = learned->quotes;
    lock_release(&learned->lock);
    return quotes;
}

void
s3_learned_set_quotes(S3Learned *learned, S3Quotes quotes)
{
    lock_acquire(&learned->lock);
    learned->quotes = quotes;
    lock_release(&learned->lock);
}

void
s3_learned_set_copies(S3Learned *learned, gboolean copy_object, gboolean copy_part)
{
    lock_acquire(&learned->lock);
    learned->copy_object = copy_object;
    learned->copy_part = copy_part && learned->options->copy_part;
    lock_release(&learned->lock);
}

void
s3_learned_set_tried(S3Learned *learned)
{
    lock_acquire(&learned->lock);
    learned->tried = TRUE;
    lock_release(&learned->lock);
}

/* "1 PRESET", then one digit each for the conditions, the quotes, copies and copied parts. */
static char *
make_prefix(const S3Learned *learned)
{
    return g_strdup_printf("1 %s ", learned->options->preset->name);
}

char *
s3_learned_dump(S3Learned *learned)
{
    g_autofree char *prefix = make_prefix(learned);
    GString *text = g_string_new(prefix);
    lock_acquire(&learned->lock);
    gboolean tried = learned->tried;
    for (int i = 0; i < S3_CONDITION_COUNT; i++)
        g_string_append_c(text, (char)('0' + learned->supports[i]));
    g_string_append_printf(text, "%d%d%d", (int)learned->quotes, learned->copy_object, learned->copy_part);
    lock_release(&learned->lock);
    return g_string_free(text, !tried);
}

/* TRUE: digits of the right number, each in its range. */
static gboolean
are_digits(const char *digits)
{
    static const char *const ranges[] = {"012", "01", "01"};
    if (strlen(digits) != S3_CONDITION_COUNT + G_N_ELEMENTS(ranges) ||
        strspn(digits, "012") < S3_CONDITION_COUNT)
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(ranges); i++) {
        if (!strchr(ranges[i], digits[S3_CONDITION_COUNT + i]))
            return FALSE;
    }
    return TRUE;
}

gboolean
s3_learned_take(S3Learned *learned, const char *text)
{
    g_autofree char *prefix = make_prefix(learned);
    if (learned->options->conditions != S3_CONDITIONS_PROBE || !g_str_has_prefix(text, prefix) ||
        !are_digits(text + strlen(prefix)))
        return FALSE;
    const char *digits = text + strlen(prefix);
    lock_acquire(&learned->lock);
    for (int i = 0; i < S3_CONDITION_COUNT; i++)
        learned->supports[i] = (S3Support)(*digits++ - '0');
    learned->quotes = (S3Quotes)(*digits++ - '0');
    learned->copy_object = *digits++ == '1';
    learned->copy_part = *digits == '1' && learned->options->copy_part;
    learned->tried = TRUE;
    lock_release(&learned->lock);
    return TRUE;
}

gboolean
s3_learned_is_blind(S3Learned *learned, const char *container)
{
    lock_acquire(&learned->lock);
    gboolean blind = g_hash_table_contains(learned->blind, container);
    lock_release(&learned->lock);
    return blind;
}

void
s3_learned_set_blind(S3Learned *learned, const char *container)
{
    lock_acquire(&learned->lock);
    if (g_hash_table_size(learned->blind) >= MAX_PLACES)
        g_hash_table_remove_all(learned->blind);
    g_hash_table_add(learned->blind, g_strdup(container));
    lock_release(&learned->lock);
}

gboolean
s3_learned_may_be_md5(S3Learned *learned)
{
    lock_acquire(&learned->lock);
    gboolean may = !learned->is_no_md5;
    lock_release(&learned->lock);
    return may;
}

void
s3_learned_set_md5(S3Learned *learned, gboolean is_md5)
{
    lock_acquire(&learned->lock);
    if (is_md5)
        learned->was_md5 = TRUE;
    else
        learned->is_no_md5 = !learned->was_md5;
    lock_release(&learned->lock);
}

gboolean
s3_learned_note_differing(S3Learned *learned, const char *bytes)
{
    lock_acquire(&learned->lock);
    if (g_hash_table_size(learned->differing) >= MAX_DIFFERING)
        g_hash_table_remove_all(learned->differing);
    gboolean is_new = g_hash_table_add(learned->differing, g_strdup(bytes));
    lock_release(&learned->lock);
    return !is_new;
}

static ConditionSupport
as_capability(const S3Learned *learned, S3Condition condition)
{
    static const ConditionSupport capabilities[] = {[S3_SUPPORT_MAYBE] = CONDITION_MAYBE,
                                                    [S3_SUPPORT_ATOMIC] = CONDITION_ATOMIC,
                                                    [S3_SUPPORT_NONE] = CONDITION_NONE};
    return capabilities[learned->supports[condition]];
}

void
s3_learned_get_capabilities(S3Learned *learned, Capabilities *out)
{
    const S3Options *options = learned->options;
    lock_acquire(&learned->lock);
    *out = (Capabilities){
        .ranges = TRUE,
        .copy_object = learned->copy_object,
        .copy_part = learned->copy_part,
        .multipart = TRUE,
        .set_metadata = learned->copy_object,
        .metadata_in_listings = options->metadata_in_listings,
        .sign_url = TRUE,
        .copy_checks_source = as_capability(learned, S3_CONDITION_COPY_SOURCE) == CONDITION_ATOMIC &&
                              (!learned->copy_part ||
                               as_capability(learned, S3_CONDITION_COPY_PART_SOURCE) == CONDITION_ATOMIC),
        .equal_parts = options->equal_parts,
        .list_start_after = TRUE,
        .lasting_etags = TRUE,
        .write_if_absent = as_capability(learned, S3_CONDITION_WRITE_IF_ABSENT),
        .write_if_etag = as_capability(learned, S3_CONDITION_WRITE_IF_ETAG),
        .commit_if_absent = as_capability(learned, S3_CONDITION_COMMIT_IF_ABSENT),
        .commit_if_etag = as_capability(learned, S3_CONDITION_COMMIT_IF_ETAG),
        .delete_if_etag = as_capability(learned, S3_CONDITION_DELETE_IF_ETAG),
        .minimum_part_bytes = options->minimum_part_bytes,
        .maximum_part_bytes = options->maximum_put_bytes,
        .maximum_put_bytes = options->maximum_put_bytes,
        .maximum_copy_bytes = options->maximum_copy_bytes,
        .maximum_object_bytes = 50 * TIB,
        .maximum_parts = options->maximum_parts,
        .list_page_limit = LIST_PAGE_LIMIT,
        .maximum_key_bytes = MAX_KEY_BYTES,
        .maximum_metadata_bytes = S3_METADATA_MAXIMUM_BYTES,
    };
    lock_release(&learned->lock);
}
