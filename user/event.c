// SPDX-License-Identifier: GPL-2.0-only
/*
 * event.c - see event.h.
 */
#include "event.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "machines.h"
#include "netns.h"

static int64_t now_ns(clockid_t clock)
{
	struct timespec ts = { 0 };

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/*
 * CLOCK_REALTIME - CLOCK_BOOTTIME. Measured for every event, since the clock
 * may be stepped at any time, but taken over only when it differs by more
 * than a measurement's own error: else events a few ns apart could change
 * their order.
 */
static int64_t realtime_offset(struct event_context *ctx)
{
	int64_t before = now_ns(CLOCK_BOOTTIME);
	int64_t realtime = now_ns(CLOCK_REALTIME);
	int64_t after = now_ns(CLOCK_BOOTTIME);
	int64_t offset = realtime - (before + (after - before) / 2);
	int64_t drift = offset - ctx->realtime_offset_ns;

	if (!ctx->have_offset || drift > 1000000 || drift < -1000000) {
		ctx->realtime_offset_ns = offset;
		ctx->have_offset = true;
	}
	return ctx->realtime_offset_ns;
}

/*
 * Labels the namespaces of one event. netns_label() answers are short-lived
 * and cost a look each, so they are kept in the context, one a namespace:
 * mostly all four are the same.
 */
struct labeller {
	struct event_context *ctx;
	size_t n;
	uint32_t inode[4];
	const char *label[4];
};

static const char *label(struct labeller *l, uint32_t inode)
{
	const char *name;
	size_t i;

	if (!l->ctx->netns || !inode)
		return NULL;
	for (i = 0; i < l->n; i++)
		if (l->inode[i] == inode)
			return l->label[i];
	name = netns_label(l->ctx->netns, inode);
	if (name) {
		snprintf(l->ctx->labels[i], sizeof(l->ctx->labels[i]), "%s", name);
		name = l->ctx->labels[i];
	}
	l->inode[i] = inode;
	l->label[i] = name;
	l->n++;
	return name;
}

static void label_all(struct event_context *ctx, const struct change *c, struct event *event)
{
	struct labeller l = { .ctx = ctx };

	if (c->dev && (c->dev->has & TW_HAS_DEV))
		event->netns_name = label(&l, c->dev->d.netns);
	if (c->has & CH_OLD_NETNS)
		event->old_netns_name = label(&l, c->old.netns);
	if (c->task)
		event->process_netns_name = label(&l, c->task->netns);
	if (c->file && (c->file->has & TW_HAS_SOCKET_NETNS))
		event->socket_netns_name = label(&l, c->file->f.socket_netns);
}

static void name_machine(struct event *event)
{
	const struct vm *vm = process_machine(event->process);

	if (!vm)
		return;
	event->vm_type = vm->type;
	event->vm_name = vm->name;
	event->vm_uuid = vm->uuid;
	event->vm_manager = vm->manager;
}

void event_enrich(struct event_context *ctx, const struct change *c, struct event *event)
{
	memset(event, 0, sizeof(*event));
	event->change = c;
	event->seq = ++ctx->seq;
	event->realtime_ns = (c->time_ns ? c->time_ns : (uint64_t)now_ns(CLOCK_BOOTTIME)) +
			     realtime_offset(ctx);
	event->boot_id = ctx->boot_id[0] ? ctx->boot_id : NULL;
	event->source = c->event == EV_EXIST || (c->has & CH_SEED) ? "seed" : ctx->backend;
	if (ctx->processes && c->task)
		event->process = process_lookup_at(ctx->processes, c->task, c->time_ns);
	name_machine(event);
	label_all(ctx, c, event);
	if (ctx->machines)
		machines_see(ctx->machines, ctx->processes, event);
}

static void from_notice(struct event_context *ctx, const struct change *change, const struct vm_notice *notice,
			struct event *event)
{
	event_enrich(ctx, change, event);
	event->vm_type = notice->type;
	event->vm_name = notice->name;
	event->vm_uuid = notice->uuid;
	event->vm_manager = notice->manager;
	event->earlier = notice->earlier;
	event->n_earlier = notice->n_earlier;
}

bool event_follow(struct event_context *ctx, struct event *event)
{
	const struct vm_notice *notice;
	const struct change *change;

	if (!ctx->machines || !machines_next(ctx->machines, &change, &notice))
		return false;
	from_notice(ctx, change, notice, event);
	return true;
}

bool event_later(struct event_context *ctx, struct event *event)
{
	const struct vm_notice *notice;
	const struct change *change;

	if (!ctx->machines || !machines_later(ctx->machines, &change, &notice))
		return false;
	from_notice(ctx, change, notice, event);
	return true;
}

int event_boot_id(char out[BOOT_ID_LEN + 1])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC), i;
	ssize_t n;

	out[0] = '\0';
	if (fd < 0)
		return -errno;
	n = read(fd, out, BOOT_ID_LEN);
	close(fd);
	out[BOOT_ID_LEN] = '\0';
	for (i = 0; n == BOOT_ID_LEN && i < BOOT_ID_LEN; i++)
		if (!isxdigit((unsigned char)out[i]) && out[i] != '-')
			n = 0;
	if (n == BOOT_ID_LEN)
		return 0;
	out[0] = '\0';
	return -EINVAL;
}

const char *event_state(const struct event *event)
{
	const struct change *c = event->change;

	if (c->file)
		return file_state_name(c->file->state);
	return c->dev ? "no-holder" : NULL;
}

uint32_t event_netns(const struct event *event, const char **label)
{
	const struct change *c = event->change;
	const char *name = NULL;
	uint32_t inode = 0;

	if (c->dev && (c->dev->has & TW_HAS_DEV)) {
		inode = c->dev->d.netns;
		name = event->netns_name;
	} else if (!c->dev && c->file && (c->file->has & TW_HAS_SOCKET_NETNS)) {
		inode = c->file->f.socket_netns;
		name = event->socket_netns_name;
	}
	if (label)
		*label = name;
	return inode;
}
