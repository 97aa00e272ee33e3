/* SPDX-License-Identifier: GPL-2.0-only */
/* process.c - the process itself: its namespaces, its threads, and the program it runs. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tapfix.h"

void tell_self(void)
{
	char comm[17] = "";

	prctl(PR_GET_NAME, comm);
	say(",\"pid\":%d,\"uid\":%u,\"netns\":%llu", getpid(), getuid(), (unsigned long long)own_netns());
	say_text("comm", comm, sizeof(comm));
}

static int cmd_pid(char **w, int n)
{
	(void)w, (void)n;
	tell_self();
	return 0;
}

static int cmd_comm(char **w, int n)
{
	(void)n;
	return prctl(PR_SET_NAME, w[1]) ? -errno : 0;
}

static int cmd_setns(char **w, int n)
{
	int fd = open(w[1], O_RDONLY | O_CLOEXEC), err = 0;

	(void)n;
	if (fd < 0)
		return -errno;
	if (setns(fd, CLONE_NEWNET))
		err = -errno;
	close(fd);
	say(",\"netns\":%llu", (unsigned long long)own_netns());
	return err;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int cmd_unshare(char **w, int n)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int flags = 0, err;
	char map[64];

	(void)n;
	for (char *save, *part = strtok_r(w[1], ",", &save); part; part = strtok_r(NULL, ",", &save)) {
		if (!strcmp(part, "net"))
			flags |= CLONE_NEWNET;
		else if (!strcmp(part, "user"))
			flags |= CLONE_NEWUSER;
		else if (!strcmp(part, "files"))
			flags |= CLONE_FILES;
		else if (!strcmp(part, "mnt"))
			flags |= CLONE_NEWNS;
		else
			return -EINVAL;
	}
	if (unshare(flags))
		return -errno;
	if (flags & CLONE_NEWUSER) {
		write_file("/proc/self/setgroups", "deny");	/* older kernels have no such file */
		snprintf(map, sizeof(map), "0 %u 1", uid);
		err = write_file("/proc/self/uid_map", map);
		if (err)
			return err;
		snprintf(map, sizeof(map), "0 %u 1", gid);
		err = write_file("/proc/self/gid_map", map);
		if (err)
			return err;
	}
	say(",\"netns\":%llu", (unsigned long long)own_netns());
	return 0;
}

static int cmd_setuid(char **w, int n)
{
	uid_t id = strtoul(w[1], NULL, 0);

	(void)n;
	if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id))
		return -errno;
	/* Not readable for anybody else otherwise, nor its maps writable for itself. */
	return prctl(PR_SET_DUMPABLE, 1) ? -errno : 0;
}

/* ---- exec --------------------------------------------------------------- */

int program_environment(int in, int out, int sock)
{
	static char names[MAX_SLOTS * 44], fds[64];
	size_t len = 0;

	names[0] = '\0';
	for (size_t i = 0; i < MAX_SLOTS; i++)
		if (slots[i].name[0])
			len += snprintf(names + len, sizeof(names) - len, "%s=%d ", slots[i].name, slots[i].fd);
	snprintf(fds, sizeof(fds), "%d %d %d", in, out, sock);
	return setenv(ENV_SLOTS, names, 1) || setenv(ENV_FDS, fds, 1) ? -errno : 0;
}

static void say_kept(char *names)
{
	const char *comma = "";
	char *save;

	say(",\"kept\":[");
	for (char *part = strtok_r(names, " ", &save); part; part = strtok_r(NULL, " ", &save)) {
		char *eq = strchr(part, '=');
		int fd;

		if (!eq)
			continue;
		*eq = '\0';
		fd = atoi(eq + 1);
		if (fcntl(fd, F_GETFD) < 0 || slot_put(part, fd))
			continue;
		say("%s\"%s\"", comma, part);
		comma = ",";
	}
	say("]");
}

void program_begin(void)
{
	char *names = getenv(ENV_SLOTS), *fds = getenv(ENV_FDS);
	int sock = -1;

	if (!names || !fds || sscanf(fds, "%d %d %d", &in_fd, &out_fd, &sock) != 3)
		return;
	if (sock >= 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fcntl(sock, F_SETFD, FD_CLOEXEC);
		children[0] = (struct child){ .name = "parent", .in = -1, .out = -1, .sock = sock,
					      .ends = { -1, -1, -1 } };
	}
	answer_begin();
	tell_self();
	say_kept(names);
	unsetenv(ENV_SLOTS);
	unsetenv(ENV_FDS);
	answer_write();
}

/* The slots travel through the environment; the new program answers. */
static int cmd_exec(char **w, int n)
{
	int sock = !strcmp(children[0].name, "parent") ? children[0].sock : -1;
	char path[4096];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	int err = len < 0 ? -errno : program_environment(in_fd, out_fd, sock);

	if (err)
		return err;
	path[len] = '\0';
	fcntl(in_fd, F_SETFD, 0);
	fcntl(out_fd, F_SETFD, 0);
	if (sock >= 0)
		fcntl(sock, F_SETFD, 0);
	w[n] = NULL;
	execv(n > 1 ? w[1] : path, n > 1 ? w + 1 : saved_argv);
	return -errno;
}

static int cmd_abort(char **w, int n)
{
	(void)w, (void)n;
	kill(getpid(), SIGKILL);
	return 0;
}

/* ---- threads ------------------------------------------------------------ */

#define MAX_THREADS 16

/* One at a time has something to do: the others, and the loop, wait for it. */
static struct worker {
	char name[32];		/* "" when free */
	pthread_t id;
	char **words;		/* to perform; NULL: nothing to do */
	int count;
	int result;
	enum { WORKING, ENDING, LEADING } state;
} workers[MAX_THREADS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;

void threads_forget(void)
{
	memset(workers, 0, sizeof(workers));
	pthread_mutex_init(&lock, NULL);
	pthread_cond_init(&news, NULL);
}

static struct worker *worker_find(const char *name)
{
	for (size_t i = 0; i < MAX_THREADS; i++)
		if (!strcmp(workers[i].name, name))
			return &workers[i];
	return NULL;
}

static bool leader_is_zombie(void)
{
	char path[64], text[512] = "";
	FILE *f;
	char *state;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	state = strrchr(text, ')');
	return state && state[2] == 'Z';
}

static void lead(void)
{
	while (!leader_is_zombie())
		sched_yield();
	answer_write();
	serve();
	exit(0);
}

static void *worker_run(void *arg)
{
	struct worker *t = arg;

	pthread_mutex_lock(&lock);
	while (t->state == WORKING) {
		if (t->words) {
			t->result = perform_words(t->words, t->count);
			t->words = NULL;
			pthread_cond_broadcast(&news);
		} else {
			pthread_cond_wait(&news, &lock);
		}
	}
	pthread_mutex_unlock(&lock);
	if (t->state == LEADING)
		lead();
	return NULL;
}

static int cmd_thread(char **w, int n)
{
	struct worker *t = worker_find("");

	(void)n;
	if (!t || strlen(w[1]) >= sizeof(t->name))
		return -ENFILE;
	*t = (struct worker){ .state = WORKING };
	if (pthread_create(&t->id, NULL, worker_run, t))
		return -EAGAIN;
	strcpy(t->name, w[1]);
	return 0;
}

static int cmd_on(char **w, int n)
{
	struct worker *t = worker_find(w[1]);

	if (!t)
		return -ESRCH;
	pthread_mutex_lock(&lock);
	t->count = n - 2;
	t->words = w + 2;
	pthread_cond_broadcast(&news);
	while (t->words)
		pthread_cond_wait(&news, &lock);
	pthread_mutex_unlock(&lock);
	return t->result;
}

static void worker_turn(struct worker *t, int state)
{
	pthread_mutex_lock(&lock);
	t->state = state;
	pthread_cond_broadcast(&news);
	pthread_mutex_unlock(&lock);
}

static int cmd_join(char **w, int n)
{
	struct worker *t = worker_find(w[1]);

	(void)n;
	if (!t)
		return -ESRCH;
	worker_turn(t, ENDING);
	pthread_join(t->id, NULL);
	t->name[0] = '\0';
	return 0;
}

static int cmd_leave(char **w, int n)
{
	struct worker *t = worker_find(w[1]);

	(void)n;
	if (!t)
		return -ESRCH;
	worker_turn(t, LEADING);
	pthread_exit(NULL);
}

const struct command process_commands[] = {
	{ "pid", 1, cmd_pid }, { "comm", 2, cmd_comm }, { "setns", 2, cmd_setns },
	{ "unshare", 2, cmd_unshare }, { "setuid", 2, cmd_setuid }, { "exec", 1, cmd_exec },
	{ "abort", 1, cmd_abort },
	{ "thread", 2, cmd_thread }, { "on", 3, cmd_on }, { "join", 2, cmd_join }, { "leave", 2, cmd_leave },
	{ 0 },
};
