#include "src/base/crc32c.h"

#include <string.h>

/* RFC 3720, appendix B.4, and the usual check value. */
static void
test_crc32c(void)
{
    guint8 zeros[32] = {0}, ones[32];
    memset(ones, 0xFF, sizeof ones);
    g_assert_cmphex(crc32c_append(0, "123456789", 9), ==, 0xE3069283);
    g_assert_cmphex(crc32c_append(0, zeros, sizeof zeros), ==, 0x8A9136AA);
    g_assert_cmphex(crc32c_append(0, ones, sizeof ones), ==, 0x62A8AB43);
    g_assert_cmphex(crc32c_append(crc32c_append(0, "12345", 5), "6789", 4), ==, 0xE3069283);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/crc32c/known_values", test_crc32c);
    return g_test_run();
}
