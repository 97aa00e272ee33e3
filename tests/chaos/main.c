/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * main.c - the coordinator. It reads commands, one a line, and answers each
 * with one line of JSON:
 *
 *	run N		N operations, then a quiet point: what the kernel says
 *	marker NAME	opens a tun file, binds a tap of that name, closes it
 *	log PATH	writes the latest operations to PATH
 *	quit
 *
 * Usage: chaos SEED [PROCESSES [SECONDS]]	SECONDS: until what hangs is given up
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static uint64_t own_stream;
static int processes = 6;
static unsigned int give_up_s = 60;
static uint64_t space_inode[SPACES];
static unsigned int quiet_point;
static uint64_t next_device;

/* Leaves nothing behind. */
static void quit(void)
{
	char path[96];

	if (!sh)
		return;
	for (int i = 0; i < MAX_AGENTS; i++)
		if ((agent_word(&sh->agents[i]) & 0xff) != AGENT_FREE && sh->agents[i].pid != getpid())
			kill(sh->agents[i].pid, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	for (int i = 0; i < PROGRAMS; i++) {
		snprintf(path, sizeof(path), "%s/chaos-%c", sh->programs, 'a' + i);
		unlink(path);
	}
	rmdir(sh->programs);
}

__attribute__((format(printf, 1, 2), noreturn))
static void die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("chaos: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	quit();
	exit(1);
}

/* ---- namespaces --------------------------------------------------------------- */

static void space_renew(int k)
{
	int own, fresh, to = FD_RESERVED + 1 + k;
	struct stat st;

	close(to);		/* the namespace that it may have been ends by that, if nobody just looks into it */
	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0 || unshare(CLONE_NEWNET))
		die("cannot make a network namespace: %s", strerror(errno));
	fresh = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fresh < 0 || fstat(fresh, &st) || dup3(fresh, to, O_CLOEXEC) < 0 || setns(own, CLONE_NEWNET))
		die("cannot keep a network namespace: %s", strerror(errno));
	space_inode[k] = st.st_ino;
	close(fresh);
	close(own);
}

/* ---- the agents ------------------------------------------------------------------ */

static void child_of_coordinator(struct agent *a, uint64_t word)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, 0);
	dup2(null, 1);
	close(null);
	/* nothing but these, so that what is opened gets FD_TUN or more */
	for (int fd = 3; fd < FD_TUN; fd++)
		dup2(0, fd);
	syscall(SYS_close_range, FD_MAX, ~0U, 0);
	if (!agent_claim(a, word))
		_exit(0);
	prctl(PR_SET_NAME, "chaos-a");
	agent_run(a);
}

static void start_agent(void)
{
	struct agent *a = agent_reserve();
	uint64_t word;
	pid_t pid;

	if (!a)
		return;
	word = agent_word(a);
	pid = copy_process(0);
	if (!pid)
		child_of_coordinator(a, word);
	if (pid < 0)
		die("cannot fork: %s", strerror(errno));
	note("fork agent", pid, 0, 0, 0, NULL);
}

static int count_agents(enum agent_state state)
{
	int n = 0;

	for (int i = 0; i < MAX_AGENTS; i++)
		n += (agent_word(&sh->agents[i]) & 0xff) == state;
	return n;
}

static void attend(void)
{
	uint32_t renew = atomic_exchange(&sh->renew, 0);
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		agents_forget(pid, NULL);
		if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL : WEXITSTATUS(status))
			die("process %d of the test ended with status %#x", pid, status);
	}
	for (int i = 0; i < MAX_AGENTS; i++) {
		struct agent *a = &sh->agents[i];

		/* Not reaped yet, so it still is that process */
		pid = a->pid;
		if (!atomic_exchange(&a->kill, 0) || (agent_word(a) & 0xff) == AGENT_FREE || pid == getpid())
			continue;
		kill(pid, SIGKILL);
		if (waitpid(pid, NULL, __WALL) == pid)
			agents_forget(pid, NULL);
	}
	for (int k = HOMES; k < SPACES; k++)
		if (renew & 1u << k)
			space_renew(k);
}

static const char *op_name(unsigned int number)
{
	const struct op *const tables[] = { fd_ops, birth_ops, pass_ops, link_ops };

	for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++)
		for (const struct op *op = tables[t]; op->name; op++)
			if (!--number)
				return op->name;
	return "nothing";
}

static void hung(const char *what)
{
	static const char *const states[] = { "free", "starting", "running", "parked" };

	for (int i = 0; i < MAX_AGENTS; i++) {
		struct agent *a = &sh->agents[i];

		if (agent_word(a) & 0xff)
			fprintf(stderr, "chaos: agent %d, pid %d, tid %d: %s, %s\n", i, a->pid, a->tid,
				states[agent_word(a) & 3], op_name(a->op));
	}
	die("%s within %u s", what, give_up_s);
}

static void run(int64_t ops)
{
	uint64_t limit = boottime_ns() + give_up_s * 1000000000ULL;

	atomic_store(&sh->ops_left, ops);
	for (int i = 0; i < MAX_AGENTS; i++) {
		atomic_store(&sh->agents[i].bell, BELL_RUN);
		futex_wake(&sh->agents[i].bell);
	}
	for (;;) {
		uint32_t news = atomic_load(&sh->news);

		attend();
		while (atomic_load(&sh->ops_left) > 0 &&
		       MAX_AGENTS - count_agents(AGENT_FREE) - count_agents(AGENT_STARTING) < processes)
			start_agent();
		if (atomic_load(&sh->ops_left) <= 0 && !count_agents(AGENT_STARTING) && !count_agents(AGENT_RUNNING))
			break;
		if (boottime_ns() > limit)
			hung("not all agents came to rest");
		/* A child's end is no news of its own: hence the bound. */
		futex_wait(&sh->news, news, 10);
	}
}

/* ---- who there is ------------------------------------------------------------------ */

struct thread {
	pid_t pid, tid;
	unsigned long long start;	/* of the process, in clock ticks since boot */
	char comm[32];
};

static struct thread threads[1024];
static int n_threads;

/* Fields of a stat file: state, session and start time. */
static bool read_stat(const char *path, char *state, int *session, struct thread *t)
{
	char buffer[1024], *begin, *end;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer) - 1);

	close(fd);
	if (n <= 0)
		return false;
	buffer[n] = '\0';
	begin = strchr(buffer, '(');
	end = strrchr(buffer, ')');
	if (!begin || !end)
		return false;
	snprintf(t->comm, sizeof(t->comm), "%.*s", (int)(end - begin - 1), begin + 1);
	return sscanf(end + 2, "%c %*d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		      state, session, &t->start) == 3;
}

/* Adds the threads of a process. Returns whether it is at rest: none but agents, and those that are over. */
static bool add_threads(const struct thread *process)
{
	bool rest = true;
	char path[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", process->pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while ((entry = readdir(dir))) {
		struct thread t = *process, self;
		bool known = false;
		char state;
		int session;

		t.tid = atoi(entry->d_name);
		if (!t.tid)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", t.pid, t.tid);
		if (!read_stat(path, &state, &session, &self) || !strncmp(self.comm, "vhost-", 6))
			continue;
		for (int i = 0; i < MAX_AGENTS; i++)
			known |= (agent_word(&sh->agents[i]) & 0xff) == AGENT_PARKED &&
				 sh->agents[i].tid == t.tid && sh->agents[i].pid == t.pid;
		rest &= known || (t.tid == t.pid && state == 'Z');
		if (known && n_threads < (int)(sizeof(threads) / sizeof(*threads)))
			threads[n_threads++] = t;
	}
	closedir(dir);
	return rest;
}

/* All processes of this session: the coordinator, and its descendants. */
static bool all_at_rest(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool rest = true;

	n_threads = 0;
	while (proc && (entry = readdir(proc))) {
		struct thread t = { .pid = atoi(entry->d_name) };
		char path[64], state;
		int session;

		if (!t.pid || t.pid == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", t.pid);
		if (read_stat(path, &state, &session, &t) && session == getpid())
			rest &= add_threads(&t);
	}
	closedir(proc);
	return rest && n_threads == count_agents(AGENT_PARKED);
}

static void wait_for_rest(void)
{
	uint64_t limit = boottime_ns() + give_up_s * 1000000000ULL;

	for (;;) {
		uint32_t news = atomic_load(&sh->news);

		attend();
		if (all_at_rest())
			return;
		if (boottime_ns() > limit) {
			for (int i = 0; i < n_threads; i++)
				fprintf(stderr, "chaos: %s pid %d tid %d\n", threads[i].comm, threads[i].pid,
					threads[i].tid);
			hung("not all processes came to rest");
		}
		futex_wait(&sh->news, news, 2);
	}
}

/* ---- the truth ------------------------------------------------------------------------ */

static void ask_agent(struct agent *a)
{
	uint64_t limit = boottime_ns() + give_up_s * 1000000000ULL;

	atomic_store(&a->bell, BELL_TELL);
	futex_wake(&a->bell);
	for (;;) {
		uint32_t news = atomic_load(&sh->news);

		if (atomic_load(&a->bell) == BELL_NONE)
			return;
		if (boottime_ns() > limit)
			hung("an agent did not tell");
		futex_wait(&sh->news, news, 100);
	}
}

/* Whether closing and cleaning up is over: no file has a device whose namespace is just ending. */
static bool collect(void)
{
	bool settled = true;

	sh->n_rows = sh->n_sockets = 0;
	memset(sh->tag_seen, 0, sizeof(sh->tag_seen));
	truth_tell();		/* what the coordinator's sockets hold */
	limit_fds(4096);
	for (int i = 0; i < MAX_AGENTS; i++)
		if ((agent_word(&sh->agents[i]) & 0xff) == AGENT_PARKED)
			ask_agent(&sh->agents[i]);
	for (uint32_t i = 0; i < sh->n_rows; i++) {
		struct row *row = &sh->rows[i];
		bool known = !row->file || row->err;

		for (int k = 0; k < SPACES; k++)
			known |= row->netns == space_inode[k];
		settled &= known;
	}
	return settled;
}

static void forget_tags(void)
{
	for (int tag = 0; tag < MAX_TAGS; tag++)
		if (!sh->tag_seen[tag])
			sh->tag_free[tag] = true;
}

static int start_of(pid_t pid)
{
	for (int i = 0; i < n_threads; i++)
		if (threads[i].pid == pid)
			return i;
	return -1;
}

/* The second opinion: the same fds stand in /proc, and no others. */
static void check_proc(void)
{
	for (int i = 0; i < n_threads; i++) {
		const struct thread *t = &threads[i];
		struct dirent *entry;
		int here = 0, told = 0;
		char path[64];
		DIR *dir;

		snprintf(path, sizeof(path), "/proc/%d/task/%d/fd", t->pid, t->tid);
		dir = opendir(path);
		while (dir && (entry = readdir(dir))) {
			char target[64] = "";

			if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) > 0 &&
			    !strcmp(target, TUN_PATH)) {
				bool found = false;

				here++;
				for (uint32_t j = 0; j < sh->n_rows; j++)
					found |= sh->rows[j].tid == t->tid && sh->rows[j].fd == atoi(entry->d_name);
				if (!found)
					die("pid %d tid %d fd %s is in /proc, but was not told", t->pid, t->tid, entry->d_name);
			}
		}
		if (dir)
			closedir(dir);
		for (uint32_t j = 0; j < sh->n_rows; j++)
			told += sh->rows[j].tid == t->tid && sh->rows[j].fd >= 0;
		if (here != told)
			die("pid %d tid %d tells %d fds, /proc has %d", t->pid, t->tid, told, here);
	}
}

static void print_rows(void)
{
	const char *comma = "";

	printf("\"rows\":[");
	for (uint32_t i = 0; i < sh->n_rows; i++) {
		const struct row *r = &sh->rows[i];
		int t = start_of(r->pid);

		printf("%s{\"pid\":%d,\"tid\":%d,\"fd\":%d,\"file\":%u,\"start\":%llu,\"comm\":\"%s\",\"err\":%d,"
		       "\"ns_err\":%d,\"flags\":%u,\"ifname\":\"%s\",\"netns\":%llu,\"socket_netns\":%llu}", comma,
		       r->pid, r->tid, r->fd, r->file, t < 0 ? 0 : threads[t].start, t < 0 ? "" : threads[t].comm,
		       r->err, r->ns_err, r->flags, r->ifname, (unsigned long long)r->netns,
		       (unsigned long long)r->socket_netns);
		comma = ",";
	}
	printf("]");
}

static void print_device(const struct link_info *l, int space)
{
	printf("{\"id\":\"%s\",\"netns\":%llu,\"ifindex\":%d,\"ifname\":\"%s\",\"up\":%s,\"type\":%d,\"persist\":%d,"
	       "\"multi_queue\":%d,\"vnet_hdr\":%d,\"pi\":%d,\"queues\":%d,\"disabled_queues\":%d,\"owner\":%lld,"
	       "\"group\":%lld", l->alias, (unsigned long long)space_inode[space], l->ifindex, l->ifname,
	       l->up ? "true" : "false", l->type, l->persist, l->multi_queue, l->vnet_hdr, l->pi, l->queues,
	       l->disabled_queues, (long long)l->owner, (long long)l->group);
	if (l->has_mac)
		printf(",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\"", l->mac[0], l->mac[1], l->mac[2], l->mac[3],
		       l->mac[4], l->mac[5]);
	printf("}");
}

/* A device's identity over quiet points is an alias, given to it when it is first met. */
static void print_devices(void)
{
	static struct link_info links[256];
	const char *comma = "";

	printf("\"devices\":[");
	for (int k = 0; k < SPACES; k++) {
		int n;

		if (space_enter(k))
			die("cannot enter a network namespace: %s", strerror(errno));
		n = links_dump(links, sizeof(links) / sizeof(*links));
		if (n < 0)
			die("cannot list links: %s", strerror(-n));
		for (int i = 0; i < n; i++) {
			if (strcmp(links[i].kind, "tun"))
				continue;
			if (!links[i].alias[0]) {
				snprintf(links[i].alias, sizeof(links[i].alias), "k%llu", (unsigned long long)++next_device);
				link_set_alias(links[i].ifindex, links[i].alias);
			}
			printf("%s", comma);
			print_device(&links[i], k);
			comma = ",";
		}
	}
	space_enter(0);
	printf("]");
}

static void tell_truth(void)
{
	uint64_t limit = boottime_ns() + give_up_s * 1000000000ULL;

	wait_for_rest();
	while (!collect()) {
		if (boottime_ns() > limit)
			hung("a namespace that was left did not end");
		futex_wait(&sh->news, atomic_load(&sh->news), 5);
	}
	forget_tags();
	check_proc();
	printf("{\"quiet\":%u,\"ops\":%llu,\"pid\":%d,\"agents\":%d,\"homes\":[", ++quiet_point,
	       (unsigned long long)sh->ops_done, getpid(), count_agents(AGENT_PARKED));
	for (int k = 0; k < HOMES; k++)
		printf("%s%llu", k ? "," : "", (unsigned long long)space_inode[k]);
	printf("],\"others\":[");
	for (int k = HOMES; k < SPACES; k++)
		printf("%s%llu", k > HOMES ? "," : "", (unsigned long long)space_inode[k]);
	printf("],");
	print_rows();
	printf(",");
	print_devices();
	printf("}\n");
}

/* ---- other commands --------------------------------------------------------------------- */

static void marker(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP };
	int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC);

	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr))
		die("cannot make the marker %s: %s", name, strerror(errno));
	close(fd);
	printf("{\"marker\":\"%s\",\"fd\":%d}\n", name, fd);
}

static void write_log(const char *path)
{
	uint64_t end = atomic_load(&sh->n_records), i = end > LOG_SIZE ? end - LOG_SIZE : 0;
	FILE *out = fopen(path, "w");

	for (; out && i < end; i++) {
		const struct record *r = &sh->log[i % LOG_SIZE];

		if (r->what)
			fprintf(out, "%llu.%09llu pid %d tid %d %s %s%s(%d, %d, %d) = %d\n",
				(unsigned long long)r->time_ns / 1000000000, (unsigned long long)r->time_ns % 1000000000,
				r->pid, r->tid, r->what, r->text, r->text[0] ? " " : "", r->args[0], r->args[1],
				r->args[2], r->result);
	}
	if (out)
		fclose(out);
	printf("{\"log\":%s}\n", out ? "true" : "false");
}

static void commands(void)
{
	char line[256], word[16], argument[200];

	while (fgets(line, sizeof(line), stdin)) {
		argument[0] = '\0';
		if (sscanf(line, "%15s %199s", word, argument) < 1)
			continue;
		if (!strcmp(word, "run")) {
			run(atoll(argument));
			tell_truth();
		} else if (!strcmp(word, "marker")) {
			marker(argument);
		} else if (!strcmp(word, "log")) {
			write_log(argument);
		} else {
			break;
		}
		fflush(stdout);
	}
}

static void coordinator_init(uint64_t seed)
{
	struct rlimit limit;
	int mem, pair[2];
	char self[256], path[96];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	getrlimit(RLIMIT_NOFILE, &limit);
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	limit_fds(4096 < limit.rlim_max ? 4096 : limit.rlim_max);
	mem = memfd_create("chaos", MFD_CLOEXEC);
	if (mem < 0 || dup3(mem, FD_RESERVED, O_CLOEXEC) < 0 || ftruncate(mem, sizeof(*sh)))
		die("cannot make shared memory: %s", strerror(errno));
	close(mem);
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED, FD_RESERVED, 0);
	if (sh == MAP_FAILED)
		die("cannot map shared memory: %s", strerror(errno));
	sh->coordinator = getpid();
	snprintf(sh->programs, sizeof(sh->programs), "/tmp/chaos.XXXXXX");
	if (n < 0 || !mkdtemp(sh->programs))
		die("cannot make a directory: %s", strerror(errno));
	self[n] = '\0';
	for (int i = 0; i < PROGRAMS; i++) {
		snprintf(path, sizeof(path), "%s/chaos-%c", sh->programs, 'a' + i);
		if (symlink(self, path))
			die("cannot make %s: %s", path, strerror(errno));
	}
	own_stream = mix(seed + 0x9e3779b97f4a7c15ULL);
	stream = &own_stream;
	for (int k = 0; k < SPACES; k++)
		space_renew(k);
	space_enter(0);
	for (int i = 0; i < 4; i++) {	/* what the first agents have in common */
		if (socketpair(AF_UNIX, i & 1 ? SOCK_DGRAM : SOCK_SEQPACKET, 0, pair))
			die("cannot make sockets: %s", strerror(errno));
		dup2(pair[0], FD_SOCKET + 2 * i);
		dup2(pair[1], FD_SOCKET + 2 * i + 1);
		close(pair[0]);
		close(pair[1]);
	}
}

static int program(char **argv)
{
	int err;

	limit_fds(FD_RESERVED);		/* it may have been handed a full table */
	err = open_shared(atoi(argv[2]), atoi(argv[3]));
	limit_fds(FD_MAX);
	if (err)
		return 1;
	return strcmp(argv[1], "--agent") ? helper_main(argv + 1) : agent_main(argv + 1);
}

int main(int argc, char **argv)
{
	ops_init();
	if (argc > 5 && argv[1][0] == '-')
		return program(argv);
	if (argc < 2)
		die("usage: chaos SEED [PROCESSES [SECONDS]]");
	if (argc > 2)
		processes = atoi(argv[2]);
	if (argc > 3)
		give_up_s = atoi(argv[3]);
	signal(SIGPIPE, SIG_IGN);
	coordinator_init(strtoull(argv[1], NULL, 0));
	commands();
	quit();
	return 0;
}
