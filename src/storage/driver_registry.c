/* The drivers that are built in. A new one is one include and one line here. */
#include "src/storage/driver_registry.h"

#include "drivers/local/local.h"
#include "drivers/memory/memory.h"
#include "drivers/s3/s3.h"

#include <pthread.h>
#include <string.h>

static const Driver *const DRIVERS[] = {
    &memory_driver,
    &local_driver,
    &s3_driver,
};

static GPtrArray *names;

static gboolean
has_name(const Driver *driver, const char *name)
{
    return strcmp(driver->name, name) == 0 || (driver->presets && g_strv_contains(driver->presets, name));
}

const Driver *
driver_registry_find(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(DRIVERS); i++) {
        if (has_name(DRIVERS[i], name))
            return DRIVERS[i];
    }
    return NULL;
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
collect_names(void)
{
    names = g_ptr_array_new();
    for (guint i = 0; i < G_N_ELEMENTS(DRIVERS); i++) {
        g_ptr_array_add(names, (gpointer)DRIVERS[i]->name);
        for (const char *const *preset = DRIVERS[i]->presets; preset && *preset; preset++)
            g_ptr_array_add(names, (gpointer)*preset);
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
}

const char *const *
driver_registry_get_names(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, collect_names);
    return (const char *const *)names->pdata;
}
