/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stream.h - what commands on top of live.h have in common: starting it,
 * making events of its changes, signals and timers, what is said at the end.
 */
#ifndef TW_STREAM_H
#define TW_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"
#include "live.h"
#include "options.h"

struct stream {
	struct live *live;		/* NULL until it has started */
	struct event_context context;
	/* private */
	struct hook_state *hooks;
	struct ready_info ready;
};

/* Before the start: privileges are there, caches, signals blocked. 0, or a negative errno and a sentence. */
int stream_prepare(struct stream *s, const struct options *options, char *err, size_t errsize);
void stream_free(struct stream *s);

/* `live`: what is not among the options; NULL nothing. 0, or a negative errno and a sentence. */
int stream_start(struct stream *s, const struct options *options, const struct live_options *live, change_fn sink,
		 void *ctx, char *err, size_t errsize);

/* Is a driver's module not loaded, so that more programs may have to be loaded later? */
bool stream_module_missing(const struct stream *s);

/* event_enrich(), and for `ready` what it tells. Then event_follow(), and at times event_machine_ended(). */
void stream_event(struct stream *s, const struct change *change, struct event *event);

/* An fd that is readable when one of these (0-terminated) has come; they are blocked. Negative errno. */
int stream_signals(const int *signals);
/* An fd that is readable in so long, and then again and again every `interval_ns` (0: once). Negative errno. */
int stream_timer(uint64_t ns, uint64_t interval_ns);
/* Adds an fd to an epoll set under a number. 0 or a negative errno. */
int stream_wait_for(int epoll, int fd, uint32_t events, uint32_t number);

/* With --verbose what there was; else only what was lost. */
void stream_tell_stats(const struct stream *s, const struct options *options);

#endif /* TW_STREAM_H */
