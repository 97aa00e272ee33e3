/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * walk - times the bare iterator walk: bpf_iter_create(), read() to the end,
 * close(). The program is loaded beforehand and what is read is only counted.
 *
 *	walk [TIMES]
 *
 * One line of JSON: {"ms":[…],"fds":N,"nsfds":N}, numbers of the last walk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../user/loader.h"
#include "../../user/tracer.h"

static unsigned long counts[2];

static int count(void *ctx, const struct tw_event *fact)
{
	(void)ctx;
	counts[fact->type == TW_SCAN_NSFD]++;
	return 0;
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	const struct tracer_options options = { .backend = BACKEND_AUTO, .scan_only = true };
	int times = argc > 1 ? atoi(argv[1]) : 1, err = 0;
	struct tracer *tracer;
	char reason[512];

	loader_log_setup(false);
	if (tracer_open(&tracer, &options, reason, sizeof(reason))) {
		fprintf(stderr, "walk: %s\n", reason);
		return 1;
	}
	printf("{\"ms\":[");
	for (int i = 0; i < times && !err; i++) {
		double begin = now_ms();

		counts[0] = counts[1] = 0;
		err = tracer_scan_fds(tracer, count, NULL);
		printf("%s%.3f", i ? "," : "", now_ms() - begin);
	}
	printf("],\"fds\":%lu,\"nsfds\":%lu}\n", counts[0], counts[1]);
	tracer_close(tracer);
	return err ? 1 : 0;
}
