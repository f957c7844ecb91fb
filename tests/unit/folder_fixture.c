#include "tests/unit/folder_fixture.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>

#define OPEN_FOLDERS 16

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    if (remove(path) != 0)
        g_error("%s: %s", path, g_strerror(errno));
    return 0;
}

void
folder_fixture_remove(const char *path)
{
    if (nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        g_error("%s: %s", path, g_strerror(errno));
}
