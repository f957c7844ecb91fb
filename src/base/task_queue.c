/* The ring of task_queue.h. */
#include "src/base/task_queue.h"

#define FIRST_ROOM 16u

static void
grow(TaskQueue *queue)
{
    guint room = queue->room ? queue->room * 2 : FIRST_ROOM;
    Task *tasks = g_new(Task, room);
    for (guint i = 0; i < queue->length; i++)
        tasks[i] = queue->tasks[(queue->first + i) % queue->room];
    g_free(queue->tasks);
    queue->tasks = tasks;
    queue->room = room;
    queue->first = 0;
}

void
task_queue_push(TaskQueue *queue, Task task)
{
    if (queue->length == queue->room)
        grow(queue);
    queue->tasks[(queue->first + queue->length) % queue->room] = task;
    queue->length++;
}

Task
task_queue_pop(TaskQueue *queue)
{
    g_assert(queue->length > 0);
    Task task = queue->tasks[queue->first];
    queue->first = (queue->first + 1) % queue->room;
    queue->length--;
    return task;
}

void
task_queue_clear(TaskQueue *queue)
{
    g_free(queue->tasks);
    *queue = (TaskQueue){0};
}
