// SPDX-License-Identifier: GPL-2.0-only
/*
 * filter.c - see filter.h.
 */
#include "filter.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "netns.h"

struct value {
	char *text;		/* as given: globs, names */
	uint64_t number;	/* all others */
	bool by_name;		/* as recorded: netns, user */
	uint32_t pid;		/* netns of this process, not known which yet */
};

struct values {
	struct value *v;
	size_t n;
};

struct filter {
	struct values of[FILTER_MAX];
	bool past;
};

struct message {
	char *text;
	size_t size;
};

__attribute__((format(printf, 2, 3)))
static void say(struct message *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->text, m->size, fmt, ap);
	va_end(ap);
}

/* A word of the user's as it may be shown: bounded and escaped. */
struct shown {
	char text[ESCAPE_SIZE(64)];
};

static const char *show(struct shown *s, const char *word)
{
	escape_term(s->text, sizeof(s->text), word, strlen(word));
	return s->text;
}

/* Decimal digits and nothing else, not above `max`. 0 or -EINVAL. */
static int parse_number(const char *word, uint64_t max, uint64_t *number)
{
	uint64_t n = 0;

	if (!*word)
		return -EINVAL;
	for (; *word; word++) {
		if (*word < '0' || *word > '9')
			return -EINVAL;
		n = n * 10 + (*word - '0');
		if (n > max)
			return -EINVAL;
	}
	*number = n;
	return 0;
}

/* Parsers: value->text to the rest of the value. 0, or a negative errno and a message. */

static int parse_pid(struct value *value, bool past, struct message *m)
{
	const char *word = value->text;
	struct shown s;

	(void)past;
	if (!parse_number(word, INT_MAX, &value->number) && value->number)
		return 0;
	say(m, "'%s' is no process id", show(&s, word));
	return -EINVAL;
}

/* "/run/netns/blue": "blue". NULL: another place. */
static const char *netns_file(const char *path)
{
	static const char *const dirs[] = { "/run/netns/", "/var/run/netns/" };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (!strncmp(path, dirs[i], strlen(dirs[i])) && !strchr(path + strlen(dirs[i]), '/'))
			return path + strlen(dirs[i]);
	return NULL;
}

/*
 * What the word meant then: what there is now says nothing about it. A number
 * may be an inode or a name, as netns_resolve() takes it.
 */
static int parse_past_netns(struct value *value, struct message *m)
{
	enum netns_word kind;
	uint32_t number = 0;
	const char *name;
	struct shown s;

	if (netns_parse_word(value->text, &kind, &number)) {
		say(m, "'%s' is no network namespace; give a name, a path, an inode number or pid:PID",
		    show(&s, value->text));
		return -EINVAL;
	}
	if (kind == NETNS_WORD_PID) {
		value->pid = number;
		return 0;
	}
	value->number = number;
	value->by_name = true;
	if (kind != NETNS_WORD_PATH)
		return 0;
	name = netns_file(value->text);
	if (!name || !*name) {
		say(m, "namespaces of the past are known by the names that they had in /run/netns, not by '%s'",
		    show(&s, value->text));
		return -EINVAL;
	}
	memmove(value->text, name, strlen(name) + 1);
	return 0;
}

static int parse_netns(struct value *value, bool past, struct message *m)
{
	const char *word = value->text;
	uint32_t inode = 0;
	struct shown s;
	int err;

	if (past)
		return parse_past_netns(value, m);
	err = netns_resolve(word, &inode);
	value->number = inode;
	switch (err) {
	case 0:
		return 0;
	case -EINVAL:
		say(m, "'%s' is no network namespace; give a name, a path, an inode number or pid:PID",
		    show(&s, word));
		return err;
	case -ENOENT:
	case -ESRCH:
		say(m, "there is no network namespace '%s'", show(&s, word));
		return -ENOENT;
	default:
		say(m, "cannot look up network namespace '%s': %s", show(&s, word), strerror(-err));
		return err;
	}
}

static int parse_user(struct value *value, bool past, struct message *m)
{
	const char *word = value->text;
	uint64_t *number = &value->number;
	struct passwd pwd, *found = NULL;
	size_t size = 1024;
	struct shown s;
	int err;

	/* The highest is (uid_t)-1, which stands for none. */
	if (!parse_number(word, UINT32_MAX - 1, number))
		return 0;
	*number = UINT32_MAX;
	do {
		char *buf = malloc(size);

		if (!buf)
			return -ENOMEM;
		err = getpwnam_r(word, &pwd, buf, size, &found);
		if (!err && found)
			*number = found->pw_uid;
		free(buf);
		size *= 4;
	} while (err == ERANGE && size <= 1 << 20);
	/* one who is gone is known by the name that was recorded */
	value->by_name = past;
	if (found || past)
		return 0;
	say(m, "there is no user '%s'", show(&s, word));
	return -EINVAL;
}

static int parse_kind(struct value *value, bool past, struct message *m)
{
	const char *word = value->text;
	int kind = kind_by_name(word);
	struct shown s;

	(void)past;
	value->number = (uint64_t)kind;
	if (kind >= 0)
		return 0;
	say(m, "unknown kind '%s'; there are tap, tun, macvtap, ipvtap", show(&s, word));
	return -EINVAL;
}

static int parse_event(struct value *value, bool past, struct message *m)
{
	const char *word = value->text;
	int event = event_by_name(word);
	struct shown s;

	(void)past;
	value->number = (uint64_t)event;
	if (event >= 0)
		return 0;
	say(m, "unknown event '%s'", show(&s, word));
	return -EINVAL;
}

/* Matchers: does the event fit one value? */

/* Names of the kernel are arrays that need not end in a NUL. */
static bool glob(const char *pattern, const char name[TW_NAME_LEN])
{
	char text[TW_NAME_LEN + 1];

	memcpy(text, name, TW_NAME_LEN);
	text[TW_NAME_LEN] = '\0';
	return *text && !fnmatch(pattern, text, 0);
}

/* Is there an actor or present holder that `fits`? */
static bool any_task(const struct event *event, const struct value *value,
		     bool (*fits)(const struct tw_task *task, const struct value *value))
{
	const struct change *c = event->change;
	size_t i;

	if (c->task && fits(c->task, value))
		return true;
	for (i = 0; i < c->held_by_len; i++)
		if (fits(&c->held_by[i]->task, value))
			return true;
	return false;
}

static bool has_pid(const struct tw_task *task, const struct value *value)
{
	return task->pid == value->number;
}

static bool has_uid(const struct tw_task *task, const struct value *value)
{
	return task->uid == value->number;
}

static bool has_comm(const struct tw_task *task, const struct value *value)
{
	return glob(value->text, task->comm);
}

static bool match_pid(const struct event *event, const struct value *value)
{
	return any_task(event, value, has_pid);
}

/* The actor's recorded name says more than today's number of that name. */
static bool match_user(const struct event *event, const struct value *value)
{
	if (value->by_name && event->process && event->process->user)
		return !strcmp(event->process->user, value->text);
	return value->number != UINT32_MAX && any_task(event, value, has_uid);
}

static bool match_comm(const struct event *event, const struct value *value)
{
	return any_task(event, value, has_comm);
}

static bool match_ifname(const struct event *event, const struct value *value)
{
	const struct change *c = event->change;

	return (c->dev && (c->dev->has & TW_HAS_DEV) && glob(value->text, c->dev->d.ifname)) ||
	       ((c->has & CH_OLD_IFNAME) && glob(value->text, c->old.ifname)) ||
	       ((c->has & CH_REQUESTED) && glob(value->text, c->requested));
}

static bool is_netns(uint32_t inode, const char *label, const struct value *value)
{
	return (value->number && inode == value->number) || (value->by_name && label && !strcmp(label, value->text));
}

static bool match_netns(const struct event *event, const struct value *value)
{
	const struct change *c = event->change;
	const char *label = NULL;
	uint32_t inode = event_netns(event, &label);

	return is_netns(inode, label, value) ||
	       ((c->has & CH_OLD_NETNS) && is_netns(c->old.netns, event->old_netns_name, value));
}

static bool match_kind(const struct event *event, const struct value *value)
{
	return event->change->dev && event->change->dev->d.kind == value->number;
}

static bool match_event(const struct event *event, const struct value *value)
{
	return event->change->event == value->number;
}

static bool match_vm(const struct event *event, const struct value *value)
{
	return (event->vm_name && !fnmatch(value->text, event->vm_name, 0)) ||
	       (event->vm_uuid && !fnmatch(value->text, event->vm_uuid, 0));
}

/* Without a parser the value is a glob. */
static const struct filter_type {
	const char *option;
	int (*parse)(struct value *value, bool past, struct message *m);
	bool (*match)(const struct event *event, const struct value *value);
} types[FILTER_MAX] = {
	[FILTER_PID]	= { "--pid", parse_pid, match_pid },
	[FILTER_IFNAME]	= { "--ifname", NULL, match_ifname },
	[FILTER_NETNS]	= { "--netns", parse_netns, match_netns },
	[FILTER_USER]	= { "--user", parse_user, match_user },
	[FILTER_COMM]	= { "--comm", NULL, match_comm },
	[FILTER_KIND]	= { "--kind", parse_kind, match_kind },
	[FILTER_EVENT]	= { "--event", parse_event, match_event },
	[FILTER_VM]	= { "--vm", NULL, match_vm },
};

struct filter *filter_new(void)
{
	return calloc(1, sizeof(struct filter));
}

void filter_free(struct filter *filter)
{
	size_t kind, i;

	if (!filter)
		return;
	for (kind = 0; kind < FILTER_MAX; kind++) {
		for (i = 0; i < filter->of[kind].n; i++)
			free(filter->of[kind].v[i].text);
		free(filter->of[kind].v);
	}
	free(filter);
}

/*
 * End of the first value in the list: a comma that is neither escaped nor
 * inside a [bracket expression] of a glob, or the end.
 */
static const char *value_end(const char *list, bool is_glob)
{
	const char *at, *close;

	for (at = list; *at && *at != ','; at++) {
		if (*at == '\\' && (at[1] == ',' || (is_glob && at[1]))) {
			at++;
		} else if (is_glob && *at == '[') {
			/* A ']' that comes first, also after a '!', is a member. */
			close = at + 1 + (at[1] == '!' || at[1] == '^');
			close = *close ? strchr(close + 1, ']') : NULL;
			if (close)
				at = close;
		}
	}
	return at;
}

/* "\," to ",": what fnmatch(3) does for globs by itself. */
static void unescape_commas(char *word)
{
	char *to = word;

	for (; *word; word++) {
		if (word[0] == '\\' && word[1] == ',')
			word++;
		*to++ = *word;
	}
	*to = '\0';
}

static int append(struct values *values, const struct value *value)
{
	struct value *v = realloc(values->v, (values->n + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	values->v = v;
	v[values->n++] = *value;
	return 0;
}

/* Takes over `word`. */
static int add_word(struct values *values, const struct filter_type *type, bool past, char *word,
		    struct message *m)
{
	struct value value = { .text = word };
	int err = 0;

	if (!*word) {
		say(m, "%s has an empty value", type->option);
		err = -EINVAL;
	} else if (type->parse) {
		unescape_commas(word);
		err = type->parse(&value, past, m);
	}
	if (!err)
		err = append(values, &value);
	if (err)
		free(word);
	return err;
}

int filter_add(struct filter *filter, enum filter_kind kind, const char *value,
	       char *errmsg, size_t errsize)
{
	const struct filter_type *type = &types[kind];
	struct message m = { errmsg, errsize };
	const char *end;
	int err;

	say(&m, "%s", "");
	do {
		char *word;

		end = value_end(value, !type->parse);
		word = strndup(value, end - value);
		err = word ? add_word(&filter->of[kind], type, filter->past, word, &m) : -ENOMEM;
		value = end + 1;
	} while (!err && *end);
	if (err == -ENOMEM)
		say(&m, "out of memory");
	return err;
}

bool filter_has(const struct filter *filter, enum filter_kind kind)
{
	return filter->of[kind].n;
}

void filter_past(struct filter *filter)
{
	filter->past = true;
}

uint32_t filter_netns_pid(const struct filter *filter, size_t n)
{
	const struct values *values = &filter->of[FILTER_NETNS];

	for (size_t i = 0; i < values->n; i++)
		if (values->v[i].pid && !n--)
			return values->v[i].pid;
	return 0;
}

int filter_add_netns(struct filter *filter, uint32_t inode)
{
	struct value value = { .number = inode };

	return append(&filter->of[FILTER_NETNS], &value);
}

const char *filter_value(const struct filter *filter, enum filter_kind kind, size_t n)
{
	return n < filter->of[kind].n ? filter->of[kind].v[n].text : NULL;
}

static bool match_any(const struct values *values, const struct filter_type *type,
		      const struct event *event)
{
	size_t i;

	for (i = 0; i < values->n; i++)
		if (type->match(event, &values->v[i]))
			return true;
	return !values->n;
}

bool filter_match(const struct filter *filter, const struct event *event)
{
	enum event_kind e = event->change->event;
	size_t kind;

	if (e == EV_READY || e == EV_LOST || e == EV_RESYNC || e == EV_GAP)
		return match_any(&filter->of[FILTER_EVENT], &types[FILTER_EVENT], event);
	for (kind = 0; kind < FILTER_MAX; kind++)
		if (!match_any(&filter->of[kind], &types[kind], event))
			return false;
	return true;
}
