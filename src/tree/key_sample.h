/* Where the other keys of a listing may lie, guessed from one page of it.
 *
 * A page tells which bytes stand at which place of its keys, so keys can be read as numbers (each place with
 * a radix of its own), and what lies between the page's first and last key is the measure for how far another
 * key is away. Guesses only steer how a listing is split: a wrong one costs a request, never a name.
 * Immutable.
 */
#pragma once

#include "src/storage/driver.h"

#include <glib.h>

typedef struct KeySample KeySample;

/* Of a page with the prefix and delimiter (0 none) it was asked with. NULL when the page tells nothing (fewer
 * than two entries). */
KeySample *key_sample_new(const ListPage *page, const char *prefix, char delimiter);
KeySample *key_sample_ref(KeySample *sample);
void key_sample_unref(KeySample *sample);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KeySample, key_sample_unref)

/* How many pages about lie between two keys, `from` the smaller. 0 or more, G_MAXDOUBLE for no idea. */
double key_sample_distance(const KeySample *sample, const char *from, const char *to);
/* A key that lies about so many pages behind `from`: greater than it, valid UTF-8, with the prefix, and
 * without the delimiter behind that. NULL: none to be guessed. Caller frees. */
char *key_sample_ahead(const KeySample *sample, const char *from, double pages);
