// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_feed - made-up virtual machines come and go, and what happens is
 * recorded, without a kernel that traces: for tests and benchmarks of the
 * history. Facts are made by a process of their own (history_machines.h) and go
 * through a ring and the state machine, as those of the kernel do.
 *
 *	history_feed --db FILE --events N [--alive N] [--names N] [--step NS] [--begin NS] [--first N]
 *		     [--cmdline BYTES] [--keep NS] [--max-size BYTES] [--report] [--paced N] [--kinds]
 *
 * --alive machines exist at a time (100); their interfaces have one of --names
 * names (50000); an event comes each --step ns of made-up time (1000000), which
 * begins at --begin (CLOCK_REALTIME; so that it ends now) with machine number
 * --first. --paced N: as many events a real second. --report: "durable SEQ"
 * on a line whenever that grows, and what fails.
 *
 * At the end a JSON object: events, seconds, events a second, bytes, peak
 * memory, how long the longest call took, how long an event waited at most to be
 * durable, and the processor time of the recorder, state machine included, and
 * of the process that made the facts.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../user/history.h"
#include "history_machines.h"

#define SECOND 1000000000ULL
#define BOOT "00000000-1111-2222-3333-444444444444"

struct feed {
	struct history_options options;
	struct machines_options machines;
	struct history *h;
	struct bindings *b;
	struct described *text;		/* of the process of the fact at hand; NULL: the manager */
	struct described manager, other;
	uint64_t events, step, begin, paced;
	bool report;
	uint64_t told, time_ns, durable, lost, longest_ns;
	uint64_t put_ns;		/* when the first event that is not durable yet was put; 0: all are */
	uint64_t longest_wait_ns;	/* … to be durable */
	uint64_t began;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static struct described *describe_task(struct feed *f, const struct tw_task *task)
{
	if (task->pid == MANAGER)
		return &f->manager;
	if (f->text && f->text->pid == task->pid)
		return f->text;
	if (f->other.pid != task->pid) {
		describe_machine(&f->other, f->machines.cmdline_len, task->pid);
		describe_bind(&f->other);
	}
	return &f->other;
}

static const struct process_info *describe(void *ctx, const struct tw_task *task)
{
	return &describe_task(ctx, task)->info;
}

static void on_change(void *ctx, const struct change *c)
{
	struct feed *f = ctx;
	struct event event = {
		.change = c, .boot_id = BOOT, .source = "fentry", .realtime_ns = f->begin + c->time_ns,
	};

	const struct vm *vm;

	if (c->task) {
		event.process = describe(f, c->task);
		vm = process_machine(event.process);
		if (vm) {
			event.vm_type = vm->type;
			event.vm_name = vm->name;
			event.vm_uuid = vm->uuid;
			event.vm_manager = vm->manager;
		}
	}
	history_put(f->h, &event);
	f->told++;
	f->time_ns += f->step;
}

/* What was put last is durable as soon as all is. */
static void note_wait(struct feed *f, uint64_t begin, uint64_t end)
{
	if (history_durable(f->h) < history_last(f->h)) {
		f->put_ns = f->put_ns ? f->put_ns : begin;
		return;
	}
	if (f->put_ns && end - f->put_ns > f->longest_wait_ns)
		f->longest_wait_ns = end - f->put_ns;
	f->put_ns = 0;
}

/* As one that the kernel reported at this moment. */
static void apply(struct feed *f, struct tw_event *e)
{
	uint64_t begin = now_ns(CLOCK_MONOTONIC), took;

	e->time_ns = f->time_ns;
	if (bindings_apply(f->b, e) == -ENOMEM)
		exit(1);
	took = now_ns(CLOCK_MONOTONIC) - begin;
	if (took > f->longest_ns)
		f->longest_ns = took;
	note_wait(f, begin, begin + took);
}

/* --- pace and failures, as cmd_record.c has them --- */

static void resume(struct feed *f)
{
	struct change change = { .event = EV_GAP, .fd = -1, .time_ns = f->time_ns };
	struct event event = { .change = &change, .boot_id = BOOT, .realtime_ns = f->begin + f->time_ns };
	struct gap_info gap;
	uint64_t lost;

	if (!f->lost)
		printf("stuck %s\n", strerrorname_np(-history_stuck(f->h, NULL)));
	fflush(stdout);
	history_stuck(f->h, &f->lost);
	if (history_resume(f->h, &gap, &lost))
		return;
	event.gap = &gap;
	change.has = CH_COUNT;
	change.count = lost;
	history_put(f->h, &event);
	history_write_snapshot(f->h, f->b);
	if (history_commit(f->h))
		return;
	printf("resumed %" PRIu64 "\n", lost);
	fflush(stdout);
	f->lost = 0;
}

static void work(struct feed *f)
{
	uint64_t begin = now_ns(CLOCK_MONOTONIC), took;

	history_work(f->h, f->b);
	if (history_stuck(f->h, NULL))
		resume(f);
	took = now_ns(CLOCK_MONOTONIC) - begin;
	if (took > f->longest_ns)
		f->longest_ns = took;
	note_wait(f, begin, begin + took);
	if (f->report && history_durable(f->h) != f->durable) {
		f->durable = history_durable(f->h);
		printf("durable %" PRIu64 "\n", f->durable);
		fflush(stdout);
	}
}

/* Until the pace allows more; meanwhile the history gets its time. */
static void keep_pace(struct feed *f)
{
	uint64_t due = f->began + f->told * SECOND / (f->paced ? f->paced : 1), now;
	struct pollfd poll_fd = { .fd = history_fd(f->h), .events = POLLIN };

	while (f->paced && (now = now_ns(CLOCK_MONOTONIC)) < due) {
		poll(&poll_fd, 1, (int)((due - now) / 1000000) + 1);
		work(f);
	}
}

/* The next block; while there is none the history gets its time, as in an event loop. */
static void wait_for(struct feed *f, sem_t *full)
{
	struct timespec until;

	while (sem_trywait(full)) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += 10000000;
		if (until.tv_nsec >= (long)SECOND) {
			until.tv_sec++;
			until.tv_nsec -= (long)SECOND;
		}
		if (!sem_clockwait(full, CLOCK_MONOTONIC, &until))
			return;
		work(f);
	}
}

static void take_block(struct feed *f, struct block *block)
{
	for (int i = 0; i < BLOCK_TEXTS; i++)
		describe_bind(&block->texts[i]);
	for (unsigned i = 0; i < block->n && f->told < f->events; i++) {
		do {
			f->text = block->facts[i].text < 0 ? NULL : &block->texts[block->facts[i].text];
			apply(f, &block->facts[i].fact);
		} while (!block->facts[i++].last);
		i--;
		keep_pace(f);
	}
	f->text = NULL;
}

static void run(struct feed *f, struct machines *machines)
{
	f->began = now_ns(CLOCK_MONOTONIC);
	for (unsigned i = 0; f->told < f->events; i++) {
		wait_for(f, &machines->full);
		take_block(f, &machines->blocks[i % BLOCKS]);
		sem_post(&machines->free);
		/* as often as a ring buffer would be read in a storm */
		if (!(i % 2))
			work(f);
	}
	history_commit(f->h);
	work(f);
}

/* --- start and end --- */

static uint64_t size_of(const char *path, const char *suffix)
{
	char whole[4200];
	struct stat st;

	snprintf(whole, sizeof(whole), "%s%s", path, suffix);
	return stat(whole, &st) ? 0 : (uint64_t)st.st_size;
}

static double cpu_seconds(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
	       (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

static void print_result(const struct feed *f, uint64_t took)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("{\"events\":%" PRIu64 ",\"seconds\":%.3f,\"rate\":%.0f,\"bytes\":%" PRIu64 ",\"peak_kib\":%ld,"
	       "\"longest_ms\":%.1f,\"longest_wait_ms\":%.1f,\"cpu_s\":%.2f,\"maker_cpu_s\":%.2f}\n",
	       f->told, (double)took / 1e9, (double)f->told * 1e9 / (double)took, size_of(f->options.path, ""),
	       usage.ru_maxrss, (double)f->longest_ns / 1e6, (double)f->longest_wait_ns / 1e6, cpu_seconds(RUSAGE_SELF), cpu_seconds(RUSAGE_CHILDREN));
}

static void parse(struct feed *f, int argc, char **argv)
{
	struct { const char *name; uint64_t *to; } numbers[] = {
		{ "events", &f->events }, { "alive", &f->machines.alive }, { "names", &f->machines.names }, { "step", &f->step },
		{ "begin", &f->begin }, { "first", &f->machines.first }, { "cmdline", &f->machines.cmdline_len }, { "paced", &f->paced },
		{ "keep", &f->options.keep_ns }, { "max-size", &f->options.max_bytes },
	};
	struct option longs[13] = { { "db", required_argument, NULL, 'd' }, { "report", no_argument, NULL, 'r' } };
	int code;

	for (int i = 0; i < 10; i++)
		longs[2 + i] = (struct option){ numbers[i].name, required_argument, NULL, 256 + i };
	while ((code = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (code == 'd')
			f->options.path = optarg;
		else if (code == 'r')
			f->report = true;
		else if (code >= 256)
			*numbers[code - 256].to = strtoull(optarg, NULL, 10);
		else
			exit(2);
	}
	if (!f->options.path || !f->events)
		exit(2);
}

int main(int argc, char **argv)
{
	static struct feed f = {
		.machines = { .alive = 100, .names = 50000, .first = 1, .cmdline_len = 1500 }, .step = 1000000,
	};
	struct machines *machines;
	uint64_t begin;
	char err[512];
	int maker;

	parse(&f, argc, argv);
	if (!f.begin)
		f.begin = now_ns(CLOCK_REALTIME) - f.events * f.step;
	f.time_ns = f.step;
	f.options.ctx = &f;
	f.options.describe = describe;
	describe_manager(&f.manager);
	f.b = bindings_new(on_change, &f);
	machines = machines_make(&f.machines, &maker);
	if (!f.b || !machines) {
		fprintf(stderr, "history_feed: out of memory\n");
		return 1;
	}
	if (history_open(&f.h, &f.options, err, sizeof(err))) {
		fprintf(stderr, "history_feed: %s\n", err);
		return 1;
	}
	if (history_checkpoint_beside(f.h))
		fprintf(stderr, "history_feed: no thread for checkpoints\n");
	begin = now_ns(CLOCK_MONOTONIC);
	run(&f, machines);
	history_close(f.h);
	begin = now_ns(CLOCK_MONOTONIC) - begin;
	kill(maker, SIGKILL);
	waitpid(maker, NULL, 0);
	print_result(&f, begin);
	bindings_free(f.b);
	return 0;
}
