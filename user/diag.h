/* SPDX-License-Identifier: GPL-2.0-only */
/* diag.h - the one place that prints errors: "tapwatch: MESSAGE" on standard error. */
#ifndef TW_DIAG_H
#define TW_DIAG_H

/* Exit statuses of every command. */
enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

void warn_msg(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints and returns EXIT_USAGE, with a pointer to the command's --help (NULL: the program's). */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
