/* Folders of tests. */
#pragma once

#include <glib.h>

/* Removes it with all below it; links are removed, not followed. What cannot be removed fails the test. */
void folder_fixture_remove(const char *path);
