// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_checkpoint.c - copies the log back into the database (a checkpoint).
 *
 * Nothing waits for the copy: a commit stands in the log. But the log begins
 * anew only when all of it is copied, at a moment at which nobody writes; and
 * copying ends with an fsync(2) of the database, which takes a disk's tenths of
 * a second. So a thread with a connection of its own copies most of it beside
 * the recording, as often as it takes until little is left; that little is then
 * copied between two batches by the recording thread itself. Without the thread
 * (history_checkpoint_beside() was not called, or failed) it copies all.
 *
 * Each connection is used by one thread. SQLite's own locks keep a checkpoint
 * from taking anything that a reader, here or in another process, still needs.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "history_private.h"
#include "privilege.h"

#define PAGE			8192	/* history_schema.c */
#define CHECKPOINT_PAGES	1000	/* 8 MB of log */
#define LITTLE			8	/* this part of it the recording thread copies itself */
#define ALL_ITSELF		4	/* so many times as much is not to be: then it copies what there is */
#define STACK_BYTES		(256 << 10)

struct checkpoint {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool wanted, stop;		/* under lock; wanted: also while it copies */
	sqlite3 *db;			/* the thread's */
	_Atomic int copied;		/* pages of the log that are in the database, as of the last copy */
	int pages;			/* of the log at the last commit */
};

/* Negative: nothing was copied (somebody else does, or the disk refuses: it is only late). */
static int copy_log(sqlite3 *db)
{
	int pages = -1, copied = -1;

	if (sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, &pages, &copied) != SQLITE_OK)
		return -1;
	return copied;
}

static void note_copied(struct checkpoint *c, int copied)
{
	if (copied >= 0)
		atomic_store(&c->copied, copied);
}

static void *copy_when_wanted(void *ctx)
{
	struct checkpoint *c = ctx;

	privilege_drop_all();
	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		if (!c->wanted) {
			pthread_cond_wait(&c->wake, &c->lock);
			continue;
		}
		pthread_mutex_unlock(&c->lock);
		note_copied(c, copy_log(c->db));
		pthread_mutex_lock(&c->lock);
		c->wanted = false;
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static void want_copy(struct checkpoint *c)
{
	pthread_mutex_lock(&c->lock);
	c->wanted = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

static bool is_busy(struct checkpoint *c)
{
	bool busy;

	pthread_mutex_lock(&c->lock);
	busy = c->wanted;
	pthread_mutex_unlock(&c->lock);
	return busy;
}

/* So many pages are a long log. */
static uint64_t log_limit(const struct history *h)
{
	uint64_t part = h->options.max_bytes / PAGE / 16;

	return h->options.max_bytes && part < CHECKPOINT_PAGES ? part : CHECKPOINT_PAGES;
}

/* By the thread, or, when little is left or the log far too long, here. */
static void copy_beside(struct checkpoint *c, sqlite3 *db, uint64_t limit)
{
	int left = c->pages - atomic_load(&c->copied);

	if ((uint64_t)left <= limit / LITTLE || (uint64_t)c->pages >= limit * ALL_ITSELF)
		note_copied(c, copy_log(db));
	else
		want_copy(c);
}

/* After each commit: the log has so many pages now, as far as it is in use. */
static int on_commit(void *ctx, sqlite3 *db, const char *name, int pages)
{
	struct history *h = ctx;
	struct checkpoint *c = h->checkpoint;
	bool is_long = (uint64_t)pages >= log_limit(h);

	(void)name;
	if (!c) {
		if (is_long)
			copy_log(db);
		return SQLITE_OK;
	}
	/* it began anew: SQLite does that when all is copied */
	if (pages < c->pages)
		atomic_store(&c->copied, 0);
	c->pages = pages;
	if (is_long && !is_busy(c))
		copy_beside(c, db, log_limit(h));
	return SQLITE_OK;
}

void checkpoint_init(struct history *h)
{
	sqlite3_wal_hook(h->db, on_commit, h);
}

static int start_thread(struct checkpoint *c)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int ret;

	/* signals are the main thread's affair */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	ret = pthread_create(&c->thread, &attr, copy_when_wanted, c);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -ret;
}

static void release(struct checkpoint *c)
{
	sqlite3_close(c->db);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int history_checkpoint_beside(struct history *h)
{
	struct checkpoint *c = calloc(1, sizeof(*c));
	char err[1];
	int ret;

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	ret = history_db_open(&c->db, h->path, true, err, sizeof(err));
	/* it copies pages, and keeps none */
	if (!ret)
		ret = history_exec(c->db, "PRAGMA cache_size = 8; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;");
	if (!ret)
		ret = start_thread(c);
	if (ret)
		release(c);
	else
		h->checkpoint = c;
	return ret;
}

void checkpoint_free(struct history *h)
{
	struct checkpoint *c = h->checkpoint;

	if (!c)
		return;
	h->checkpoint = NULL;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	release(c);
}
