// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "diag.h"
#include "version.h"

static const struct command commands[] = {
	{ "watch", cmd_watch, "print what exists, then every change as it happens (the default)" },
	{ "list", cmd_list, "print the present bindings once" },
	{ "who", cmd_who, "which processes hold an interface, and through which fds" },
	{ "history", cmd_history, "what was recorded: events by time, device, process, …" },
	{ "record", cmd_record, "write every event to the history database" },
	{ "verify", cmd_verify, "check the history database's hash chain" },
	{ "vms", cmd_vms, "the virtual machines and their interfaces" },
	{ "report", cmd_report, "a page of the history for a browser" },
	{ "check", cmd_check, "what this kernel and these privileges allow" },
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(void)
{
	puts("Usage: tapwatch [COMMAND] [OPTION...]\n\n"
	     "Which process has which TUN/TAP device, in which network namespace, since when, and who\n"
	     "did that to it.\n\n"
	     "Commands:");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	puts("\n'tapwatch COMMAND --help' tells a command's options; see also tapwatch(8).");
}

/* A closed standard fd would be given to the next file we open, and then written to. */
static void secure_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			_exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
	static char watch[] = "watch";
	const char *word = argc > 1 ? argv[1] : watch;

	secure_standard_fds();
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(word, "--help") || !strcmp(word, "help")) {
		print_help();
		return EXIT_FINE;
	}
	if (!strcmp(word, "--version")) {
		puts("tapwatch " TAPWATCH_VERSION);
		return EXIT_FINE;
	}
	/* options alone are those of watch */
	if (argc < 2 || word[0] == '-') {
		argv[0] = watch;
		return cmd_watch(argc, argv);
	}
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(word, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return usage_error(NULL, "unknown command '%s'", word);
}
