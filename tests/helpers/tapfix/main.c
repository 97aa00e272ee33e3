/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tapfix - a process that tests drive by hand. It reads one command a line on
 * stdin, performs it, and answers exactly one line of JSON on stdout:
 *
 *	{"ok":true, ...facts}		or	{"ok":false,"errno":"EBUSY"}
 *
 * so that a test is a handshake and never a sleep. It ends at end of input or
 * at `quit`. Files are kept in named slots. Words are separated by blanks; any
 * byte may be written as \xNN. Names are answered with each byte above 0x7f as
 * the JSON escape of the code point of the same number.
 *
 * Files
 *   open NAME [PATH] [opath] [cloexec]	open /dev/net/tun, or PATH
 *   close NAME				also: closefd NUMBER
 *   closerange FIRST LAST [unshare] [cloexec]	close_range, numbers
 *   cloexec NAME			F_SETFD
 *   dup NAME NEW [plain|cloexec]	F_DUPFD, dup, F_DUPFD_CLOEXEC
 *   dup2 NAME NEW FD			dup2 to the number FD, slot NEW
 *   dup3 NAME NEW FD [cloexec]
 *   getfd NEW PID FD			pidfd_getfd
 *   slot NEW FD			gives a slot to a number that is open
 *   nsfd NAME [PATH]			an fd of a namespace, default /proc/thread-self/ns/net
 *   room N|off				only N more fds may be made
 *   storm N				opens and closes /dev/net/tun N times
 * tun ioctls
 *   setiff NAME IFNAME tun|tap [multi_queue] [vnet_hdr] [no_pi] [tun_excl] [one_queue]
 *   efault NAME IFNAME tun|tap		the same, on a page that cannot be written
 *   setifindex NAME N
 *   queue NAME attach|detach
 *   flip NAME N			N times: queue detach, queue attach
 *   persist NAME 0|1	owner NAME UID	group NAME GID
 *   getiff NAME	devnetns NAME	sknetns NAME
 *   transmit NAME		a frame, into a tap with no_pi
 *   receive NAME		waits for a packet
 * Many devices
 *   many N PREFIX			N persistent taps PREFIX0...
 *   churn N PREFIX			N times in a row: open, setiff, close; until the next command comes; answers `made`
 * Devices, in the process's own namespace
 *   rename OLD NEW	mac IFNAME AA:BB:CC:DD:EE:FF	up IFNAME	down IFNAME
 * The process
 *   pid				pid, uid, comm and namespace
 *   comm NAME
 *   setns PATH				a network namespace
 *   unshare net|user|files|mnt[,...]	`user` maps the own uid and gid to 0
 *   setuid UID				uid and gid, no other groups, no capabilities
 *   exec [PATH [ARGUMENT...]]		itself again, or a copy of itself elsewhere, with these arguments;
 *					answers once it runs, slots with close-on-exec are gone
 *   abort				kill -9 of itself (no answer)
 *   quit
 * Threads
 *   thread NAME			a thread that waits
 *   on NAME COMMAND			the thread performs it
 *   join NAME				the thread ends
 *   leave NAME				the thread takes over the loop, the leader ends: a zombie from then on
 * Children
 *   fork CHILD [share]			a copy with all slots; then `@CHILD COMMAND`. share: of one file table with us
 *   spawn CHILD			vfork and exec; answers as exec does
 *   reap CHILD				waits for its end, at the end of its input
 *   kill CHILD				kill -9, and waits for it
 *   sendfd NAME... CHILD|parent	SCM_RIGHTS, in one message, over a socket pair that fork made
 *   recvfd NEW... CHILD|parent		with room for as many as are named
 *   hangup CHILD|parent		closes the own end of the socket pair
 *   notify NEW				a seccomp filter that hands getsid() to a listener, slot NEW
 *   trapped				calls getsid(); its result is the fd
 *   supervise CHILD LISTENER NAME [FD]	has CHILD do that, and answers it with an fd for NAME (ADDFD), at the number FD
 * Others that hold a file
 *   vhost NAME SLOT INDEX		gives the queue NAME to virtqueue INDEX of SLOT (opened when new)
 *   vhost-off SLOT INDEX		takes it back
 *   uring NAME RING			an io_uring, slot RING, with the file registered
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tapfix.h"

struct slot slots[MAX_SLOTS];
struct child children[MAX_CHILDREN];
int in_fd = 0, out_fd = 1;
char **saved_argv;

/* ---- answers ---------------------------------------------------------- */

static char answer[65536];
static size_t answer_len;

void say(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(answer + answer_len, sizeof(answer) - answer_len, fmt, ap);
	va_end(ap);
	if (n > 0 && answer_len + n < sizeof(answer))
		answer_len += n;
}

void say_text(const char *key, const char *text, size_t max)
{
	say(",\"%s\":\"", key);
	for (size_t i = 0; i < max && text[i]; i++) {
		unsigned char c = text[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			say("\\u%04x", c);
		else
			say("%c", c);
	}
	say("\"");
}

void write_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(1);
		buf += n;
		len -= n;
	}
}

void answer_begin(void)
{
	answer_len = 0;
	say("{\"ok\":true");
}

void answer_write(void)
{
	say("}\n");
	write_all(out_fd, answer, answer_len);
}

bool answer_from(int fd)
{
	char byte;

	answer_len = 0;
	while (answer_len < sizeof(answer) - 4 && read(fd, &byte, 1) == 1) {
		if (byte == '\n') {
			answer_len--;	/* answer_write() ends it */
			return true;
		}
		answer[answer_len++] = byte;
	}
	answer_begin();
	return false;
}

/* ---- slots and words -------------------------------------------------- */

struct slot *slot_find(const char *name)
{
	for (size_t i = 0; i < MAX_SLOTS; i++)
		if (slots[i].name[0] && !strcmp(slots[i].name, name))
			return &slots[i];
	return NULL;
}

int slot_fd(const char *name)
{
	struct slot *s = name ? slot_find(name) : NULL;

	return s ? s->fd : -EBADF;
}

int slot_put(const char *name, int fd)
{
	struct slot *s;

	if (!name || !*name || strlen(name) >= sizeof(s->name))
		return -EINVAL;
	s = slot_find(name);
	for (size_t i = 0; !s && i < MAX_SLOTS; i++)
		if (!slots[i].name[0])
			s = &slots[i];
	if (!s)
		return -ENFILE;
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->fd = fd;
	s->vhost_mem = NULL;
	return 0;
}

void slots_forget(int first, int last)
{
	for (size_t i = 0; i < MAX_SLOTS; i++)
		if (slots[i].name[0] && slots[i].fd >= first && slots[i].fd <= last)
			slots[i].name[0] = '\0';
}

/* Resolves \xNN in place. */
static void unescape(char *s)
{
	char *w = s;

	for (; *s; s++, w++) {
		unsigned int byte;

		*w = *s;
		if (s[0] == '\\' && s[1] == 'x' && sscanf(s + 2, "%2x", &byte) == 1) {
			*w = byte;
			s += 3;
		}
	}
	*w = '\0';
}

bool word_in(char **w, int n, const char *word)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(w[i], word))
			return true;
	return false;
}
/* ---- namespaces ------------------------------------------------------- */

uint64_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

uint64_t own_netns(void)
{
	struct stat st;

	return stat("/proc/thread-self/ns/net", &st) ? 0 : st.st_ino;
}

/* ---- the loop --------------------------------------------------------- */

static const struct command *const commands[] = {
	tun_commands, process_commands, children_commands, tables_commands, vhost_commands,
};

int perform_words(char **w, int n)
{
	if (!n)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		for (const struct command *c = commands[i]; c->name; c++)
			if (!strcmp(w[0], c->name))
				return n < c->words ? -EINVAL : c->run(w, n);
	return -ENOSYS;
}

/* Hands a line to a child and its answer up; a child that ended is reaped. */
static int ask_child(char *line)
{
	char *words[] = { "ask", line + 1, strchr(line, ' '), NULL };

	if (!words[2])
		return -EINVAL;
	*words[2]++ = '\0';
	return perform_words(words, 3);
}

/* `line` is taken apart. */
static int perform(char *line)
{
	char *words[MAX_WORDS + 1], *save;
	int n = 0;

	if (line[0] == '@')
		return ask_child(line);
	for (char *word = strtok_r(line, " \t", &save); word && n < MAX_WORDS; word = strtok_r(NULL, " \t", &save)) {
		unescape(word);
		words[n++] = word;
	}
	return perform_words(words, n);
}

/* One line without its newline; false at the end of input. Unbuffered, so that exec loses nothing. */
static bool read_line(char *line, size_t size)
{
	size_t len = 0;

	while (len < size - 1) {
		ssize_t n = read(in_fd, line + len, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		if (line[len] == '\n')
			break;
		len++;
	}
	line[len] = '\0';
	return true;
}

void serve(void)
{
	static char line[4096];

	while (read_line(line, sizeof(line))) {
		int err;

		if (!strcmp(line, "quit"))
			break;
		answer_begin();
		err = perform(line);
		if (err == 1)
			continue;
		if (err < 0) {
			answer_len = 0;
			say("{\"ok\":false,\"errno\":\"%s\"", strerrorname_np(-err));
		}
		answer_write();
	}
}

int main(int argc, char **argv)
{
	(void)argc;
	saved_argv = argv;
	signal(SIGPIPE, SIG_IGN);
	program_begin();
	serve();
	return 0;
}
