/* Where the parts of an upload of unknown size begin, so that parts can go out while writing goes on. Pure.
 *
 * Part i (from 0) covers start(i) .. start(i + 1). The size doubles after each tenth of the part limit, so
 * small objects have small parts and any size fits; where a service wants equal parts it stays the same.
 */
#pragma once

#include "src/storage/driver.h"

#include <glib.h>

typedef struct {
    guint64 first_bytes, maximum_bytes; /* of one part */
    guint step;                         /* parts until the size doubles; 0: never */
    guint maximum_parts;
} PartLayout;

void part_layout_init(PartLayout *layout, const Capabilities *capabilities, guint64 preferred_bytes);
guint64 part_layout_get_start(const PartLayout *layout, guint index);
/* The part that holds `offset`. */
guint part_layout_find(const PartLayout *layout, guint64 offset);
/* FALSE when so many bytes need more parts than there may be. */
gboolean part_layout_fits(const PartLayout *layout, guint64 size_bytes);
