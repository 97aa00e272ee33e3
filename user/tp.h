/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tp.h - what the tracepoint backend needs beside the facts of its programs:
 * rtnetlink for devices, the end of processes, and files that die unseen. It
 * turns all of that into the facts that the hook backends would have given.
 */
#ifndef TW_TP_H
#define TW_TP_H

#include <stdbool.h>

#include "bindings.h"
#include "tracer.h"

struct tp;

/* 0 or a negative errno. Starts to listen at once: before the seed. */
int tp_new(struct tp **out, struct tracer *t, struct bindings *b);
void tp_free(struct tp *tp);

/* An epoll fd, readable when tp_work() has something to do. */
int tp_fd(const struct tp *tp);

/*
 * Takes in what rtnetlink has told, to be merged by time with the facts from
 * the ring that are read next. 0; -ENOBUFS: messages were lost, resync; other
 * negative errno.
 */
int tp_collect(struct tp *tp);

/* A fact from the ring. Applies it, or keeps it for later. 0 or a negative errno. */
int tp_fact(struct tp *tp, const struct tw_event *fact);

/* After the ring: the rest of what was collected, ended processes, files. 0 or a negative errno. */
int tp_work(struct tp *tp);

/* To be called with every change that comes out of the machine. */
void tp_change(struct tp *tp, const struct change *change);

/* Is something known to have ended that is not told yet? */
bool tp_waits(const struct tp *tp);

#endif /* TW_TP_H */
