/* A growing ring of tasks, first in, first out: what a pool and a group keep their waiting tasks in.
 *
 * Not locked: the owner's lock guards it. No allocation per task.
 */
#pragma once

#include "src/base/worker_pool.h"

typedef struct {
    WorkerTask run;
    gpointer data;
} Task;

typedef struct {
    Task *tasks;
    guint room, first, length;
} TaskQueue; /* zeroed: empty */

void task_queue_push(TaskQueue *queue, Task task);
/* Only when length > 0. */
Task task_queue_pop(TaskQueue *queue);
void task_queue_clear(TaskQueue *queue);
