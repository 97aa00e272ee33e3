// SPDX-License-Identifier: GPL-2.0-only
/*
 * journal.c - see journal.h.
 *
 * The fields are made of the JSON object, so that a new member there is a new
 * field here. Names of fields are what journald allows: capitals, digits and
 * underscores (systemd.journal-fields(7)).
 */
#include "journal.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "out.h"

#ifdef HAVE_LIBSYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION	/* where in our code a field was made interests nobody */
#include <systemd/sd-journal.h>
#endif

#define PREFIX "TAPWATCH_"
#define MOST_FIELDS 128		/* an event has some 40; of a long held_by the rest is left out */

bool journal_built(void)
{
#ifdef HAVE_LIBSYSTEMD
	return true;
#else
	return false;
#endif
}

#ifdef HAVE_LIBSYSTEMD

struct fields {
	struct iovec iov[MOST_FIELDS];
	int n;
	bool failed;
};

__attribute__((format(printf, 2, 3)))
static void add(struct fields *f, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int len;

	if (f->n == MOST_FIELDS)
		return;
	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0)
		f->failed = true;
	else
		f->iov[f->n++] = (struct iovec){ text, (size_t)len };
}

/* Where a member's field is not called OBJECT_MEMBER. "*": all others of the object. */
static const struct { const char *object, *member, *field; } names[] = {
	{ "process", "netns", "PROCESS_NETNS" },
	{ "process", "*", "" },
	{ "device", "id", "DEVICE" },
	{ "device", "*", "" },
};

/* The name of a field, without PREFIX. `object` is "" for members of the event itself. */
static void field_name(char *name, size_t size, const char *object, const char *member)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(object, names[i].object))
			continue;
		if (!strcmp(member, names[i].member)) {
			snprintf(name, size, "%s", names[i].field);
			return;
		}
		if (!strcmp(names[i].member, "*"))
			object = "";
	}
	snprintf(name, size, "%s%s%s", object, *object ? "_" : "", member);
	for (char *c = name; *c; c++)
		*c = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
}

static void add_object(struct fields *f, const char *name, struct json_object *object);

static void add_value(struct fields *f, const char *object, const char *member, struct json_object *value)
{
	char name[128];

	switch (json_object_get_type(value)) {
	case json_type_object:
		add_object(f, member, value);
		break;
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(value); i++)
			add_value(f, object, member, json_object_array_get_idx(value, i));
		break;
	default:
		field_name(name, sizeof(name), object, member);
		add(f, PREFIX "%s=%s", name, json_object_get_string(value));
	}
}

static void add_object(struct fields *f, const char *name, struct json_object *object)
{
	json_object_object_foreach(object, member, value)
		add_value(f, name, member, value);
}

/* The line of `watch` without its time, columns drawn together. */
static char *message(const struct event *event)
{
	struct out_text plain = { 0 };
	char *line = NULL, *from, *to;
	size_t len = 0;
	FILE *out = open_memstream(&line, &len);
	int err;

	if (!out)
		return NULL;
	err = out_text(&plain, out, event);
	if (fclose(out) || err) {
		free(line);
		return NULL;
	}
	from = to = line;
	for (from += strcspn(from, " "); *from && *from != '\n'; from++)
		if (*from != ' ' || (to > line && to[-1] != ' '))
			*to++ = *from;
	*to = '\0';
	return line;
}

static void add_all(struct fields *f, const struct event *event)
{
	enum event_kind kind = event->change->event;
	struct json_object *object = event_json(event);
	char *text = message(event);

	if (object && text) {
		add(f, "MESSAGE=%s", text);
		add(f, "PRIORITY=%d", kind == EV_LOST || kind == EV_GAP ? 4 /* warning */ : 6 /* info */);
		add(f, "SYSLOG_IDENTIFIER=tapwatch");
		add_object(f, "", object);
	} else {
		f->failed = true;
	}
	free(text);
	json_object_put(object);
}

int journal_send(const struct event *event)
{
	struct fields f = { .n = 0 };
	int err;

	add_all(&f, event);
	err = f.failed ? -ENOMEM : sd_journal_sendv(f.iov, f.n);
	for (int i = 0; i < f.n; i++)
		free(f.iov[i].iov_base);
	return err;
}

#else

int journal_send(const struct event *event)
{
	(void)event;
	return -EOPNOTSUPP;
}

#endif /* HAVE_LIBSYSTEMD */
