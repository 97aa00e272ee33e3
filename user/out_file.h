/* SPDX-License-Identifier: GPL-2.0-only */
/* out_file.h - a file that an output goes to: it is there whole, or as it was before. */
#ifndef TW_OUT_FILE_H
#define TW_OUT_FILE_H

#include <stdio.h>

struct out_file {
	FILE *stream;		/* to write to */
	const char *name;	/* as it was given */
	/* private */
	char *path;		/* what is to be replaced; NULL: written directly */
	char *temporary;	/* what replaces it */
};

/*
 * "-" is standard output. What is no regular file (a pipe, a terminal) is
 * written as it comes; of a symbolic link what it points to is replaced. 0 or
 * a negative errno; then there is nothing to close.
 */
int out_file_open(struct out_file *file, const char *name);

/* Ends it. `err`: what went wrong so far (0 or a negative errno): then the file is as before. The same, or what goes wrong now. */
int out_file_close(struct out_file *file, int err);

/* Says what went wrong and gives an exit status; a reader of standard output that has seen enough is no failure. */
int out_file_failed(const char *name, int err);

#endif /* TW_OUT_FILE_H */
