// SPDX-License-Identifier: GPL-2.0-only
/* chain.c - how a file came from its opener to its holders, told as JSON and as text. */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "escape.h"
#include "runtime.h"

/* --- JSON --- */

/* Takes the value over; false, and the object is no good, without memory. */
static bool put(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(object, key, value))
		return true;
	json_object_put(value);
	return false;
}

static bool put_number(struct json_object *object, const char *key, uint64_t value)
{
	return put(object, key, json_object_new_uint64(value));
}

/* Bytes from outside; "" is unknown. */
static bool put_name(struct json_object *object, const char *key, const char name[TW_NAME_LEN])
{
	char text[ESCAPE_SIZE(TW_NAME_LEN)];

	if (!*name)
		return true;
	escape_utf8(text, sizeof(text), name, strnlen(name, TW_NAME_LEN));
	return put(object, key, json_object_new_string(text));
}

static bool put_id(struct json_object *object, const char *key, char letter, uint64_t id)
{
	char text[24];

	snprintf(text, sizeof(text), "%c%" PRIu64, letter, id);
	return put(object, key, json_object_new_string(text));
}

static bool put_time(struct json_object *object, uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	char date[32], text[48];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm))
		return true;
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%09" PRIu64 "Z", date, realtime_ns % 1000000000);
	return put(object, "time", json_object_new_string(text));
}

static bool put_process(struct json_object *object, const struct chain_link *l)
{
	struct json_object *process;

	if (!l->pid)
		return true;
	process = json_object_new_object();
	return put(object, "process", process) && put_number(process, "pid", l->pid) &&
	       put_number(process, "start_ns", l->start_ns) && put_number(process, "uid", l->uid) &&
	       put_name(process, "comm", l->comm);
}

static bool put_link(struct json_object *array, const struct chain_link *l, int64_t offset_ns)
{
	struct json_object *object = json_object_new_object(), *old;

	if (!object || json_object_array_add(array, object)) {
		json_object_put(object);
		return false;
	}
	if (!put_time(object, l->time_ns + (uint64_t)offset_ns) ||
	    !put(object, "event", json_object_new_string(event_name(l->event))) || !put_process(object, l))
		return false;
	if (l->fd >= 0 && !put(object, "fd", json_object_new_int(l->fd)))
		return false;
	if (how_name(l->how) && !put(object, "how", json_object_new_string(how_name(l->how))))
		return false;
	if (l->seed && !put(object, "source", json_object_new_string("seed")))
		return false;
	if (!*l->old_comm)
		return true;
	old = json_object_new_object();
	return put(object, "old", old) && put_name(old, "comm", l->old_comm);
}

static bool put_chain(struct json_object *object, const struct chain *chain, int64_t offset_ns)
{
	struct json_object *array = json_object_new_array();
	bool ok = put(object, "chain", array);

	for (size_t i = 0; chain && ok && i < chain->first_len; i++)
		ok = put_link(array, &chain->first[i], offset_ns);
	for (size_t i = 0; chain && ok && i < chain->last_len; i++)
		ok = put_link(array, &chain->last[i], offset_ns);
	if (ok && chain && chain->left_out)
		ok = put_number(object, "left_out", chain->left_out);
	return ok;
}

struct holders {
	const struct file *file;
	struct json_object *array;
};

static int put_holder(void *ctx, const struct hold *hold)
{
	struct holders *h = ctx;
	struct json_object *object;

	if (hold->file != h->file)
		return 0;
	object = json_object_new_object();
	if (!object || json_object_array_add(h->array, object)) {
		json_object_put(object);
		return 1;
	}
	return !put_number(object, "pid", hold->task.pid) || !put_number(object, "start_ns", hold->task.start_ns) ||
	       !put(object, "fd", json_object_new_int(hold->fd));
}

struct json_object *chain_json(const struct bindings *b, const struct file *file, int64_t offset_ns)
{
	struct json_object *object = json_object_new_object();
	struct holders holders = { .file = file, .array = json_object_new_array() };
	const struct device *dev = file->dev;
	bool ok = object && put_id(object, "file", 'f', file->id);

	if (ok && dev)
		ok = put_id(object, "device", 'd', dev->id) && put_name(object, "ifname", dev->d.ifname) &&
		     put_number(object, "netns", dev->d.netns) && put_number(object, "ifindex", dev->d.ifindex);
	ok = ok && put(object, "holders", holders.array) && !bindings_each_hold(b, put_holder, &holders) &&
	     put_chain(object, bindings_chain(file), offset_ns);
	if (ok)
		return object;
	json_object_put(object);
	return NULL;
}

/* --- text --- */

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : NULL;
}

/* "2026-11-22 03:12:01.123", local */
static void print_when(const char *time)
{
	struct tm utc = { 0 }, local;
	char text[32];
	const char *rest = time ? strptime(time, "%Y-%m-%dT%H:%M:%S", &utc) : NULL;
	time_t seconds = rest ? timegm(&utc) : 0;

	if (!rest || !localtime_r(&seconds, &local)) {
		printf("at an unknown time");
		return;
	}
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
	printf("%s%.4s", text, rest);
}

static void print_name(const char *name)
{
	char safe[ESCAPE_SIZE(4 * TW_NAME_LEN)];

	/* what the other side escaped is text by now, yet it is printed as if it came from anywhere */
	escape_term(safe, sizeof(safe), name ? name : "", name ? strlen(name) : 0);
	printf("%s", name ? safe : "a process");
}

static void print_process(struct json_object *link)
{
	struct json_object *process;
	const char *pid;

	if (!json_object_object_get_ex(link, "process", &process)) {
		printf("an unknown process");
		return;
	}
	print_name(text_of(process, "comm"));
	pid = text_of(process, "pid");
	printf("(%s)", pid ? pid : "?");
}

static const struct {
	const char *event, *how;	/* how NULL: any */
	const char *words;		/* before the process */
	const char *after;		/* after it, and before the fd */
} phrases[] = {
	{ "open", NULL, "opened by", "as" },
	{ "exist", NULL, "found with", "as" },
	{ "hold", "dup", "copied by", "to" },
	{ "hold", "fork", "inherited by", "through fork as" },
	{ "hold", "scm_rights", "received over a socket by", "as" },
	{ "hold", "pidfd_getfd", "taken by", "with pidfd_getfd as" },
	{ "hold", "exec", "passed by exec to", "as" },
	{ "hold", NULL, "came to", "as" },
	{ "drop", "close", "closed by", "as" },
	{ "drop", "dup", "replaced (dup2) by", "as" },
	{ "drop", "cloexec", "closed by exec of", "as" },
	{ "drop", "exit", "dropped at the end of", "as" },
	{ "drop", NULL, "dropped by", "as" },
};
#define N_PHRASES (sizeof(phrases) / sizeof(phrases[0]))

static size_t phrase_of(struct json_object *link)
{
	const char *event = text_of(link, "event"), *how = text_of(link, "how");
	size_t i = 0;

	while (i < N_PHRASES && (!event || strcmp(phrases[i].event, event) ||
				 (phrases[i].how && (!how || strcmp(phrases[i].how, how)))))
		i++;
	return i;
}

void chain_print_step(struct json_object *link)
{
	const char *fd = text_of(link, "fd");
	struct json_object *old;
	size_t i = phrase_of(link);

	if (i == N_PHRASES)
		return;
	printf("%s ", phrases[i].words);
	print_process(link);
	if (fd)
		printf(" %s fd %s", phrases[i].after, fd);
	if (json_object_object_get_ex(link, "old", &old) && text_of(old, "comm")) {
		printf(", was ");
		print_name(text_of(old, "comm"));
	}
	if (text_of(link, "source"))
		printf(" (or earlier)");
}

static void print_link(struct json_object *link, int indent)
{
	if (phrase_of(link) == N_PHRASES)
		return;
	printf("%*s", indent, "");
	print_when(text_of(link, "time"));
	printf("  ");
	chain_print_step(link);
	printf("\n");
}

void chain_print(struct json_object *object, int indent)
{
	struct json_object *chain, *left_out;
	size_t n;

	if (!json_object_object_get_ex(object, "chain", &chain) || !json_object_is_type(chain, json_type_array))
		return;
	n = json_object_array_length(chain);
	for (size_t i = 0; i < n; i++) {
		if (i == CHAIN_FIRST && json_object_object_get_ex(object, "left_out", &left_out))
			printf("%*s... %s more ...\n", indent, "", json_object_get_string(left_out));
		print_link(json_object_array_get_idx(chain, i), indent);
	}
}
