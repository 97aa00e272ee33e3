// SPDX-License-Identifier: GPL-2.0-only
/* cmd_who.c - who holds an interface; and the reverse, what an fd is. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "diag.h"
#include "escape.h"
#include "fields.h"
#include "options.h"
#include "out.h"
#include "past.h"
#include "runtime.h"
#include "snapshot.h"
#include "stories.h"

static const char help[] =
	"Usage: tapwatch who IFNAME [OPTION...]\n"
	"       tapwatch who --fd PID:FD [OPTION...]\n\n"
	"Tells which processes hold the interface of this name, through which fds, and in which network\n"
	"namespace it is; every one of them when several namespaces have one. With --fd the reverse: which\n"
	"interface an fd of a process belongs to, and who else has the same open file.\n\n"
	"Where `tapwatch watch` or `tapwatch record` runs, they are asked how the open files came from\n"
	"their openers to their present holders. With --at it is as it was then, out of the history that\n"
	"`tapwatch record` wrote.\n";

/* An answer being made. */
struct answer {
	const struct options *o;
	struct rows rows;
	struct json_object *stories;	/* how the files came to their holders; NULL: nobody knows */
	struct doubt doubt;		/* of the past */
	int64_t now_ns;			/* CLOCK_REALTIME of what is told */
};

/* --- rows --- */

static bool is_named(const struct row *row, const char *ifname)
{
	return (row->has & TW_HAS_DEV) && strlen(ifname) < TW_NAME_LEN &&
	       !strncmp(row->dev.ifname, ifname, TW_NAME_LEN);
}

/* Rows of one device; of one name in nobody knows which namespace. They follow each other. */
static size_t group_len(const struct rows *rows, size_t first)
{
	const struct row *row = &rows->row[first];
	size_t n = 1;

	while (first + n < rows->len && rows->row[first + n].device_id == row->device_id &&
	       !strncmp(rows->row[first + n].dev.ifname, row->dev.ifname, TW_NAME_LEN))
		n++;
	return n;
}

static bool same_process(const struct row *x, const struct row *y)
{
	return x->task.pid == y->task.pid && x->task.start_ns == y->task.start_ns;
}

/* --- how the files came there, as a running tapwatch saw it --- */

/* The first row of each file, among rows of one device. */
static bool is_first_of_file(const struct row *row, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (row[k].file_id == row[i].file_id)
			return false;
	return row[i].has & TW_HAS_FILE;
}

static struct json_object *ask_about(const char *ifname)
{
	char request[16 + ESCAPE_SIZE(TW_NAME_LEN)] = "chains ";

	escape_utf8(request + 7, sizeof(request) - 7, ifname, strnlen(ifname, TW_NAME_LEN));
	return runtime_ask(request);
}

static struct json_object *ask_about_fd(unsigned pid, unsigned fd)
{
	char request[64];

	snprintf(request, sizeof(request), "chains-of %u %u", pid, fd);
	return runtime_ask(request);
}

/* --- text --- */

static void print_stories(struct json_object *stories, const struct row *row, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		struct json_object *story = is_first_of_file(row, i) ? story_of(stories, &row[i]) : NULL;

		if (!story)
			continue;
		printf("  how it came there");
		if (row[i].has & TW_HAS_TASK)
			printf(" (fd %d of pid %u)", row[i].fd, row[i].task.pid);
		printf(":\n");
		chain_print(story, 6);
	}
}

/* Any cell, safe for a terminal. */
struct shown {
	char text[ESCAPE_SIZE(PATH_MAX)];
};

static const char *show(struct shown *s, const char *bytes, size_t len)
{
	escape_term(s->text, sizeof(s->text), bytes, len);
	return s->text;
}

/* "fooz[4026532591]", as everywhere */
static const char *show_netns(struct shown *s, uint32_t inode, const char *label)
{
	static const struct out_text plain;

	if (!inode)
		return "an unknown network namespace";
	out_netns(&plain, s->text, sizeof(s->text), inode, label);
	return s->text;
}

/* "3 hours": in the largest unit that fits. */
static void print_age(int64_t ns)
{
	static const struct { int64_t seconds; const char *name; } units[] = {
		{ 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" },
	};
	int64_t seconds = ns / 1000000000;
	size_t i = 0;

	while (i < 3 && seconds < units[i].seconds)
		i++;
	seconds /= units[i].seconds;
	printf("%" PRId64 " %s%s", seconds, units[i].name, seconds == 1 ? "" : "s");
}

static void print_start(const struct row *row, int64_t now_ns)
{
	time_t start = (time_t)(row->start_realtime_ns / 1000000000);
	char text[64];
	struct tm tm;

	if (!start || !localtime_r(&start, &tm))
		return;
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	printf("      running since %s, for ", text);
	print_age(now_ns / 1000000000 * 1000000000 - start * 1000000000LL);
	printf("\n");
}

static void print_line(const char *title, const char *text)
{
	struct shown s;

	if (text && *text)
		printf("      %s %s\n", title, show(&s, text, strlen(text)));
}

static void print_vm(const struct row *row)
{
	struct shown type, name, uuid;

	if (!row->vm_name && !row->vm_uuid)
		return;
	printf("      virtual machine %s (%s%s%s)\n", row->vm_name ? show(&name, row->vm_name, PATH_MAX) : "without a name",
	       row->vm_type ? show(&type, row->vm_type, PATH_MAX) : "unknown kind", row->vm_uuid ? ", " : "",
	       row->vm_uuid ? show(&uuid, row->vm_uuid, PATH_MAX) : "");
}

/* "tap in network namespace fooz[4026532591], ifindex 4, address 5e:…" */
static void print_device(const struct row *row)
{
	const char *kind = kind_name(row->dev.kind);
	const struct field *mac = field_by_name("mac", 3);
	const char *words[TUN_FLAG_WORDS];
	char address[32];
	struct shown s;

	printf("%s in %s%s", kind ? kind : "device", row->dev.netns ? "network namespace " : "",
	       show_netns(&s, row->dev.netns, row->netns_label));
	if (row->dev.ifindex)
		printf(", ifindex %u", row->dev.ifindex);
	if (field_text(mac, row, address, sizeof(address)))
		printf(", address %s", address);
	if (row->has & TW_HAS_QUEUES)
		printf(", %u queue%s", row->dev.queues, row->dev.queues == 1 ? "" : "s");
	tun_flag_words(row->has & TW_HAS_TUN ? row->dev.tun_flags : 0, words);
	for (size_t i = 0; words[i]; i++)
		printf("%s%s", i ? " " : ", ", words[i]);
	printf("\n");
}

static void print_process(const struct row *row)
{
	struct shown comm, user;

	printf("%s (pid %u", show(&comm, row->task.comm, sizeof(row->task.comm)), row->task.pid);
	if (row->user)
		printf(", user %s", show(&user, row->user, strlen(row->user)));
	else if (row->task.uid != UINT32_MAX)
		printf(", uid %u", row->task.uid);
	printf(")");
}

/* Where process, file and device are; when all are in one place that was said already. */
static void print_places(const struct row *row)
{
	uint32_t socket = row->has & TW_HAS_SOCKET_NETNS ? row->socket_netns : 0;
	struct shown a, b;

	if ((!row->task.netns || row->task.netns == row->dev.netns) && (!socket || socket == row->dev.netns))
		return;
	printf("      process in %s", show_netns(&a, row->task.netns, row->process_netns_label));
	if (socket)
		printf(", file opened in %s", show_netns(&b, socket, row->socket_netns_label));
	printf("\n");
}

static void print_details(const struct row *row, int64_t now_ns)
{
	print_start(row, now_ns);
	print_vm(row);
	print_line("executable", row->exe);
	print_line("cgroup", row->cgroup);
	print_places(row);
}

/* All fds of one process on the device; returns how many rows that were. */
static size_t print_holder(const struct row *row, size_t len, int64_t now_ns)
{
	size_t n = 1;

	if (!(row->has & TW_HAS_TASK)) {
		printf("  held without an fd: by vhost-net, io_uring, or in a message under way\n");
		return 1;
	}
	while (n < len && same_process(row, &row[n]))
		n++;
	printf("  held by ");
	print_process(row);
	printf(" through fd%s", n == 1 ? "" : "s");
	for (size_t i = 0; i < n; i++)
		printf("%s %d%s", i ? "," : "", row[i].fd, row[i].state == ROW_DISABLED ? " (queue disabled)" : "");
	printf("\n");
	print_details(row, now_ns);
	return n;
}

static void print_group(const struct answer *a, const struct row *row, size_t len)
{
	struct shown s;

	printf("%s: ", show(&s, row->dev.ifname, sizeof(row->dev.ifname)));
	print_device(row);
	if (row->state == ROW_NO_HOLDER)
		printf("  held by nobody\n");
	else if (row->state == ROW_UNKNOWN)
		printf("  who holds it could not be found out\n");
	else
		for (size_t i = 0; i < len;)
			i += print_holder(&row[i], len - i, a->now_ns);
	print_stories(a->stories, row, len);
}

static void print_fd(const struct answer *a, const struct row *row)
{
	const struct rows *rows = &a->rows;
	struct shown s;

	printf("fd %d of ", row->fd);
	print_process(row);
	if (row->state == ROW_UNBOUND)
		printf(": a TUN/TAP file that is bound to no interface yet\n");
	else if (row->state == ROW_ORPHANED)
		printf(": a TUN/TAP file whose interface was deleted\n");
	else
		printf(": a queue of %s%s\n  ", show(&s, row->dev.ifname, sizeof(row->dev.ifname)),
		       row->state == ROW_DISABLED ? ", disabled" : "");
	if (row->has & TW_HAS_DEV)
		print_device(row);
	print_details(row, a->now_ns);
	for (size_t i = 0; i < rows->len; i++) {
		const struct row *other = &rows->row[i];

		if (other == row || other->file_id != row->file_id)
			continue;
		printf("  the same file is held by ");
		print_process(other);
		printf(" as fd %d\n", other->fd);
	}
	print_stories(a->stories, row, 1);
}

/* --- JSON --- */

static struct json_object *object_of(const struct row *row, unsigned flags)
{
	struct json_object *object = json_object_new_object();

	if (!object || !fields_json(row, flags, object))
		return object;
	json_object_put(object);
	return NULL;
}

/* Takes the value over. 0 or -ENOMEM. */
static int hang_in(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(object, key, value))
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

static int append(struct json_object *array, struct json_object *value)
{
	if (value && !json_object_array_add(array, value))
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

/* Adds "files": their stories, where there are any. */
static int hang_stories(struct json_object *object, struct json_object *stories, const struct row *row, size_t len)
{
	struct json_object *files = json_object_new_array();
	int err = files ? 0 : -ENOMEM;

	for (size_t i = 0; i < len && !err; i++) {
		struct json_object *story = is_first_of_file(row, i) ? story_of(stories, &row[i]) : NULL;

		if (story)
			err = append(files, json_object_get(story));
	}
	if (!err && json_object_array_length(files))
		return hang_in(object, "files", files);
	json_object_put(files);
	return err;
}

/* One device with its holders. */
static struct json_object *group_json(const struct row *row, size_t len, struct json_object *stories)
{
	struct json_object *object = object_of(row, FIELD_DEVICE), *holders = json_object_new_array();
	int err = object && holders ? 0 : -ENOMEM;

	for (size_t i = 0; i < len && !err; i++)
		if (row[i].has & TW_HAS_FILE)
			err = append(holders, object_of(&row[i], FIELD_HOLDER));
	/* "state" of a device that nobody holds stands where the holders' would */
	if (!err && !(row->has & TW_HAS_FILE) && row_state_name(row->state))
		err = hang_in(object, "state", json_object_new_string(row_state_name(row->state)));
	if (!err)
		err = hang_in(object, "holders", json_object_get(holders));
	json_object_put(holders);
	if (!err)
		err = hang_stories(object, stories, row, len);
	if (!err)
		return object;
	json_object_put(object);
	return NULL;
}

static struct json_object *devices_json(const struct rows *rows, const char *ifname, struct json_object *stories)
{
	struct json_object *object = json_object_new_object(), *devices = json_object_new_array();
	char safe[ESCAPE_SIZE(TW_NAME_LEN)];
	int err = object && devices ? 0 : -ENOMEM;

	escape_utf8(safe, sizeof(safe), ifname, TW_NAME_LEN);
	if (!err)
		err = hang_in(object, "ifname", json_object_new_string(safe));
	for (size_t i = 0, n; i < rows->len && !err; i += n) {
		n = group_len(rows, i);
		err = append(devices, group_json(&rows->row[i], n, stories));
	}
	if (!err)
		err = hang_in(object, "devices", json_object_get(devices));
	json_object_put(devices);
	if (!err)
		return object;
	json_object_put(object);
	return NULL;
}

static struct json_object *fd_json(const struct rows *rows, const struct row *row, struct json_object *stories)
{
	struct json_object *object = object_of(row, FIELD_HOLDER), *others = json_object_new_array();
	int err = object && others ? 0 : -ENOMEM;

	if (!err && (row->has & TW_HAS_DEV))
		err = hang_in(object, "device", object_of(row, FIELD_DEVICE));
	for (size_t i = 0; i < rows->len && !err; i++)
		if (&rows->row[i] != row && rows->row[i].file_id == row->file_id)
			err = append(others, object_of(&rows->row[i], FIELD_HOLDER));
	if (!err)
		err = hang_in(object, "other_holders", json_object_get(others));
	json_object_put(others);
	if (!err)
		err = hang_stories(object, stories, row, 1);
	if (!err)
		return object;
	json_object_put(object);
	return NULL;
}

/* Takes the object over. */
static int print_json(const struct answer *a, struct json_object *object)
{
	const char *text = NULL;

	if (object && (!a->o->past || !past_json(object, &a->doubt, a->o)))
		text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		puts(text);
	else
		warn_msg("cannot go on: out of memory");
	json_object_put(object);
	return text ? EXIT_FINE : EXIT_FAILED;
}

static int finish(int status)
{
	errno = 0;
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	/* a reader that has seen enough is no failure */
	if (errno == EPIPE)
		return status;
	warn_msg("cannot write to standard output: %s", strerror(errno ? errno : EIO));
	return EXIT_FAILED;
}

/* What is looked up of the rows that are told. What is past was recorded with all that. */
static int finish_rows(struct answer *a)
{
	unsigned wanted = ROWS_USER | ROWS_NAME | ROWS_PROCESS | ROWS_START | (a->o->json ? 0 : ROWS_LABEL);

	return a->o->past ? EXIT_FINE : snapshot_finish(&a->rows, wanted, true);
}

/* --- who IFNAME --- */

static void keep_named(struct rows *rows, const char *ifname)
{
	size_t n = 0;

	for (size_t i = 0; i < rows->len; i++)
		if (is_named(&rows->row[i], ifname))
			rows->row[n++] = rows->row[i];
	rows->len = n;
}

static int who_ifname(struct answer *a, const char *ifname)
{
	struct rows *rows = &a->rows;
	int status;

	keep_named(rows, ifname);
	if (!rows->len) {
		past_tell(&a->doubt, a->o);
		warn_msg("no TUN/TAP device named '%s' in any network namespace%s", ifname, a->o->past ? " then" : "");
		return EXIT_FAILED;
	}
	status = finish_rows(a);
	if (status != EXIT_FINE)
		return status;
	if (!a->o->past)
		a->stories = ask_about(ifname);
	if (a->o->json)
		return finish(print_json(a, devices_json(rows, ifname, a->stories)));
	past_tell(&a->doubt, a->o);
	for (size_t i = 0, n; i < rows->len; i += n) {
		n = group_len(rows, i);
		print_group(a, &rows->row[i], n);
	}
	return finish(EXIT_FINE);
}

/* --- who --fd --- */

struct wanted {
	unsigned pid, fd;
};

static int parse_fd(const char *word, struct wanted *w)
{
	char rest;

	/* %u takes signs and blanks, too */
	if (word[strspn(word, "0123456789:")] || *word == ':' ||
	    sscanf(word, "%9u:%9u%c", &w->pid, &w->fd, &rest) != 2 || !w->pid)
		return -EINVAL;
	return 0;
}

/* Reads a line "KEY:\tNUMBER" of a file of /proc. */
static bool read_number(const char *path, const char *key, int base, unsigned long *number)
{
	FILE *file = fopen(path, "re");
	char line[256];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)))
			continue;
		*number = strtoul(line + strlen(key), NULL, base);
		found = true;
	}
	if (file)
		fclose(file);
	return found;
}

/* People also take the number of a thread for that of its process. */
static unsigned process_of(unsigned pid)
{
	unsigned long tgid;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	return read_number(path, "Tgid:", 10, &tgid) ? (unsigned)tgid : pid;
}

/* The fd is none of ours: why? */
static void explain_fd(const struct wanted *w)
{
	char path[64], info[64], target[256];
	unsigned long flags = 0;
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u", w->pid);
	if (access(path, F_OK)) {
		warn_msg("there is no process %u", w->pid);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%u/fd/%u", w->pid, w->fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0) {
		if (errno == ENOENT)
			warn_msg("process %u has no fd %u", w->pid, w->fd);
		else
			warn_msg("cannot look at fd %u of process %u: %s", w->fd, w->pid, strerror(errno));
		return;
	}
	target[n] = '\0';
	snprintf(info, sizeof(info), "/proc/%u/fdinfo/%u", w->pid, w->fd);
	if (stat(path, &st) || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(10, 200))
		warn_msg("fd %u of process %u is no TUN/TAP file but %s", w->fd, w->pid, target);
	else if (read_number(info, "flags:", 8, &flags) && (flags & O_PATH))
		warn_msg("fd %u of process %u is %s opened with O_PATH: no TUN/TAP file, only its place", w->fd, w->pid,
			 target);
	else
		warn_msg("fd %u of process %u was opened while the state was read, or cannot be seen this way: ask again",
			 w->fd, w->pid);
}

static const struct row *find_fd(const struct rows *rows, unsigned pid, unsigned fd)
{
	for (size_t i = 0; i < rows->len; i++)
		if (rows->row[i].task.pid == pid && rows->row[i].fd == (int)fd)
			return &rows->row[i];
	return NULL;
}

static void keep_file(struct rows *rows, uint64_t file_id)
{
	size_t n = 0;

	for (size_t i = 0; i < rows->len; i++)
		if (rows->row[i].file_id == file_id)
			rows->row[n++] = rows->row[i];
	rows->len = n;
}

static int who_fd(struct answer *a, const struct wanted *w)
{
	/* a thread of today says nothing about that time */
	unsigned pid = a->o->past ? w->pid : process_of(w->pid);
	struct rows *rows = &a->rows;
	const struct row *row = find_fd(rows, pid, w->fd);
	int status;

	if (!row) {
		past_tell(&a->doubt, a->o);
		if (a->o->past)
			warn_msg("fd %u of process %u was no TUN/TAP file then", w->fd, w->pid);
		else
			explain_fd(w);
		return EXIT_FAILED;
	}
	keep_file(rows, row->file_id);
	status = finish_rows(a);
	if (status != EXIT_FINE)
		return status;
	row = find_fd(rows, pid, w->fd);
	if (!a->o->past)
		a->stories = ask_about_fd(pid, w->fd);
	if (a->o->json)
		return finish(print_json(a, fd_json(rows, row, a->stories)));
	past_tell(&a->doubt, a->o);
	print_fd(a, row);
	return finish(EXIT_FINE);
}

/* --- */

static int64_t moment_of(const struct options *o)
{
	struct timespec now = { 0 };

	if (o->past)
		return (int64_t)o->at_ns;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int who(const struct options *o, const char *ifname)
{
	struct answer a = { .o = o, .now_ns = moment_of(o) };
	struct wanted w;
	int status;

	if (o->fd && parse_fd(o->fd, &w))
		return usage_error("who", "'%s' is no PID:FD, as in 4242:27", o->fd);
	status = o->past ? past_read(&a.rows, o, &a.doubt) : snapshot_read(&a.rows, o);
	if (status == EXIT_FINE)
		status = o->fd ? who_fd(&a, &w) : who_ifname(&a, ifname);
	json_object_put(a.stories);
	rows_free(&a.rows);
	return status;
}

int cmd_who(int argc, char **argv)
{
	struct options options;
	int status = options_parse(&options, OPT_FILTERS | OPT_JSON | OPT_SNAPSHOT | OPT_FD | OPT_NOISE |
				   OPT_AT, argc, argv, help);
	int operands = argc - options.first_operand;

	if (status >= 0)
		return status;
	if (operands > (options.fd ? 0 : 1))
		status = usage_error("who", "unexpected argument '%s'", argv[argc - 1]);
	else if (!operands && !options.fd)
		status = usage_error("who", "whom? give the name of an interface, or --fd PID:FD");
	else
		status = who(&options, argv[options.first_operand]);
	options_free(&options);
	return status;
}
