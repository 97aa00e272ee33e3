// SPDX-License-Identifier: GPL-2.0-only
/*
 * out_text.c - events for people: one line each, in columns, that says who
 * did what to which device where, and what it was before.
 *
 * TIME         EVENT         PROCESS                FD DEVICE     NETNS            DETAIL
 * 00:31:00.123 attach        qemu-system-x86(4242)  27 vnet99     fooz[4026532591] created tap
 *
 * A value too wide for its column pushes the next one only as far as it has
 * to; the columns after that fall into place again.
 */
#include "out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "escape.h"

/* Where columns begin, on a line without date. */
#define COL_EVENT	13
#define COL_PROCESS	27
#define COL_FD		49
#define FD_WIDTH	3
#define COL_DEVICE	53
#define COL_NETNS	64
#define COL_DETAIL	81
#define DATE_WIDTH	11

#define SHOWN_HOLDERS	8	/* of a device that is busy: enough to see whom to ask */

/* What is added to the detail of an event. */
#define TELL_USER	(1u << 0)  /* the user, unless root, and the VM */
#define TELL_NETNS	(1u << 1)  /* the process's namespace where it is another */
#define TELL_SOCKET	(1u << 2)  /* the file's namespace where it is another */
#define TELL_WHO	(TELL_USER | TELL_NETNS)

/* A line being written. Never overrun: what does not fit is dropped. */
struct line {
	const struct out_text *text;
	char buf[8192];
	size_t len;
	size_t col;		/* columns taken on the terminal */
	size_t shift;		/* width of the date */
	bool detailed;		/* the detail has begun */
};

static void add_bytes(struct line *l, const char *bytes, size_t len)
{
	if (len >= sizeof(l->buf) - l->len)
		return;
	memcpy(l->buf + l->len, bytes, len);
	l->len += len;
	l->buf[l->len] = '\0';
}

/* `safe`: already escaped. */
static void add(struct line *l, const char *safe)
{
	add_bytes(l, safe, strlen(safe));
	l->col += escape_width(safe);
}

/* Bytes that take no room on the terminal. */
static void add_sgr(struct line *l, const char *sgr)
{
	if (l->text->color && sgr)
		add_bytes(l, sgr, strlen(sgr));
}

static void go_to(struct line *l, size_t col)
{
	do
		add(l, " ");
	while (l->col < col + l->shift);
}

static void end_line(struct line *l)
{
	while (l->len && l->buf[l->len - 1] == ' ')
		l->len--;
	/* add_bytes() leaves one byte, for the NUL, that the newline may take. */
	l->buf[l->len++] = '\n';
}

/* One more piece of detail; the text is to be safe already. */
__attribute__((format(printf, 2, 3)))
static void detail(struct line *l, const char *fmt, ...)
{
	char piece[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	if (l->detailed)
		add(l, ", ");
	else
		go_to(l, COL_DETAIL);
	l->detailed = true;
	add(l, piece);
}

/* Enough for any fixed-size name of the kernel. */
struct safe {
	char text[ESCAPE_SIZE(TW_NAME_LEN)];
};

static const char *safe_name(struct safe *safe, const char name[TW_NAME_LEN])
{
	escape_term(safe->text, sizeof(safe->text), name, TW_NAME_LEN);
	return safe->text;
}

size_t out_netns(const struct out_text *text, char *buf, size_t size, uint32_t inode,
		 const char *label)
{
	char safe[ESCAPE_SIZE(256)];
	int n;

	if (!label)
		label = inode && inode == text->init_netns ? "init" : "";
	escape_term(safe, sizeof(safe), label, strlen(label));
	if (inode)
		n = snprintf(buf, size, "%s[%u]", safe, inode);
	else
		n = snprintf(buf, size, "-");
	return (size_t)n < size ? (size_t)n : size ? size - 1 : 0;
}

#define NETNS_TEXT (ESCAPE_SIZE(256) + 16)

static const char *netns(const struct line *l, char buf[NETNS_TEXT], uint32_t inode,
			 const char *label)
{
	out_netns(l->text, buf, NETNS_TEXT, inode, label);
	return buf;
}

static const char *mac(char buf[18], const uint8_t m[6])
{
	snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	return buf;
}

/* "qemu-system-x86(4242)" */
static void add_process(struct line *l, const struct tw_task *task)
{
	char pid[16];
	struct safe s;

	if (!task) {
		add(l, "-");
		return;
	}
	add(l, safe_name(&s, task->comm));
	snprintf(pid, sizeof(pid), "(%u)", task->pid);
	add(l, pid);
}

/* What kind of device it is and how it is set up: "created tap", "multi_queue", ... */
static void tell_setup(struct line *l, const struct event *event)
{
	const struct change *c = event->change;
	const char *kind = c->dev ? kind_name(c->dev->d.kind) : NULL;
	const char *words[TUN_FLAG_WORDS];
	size_t i, n;

	if (c->has & CH_CREATED)
		detail(l, "created%s%s", kind ? " " : "", kind ? kind : "");
	else if (kind)
		detail(l, "%s", kind);
	if (!c->dev)
		return;
	if (c->dev->has & TW_HAS_TUN) {
		n = tun_flag_words(c->dev->d.tun_flags, words);
		for (i = 0; i < n; i++)
			detail(l, "%s", words[i]);
	}
	if ((c->dev->has & TW_HAS_QUEUES) && c->dev->d.queues > 1)
		detail(l, "%u queues", c->dev->d.queues);
	if ((c->dev->has & TW_HAS_QUEUES) && c->dev->disabled)
		detail(l, "%u disabled", c->dev->disabled);
}

static void tell_exist(struct line *l, const struct event *event)
{
	const struct change *c = event->change;

	if (!c->file || (!c->task && !(c->has & CH_FD)))
		detail(l, "no process holds it");
	else if (c->file->state == FILE_UNBOUND)
		detail(l, "no device yet");
	else if (c->file->state == FILE_ORPHANED)
		detail(l, "its device was deleted");
	else if (c->file->state == FILE_DISABLED)
		detail(l, "queue disabled");
	tell_setup(l, event);
	if (c->file && c->file->vhost_queues)
		detail(l, "used by vhost-net");
}

static void tell_open(struct line *l, const struct event *event)
{
	if (event->change->dev)
		tell_setup(l, event);
	else
		detail(l, "no device yet");
}

/* "qemu(4000) fd 9 10, ssh(77) fd 3": SHOWN_HOLDERS times less than 100 bytes, and how many more. */
static void holders(const struct change *c, char *text, size_t size)
{
	const struct hold *before = NULL;
	size_t len = 0, i;
	struct safe s;

	for (i = 0; i < c->held_by_len && i < SHOWN_HOLDERS; i++) {
		const struct hold *h = c->held_by[i];

		if (!before || before->task.pid != h->task.pid)
			len += snprintf(text + len, size - len, "%s%s(%u) fd", before ? ", " : "",
					safe_name(&s, h->task.comm), h->task.pid);
		len += snprintf(text + len, size - len, " %d", h->fd);
		before = h;
	}
	if (i < c->held_by_len)
		snprintf(text + len, size - len, ", and %zu more", c->held_by_len - i);
}

static void tell_failure(struct line *l, const struct event *event)
{
	const struct change *c = event->change;
	bool busy = (c->has & CH_ERRNO) && c->error == EBUSY && c->held_by_len;
	char who[SHOWN_HOLDERS * 100 + 64];
	const char *name = "it";
	struct safe s;

	if (busy)
		;	/* who holds it says more than the words for it */
	else if ((c->has & CH_ERRNO) && strerrorname_np(c->error))
		detail(l, "%s (%s)", strerrorname_np(c->error), strerrordesc_np(c->error));
	else if (c->has & CH_ERRNO)
		detail(l, "error %d", c->error);
	if (!c->held_by_len)
		return;
	if ((c->has & CH_REQUESTED) && c->requested[0])
		name = safe_name(&s, c->requested);
	holders(c, who, sizeof(who));
	detail(l, "%s%s is held by %s", busy ? "EBUSY: " : "", name, who);
}

static void tell_queues(struct line *l, const struct event *event)
{
	const struct device *dev = event->change->dev;

	if (dev && (dev->has & TW_HAS_QUEUES))
		detail(l, "now %u enabled, %u disabled", dev->d.queues, dev->disabled);
}

static void tell_persist(struct line *l, const struct event *event)
{
	if (!(event->change->has & CH_VALUE))
		return;
	if (event->change->value)
		detail(l, "persist on: stays when closed");
	else
		detail(l, "persist off: goes with its last fd");
}

static void tell_owner(struct line *l, const struct event *event)
{
	const struct device *dev = event->change->dev;

	if (!dev || !(dev->has & TW_HAS_TUN))
		return;
	if (dev->d.owner >= 0)
		detail(l, "owner uid %d", dev->d.owner);
	if (dev->d.group >= 0)
		detail(l, "group gid %d", dev->d.group);
	if (dev->d.owner < 0 && dev->d.group < 0)
		detail(l, "no owner, no group");
}

static void tell_place(struct line *l, const struct event *event)
{
	const struct change *c = event->change;
	char buf[NETNS_TEXT];
	struct safe s;

	if (c->has & CH_OLD_NETNS)
		detail(l, "from %s", netns(l, buf, c->old.netns, event->old_netns_name));
	if (c->has & CH_OLD_IFNAME)
		detail(l, "was %s", safe_name(&s, c->old.ifname));
	if ((c->has & CH_OLD_IFINDEX) && c->dev && (c->dev->has & TW_HAS_DEV))
		detail(l, "ifindex %u was %u", c->dev->d.ifindex, c->old.ifindex);
}

static void tell_mac(struct line *l, const struct event *event)
{
	const struct change *c = event->change;
	char now[18], old[18];

	if (!c->dev || !(c->dev->has & TW_HAS_MAC))
		return;
	if (c->has & CH_OLD_MAC)
		detail(l, "%s was %s", mac(now, c->dev->d.mac), mac(old, c->old.mac));
	else
		detail(l, "%s", mac(now, c->dev->d.mac));
}

static void tell_master(struct line *l, const struct event *event)
{
	const struct device *dev = event->change->dev;
	struct safe s;

	if (!dev || !(dev->has & TW_HAS_MASTER))
		return;
	if (!dev->d.master_ifindex)
		detail(l, "left its master");
	else if (dev->d.master[0])
		detail(l, "joined %s", safe_name(&s, dev->d.master));
	else
		detail(l, "joined ifindex %u", dev->d.master_ifindex);
}

static void tell_vhost(struct line *l, const struct event *event)
{
	if (event->change->has & CH_VALUE)
		detail(l, "%s vhost-net", event->change->value ? "taken by" : "given back by");
}

static void tell_how(struct line *l, const struct event *event)
{
	static const char *const hold[HOW_MAX] = {
		[HOW_DUP] = "by dup",
		[HOW_FORK] = "inherited by fork",
		[HOW_SCM_RIGHTS] = "received over a socket (SCM_RIGHTS)",
		[HOW_PIDFD_GETFD] = "taken by pidfd_getfd",
		[HOW_EXEC] = "passed through exec",
		[HOW_OTHER] = "in another way",
	};
	static const char *const drop[HOW_MAX] = {
		[HOW_CLOSE] = "closed",
		[HOW_DUP] = "replaced by dup2",
		[HOW_CLOEXEC] = "closed by exec",
		[HOW_EXIT] = "process ended",
	};
	static const char *const delete[HOW_MAX] = {
		[HOW_LAST_CLOSE] = "its last fd was closed",
		[HOW_LINK_DEL] = "by request, as ip link del does",
		[HOW_NETNS_EXIT] = "its namespace ended",
		[HOW_PERSIST_OFF] = "persist off and no fd left",
	};
	const struct change *c = event->change;
	const char *const *words = c->event == EV_DROP ? drop :
				   c->event == EV_DELETE ? delete : hold;

	struct safe old;

	if (c->event == EV_HOLD && (c->has & CH_OLD_COMM) && c->task &&
	    memcmp(c->old.comm, c->task->comm, TW_NAME_LEN))
		detail(l, "passed through exec by %s", safe_name(&old, c->old.comm));
	else if (c->how > HOW_UNKNOWN && c->how < HOW_MAX && words[c->how])
		detail(l, "%s", words[c->how]);
	else if (how_name(c->how))
		detail(l, "%s", how_name(c->how));
}

static void tell_release(struct line *l, const struct event *event)
{
	(void)event;
	detail(l, "no fd refers to it any more");
}

static void tell_text(struct line *l, const char *before, const char *text)
{
	char safe[1024];

	if (!text || !*text)
		return;
	escape_term(safe, sizeof(safe), text, strlen(text));
	detail(l, "%s%s", before, safe);
}

/* Who had the device before the machine: the first of those who did something to it. */
static void tell_preparer(struct line *l, const struct event *event)
{
	const struct tw_task *task = event->change->task;

	for (size_t i = 0; i < event->n_earlier; i++) {
		const struct event_earlier *e = &event->earlier[i];
		struct safe s;

		if (!e->pid || (task && e->pid == task->pid && !strncmp(e->comm, task->comm, sizeof(e->comm))))
			continue;
		detail(l, "prepared by %s(%u)", safe_name(&s, e->comm), e->pid);
		return;
	}
}

static void tell_vm(struct line *l, const struct event *event)
{
	tell_text(l, "", event->vm_type);
	tell_text(l, "", event->vm_name);
	tell_text(l, "uuid ", event->vm_uuid);
	tell_text(l, "of ", event->vm_manager);
	tell_preparer(l, event);
}

/* A counter tells only that it grew between two looks. */
static void tell_first_packet(struct line *l, const struct event *event)
{
	const struct change *c = event->change;
	uint64_t ms = c->after_ns && c->time_ns > c->after_ns ? (c->time_ns - c->after_ns + 999999) / 1000000 : 0;

	detail(l, "%s", c->how == HOW_OUT ? "out of the machine" : "into the machine");
	if (ms)
		detail(l, "%" PRIu64 " ms before at most", ms);
}

#define GREEN	"\033[32m"
#define RED	"\033[1;31m"
#define YELLOW	"\033[33m"
#define CYAN	"\033[36m"
#define DIM	"\033[2m"
#define BOLD	"\033[1m"
#define PLAIN	"\033[0m"

/* How each event is shown. lost, ready and resync are lines of their own kind. */
static const struct look {
	const char *color;
	void (*tell)(struct line *l, const struct event *event);
	unsigned more;		/* TELL_* */
} looks[EV_MAX] = {
	[EV_EXIST]	   = { DIM, tell_exist, TELL_WHO | TELL_SOCKET },
	[EV_OPEN]	   = { NULL, tell_open, TELL_WHO },
	[EV_ATTACH]	   = { GREEN, tell_setup, TELL_WHO | TELL_SOCKET },
	[EV_ATTACH_FAILED] = { RED, tell_failure, TELL_WHO },
	[EV_QUEUE_DETACH]  = { CYAN, tell_queues, 0 },
	[EV_QUEUE_ATTACH]  = { CYAN, tell_queues, 0 },
	[EV_PERSIST]	   = { CYAN, tell_persist, TELL_USER },
	[EV_OWNER]	   = { CYAN, tell_owner, TELL_USER },
	[EV_MOVE]	   = { YELLOW, tell_place, TELL_USER },
	[EV_RENAME]	   = { YELLOW, tell_place, TELL_USER },
	[EV_MAC]	   = { CYAN, tell_mac, TELL_USER },
	[EV_UP]		   = { CYAN, NULL, TELL_USER },
	[EV_DOWN]	   = { CYAN, NULL, TELL_USER },
	[EV_MASTER]	   = { CYAN, tell_master, TELL_USER },
	[EV_VHOST]	   = { CYAN, tell_vhost, 0 },
	[EV_HOLD]	   = { GREEN, tell_how, TELL_WHO },
	[EV_DROP]	   = { YELLOW, tell_how, 0 },
	[EV_RELEASE]	   = { DIM, tell_release, 0 },
	[EV_DELETE]	   = { RED, tell_how, TELL_USER },
	[EV_FIRST_PACKET]  = { CYAN, tell_first_packet, TELL_USER },
	[EV_VM_START]	   = { BOLD, tell_vm, 0 },
	[EV_VM_STOP]	   = { BOLD, tell_vm, 0 },
};

/* What may be said of every event: another namespace, the user, the VM, where it was learnt. */
static void tell_more(struct line *l, const struct event *event, unsigned more)
{
	const struct change *c = event->change;
	char buf[NETNS_TEXT];
	uint32_t place = event_netns(event, NULL);

	if ((more & TELL_NETNS) && c->task && c->task->netns && place && c->task->netns != place)
		detail(l, "process in %s",
		       netns(l, buf, c->task->netns, event->process_netns_name));
	if ((more & TELL_SOCKET) && c->dev && c->file && (c->file->has & TW_HAS_SOCKET_NETNS) &&
	    c->file->f.socket_netns && c->file->f.socket_netns != place)
		detail(l, "opened in %s",
		       netns(l, buf, c->file->f.socket_netns, event->socket_netns_name));
	if ((more & TELL_USER) && c->task && c->task->uid && c->task->uid != UINT32_MAX) {
		if (event->process && event->process->user)
			tell_text(l, "user ", event->process->user);
		else
			detail(l, "uid %u", c->task->uid);
	}
	if (more & TELL_USER)
		tell_text(l, "vm ", event->vm_name ? event->vm_name : event->vm_uuid);
	if ((c->has & CH_SEED) && c->event != EV_EXIST)
		detail(l, "found later by a scan");
}

static void add_fd(struct line *l, const struct change *c)
{
	char fd[16];

	if ((c->has & CH_FD) && c->fd >= 0)
		snprintf(fd, sizeof(fd), "%*d", FD_WIDTH, c->fd);
	else
		snprintf(fd, sizeof(fd), "%*s", FD_WIDTH, "-");
	add(l, fd);
}

/* The device; or the one that was asked for in vain, which is what the line is about. */
static void add_device(struct line *l, const struct change *c)
{
	const char *name = "-";
	struct safe s;

	if (c->dev && (c->dev->has & TW_HAS_DEV) && c->dev->d.ifname[0])
		name = safe_name(&s, c->dev->d.ifname);
	else if ((c->has & CH_REQUESTED) && c->requested[0])
		name = safe_name(&s, c->requested);
	add(l, name);
}

static void object_line(struct line *l, const struct event *event)
{
	const struct change *c = event->change;
	const struct look *look = &looks[c->event];
	char buf[NETNS_TEXT];
	const char *label;
	uint32_t inode;

	add_sgr(l, look->color);
	add(l, event_name(c->event));
	if (look->color)
		add_sgr(l, PLAIN);
	go_to(l, COL_PROCESS);
	add_process(l, c->task);
	go_to(l, COL_FD);
	add_fd(l, c);
	go_to(l, COL_DEVICE);
	add_device(l, c);
	go_to(l, COL_NETNS);
	inode = event_netns(event, &label);
	add(l, netns(l, buf, inode, label));
	if (look->tell)
		look->tell(l, event);
	tell_more(l, event, look->more);
}

static void ready_line(struct line *l, const struct ready_info *ready)
{
	size_t i, on = 0;
	char text[64];

	add(l, "ready");
	if (!ready)
		return;
	for (i = 0; i < ready->n_hooks; i++)
		on += !strcmp(ready->hooks[i].state, "on");
	add(l, ": backend ");
	add(l, ready->backend ? ready->backend : "none");
	add(l, ", seed ");
	add(l, ready->seed ? ready->seed : "none");
	if (ready->n_hooks) {
		snprintf(text, sizeof(text), ", %zu of %zu hooks on", on, ready->n_hooks);
		add(l, text);
	}
	if (on < ready->n_hooks)
		add(l, " (see 'tapwatch check')");
}

/* Nothing is known of the time from then to this line. */
static void gap_line(struct line *l, const struct event *event)
{
	const struct gap_info *gap = event->gap;
	const struct change *c = event->change;
	time_t seconds = gap ? (time_t)(gap->from_realtime_ns / 1000000000) : 0;
	char text[96];
	struct tm tm;

	add(l, "not recorded");
	if (seconds && localtime_r(&seconds, &tm)) {
		strftime(text, sizeof(text), " since %Y-%m-%d %H:%M:%S", &tm);
		add(l, text);
	}
	if (gap && gap->from_boot_id[0] && event->boot_id && strcmp(gap->from_boot_id, event->boot_id))
		add(l, ": the machine was restarted");
	else if (gap && gap->reason && !strcmp(gap->reason, "write-failed"))
		add(l, ": the database could not be written");
	else if (gap && gap->reason && !strcmp(gap->reason, "killed"))
		add(l, ": the recorder was killed");
	else
		add(l, ": the recorder was stopped");
	if ((c->has & CH_ERRNO) && strerrordesc_np(c->error)) {
		add(l, ", ");
		add(l, strerrordesc_np(c->error));
	}
	if (c->has & CH_COUNT) {
		snprintf(text, sizeof(text), ", %" PRIu64 " %s missing", c->count, c->count == 1 ? "event" : "events");
		add(l, text);
	}
}

/* Lines about the run: no columns, so that they stand out. False for other events. */
static bool run_line(struct line *l, const struct event *event)
{
	const struct change *c = event->change;
	bool alarm = c->event == EV_LOST || c->event == EV_GAP;
	char text[96];

	if (c->event != EV_READY && c->event != EV_LOST && c->event != EV_RESYNC && c->event != EV_GAP)
		return false;
	add_sgr(l, alarm ? RED : DIM);
	add(l, "-- ");
	if (c->event == EV_READY) {
		ready_line(l, event->ready);
	} else if (c->event == EV_GAP) {
		gap_line(l, event);
	} else if (c->event == EV_LOST) {
		if (c->has & CH_COUNT)
			snprintf(text, sizeof(text), "%" PRIu64 " %s lost: reading the state afresh",
				 c->count, c->count == 1 ? "event" : "events");
		else
			snprintf(text, sizeof(text), "events lost: reading the state afresh");
		add(l, text);
	} else {
		add(l, "state read afresh");
		if (c->has & CH_COUNT) {
			snprintf(text, sizeof(text), ": %" PRIu64 " %s", c->count,
				 c->count == 1 ? "correction" : "corrections");
			add(l, text);
		}
	}
	add_sgr(l, PLAIN);
	return true;
}

static void header_line(struct line *l)
{
	static const struct { size_t col; const char *name; } columns[] = {
		{ COL_EVENT, "EVENT" }, { COL_PROCESS, "PROCESS" }, { COL_FD, " FD" },
		{ COL_DEVICE, "DEVICE" }, { COL_NETNS, "NETNS" }, { COL_DETAIL, "DETAIL" },
	};
	size_t i;

	add_sgr(l, BOLD);
	add(l, "TIME");
	for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		go_to(l, columns[i].col);
		add(l, columns[i].name);
	}
	add_sgr(l, PLAIN);
	end_line(l);
}

static int write_line(struct line *l, FILE *out)
{
	errno = 0;
	if (fwrite(l->buf, 1, l->len, out) != l->len)
		return errno ? -errno : -EIO;
	l->len = 0;
	l->col = 0;
	l->detailed = false;
	return 0;
}

/* Local time; and a line of its own when the day has changed since the last event. */
static int begin_line(struct out_text *text, struct line *l, FILE *out, uint64_t realtime_ns)
{
	time_t seconds = realtime_ns / 1000000000;
	char buf[64];
	struct tm tm;
	int err;

	if (!realtime_ns || !localtime_r(&seconds, &tm)) {
		add(l, "-");
		go_to(l, COL_EVENT);
		return 0;
	}
	if (!text->date && text->last_yday && text->last_yday != tm.tm_yday + 1) {
		strftime(buf, sizeof(buf), "-- %Y-%m-%d", &tm);
		add(l, buf);
		end_line(l);
		err = write_line(l, out);
		if (err)
			return err;
	}
	text->last_yday = tm.tm_yday + 1;
	strftime(buf, sizeof(buf), text->date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
	add(l, buf);
	snprintf(buf, sizeof(buf), ".%03u", (unsigned)(realtime_ns / 1000000 % 1000));
	add(l, buf);
	go_to(l, COL_EVENT);
	return 0;
}

int out_text(struct out_text *text, FILE *out, const struct event *event)
{
	struct line l = { .text = text, .shift = text->date ? DATE_WIDTH : 0 };
	int err;

	if (text->heading && !text->started) {
		header_line(&l);
		err = write_line(&l, out);
		if (err)
			return err;
	}
	text->started = true;
	err = begin_line(text, &l, out, event->realtime_ns);
	if (err)
		return err;
	if (!run_line(&l, event))
		object_line(&l, event);
	end_line(&l);
	return write_line(&l, out);
}

size_t out_detail(const struct out_text *text, char *buf, size_t size, const struct event *event)
{
	/* detail() goes to its column, by one blank when it is there already; lines about a run begin with "-- " */
	struct line l = { .text = text, .col = COL_DETAIL };
	const struct look *look = &looks[event->change->event];
	size_t skip = 1;

	if (run_line(&l, event)) {
		skip = 3;
	} else {
		if (look->tell)
			look->tell(&l, event);
		tell_more(&l, event, look->more);
	}
	skip = l.len < skip ? l.len : skip;
	escape_term(buf, size, l.buf + skip, l.len - skip);
	return strlen(buf);
}
