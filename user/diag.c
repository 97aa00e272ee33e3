// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stdio.h>

#include "diag.h"
#include "escape.h"

#define MESSAGE_LEN 1024

/* Parts of a message come from outside (names, arguments): safe for a terminal. */
static void print_line(const char *tail, const char *format, va_list args)
{
	char raw[MESSAGE_LEN], safe[ESCAPE_SIZE(MESSAGE_LEN)];
	int len = vsnprintf(raw, sizeof(raw), format, args);

	if (len < 0)
		return;
	escape_term(safe, sizeof(safe), raw, (size_t)len < sizeof(raw) ? (size_t)len : sizeof(raw) - 1);
	fprintf(stderr, "tapwatch: %s%s\n", safe, tail);
}

void warn_msg(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_line("", format, args);
	va_end(args);
}

int usage_error(const char *command, const char *format, ...)
{
	char tail[64];
	va_list args;

	snprintf(tail, sizeof(tail), "; see 'tapwatch %s%s--help'", command ? command : "", command ? " " : "");
	va_start(args, format);
	print_line(tail, format, args);
	va_end(args);
	return EXIT_USAGE;
}
