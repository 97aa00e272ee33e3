/* SPDX-License-Identifier: GPL-2.0-only */
/* commands.h - one row per command. argv[0] is the command's name; returns an exit status (diag.h). */
#ifndef TW_COMMANDS_H
#define TW_COMMANDS_H

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

int cmd_watch(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_who(int argc, char **argv);
int cmd_history(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_vms(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_check(int argc, char **argv);

#endif
