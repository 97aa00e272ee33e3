// SPDX-License-Identifier: GPL-2.0-only
/*
 * out_dot_svg.c - what out_dot.c writes, laid out by Graphviz as a child
 * process: no shell, its input and output are files of ours.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diag.h"
#include "fields.h"
#include "report/embed.h"

/* A file without a name, for reading from its beginning. An fd or a negative errno. */
static int graph_file(const struct rows *rows)
{
	int fd = memfd_create("tapwatch-dot", MFD_CLOEXEC), copy, err;
	FILE *out;

	if (fd < 0)
		return -errno;
	copy = dup(fd);
	out = copy < 0 ? NULL : fdopen(copy, "w");
	err = out ? out_dot(out, rows) : -errno;
	if (out && fclose(out) && !err)
		err = -errno;
	if (!err && lseek(fd, 0, SEEK_SET) < 0)
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* 0 or a negative errno, as posix_spawn(3) gives it. */
static int spawn_dot(pid_t *pid, int in, int out)
{
	static char name[] = "dot", option[] = "-Tsvg";
	char *argv[] = { name, option, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t defaults;
	int err;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	/* we ignore it, and that would be inherited */
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	err = posix_spawnp(pid, argv[0], &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -err;
}

/* -ECHILD: it was said what is wrong with it. */
static int run_dot(int in, int out)
{
	int status, err;
	pid_t pid;

	err = spawn_dot(&pid, in, out);
	if (err) {
		warn_msg("cannot run dot: %s; install graphviz", strerror(-err));
		return -ECHILD;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (WIFSIGNALED(status))
		warn_msg("cannot lay out the graph: dot was ended by signal %d", WTERMSIG(status));
	else
		warn_msg("cannot lay out the graph: dot ended with status %d; see 'tapwatch list --dot'", WEXITSTATUS(status));
	return -ECHILD;
}

/* All that was written; NULL with errno. To be freed. */
static char *read_all(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = size < 0 ? NULL : malloc((size_t)size + 1);
	ssize_t n;

	for (off_t at = 0; text && at < size; at += n) {
		n = pread(fd, text + at, (size_t)(size - at), at);
		if (n <= 0) {
			free(text);
			return NULL;
		}
	}
	if (text)
		text[size] = '\0';
	return text;
}

/* Without a DOCTYPE, which names a file of another machine; with a title, and colours for light and dark. */
static int put_svg(FILE *out, const char *svg)
{
	const char *root = strstr(svg, "<svg "), *end = root ? strchr(root, '>') : NULL;

	if (!end) {
		warn_msg("cannot lay out the graph: dot has written no SVG");
		return -ECHILD;
	}
	errno = 0;
	fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg class=\"topology\" role=\"img\" %.*s", (int)(end + 1 - root - 5),
		root + 5);
	fprintf(out, "\n<title>TUN/TAP devices</title>\n<desc>Which process and virtual machine holds which TUN/TAP device, in which "
		"network namespace and on which bridge.</desc>\n<style>%s</style>%s", topology_style, end + 1);
	return !ferror(out) ? 0 : errno ? -errno : -EIO;
}

int out_dot_svg(FILE *out, const struct rows *rows)
{
	int in = graph_file(rows), made, err;
	char *svg = NULL;

	if (in < 0)
		return in;
	made = memfd_create("tapwatch-svg", MFD_CLOEXEC);
	err = made < 0 ? -errno : run_dot(in, made);
	if (!err) {
		svg = read_all(made);
		err = svg ? put_svg(out, svg) : -(errno ? errno : EIO);
	}
	free(svg);
	close(in);
	if (made >= 0)
		close(made);
	return err;
}
