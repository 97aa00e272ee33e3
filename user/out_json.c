// SPDX-License-Identifier: GPL-2.0-only
/*
 * out_json.c - events as JSON, member for member as the interface contract
 * names them. What is unknown is absent.
 */
#include "out.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "escape.h"

/*
 * An object being filled. A member that could not be made sets `failed`
 * instead of being left out silently, and ends as -ENOMEM.
 */
struct writer {
	struct json_object *object;
	bool failed;
};

static void put(struct writer *w, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(w->object, key, value))
		return;
	json_object_put(value);
	w->failed = true;
}

static void put_uint(struct writer *w, const char *key, uint64_t value)
{
	put(w, key, json_object_new_uint64(value));
}

/* For numbers whose 0 means unknown. */
static void put_known(struct writer *w, const char *key, uint64_t value)
{
	if (value)
		put_uint(w, key, value);
}

static void put_bool(struct writer *w, const char *key, bool value)
{
	put(w, key, json_object_new_boolean(value));
}

static struct json_object *text_value(const char *text, size_t len)
{
	struct json_object *value;
	char small[ESCAPE_SIZE(256)], *buf = small;

	len = strnlen(text, len);
	if (ESCAPE_SIZE(len) > sizeof(small) && !(buf = malloc(ESCAPE_SIZE(len))))
		return NULL;
	value = json_object_new_string_len(buf, escape_utf8(buf, ESCAPE_SIZE(len), text, len));
	if (buf != small)
		free(buf);
	return value;
}

/* Text from outside, at most `len` bytes; NULL and "" are unknown. */
static void put_bytes(struct writer *w, const char *key, const char *text, size_t len)
{
	if (text && len && *text)
		put(w, key, text_value(text, len));
}

static void put_text(struct writer *w, const char *key, const char *text)
{
	put_bytes(w, key, text, text ? strlen(text) : 0);
}

/* Ids are a letter and a number: d9, f3. */
static void put_id(struct writer *w, const char *key, char letter, uint64_t id)
{
	char text[24];

	snprintf(text, sizeof(text), "%c%" PRIu64, letter, id);
	put_text(w, key, text);
}

static void put_mac(struct writer *w, const char *key, const uint8_t mac[6])
{
	static const uint8_t none[6];
	char text[18];

	/* A tun device has no address, and zeros are none: is_valid_ether_addr(). */
	if (!memcmp(mac, none, sizeof(none)))
		return;
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x",
		 mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	put_text(w, key, text);
}

static bool begin(struct writer *w)
{
	w->object = json_object_new_object();
	w->failed = !w->object;
	return w->object;
}

/* Hangs a nested object into its parent; an empty one is left out. */
static void end(struct writer *w, struct writer *parent, const char *key)
{
	parent->failed |= w->failed;
	if (json_object_object_length(w->object))
		put(parent, key, w->object);
	else
		json_object_put(w->object);
}

static void put_time(struct writer *w, const char *key, uint64_t realtime_ns)
{
	time_t seconds = realtime_ns / 1000000000;
	char text[64], date[32];
	struct tm tm;

	if (!realtime_ns || !gmtime_r(&seconds, &tm))
		return;
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%09" PRIu64 "Z", date, realtime_ns % 1000000000);
	put_text(w, key, text);
}

static void put_process(struct writer *parent, const struct event *event)
{
	const struct tw_task *task = event->change->task;
	struct writer w;

	if (!task)
		return;
	if (!begin(&w)) {
		parent->failed = true;
		return;
	}
	put_known(&w, "pid", task->pid);
	put_known(&w, "tid", task->tid);
	put_known(&w, "start_ns", task->start_ns);
	put_known(&w, "ppid", task->ppid);
	if (task->uid != UINT32_MAX)
		put_uint(&w, "uid", task->uid);
	put_bytes(&w, "comm", task->comm, sizeof(task->comm));
	if (event->process) {
		put_text(&w, "exe", event->process->exe);
		put_text(&w, "cgroup", event->process->cgroup);
		if (event->process->vm)
			put_text(&w, "role", role_name(event->process->vm->role));
	}
	put_known(&w, "netns", task->netns);
	end(&w, parent, "process");
}

size_t tun_flag_words(uint32_t tun_flags, const char *words[TUN_FLAG_WORDS])
{
	static const struct { uint32_t bit; const char *word; } table[] = {
		/* include/uapi/linux/if_tun.h; IFF_ONE_QUEUE means nothing since 3.8 */
		{ 0x4000, "vnet_hdr" },
		{ 0x0100, "multi_queue" },
		{ 0x0800, "persist" },
		{ 0x1000, "no_pi" },
		{ 0x0010, "napi" },
		{ 0x0020, "napi_frags" },
		{ 0x0040, "no_carrier" },
	};
	size_t i, n = 0;

	_Static_assert(sizeof(table) / sizeof(table[0]) < TUN_FLAG_WORDS, "no room for the NULL");
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (tun_flags & table[i].bit)
			words[n++] = table[i].word;
	words[n] = NULL;
	return n;
}

static void put_tun(struct writer *w, const struct tw_dev *d)
{
	struct json_object *flags = json_object_new_array();
	const char *words[TUN_FLAG_WORDS];
	size_t i, n = tun_flag_words(d->tun_flags, words);

	for (i = 0; flags && i < n; i++)
		if (json_object_array_add(flags, json_object_new_string(words[i])))
			w->failed = true;
	put(w, "flags", flags);
}

static void put_device(struct writer *parent, const struct event *event)
{
	const struct device *dev = event->change->dev;
	const struct file *file = event->change->file;
	const struct tw_dev *d;
	struct writer w;

	if (!dev)
		return;
	if (!begin(&w)) {
		parent->failed = true;
		return;
	}
	d = &dev->d;
	put_id(&w, "id", 'd', dev->id);
	put_text(&w, "kind", kind_name(d->kind));
	if (dev->has & TW_HAS_DEV) {
		put_bytes(&w, "ifname", d->ifname, sizeof(d->ifname));
		put_known(&w, "ifindex", d->ifindex);
	}
	if (dev->has & TW_HAS_MAC)
		put_mac(&w, "mac", d->mac);
	if (dev->has & TW_HAS_DEV) {
		put_known(&w, "netns", d->netns);
		put_known(&w, "netns_cookie", d->netns_cookie);
		put_text(&w, "netns_name", event->netns_name);
	}
	if (file && (file->has & TW_HAS_SOCKET_NETNS))
		put_known(&w, "socket_netns", file->f.socket_netns);
	if (dev->has & TW_HAS_TUN)
		put_tun(&w, d);
	if (dev->has & TW_HAS_QUEUES) {
		put_uint(&w, "queues", d->queues);
		put_uint(&w, "disabled_queues", dev->disabled);
	}
	if ((dev->has & TW_HAS_TUN) && d->owner >= 0)
		put_uint(&w, "owner", d->owner);
	if ((dev->has & TW_HAS_TUN) && d->group >= 0)
		put_uint(&w, "group", d->group);
	if ((dev->has & TW_HAS_MASTER) && d->master_ifindex) {
		put_bytes(&w, "master", d->master, sizeof(d->master));
		if (!d->master[0])
			put_uint(&w, "master_ifindex", d->master_ifindex);
	}
	if (dev->has & TW_HAS_UP)
		put_bool(&w, "up", d->if_flags & 1 /* IFF_UP */);
	end(&w, parent, "device");
}

static void put_old(struct writer *parent, const struct event *event)
{
	const struct change *c = event->change;
	struct writer w;

	if (!begin(&w)) {
		parent->failed = true;
		return;
	}
	if (c->has & CH_OLD_IFNAME)
		put_bytes(&w, "ifname", c->old.ifname, sizeof(c->old.ifname));
	if (c->has & CH_OLD_IFINDEX)
		put_known(&w, "ifindex", c->old.ifindex);
	if (c->has & CH_OLD_NETNS) {
		put_known(&w, "netns", c->old.netns);
		put_known(&w, "netns_cookie", c->old.netns_cookie);
		put_text(&w, "netns_name", event->old_netns_name);
	}
	if (c->has & CH_OLD_MAC)
		put_mac(&w, "mac", c->old.mac);
	if (c->has & CH_OLD_COMM)
		put_bytes(&w, "comm", c->old.comm, sizeof(c->old.comm));
	end(&w, parent, "old");
}

static struct json_object *holder(const struct hold *hold)
{
	struct writer w;

	if (!begin(&w))
		return NULL;
	put_known(&w, "pid", hold->task.pid);
	put_bytes(&w, "comm", hold->task.comm, sizeof(hold->task.comm));
	if (hold->fd >= 0)
		put_uint(&w, "fd", hold->fd);
	if (!w.failed)
		return w.object;
	json_object_put(w.object);
	return NULL;
}

static void put_held_by(struct writer *w, const struct change *c)
{
	struct json_object *array;
	size_t i;

	if (!c->held_by_len)
		return;
	array = json_object_new_array();
	for (i = 0; array && i < c->held_by_len; i++) {
		struct json_object *one = holder(c->held_by[i]);

		if (!one || json_object_array_add(array, one)) {
			json_object_put(one);
			w->failed = true;
		}
	}
	put(w, "held_by", array);
}

static void put_errno(struct writer *w, int error)
{
	const char *name = strerrorname_np(error);
	char number[16];

	/* Some drivers let kernel-internal numbers such as 524 escape. */
	snprintf(number, sizeof(number), "%d", error);
	put_text(w, "errno", name ? name : number);
}

/* What a change says beyond who and which device. */
static void put_particulars(struct writer *w, const struct event *event)
{
	const struct change *c = event->change;

	put_text(w, c->event == EV_FIRST_PACKET ? "direction" : "how", how_name(c->how));
	if (c->event == EV_FIRST_PACKET)
		put_known(w, "after_boottime_ns", c->after_ns);
	if (c->has & CH_CREATED)
		put_bool(w, "created", true);
	if (c->has & CH_VALUE)
		put_bool(w, "value", c->value);
	if ((c->has & CH_ERRNO) && c->error > 0)
		put_errno(w, c->error);
	if (c->has & CH_REQUESTED)
		put_bytes(w, "requested", c->requested, sizeof(c->requested));
	put_held_by(w, c);
	if (c->event == EV_EXIST)
		put_text(w, "state", event_state(event));
	if ((c->has & CH_COUNT) && (c->event == EV_LOST || c->event == EV_GAP))
		put_uint(w, "count", c->count);
	if ((c->has & CH_COUNT) && c->event == EV_RESYNC)
		put_uint(w, "corrections", c->count);
}

static void put_vm(struct writer *parent, const struct event *event)
{
	struct writer w;

	if (!begin(&w)) {
		parent->failed = true;
		return;
	}
	put_text(&w, "type", event->vm_type);
	put_text(&w, "name", event->vm_name);
	put_text(&w, "uuid", event->vm_uuid);
	put_text(&w, "manager", event->vm_manager);
	end(&w, parent, "vm");
}

static struct json_object *earlier(const struct event_earlier *e)
{
	struct writer w;

	if (!begin(&w))
		return NULL;
	put_known(&w, "seq", e->seq);
	put_known(&w, "boottime_ns", e->time_ns);
	put_text(&w, "event", event_name(e->event));
	put_text(&w, "how", how_name(e->how));
	put_known(&w, "pid", e->pid);
	put_bytes(&w, "comm", e->comm, sizeof(e->comm));
	if (e->fd >= 0)
		put_uint(&w, "fd", e->fd);
	if (!w.failed)
		return w.object;
	json_object_put(w.object);
	return NULL;
}

static void put_earlier(struct writer *w, const struct event *event)
{
	struct json_object *array;
	size_t i;

	if (!event->n_earlier)
		return;
	array = json_object_new_array();
	for (i = 0; array && i < event->n_earlier; i++) {
		struct json_object *one = earlier(&event->earlier[i]);

		if (!one || json_object_array_add(array, one)) {
			json_object_put(one);
			w->failed = true;
		}
	}
	put(w, "earlier", array);
}

static void put_ready(struct writer *parent, const struct ready_info *ready)
{
	struct writer w;
	size_t i;

	if (!ready)
		return;
	put_text(parent, "backend", ready->backend);
	put_text(parent, "seed", ready->seed);
	if (!begin(&w)) {
		parent->failed = true;
		return;
	}
	for (i = 0; i < ready->n_hooks; i++)
		put_text(&w, ready->hooks[i].name,
			 *ready->hooks[i].state ? ready->hooks[i].state : "off");
	end(&w, parent, "hooks");
}

static void put_gap(struct writer *w, const struct event *event)
{
	const struct gap_info *gap = event->gap;

	if (!gap)
		return;
	put_text(w, "reason", gap->reason);
	put_time(w, "from", gap->from_realtime_ns);
	put_known(w, "from_boottime_ns", gap->from_boottime_ns);
	put_text(w, "from_boot_id", gap->from_boot_id);
}

struct json_object *event_json(const struct event *event)
{
	const struct change *c = event->change;
	struct writer w;

	if (!begin(&w))
		return NULL;
	put_uint(&w, "seq", event->seq);
	put_time(&w, "time", event->realtime_ns);
	put_known(&w, "boottime_ns", c->time_ns);
	put_text(&w, "boot_id", event->boot_id);
	put_text(&w, "event", event_name(c->event));
	put_text(&w, "source", event->source);
	put_process(&w, event);
	if ((c->has & CH_FD) && c->fd >= 0)
		put_uint(&w, "fd", c->fd);
	if (c->file)
		put_id(&w, "file", 'f', c->file->id);
	/* Without a device there is no better place for it than here. */
	if (!c->dev && c->file && (c->file->has & TW_HAS_SOCKET_NETNS))
		put_known(&w, "socket_netns", c->file->f.socket_netns);
	put_device(&w, event);
	put_old(&w, event);
	put_particulars(&w, event);
	put_vm(&w, event);
	put_earlier(&w, event);
	put_ready(&w, event->ready);
	put_gap(&w, event);
	if (!w.failed)
		return w.object;
	json_object_put(w.object);
	return NULL;
}

int out_json(FILE *out, const struct event *event)
{
	struct json_object *object = event_json(event);
	const char *line;
	int err = 0;

	if (!object)
		return -ENOMEM;
	line = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
						      JSON_C_TO_STRING_NOSLASHESCAPE);
	errno = 0;
	if (!line)
		err = -ENOMEM;
	else if (fputs(line, out) == EOF || putc('\n', out) == EOF)
		err = errno ? -errno : -EIO;
	json_object_put(object);
	return err;
}
