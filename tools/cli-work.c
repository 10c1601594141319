/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers, and the tasks between them.
 *
 * The newest task is taken first, so a walk over a tree goes into depth and few directories are open at a time. With
 * many tasks waiting a worker does the next one itself. The end is when no task is left and nobody is at one.
 */
#include "cli-work.h"

#include "base/cleanup.h"

#include <string.h>
#include <time.h>

#define TASKS_MOST 8192U

void cli_work_add(struct cli_work *work, struct cli_task *task, bool now_if_many, char *chunk)
{
	pthread_mutex_lock(&work->mutex);
	if (now_if_many && work->task_count >= TASKS_MOST) {
		pthread_mutex_unlock(&work->mutex);
		work->run(work->data, task, chunk);
		return;
	}
	task->next = work->tasks;
	work->tasks = task;
	work->task_count++;
	pthread_cond_signal(&work->wake);
	pthread_mutex_unlock(&work->mutex);
}

/* Mutex held, also at its end. */
static void run_first(struct cli_work *work, char *chunk)
{
	struct cli_task *task = work->tasks;

	work->tasks = task->next;
	work->task_count--;
	work->busy++;
	pthread_mutex_unlock(&work->mutex);
	work->run(work->data, task, chunk);
	pthread_mutex_lock(&work->mutex);
	work->busy--;
}

static bool run_idle(struct cli_work *work, char *chunk)
{
	bool more;

	work->busy++;
	pthread_mutex_unlock(&work->mutex);
	more = work->idle && work->idle(work->data, chunk);
	pthread_mutex_lock(&work->mutex);
	work->busy--;
	return more || work->tasks;
}

static void *work_off(void *data)
{
	struct cli_work *work = data;
	char *chunk = malloc(work->chunk_bytes);
	bool looked = false; /* since the last task, for something else to do */

	pthread_mutex_lock(&work->mutex);
	for (;;) {
		if (work->tasks) {
			run_first(work, chunk);
			looked = false;
		} else if (!looked) {
			looked = !run_idle(work, chunk);
		} else if (work->busy == 0) {
			break;
		} else {
			pthread_cond_wait(&work->wake, &work->mutex);
		}
	}
	pthread_cond_broadcast(&work->wake);
	pthread_mutex_unlock(&work->mutex);
	if (chunk)
		explicit_bzero(chunk, work->chunk_bytes);
	free(chunk);
	return NULL;
}

static bool is_over(struct cli_work *work)
{
	xtsfs_guard_mutex(&work->mutex);

	return !work->tasks && work->busy == 0;
}

static void watch(struct cli_work *work)
{
	const struct timespec pause = {.tv_nsec = 100L * 1000 * 1000};

	while (!is_over(work)) {
		work->watch(work->data);
		nanosleep(&pause, NULL);
	}
}

void cli_work_run(struct cli_work *work, struct cli_task *first)
{
	pthread_t threads[256];
	unsigned started = 0;

	pthread_mutex_init(&work->mutex, NULL);
	pthread_cond_init(&work->wake, NULL);
	work->tasks = first;
	work->task_count = first ? 1 : 0;
	work->busy = 0;
	while (started < work->threads && pthread_create(&threads[started], NULL, work_off, work) == 0)
		started++;
	if (started == 0)
		(void)work_off(work);
	else if (work->watch)
		watch(work);
	while (started > 0)
		pthread_join(threads[--started], NULL);
}
