#include "src/object/part_layout.h"

#define ALIGNMENT (64u << 10)
#define NO_LIMIT_PART_BYTES (G_GUINT64_CONSTANT(5) << 30)

void
part_layout_init(PartLayout *layout, const Capabilities *capabilities, guint64 preferred_bytes)
{
    guint64 maximum = capabilities->maximum_part_bytes;
    layout->maximum_bytes = maximum > 0 ? maximum : NO_LIMIT_PART_BYTES;
    layout->maximum_parts = capabilities->maximum_parts > 0 ? capabilities->maximum_parts : 10000;
    layout->step = capabilities->equal_parts ? 0 : MAX(1, layout->maximum_parts / 10);
    guint64 first = MAX(preferred_bytes, MAX(capabilities->minimum_part_bytes, 1));
    /* Aligned so that pages do not cross parts; services with tiny limits (tests) keep theirs. */
    if (first > ALIGNMENT)
        first = (first + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    layout->first_bytes = MIN(first, layout->maximum_bytes);
}

/* The size of the parts of one step. */
static guint64
bytes_in_step(const PartLayout *layout, guint number)
{
    guint64 bytes = layout->first_bytes;
    for (guint i = 0; i < number && bytes < layout->maximum_bytes; i++)
        bytes = MIN(bytes * 2, layout->maximum_bytes);
    return bytes;
}

guint64
part_layout_get_start(const PartLayout *layout, guint index)
{
    guint64 start = 0;
    if (layout->step == 0)
        return index * layout->first_bytes;
    for (guint number = 0;; number++) {
        guint64 bytes = bytes_in_step(layout, number);
        if (index < layout->step || bytes == layout->maximum_bytes)
            return start + index * bytes;
        start += layout->step * bytes;
        index -= layout->step;
    }
}

guint
part_layout_find(const PartLayout *layout, guint64 offset)
{
    guint before = 0;
    if (layout->step == 0)
        return (guint)MIN(offset / layout->first_bytes, G_MAXUINT32);
    for (guint number = 0;; number++) {
        guint64 bytes = bytes_in_step(layout, number);
        if (offset < layout->step * bytes || bytes == layout->maximum_bytes)
            return before + (guint)MIN(offset / bytes, G_MAXUINT32 / 2);
        offset -= layout->step * bytes;
        before += layout->step;
    }
}

gboolean
part_layout_fits(const PartLayout *layout, guint64 size_bytes)
{
    return size_bytes == 0 || part_layout_find(layout, size_bytes - 1) < layout->maximum_parts;
}
