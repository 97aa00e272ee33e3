/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * loader.h - the BPF object: trial loads, the real one, and what is read from
 * it. The only file beside tracer.c that speaks libbpf.
 */
#ifndef TW_LOADER_H
#define TW_LOADER_H

#include <stdbool.h>
#include <stddef.h>

struct tapwatch_bpf;
struct bpf_program;

/* libbpf's own words: to stderr when verbose, else kept for the reasons below. */
void loader_log_setup(bool verbose);

/*
 * Loads and attaches these programs (NULL-terminated) alone, and takes them
 * off again. 0, or a negative errno and a reason a person can read.
 */
int loader_try(const char *const programs[], char *reason, size_t size);

/*
 * Does this kernel seem to have what these programs attach to, by name? 0, or
 * -ENOENT and a reason. Quick, and no promise.
 */
int loader_has_targets(const char *const programs[], char *reason, size_t size);
void loader_release_btf(void);	/* memory that loader_has_targets() keeps between calls */

/* Opens the object, all programs off. NULL with errno set. */
struct tapwatch_bpf *loader_open(void);
int loader_enable(struct tapwatch_bpf *skel, const char *program);	/* before loading */
bool loader_is_called(const struct bpf_program *prog);	/* by user space: attached to nothing */

#endif /* TW_LOADER_H */
