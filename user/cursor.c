// SPDX-License-Identifier: GPL-2.0-only
#include "cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void cursor_of(struct cursor *cursor, const struct event *event)
{
	cursor->seq = event->seq;
	cursor->boottime_ns = event->change->time_ns;
	snprintf(cursor->boot_id, sizeof(cursor->boot_id), "%s", event->boot_id ? event->boot_id : "");
}

bool cursor_fits(const struct cursor *cursor, const struct event *event)
{
	return cursor->seq == event->seq && cursor->boottime_ns == event->change->time_ns &&
	       !strcmp(cursor->boot_id, event->boot_id ? event->boot_id : "");
}

void cursor_text(const struct cursor *cursor, char text[CURSOR_LEN])
{
	snprintf(text, CURSOR_LEN, "s=%" PRIu64 ";b=%s;t=%" PRIu64, cursor->seq, cursor->boot_id, cursor->boottime_ns);
}

int cursor_parse(const char *text, struct cursor *cursor)
{
	char again[CURSOR_LEN];
	int n = 0;

	*cursor = (struct cursor){ 0 };
	if (sscanf(text, "s=%20" SCNu64 ";b=%36[0-9a-fA-F-];t=%20" SCNu64 "%n", &cursor->seq, cursor->boot_id,
		   &cursor->boottime_ns, &n) != 3 &&
	    sscanf(text, "s=%20" SCNu64 ";b=;t=%20" SCNu64 "%n", &cursor->seq, &cursor->boottime_ns, &n) != 2)
		return -EINVAL;
	/* scanf takes signs, blanks and too large numbers, too */
	cursor_text(cursor, again);
	return cursor->seq && !strcmp(text, again) ? 0 : -EINVAL;
}

int cursor_read(const char *path, struct cursor *cursor)
{
	FILE *file = fopen(path, "re");
	char text[CURSOR_LEN + 2] = "";
	bool bad;

	*cursor = (struct cursor){ 0 };
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	bad = !fgets(text, sizeof(text), file) || ferror(file);
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	return bad ? -EINVAL : cursor_parse(text, cursor);
}

int cursor_write(const char *path, const struct cursor *cursor)
{
	char text[CURSOR_LEN], temporary[PATH_MAX];
	FILE *file;
	int fd, err = 0;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= sizeof(temporary))
		return -ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		err = -errno;
		close(fd);
		unlink(temporary);
		return err;
	}
	cursor_text(cursor, text);
	if (fprintf(file, "%s\n", text) < 0 || fflush(file) || fsync(fd))
		err = errno ? -errno : -EIO;
	if (fclose(file) && !err)
		err = -errno;
	if (!err && rename(temporary, path))
		err = -errno;
	if (err)
		unlink(temporary);
	return err;
}
