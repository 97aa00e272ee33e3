// SPDX-License-Identifier: GPL-2.0-only
/* out_file.c - see out_file.h. */
#include "out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diag.h"

/* The mode that open(2) would give. */
static mode_t usual_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

/* A file beside `path`, for rename(2) does not cross file systems. A negative errno, or its fd. */
static int open_temporary(struct out_file *file, const char *path, mode_t mode)
{
	int fd, err;

	if (asprintf(&file->temporary, "%s.XXXXXX", path) < 0) {
		file->temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(file->temporary, O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		free(file->temporary);
		file->temporary = NULL;
		return err;
	}
	if (fchmod(fd, mode)) {
		err = -errno;
		unlink(file->temporary);
		close(fd);
		return err;
	}
	return fd;
}

/* A negative errno, or an fd. */
static int open_file(struct out_file *file, const char *name)
{
	struct stat st;
	int fd;

	if (stat(name, &st)) {
		if (errno != ENOENT)
			return -errno;
		file->path = strdup(name);
		return file->path ? open_temporary(file, name, usual_mode()) : -ENOMEM;
	}
	if (!S_ISREG(st.st_mode)) {
		fd = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return fd < 0 ? -errno : fd;
	}
	file->path = realpath(name, NULL);
	return file->path ? open_temporary(file, file->path, st.st_mode & 0777) : -errno;
}

static void forget(struct out_file *file)
{
	free(file->path);
	free(file->temporary);
	file->path = file->temporary = NULL;
	file->stream = NULL;
}

int out_file_open(struct out_file *file, const char *name)
{
	int fd, err;

	*file = (struct out_file){ .name = name };
	if (!strcmp(name, "-")) {
		file->stream = stdout;
		return 0;
	}
	fd = open_file(file, name);
	file->stream = fd < 0 ? NULL : fdopen(fd, "w");
	if (file->stream)
		return 0;
	err = fd < 0 ? fd : -errno;
	if (fd >= 0)
		close(fd);
	if (file->temporary)
		unlink(file->temporary);
	forget(file);
	return err;
}

int out_file_close(struct out_file *file, int err)
{
	bool failed = ferror(file->stream);

	/* what could not be written is tried once more, and so tells why */
	errno = 0;
	if ((fflush(file->stream) || failed) && (!err || failed))
		err = errno ? -errno : err ? err : -EIO;
	/* a name must not come to mean a file that a power failure leaves empty */
	if (!err && file->temporary && fsync(fileno(file->stream)))
		err = -errno;
	if (file->stream != stdout && fclose(file->stream) && !err)
		err = errno ? -errno : -EIO;
	if (!err && file->temporary && rename(file->temporary, file->path))
		err = -errno;
	if (err && file->temporary)
		unlink(file->temporary);
	forget(file);
	return err;
}

int out_file_failed(const char *name, int err)
{
	if (!strcmp(name, "-")) {
		if (err == -EPIPE)
			return EXIT_FINE;
		name = "standard output";
	}
	warn_msg("cannot write to %s: %s", name, strerror(-err));
	return EXIT_FAILED;
}
