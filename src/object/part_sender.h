/* Sends the parts of a plan that were not sent yet, several at a time on the storage's transfer lane. */
#pragma once

#include "src/object/object_file_state.h"
#include "src/object/upload_plan.h"

typedef struct {
    ObjectFile *file; /* its publication runs */
    Call *call;
    const char *container, *key, *upload_id;
    const UploadPlan *plan;
} PartSender;

/* The parts in the plan's order, those sent earlier among them: GArray of UploadPart, cleared with it. NULL
 * when a part failed; then the rest is not begun any more. Blocks: yes; not on the transfer lane. */
GArray *part_sender_send(const PartSender *sender, GError **error);
