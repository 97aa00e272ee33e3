// SPDX-License-Identifier: GPL-2.0-only
/*
 * replay.c: the state that events tell of. By hand, one meaning after the
 * other; and against the machine that told the events: after every step of a
 * small world of processes, files and devices both have the same rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/replay.h"
#include "facts.h"

#define BOOT_A "aaaaaaaa-0000-0000-0000-000000000000"
#define BOOT_B "bbbbbbbb-0000-0000-0000-000000000000"

static struct replay *r;

static int setup(void **state)
{
	(void)state;
	r = replay_new();
	assert_non_null(r);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	replay_free(r);
	return 0;
}

/* ---- events by hand ---- */

/* What an event is made of; all of it is copied by the machine. */
struct told {
	enum event_kind kind;
	uint32_t pid;		/* 0: no task */
	int fd;			/* 0: none */
	uint64_t file, dev;	/* 0: none */
	const char *ifname;
	uint32_t netns;
	const char *netns_name, *comm, *exe, *boot, *vm;
	enum file_state state;
	enum how how;
	uint32_t has;		/* CH_* beyond */
	bool value;
	uint32_t uid, queues;
	int last;		/* lets the others be left out */
};

static uint64_t seq;

static void give(const struct told *t)
{
	struct tw_task task = { .pid = t->pid, .tid = t->pid, .start_ns = t->pid * 10, .uid = t->uid, .netns = 1 };
	struct device dev = { .id = t->dev, .has = DEV_ALL | TW_HAS_QUEUES };
	struct file file = { .id = t->file, .state = t->state };
	struct process_info info = { .pid = t->pid, .exe = t->exe };
	struct change c = { .event = t->kind, .has = t->has, .time_ns = 1000 + seq, .fd = -1, .how = t->how,
			    .value = t->value, .count = 7 };
	struct event e = { .change = &c, .seq = ++seq, .realtime_ns = 5000000 + seq, .boot_id = t->boot,
			   .netns_name = t->netns_name, .vm_name = t->vm };

	fact_name(task.comm, t->comm ? t->comm : "qemu");
	dev.d = tap(t->dev, t->netns ? t->netns : 1, (uint32_t)t->dev, t->ifname ? t->ifname : "tap0");
	dev.d.queues = t->queues;
	if (t->pid) {
		c.task = &task;
		c.has |= CH_TASK;
		e.process = &info;
	}
	if (t->fd) {
		c.fd = t->fd;
		c.has |= CH_FD;
	}
	c.dev = t->dev ? &dev : NULL;
	c.file = t->file ? &file : NULL;
	assert_int_equal(replay_apply(r, &e), 0);
}

#define GIVE(...) give(&(struct told){ __VA_ARGS__, .last = 0 })

static int compare_lines(const void *a, const void *b)
{
	return strcmp(a, b);
}

#define LINE 200
#define MOST 400

/* "STATE PID/FD fN dN IFNAME@NETNS …", sorted; all members that both machines know. */
static size_t render(const struct rows *rows, char lines[MOST][LINE])
{
	assert_true(rows->len < MOST);
	for (size_t i = 0; i < rows->len; i++) {
		const struct row *row = &rows->row[i];
		const struct tw_dev *d = &row->dev;

		snprintf(lines[i], LINE, "%s %u/%d f%" PRIu64 " d%" PRIu64 " %.16s@%u#%u %02x %x %x %u %u %u %d",
			 row_state_name(row->state), row->task.pid, row->fd, row->file_id, row->device_id,
			 d->ifname, d->netns, d->ifindex, d->mac[5], d->tun_flags, d->if_flags, d->queues,
			 row->disabled, row->socket_netns, d->owner);
	}
	qsort(lines, rows->len, LINE, compare_lines);
	return rows->len;
}

/* "STATE PID/FD[:comm] ifname@netns", "; " after each. */
static const char *state_text(void)
{
	static char lines[MOST][LINE], text[2000];
	struct rows rows = { 0 };
	size_t n = 0;

	assert_int_equal(replay_rows(r, &rows), 0);
	for (size_t i = 0; i < rows.len; i++) {
		const struct row *row = &rows.row[i];

		snprintf(lines[i], LINE, "%s %u/%d %s %.16s@%u; ", row_state_name(row->state), row->task.pid, row->fd,
			 row->task.comm[0] ? row->task.comm : "-", row->dev.ifname, row->dev.netns);
	}
	qsort(lines, rows.len, LINE, compare_lines);
	text[0] = '\0';
	for (size_t i = 0; i < rows.len; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", lines[i]);
	rows_free(&rows);
	return text;
}

#define STATE(expected) assert_string_equal(state_text(), expected)

static void test_life(void **state)
{
	(void)state;
	STATE("");
	GIVE(EV_OPEN, 100, 5, .file = 1);
	STATE("unbound 100/5 qemu @0; ");
	GIVE(EV_ATTACH, 100, 5, 1, 1);
	STATE("bound 100/5 qemu tap0@1; ");
	GIVE(EV_HOLD, 200, 9, 1, 1, .comm = "ssh", .how = HOW_SCM_RIGHTS);
	STATE("bound 100/5 qemu tap0@1; bound 200/9 ssh tap0@1; ");
	GIVE(EV_RENAME, 1, .dev = 1, .ifname = "vnet9");
	GIVE(EV_MOVE, 1, .dev = 1, .ifname = "vnet9", .netns = 7, .netns_name = "blue");
	STATE("bound 100/5 qemu vnet9@7; bound 200/9 ssh vnet9@7; ");
	GIVE(EV_DROP, 100, 5, 1, 1, "vnet9", 7, .how = HOW_CLOSE);
	STATE("bound 200/9 ssh vnet9@7; ");
	GIVE(EV_PERSIST, 200, 9, 1, 1, "vnet9", 7, .has = CH_VALUE, .value = true);
	GIVE(EV_DROP, 200, 9, 1, 1, "vnet9", 7, .how = HOW_EXIT);
	STATE("bound 0/-1 - vnet9@7; ");
	GIVE(EV_RELEASE, 200, 0, 1, 1, "vnet9", 7);
	STATE("no-holder 0/-1 - vnet9@7; ");
	GIVE(EV_DELETE, 1, .dev = 1, .ifname = "vnet9", .netns = 7);
	STATE("");
}

static void test_queues(void **state)
{
	(void)state;
	GIVE(EV_OPEN, 100, 5, .file = 1);
	GIVE(EV_ATTACH, 100, 5, 1, 1);
	GIVE(EV_OPEN, 100, 6, .file = 2);
	GIVE(EV_ATTACH, 100, 6, 2, 1);
	GIVE(EV_QUEUE_DETACH, 100, 6, 2, 1);
	STATE("bound 100/5 qemu tap0@1; disabled 100/6 qemu tap0@1; ");
	GIVE(EV_UP, 1, .dev = 1);
	STATE("bound 100/5 qemu tap0@1; disabled 100/6 qemu tap0@1; ");
	GIVE(EV_QUEUE_ATTACH, 100, 6, 2, 1);
	GIVE(EV_QUEUE_DETACH, 100, 5, 1, 1);
	STATE("bound 100/6 qemu tap0@1; disabled 100/5 qemu tap0@1; ");
	GIVE(EV_DELETE, 1, .dev = 1);
	STATE("orphaned 100/5 qemu @0; orphaned 100/6 qemu @0; ");
	GIVE(EV_DROP, 100, 5, 1, .how = HOW_CLOSE);
	GIVE(EV_RELEASE, 100, 0, 1);
	STATE("orphaned 100/6 qemu @0; ");
}

static void test_exist(void **state)
{
	(void)state;
	GIVE(EV_EXIST, 100, 5, 1, 1, .has = CH_SEED, .state = FILE_BOUND);
	GIVE(EV_EXIST, 100, 6, 2, 1, .has = CH_SEED, .state = FILE_DISABLED);
	GIVE(EV_EXIST, 100, 7, 3, .has = CH_SEED, .state = FILE_UNBOUND);
	GIVE(EV_EXIST, 100, 8, 4, .has = CH_SEED, .state = FILE_ORPHANED);
	GIVE(EV_EXIST, .file = 5, .dev = 2, .ifname = "tap1", .has = CH_SEED, .state = FILE_BOUND);
	GIVE(EV_EXIST, .dev = 3, .ifname = "tap2", .has = CH_SEED);
	STATE("bound 0/-1 - tap1@1; bound 100/5 qemu tap0@1; disabled 100/6 qemu tap0@1; no-holder 0/-1 - tap2@1; "
	      "orphaned 100/8 qemu @0; unbound 100/7 qemu @0; ");
	/* told twice is told once */
	GIVE(EV_EXIST, 100, 5, 1, 1, .has = CH_SEED, .state = FILE_BOUND);
	GIVE(EV_EXIST, 100, 6, 2, 1, .has = CH_SEED, .state = FILE_DISABLED);
	STATE("bound 0/-1 - tap1@1; bound 100/5 qemu tap0@1; disabled 100/6 qemu tap0@1; no-holder 0/-1 - tap2@1; "
	      "orphaned 100/8 qemu @0; unbound 100/7 qemu @0; ");
}

/* vhost-net keeps a file without fds. */
static void test_vhost(void **state)
{
	(void)state;
	GIVE(EV_OPEN, 100, 5, .file = 1);
	GIVE(EV_ATTACH, 100, 5, 1, 1);
	GIVE(EV_VHOST, 100, 0, 1, 1, .has = CH_VALUE, .value = true);
	GIVE(EV_DROP, 100, 5, 1, 1);
	STATE("bound 0/-1 - tap0@1; ");
	GIVE(EV_VHOST, 100, 0, 1, 1, .has = CH_VALUE, .value = false);
	GIVE(EV_RELEASE, 0, 0, 1, 1);
	GIVE(EV_DELETE, 0, .dev = 1);
	STATE("");
}

/* A release that was not preceded by its drops takes the holders along. */
static void test_release_alone(void **state)
{
	(void)state;
	GIVE(EV_EXIST, 100, 5, 1, 1, .state = FILE_BOUND);
	GIVE(EV_EXIST, 200, 5, 1, 1, .state = FILE_BOUND);
	GIVE(EV_RELEASE, 0, 0, 1, 1);
	STATE("no-holder 0/-1 - tap0@1; ");
}

/* Closed by another process of the same table of fds; and by nobody who could be named. */
static void test_drop_by_another(void **state)
{
	(void)state;
	GIVE(EV_OPEN, 100, 5, .file = 1);
	GIVE(EV_HOLD, 200, 6, .file = 1);
	GIVE(EV_HOLD, 300, 7, .file = 1);
	GIVE(EV_DROP, 999, 5, .file = 1);
	STATE("unbound 200/6 qemu @0; unbound 300/7 qemu @0; ");
	GIVE(EV_DROP, 0, 7, .file = 1, .has = CH_SEED);
	STATE("unbound 200/6 qemu @0; ");
	/* of a file or an fd that nobody knows */
	GIVE(EV_DROP, 200, 8, .file = 1);
	GIVE(EV_DROP, 0, .file = 1);
	STATE("unbound 200/6 qemu @0; ");
}

/* One fd of one process refers to one file. */
static void test_fd_reused(void **state)
{
	(void)state;
	GIVE(EV_OPEN, 100, 5, .file = 1);
	GIVE(EV_OPEN, 100, 5, .file = 2);
	STATE("unbound 0/-1 - @0; unbound 100/5 qemu @0; ");
	/* the drop of the old one comes late: the new one stays */
	GIVE(EV_DROP, 100, 5, .file = 1);
	STATE("unbound 0/-1 - @0; unbound 100/5 qemu @0; ");
}

static void test_holder_unknown(void **state)
{
	(void)state;
	/* a direct descriptor of io_uring, later given an fd */
	GIVE(EV_OPEN, 100, 0, .file = 1);
	STATE("unbound 0/-1 - @0; ");
	GIVE(EV_HOLD, 100, 5, .file = 1);
	STATE("unbound 100/5 qemu @0; ");
	/* an attach names some fd, which need not be the actor's */
	GIVE(EV_ATTACH, 200, 5, 1, 1);
	STATE("bound 100/5 qemu tap0@1; ");
	GIVE(EV_ATTACH_FAILED, 300, 6, .file = 2, .has = CH_ERRNO);
	STATE("bound 100/5 qemu tap0@1; unbound 0/-1 - @0; ");
}

/* What the only row with this pid tells. */
static struct row row_of(struct rows *rows, uint32_t pid)
{
	memset(rows, 0, sizeof(*rows));
	assert_int_equal(replay_rows(r, rows), 0);
	for (size_t i = 0; i < rows->len; i++)
		if (rows->row[i].task.pid == pid)
			return rows->row[i];
	fail_msg("no process %u", pid);
	return (struct row){ 0 };
}

static void test_process(void **state)
{
	struct rows rows;
	struct row row;

	(void)state;
	GIVE(EV_OPEN, 100, 5, .file = 1, .comm = "libvirtd", .exe = "/usr/sbin/libvirtd", .vm = "web01");
	row = row_of(&rows, 100);
	assert_string_equal(row.task.comm, "libvirtd");
	assert_string_equal(row.exe, "/usr/sbin/libvirtd");
	assert_string_equal(row.vm_name, "web01");
	assert_null(row.cgroup);
	/* realtime - boottime + start */
	assert_int_equal(row.start_realtime_ns, 5000000 + seq - (1000 + seq - 1) + 1000);
	rows_free(&rows);
	/* through exec: another program; what is not told of it is not known */
	GIVE(EV_HOLD, 100, 5, .file = 1, .comm = "qemu", .how = HOW_EXEC);
	row = row_of(&rows, 100);
	assert_string_equal(row.task.comm, "qemu");
	assert_null(row.exe);
	assert_int_equal(rows.len, 1);
	rows_free(&rows);
	/* an exec that was not seen as such */
	GIVE(EV_UP, 100, .dev = 1, .comm = "qemu", .exe = "/usr/bin/qemu");
	GIVE(EV_UP, 100, .dev = 1, .comm = "other");
	row = row_of(&rows, 100);
	assert_string_equal(row.task.comm, "other");
	assert_null(row.exe);
	rows_free(&rows);
	/* what a scan concludes is older than what was seen */
	GIVE(EV_UP, 100, .dev = 1, .comm = "stale", .has = CH_SEED);
	row = row_of(&rows, 100);
	assert_string_equal(row.task.comm, "other");
	rows_free(&rows);
	/* its next life */
	GIVE(EV_DROP, 100, 5, .file = 1);
	GIVE(EV_HOLD, 100, 5, .file = 1, .comm = "new");
	row = row_of(&rows, 100);
	assert_string_equal(row.task.comm, "new");
	assert_null(row.vm_name);
	rows_free(&rows);
}

/* A name belongs to a namespace, and goes when the device is in another. */
static void test_labels(void **state)
{
	struct rows rows;
	struct row row;

	(void)state;
	GIVE(EV_EXIST, 100, 5, 1, 1, .netns = 7, .netns_name = "blue", .state = FILE_BOUND);
	GIVE(EV_UP, .dev = 1, .netns = 7);
	row = row_of(&rows, 100);
	assert_string_equal(row.netns_name, "blue");
	assert_string_equal(row.netns_label, "blue");
	rows_free(&rows);
	GIVE(EV_MOVE, .dev = 1, .netns = 8);
	row = row_of(&rows, 100);
	assert_null(row.netns_name);
	rows_free(&rows);
}

static void test_boots(void **state)
{
	(void)state;
	GIVE(EV_EXIST, 100, 5, 1, 1, .boot = BOOT_A, .state = FILE_BOUND);
	GIVE(EV_HOLD, 200, 5, 1, 1, .boot = BOOT_A);
	/* unknown is no other */
	GIVE(EV_UP, .dev = 1);
	STATE("bound 100/5 qemu tap0@1; bound 200/5 qemu tap0@1; ");
	GIVE(EV_READY, .boot = BOOT_B);
	STATE("");
	GIVE(EV_EXIST, 100, 5, 2, 2, .boot = BOOT_B, .state = FILE_BOUND);
	GIVE(EV_READY, .boot = BOOT_B);
	STATE("bound 100/5 qemu tap0@1; ");
}

static void test_loss(void **state)
{
	struct replay_loss loss = { 0 };
	uint64_t first;

	(void)state;
	GIVE(EV_UP, .dev = 1);
	assert_false(replay_lossy(r, &loss));
	GIVE(EV_LOST, .has = CH_COUNT);
	first = seq;
	GIVE(EV_UP, .dev = 1);
	GIVE(EV_LOST, .has = CH_COUNT);
	assert_true(replay_lossy(r, &loss));
	assert_int_equal(loss.seq, first);
	assert_int_equal(loss.realtime_ns, 5000000 + first);
	assert_int_equal(loss.count, 14);
	GIVE(EV_RESYNC, .has = CH_COUNT);
	assert_false(replay_lossy(r, NULL));
	GIVE(EV_LOST, .boot = BOOT_A);
	assert_true(replay_lossy(r, NULL));
	GIVE(EV_READY, .boot = BOOT_B);
	assert_false(replay_lossy(r, NULL));
}

/* ---- a world ---- */

#define PROCESSES 5
#define FDS 6
#define DEVICES 5
#define FILES 40

struct world {
	struct bindings *b;
	uint64_t now, next_gen, seq;
	uint64_t fd[PROCESSES][FDS];	/* generation; 0: free */
	struct { uint64_t gen; uint64_t dev; bool detached, vhost; } file[FILES];
	struct tw_dev dev[DEVICES];	/* gen 0: none */
	uint64_t events;
};

/* xorshift64: the same worlds on every machine */
static uint64_t chance;

static uint32_t pick(uint32_t n)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return (uint32_t)((chance >> 11) % n);
}

static void on_change(void *ctx, const struct change *change)
{
	struct world *w = ctx;
	struct event e = { .change = change, .seq = ++w->seq, .realtime_ns = change->time_ns + 77 };

	w->events++;
	assert_int_equal(replay_apply(r, &e), 0);
}

static void tell_fact(struct world *w, struct tw_event e)
{
	e.time_ns = ++w->now;
	assert_int_equal(bindings_apply(w->b, &e), 0);
}

/* Index of a file; FILES: there is none. */
static size_t file_at(const struct world *w, uint64_t gen)
{
	size_t i = 0;

	while (i < FILES && w->file[i].gen != gen)
		i++;
	return i;
}

/* The device as hooks see it, with the files of its enabled queues. */
static struct tw_event look(struct world *w, struct tw_dev *d, enum tw_dev_op op)
{
	uint64_t gens[FILES];
	uint32_t n = 0;

	for (size_t i = 0; i < FILES; i++)
		if (w->file[i].gen && w->file[i].dev == d->gen && !w->file[i].detached)
			gens[n++] = w->file[i].gen;
	assert_true(n <= TW_QUEUES_PER_EVENT);
	d->queues = n;
	return slice_of(dev(0, op, *d), n, 0, gens);
}

static struct tw_dev *dev_of_file(struct world *w, size_t f)
{
	for (size_t i = 0; i < DEVICES; i++)
		if (w->dev[i].gen && w->dev[i].gen == w->file[f].dev)
			return &w->dev[i];
	return NULL;
}

static void remove_device(struct world *w, struct tw_dev *d, struct tw_event gone)
{
	tell_fact(w, gone);
	for (size_t i = 0; i < FILES; i++)
		if (w->file[i].dev == d->gen)
			w->file[i].dev = 0;
	d->gen = 0;
}

static bool in_use(const struct world *w, const struct tw_dev *d)
{
	for (size_t i = 0; i < FILES; i++)
		if (w->file[i].gen && w->file[i].dev == d->gen)
			return true;
	return false;
}

static bool is_held(const struct world *w, uint64_t gen)
{
	for (size_t p = 0; p < PROCESSES; p++)
		for (size_t fd = 0; fd < FDS; fd++)
			if (w->fd[p][fd] == gen)
				return true;
	return false;
}

/* The last reference may be gone. */
static void settle(struct world *w, uint32_t pid, uint64_t gen)
{
	size_t f = file_at(w, gen);
	struct tw_dev *d = dev_of_file(w, f);

	if (is_held(w, gen) || w->file[f].vhost)
		return;
	w->file[f].gen = 0;
	if (d && !in_use(w, d) && !(d->tun_flags & IFF_PERSIST))
		remove_device(w, d, in_close(gen, by(pid, dev(0, TW_DEV_GONE, *d))));
	tell_fact(w, file_release(0, pid, gen));
	if (d && d->gen)
		tell_fact(w, in_close(gen, by(pid, look(w, d, TW_DEV_STATE))));
	w->file[f].dev = 0;
}

static void op_open(struct world *w, uint32_t p, uint32_t fd)
{
	size_t f = file_at(w, 0);

	if (w->fd[p][fd] || f == FILES)
		return;
	w->file[f].gen = w->fd[p][fd] = ++w->next_gen;
	w->file[f].dev = 0;
	w->file[f].detached = w->file[f].vhost = false;
	tell_fact(w, socket_in(1, file_open(0, 100 + p, w->next_gen)));
	tell_fact(w, with(TW_F_NEW_FILE, fd_install(0, 100 + p, (int)fd, w->next_gen)));
}

static void op_attach(struct world *w, uint32_t p, uint32_t fd)
{
	uint64_t gen = w->fd[p][fd];
	size_t f = file_at(w, gen), i = pick(DEVICES);
	struct tw_dev *d = &w->dev[i];
	char name[] = "tap0";
	bool new = !d->gen;

	if (!gen || w->file[f].dev || bindings_file(w->b, gen)->state != FILE_UNBOUND)
		return;
	name[3] += (char)pick(9);
	if (new) {
		w->next_gen++;
		*d = tap(w->next_gen, 1, (uint32_t)w->next_gen, name);
		d->tun_flags |= IFF_MULTI_QUEUE;
		d->mac[5] = (uint8_t)pick(200);
	}
	w->file[f].dev = d->gen;
	tell_fact(w, in_ioctl(TUNSETIFF, gen, by(100 + p, look(w, d, new ? TW_DEV_NEW : TW_DEV_STATE))));
	tell_fact(w, on_dev(*d, ioctl_end(0, 100 + p, gen, TUNSETIFF, 0)));
}

static void op_fail(struct world *w, uint32_t p, uint32_t fd)
{
	uint64_t gen = w->fd[p][fd];

	if (gen && !w->file[file_at(w, gen)].dev)
		tell_fact(w, with(TW_F_UNBOUND, asking("tap3", ioctl_end(0, 100 + p, gen, TUNSETIFF, -16))));
}

/* To a free slot, or over one that is used. */
static void op_pass(struct world *w, uint32_t p, uint32_t fd)
{
	uint32_t q = pick(PROCESSES), to = pick(FDS);
	uint64_t gen = w->fd[p][fd], old = w->fd[q][to];

	if (!gen || old == gen)
		return;
	w->fd[q][to] = gen;
	tell_fact(w, fd_install(0, 100 + q, (int)to, gen));
	if (old)
		settle(w, 100 + q, old);
}

static void op_close(struct world *w, uint32_t p, uint32_t fd)
{
	uint64_t gen = w->fd[p][fd];

	if (!gen)
		return;
	w->fd[p][fd] = 0;
	tell_fact(w, fd_close(0, 100 + p, (int)fd, gen));
	settle(w, 100 + p, gen);
}

static void op_exit(struct world *w, uint32_t p, uint32_t fd)
{
	uint64_t had[FDS];

	if (fd)
		return;
	memcpy(had, w->fd[p], sizeof(had));
	memset(w->fd[p], 0, sizeof(w->fd[p]));
	tell_fact(w, table_exit(0, 100 + p));
	for (size_t i = 0; i < FDS; i++)
		if (had[i] && file_at(w, had[i]) < FILES)
			settle(w, 100 + p, had[i]);
}

static void op_vhost(struct world *w, uint32_t p, uint32_t fd)
{
	uint64_t gen = w->fd[p][fd];
	size_t f = gen ? file_at(w, gen) : pick(FILES);

	if (f == FILES || !w->file[f].gen)
		return;
	gen = w->file[f].gen;
	w->file[f].vhost = !w->file[f].vhost;
	tell_fact(w, vhost(0, 100 + p, 1000 + gen, 0, w->file[f].vhost ? gen : 0));
	settle(w, 100 + p, gen);
}

static void op_queue(struct world *w, uint32_t p, uint32_t fd)
{
	uint64_t gen = w->fd[p][fd];
	size_t f = file_at(w, gen);
	struct tw_dev *d;

	if (!gen || !(d = dev_of_file(w, f)))
		return;
	w->file[f].detached = !w->file[f].detached;
	tell_fact(w, in_ioctl(TUNSETQUEUE, gen, by(100 + p, look(w, d, TW_DEV_STATE))));
	tell_fact(w, with(w->file[f].detached ? TW_F_DETACHED : 0, on_dev(*d, ioctl_end(0, 100 + p, gen, TUNSETQUEUE, 0))));
}

static void op_change(struct world *w, uint32_t p, uint32_t fd)
{
	struct tw_dev *d = &w->dev[pick(DEVICES)];

	(void)fd;
	if (!d->gen)
		return;
	switch (pick(6)) {
	case 0:
		d->ifname[4] = (char)('a' + pick(20));
		break;
	case 1:
		d->mac[5] = (uint8_t)pick(200);
		break;
	case 2:
		d->if_flags ^= IFF_UP;
		break;
	case 3:
		d->owner = (int)pick(3) - 1;
		break;
	case 4:
		d->tun_flags ^= in_use(w, d) ? IFF_PERSIST : 0;
		break;
	case 5:
		d->netns = 1 + pick(4);
		d->ifindex = (uint32_t)++w->next_gen;
		tell_fact(w, by(100 + p, look(w, d, TW_DEV_MOVED)));
		return;
	}
	tell_fact(w, by(100 + p, look(w, d, TW_DEV_STATE)));
}

static void op_delete(struct world *w, uint32_t p, uint32_t fd)
{
	struct tw_dev *d = &w->dev[pick(DEVICES)];

	if (!fd && d->gen)
		remove_device(w, d, by(100 + p, dev(0, TW_DEV_GONE, *d)));
}

static void same_rows(const struct world *w)
{
	static char told[MOST][LINE], real[MOST][LINE];
	struct rows a = { 0 }, b = { 0 };
	size_t n, m;

	assert_int_equal(replay_rows(r, &a), 0);
	assert_int_equal(rows_collect(&b, w->b), 0);
	n = render(&a, told);
	m = render(&b, real);
	for (size_t i = 0; i < n || i < m; i++)
		if (i >= n || i >= m || strcmp(told[i], real[i]))
			fail_msg("after %" PRIu64 " events: replayed '%s', real '%s'", w->seq, i < n ? told[i] : "-",
				 i < m ? real[i] : "-");
	rows_free(&a);
	rows_free(&b);
}

static void live(uint64_t first)
{
	static void (*const ops[])(struct world *w, uint32_t p, uint32_t fd) = {
		op_open, op_open, op_attach, op_attach, op_fail, op_pass, op_pass, op_close, op_exit, op_vhost, op_queue,
		op_change, op_change, op_delete,
	};
	struct world w = { 0 };

	chance = first;
	w.b = bindings_new(on_change, &w);
	assert_non_null(w.b);
	for (int i = 0; i < 1500; i++) {
		ops[pick(sizeof(ops) / sizeof(ops[0]))](&w, pick(PROCESSES), pick(FDS));
		same_rows(&w);
	}
	assert_true(w.events > 500);
	bindings_free(w.b);
}

static void test_world(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 10; i++) {
		replay_free(r);
		r = replay_new();
		live(i * 0x9e3779b97f4a7c15ULL);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_life), TEST(test_queues), TEST(test_exist), TEST(test_vhost), TEST(test_release_alone),
		TEST(test_drop_by_another), TEST(test_fd_reused), TEST(test_holder_unknown), TEST(test_process),
		TEST(test_labels), TEST(test_boots), TEST(test_loss), TEST(test_world),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
