#include "src/base/crc32c.h"

#include <string.h>

static const guint32 *
crc_table(void)
{
    static guint32 table[256];
    static gsize ready;
    if (g_once_init_enter(&ready)) {
        for (guint32 i = 0; i < 256; i++) {
            guint32 value = i;
            for (int bit = 0; bit < 8; bit++)
                value = (value >> 1) ^ ((value & 1) ? 0x82F63B78u : 0);
            table[i] = value;
        }
        g_once_init_leave(&ready, 1);
    }
    return table;
}

static guint32
crc_portable(guint32 crc, const guint8 *bytes, gsize length)
{
    const guint32 *table = crc_table();
    for (gsize i = 0; i < length; i++)
        crc = (crc >> 8) ^ table[(crc ^ bytes[i]) & 0xFF];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static guint32
crc_instruction(guint32 crc, const guint8 *bytes, gsize length)
{
    guint64 wide = crc;
    for (; length >= 8; bytes += 8, length -= 8) {
        guint64 word;
        memcpy(&word, bytes, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (guint32)wide;
    for (; length > 0; bytes++, length--)
        crc = __builtin_ia32_crc32qi(crc, *bytes);
    return crc;
}
#endif

guint32
crc32c_append(guint32 crc, const void *data, gsize length_bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_instruction(~crc, data, length_bytes);
#endif
    return ~crc_portable(~crc, data, length_bytes);
}
