// SPDX-License-Identifier: GPL-2.0-only
/* runtime.c - see runtime.h. Nobody who asks can make the tracer wait: all sockets are non-blocking. */
#include <dirent.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "escape.h"
#include "runtime.h"

#define CLIENTS_MAX 16
#define REQUEST_MAX 256
#define ANSWER_MAX (64u << 20)	/* of others: nobody fills our memory */
#define ASK_SECONDS 2

struct client {
	int fd;
	char request[REQUEST_MAX];
	size_t have;
	struct json_object *answer;	/* NULL: the request is not whole yet */
	const char *text;
	size_t sent, len;
	TAILQ_ENTRY(client) all;
};
TAILQ_HEAD(client_list, client);

struct runtime {
	const struct bindings *b;
	int epoll, fd;
	struct sockaddr_un addr;
	struct client_list clients;
	size_t n_clients;
};

static int64_t realtime_offset(void)
{
	struct timespec real, boot;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (real.tv_sec - boot.tv_sec) * 1000000000LL + real.tv_nsec - boot.tv_nsec;
}

/* --- answers --- */

struct asked {
	const struct bindings *b;
	const char *ifname;		/* NULL: not by name */
	unsigned int pid;
	int fd;
	struct json_object *array;
	int64_t offset_ns;
	bool failed;
};

static int add_file(struct asked *a, const struct file *file)
{
	struct json_object *object = chain_json(a->b, file, a->offset_ns);

	if (object && !json_object_array_add(a->array, object))
		return 0;
	json_object_put(object);
	a->failed = true;
	return 1;
}

static int file_named(void *ctx, const struct file *file)
{
	struct asked *a = ctx;
	char name[ESCAPE_SIZE(TW_NAME_LEN)];

	if (!file->dev)
		return 0;
	escape_utf8(name, sizeof(name), file->dev->d.ifname, strnlen(file->dev->d.ifname, TW_NAME_LEN));
	return strcmp(name, a->ifname) ? 0 : add_file(a, file);
}

static int file_any(void *ctx, const struct file *file)
{
	return add_file(ctx, file);
}

static int file_held(void *ctx, const struct hold *hold)
{
	struct asked *a = ctx;

	return hold->task.pid == a->pid && hold->fd == a->fd ? add_file(a, hold->file) : 0;
}

/* NULL: out of memory. What makes no sense is answered by an empty array. */
static struct json_object *answer(const struct bindings *b, char *request)
{
	struct asked a = { .b = b, .array = json_object_new_array(), .offset_ns = realtime_offset() };

	if (!a.array)
		return NULL;
	if (!strncmp(request, "chains ", 7)) {
		a.ifname = request + 7;
		bindings_each_file(b, file_named, &a);
	} else if (!strcmp(request, "chains-all")) {
		bindings_each_file(b, file_any, &a);
	} else if (sscanf(request, "chains-of %u %d", &a.pid, &a.fd) == 2) {
		bindings_each_hold(b, file_held, &a);
	}
	if (!a.failed)
		return a.array;
	json_object_put(a.array);
	return NULL;
}

/* --- clients --- */

static void client_free(struct runtime *r, struct client *c)
{
	TAILQ_REMOVE(&r->clients, c, all);
	r->n_clients--;
	json_object_put(c->answer);
	close(c->fd);
	free(c);
}

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) && (!peer.uid || peer.uid == geteuid());
}

static void accept_client(struct runtime *r)
{
	int fd = accept4(r->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *c = fd >= 0 ? calloc(1, sizeof(*c)) : NULL;
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (!c || r->n_clients >= CLIENTS_MAX || !may_ask(fd) || epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		if (fd >= 0)
			close(fd);
		free(c);
		return;
	}
	c->fd = fd;
	TAILQ_INSERT_TAIL(&r->clients, c, all);
	r->n_clients++;
}

/* False: it is done, or not worth going on. */
static bool read_request(struct runtime *r, struct client *c)
{
	struct epoll_event ev = { .events = EPOLLOUT, .data.ptr = c };
	ssize_t n = recv(c->fd, c->request + c->have, sizeof(c->request) - 1 - c->have, 0);
	char *end;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->have += (size_t)n;
	c->request[c->have] = '\0';
	end = strchr(c->request, '\n');
	if (!end)
		return c->have < sizeof(c->request) - 1;
	*end = '\0';
	c->answer = answer(r->b, c->request);
	if (!c->answer)
		return false;
	c->text = json_object_to_json_string_length(c->answer, JSON_C_TO_STRING_PLAIN, &c->len);
	return c->text && !epoll_ctl(r->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

static bool write_answer(struct client *c)
{
	ssize_t n = send(c->fd, c->text + c->sent, c->len - c->sent, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->sent += (size_t)n;
	return c->sent < c->len;
}

void runtime_work(struct runtime *r)
{
	struct epoll_event events[CLIENTS_MAX + 1];
	int n = epoll_wait(r->epoll, events, CLIENTS_MAX + 1, 0);

	for (int i = 0; i < n; i++) {
		struct client *c = events[i].data.ptr;

		if (!c)
			accept_client(r);
		else if (c->answer ? !write_answer(c) : !read_request(r, c))
			client_free(r, c);
	}
}

int runtime_fd(const struct runtime *r)
{
	return r->epoll;
}

/* --- start and end --- */

/* A directory of ours, that nobody else can put sockets into. */
static int make_dir(void)
{
	struct stat st;

	if (mkdir(RUNTIME_DIR, 0700) && errno != EEXIST)
		return -errno;
	if (lstat(RUNTIME_DIR, &st))
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022) ? 0 : -EPERM;
}

int runtime_new(struct runtime **out, const struct bindings *b)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	struct runtime *r = calloc(1, sizeof(*r));
	int err = r ? make_dir() : -ENOMEM;
	mode_t mask;

	*out = NULL;
	if (err) {
		free(r);
		return err;
	}
	r->b = b;
	TAILQ_INIT(&r->clients);
	r->addr.sun_family = AF_UNIX;
	snprintf(r->addr.sun_path, sizeof(r->addr.sun_path), RUNTIME_DIR "/%d.sock", (int)getpid());
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* of a process of the same number that was killed */
	unlink(r->addr.sun_path);
	mask = umask(0177);
	if (r->epoll < 0 || r->fd < 0 || bind(r->fd, (struct sockaddr *)&r->addr, sizeof(r->addr)) ||
	    listen(r->fd, CLIENTS_MAX) || epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->fd, &ev))
		err = -errno;
	umask(mask);
	if (err) {
		runtime_free(r);
		return err;
	}
	*out = r;
	return 0;
}

void runtime_free(struct runtime *r)
{
	if (!r)
		return;
	while (!TAILQ_EMPTY(&r->clients))
		client_free(r, TAILQ_FIRST(&r->clients));
	if (r->fd >= 0) {
		unlink(r->addr.sun_path);
		close(r->fd);
	}
	if (r->epoll >= 0)
		close(r->epoll);
	free(r);
}

/* --- asking --- */

static int connect_to(const char *name)
{
	struct timeval patience = { .tv_sec = ASK_SECONDS };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), RUNTIME_DIR "/%s", name) >= sizeof(addr.sun_path))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	close(fd);
	return -1;
}

static struct json_object *read_answer(int fd)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *answer = NULL;
	size_t total = 0;
	char buf[16384];
	ssize_t n;

	while (tokener && !answer && total < ANSWER_MAX && (n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		total += (size_t)n;
		answer = json_tokener_parse_ex(tokener, buf, (int)n);
		if (!answer && json_tokener_get_error(tokener) != json_tokener_continue)
			break;
	}
	if (tokener)
		json_tokener_free(tokener);
	return answer;
}

/* Adds what the tapwatch behind this socket answers. */
static void ask_one(const char *name, const char *request, struct json_object *all)
{
	struct json_object *answer;
	int fd = connect_to(name);
	char line[REQUEST_MAX];
	int len = snprintf(line, sizeof(line), "%s\n", request);

	if (fd < 0)
		return;
	if (len < (int)sizeof(line) && send(fd, line, (size_t)len, MSG_NOSIGNAL) == len) {
		answer = read_answer(fd);
		for (size_t i = 0; json_object_is_type(answer, json_type_array) && i < json_object_array_length(answer); i++) {
			struct json_object *file = json_object_get(json_object_array_get_idx(answer, i));

			if (json_object_array_add(all, file))
				json_object_put(file);
		}
		json_object_put(answer);
	}
	close(fd);
}

struct json_object *runtime_ask(const char *request)
{
	struct json_object *all = json_object_new_array();
	struct dirent *de;
	struct stat st;
	DIR *dir;

	/* somebody else's directory tells what he wants */
	if (!all || lstat(RUNTIME_DIR, &st) || !S_ISDIR(st.st_mode) || (st.st_uid && st.st_uid != geteuid()))
		return all;
	dir = opendir(RUNTIME_DIR);
	while (dir && (de = readdir(dir)))
		if (strlen(de->d_name) > 5 && !strcmp(de->d_name + strlen(de->d_name) - 5, ".sock"))
			ask_one(de->d_name, request, all);
	if (dir)
		closedir(dir);
	return all;
}
