/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * runtime.h - a running tapwatch can be asked what it has seen: `who` asks all
 * of them how a file came to its holders. One socket per process,
 * /run/tapwatch/PID.sock, for root alone.
 *
 * A request is one line, the answer one JSON document, then the connection
 * ends. "chains IFNAME": of the files bound to devices of this name (as JSON
 * has it); "chains-of PID FD": of this file; "chains-all": of
 * all files.
 */
#ifndef TW_RUNTIME_H
#define TW_RUNTIME_H

#include "bindings.h"

struct json_object;
struct runtime;

#define RUNTIME_DIR "/run/tapwatch"

/* ---- the side that answers ---- */

/* 0 or a negative errno: then nobody can ask, and all else works. */
int runtime_new(struct runtime **out, const struct bindings *b);
void runtime_free(struct runtime *r);	/* NULL: nothing */
int runtime_fd(const struct runtime *r);	/* readable when runtime_work() has something to do */
void runtime_work(struct runtime *r);

/* ---- the side that asks ---- */

/*
 * An array with what each running tapwatch that answers knows, file by file
 * (see chain_json()); empty when none runs. NULL: out of memory. A tapwatch
 * that does not answer in time is passed over.
 */
struct json_object *runtime_ask(const char *request);

/* ---- chain.c: a file's way as JSON and text ---- */

/*
 * {"file":"f3","device":…,"ifname":…,"netns":…,"ifindex":…,"holders":[{"pid":…,"start_ns":…,"fd":…}],
 * "chain":[{"time":…,"event":…,"how":…,"source":…,"process":{…},"old":{"comm":…},"fd":…}],"left_out":[8,n]}
 * NULL: out of memory. offset_ns: CLOCK_REALTIME - CLOCK_BOOTTIME.
 */
struct json_object *chain_json(const struct bindings *b, const struct file *file, int64_t offset_ns);

/* The lines of one such object, indented by `indent` blanks; times local. */
void chain_print(struct json_object *object, int indent);

/* One element of its chain, without time and newline. */
void chain_print_step(struct json_object *step);

#endif /* TW_RUNTIME_H */
