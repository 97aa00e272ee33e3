// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_file.c - the database as a file: who may have it, and that nobody
 * makes us write elsewhere.
 *
 * SQLite gives -wal and -shm the mode and group of the database, so the
 * database is made first, with the right ones. Nobody else opens or closes
 * that file in this process afterwards: closing any descriptor of it would
 * drop SQLite's POSIX locks (fcntl(2)).
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history_private.h"

int history_errno(sqlite3 *db, int error)
{
	int number = db ? sqlite3_system_errno(db) : 0;

	switch (error & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_IOERR:
		return number ? -number : -EIO;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CANTOPEN:
		return number ? -number : -EACCES;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOTADB:
		return -EPROTOTYPE;
	case SQLITE_CORRUPT:
	case SQLITE_SCHEMA:
		return -EUCLEAN;
	default:
		return -EIO;
	}
}

int history_complain(const char *path, int err_no, char *err, size_t errsize)
{
	static const struct { int err_no; const char *text; } table[] = {
		{ -EUCLEAN, "it is damaged; keep it (mv it elsewhere, with its -wal and -shm) and start with a new one" },
		{ -EPROTOTYPE, "it is no history of tapwatch; choose another file" },
		{ -EPROTONOSUPPORT, "a newer tapwatch made it; use that" },
		{ -EROFS, "it can only be read; see to its mode, its owner and how the file system is mounted" },
		{ -ENOENT, "there is none; 'tapwatch record' makes one" },
		{ -ENOSPC, "the disk is full" },
	};
	const char *text = strerror(-err_no);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].err_no == err_no)
			text = table[i].text;
	snprintf(err, errsize, "cannot open the history %s: %s", path, text);
	return err_no;
}

int history_exec(sqlite3 *db, const char *sql)
{
	return history_errno(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int64_t history_number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;
	int64_t number = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return -1;
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) == SQLITE_INTEGER)
		number = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return number;
}

/* --- what is acceptable ------------------------------------------------------------------- */

/* The reason why it is not, or NULL. */
static const char *bad_directory(const struct stat *st)
{
	if (st->st_uid && st->st_uid != geteuid())
		return "its directory belongs to somebody else";
	/* the sticky bit keeps others from replacing our files, not from making them first */
	if (st->st_mode & 022)
		return "its directory can be written by others; use one of mode 0755 or less";
	return NULL;
}

static const char *bad_file(const struct stat *st)
{
	if (S_ISLNK(st->st_mode))
		return "it is a symbolic link; name the file itself";
	if (!S_ISREG(st->st_mode))
		return "it is no regular file";
	if (st->st_uid != geteuid())
		return "it belongs to somebody else";
	if (st->st_nlink > 1)
		return "it has a second name (hard link)";
	if (st->st_mode & 022)
		return "it can be written by others; chmod it to 0600";
	return NULL;
}

static int refuse(const char *path, const char *reason, char *err, size_t errsize)
{
	snprintf(err, errsize, "cannot use %s as history: %s", path, reason);
	return -EPERM;
}

static int check_side_files(int dir, const char *name, const char *path, char *err, size_t errsize)
{
	static const char *const sides[] = { "-wal", "-shm", "-journal" };
	char side[NAME_MAX + 16];
	struct stat st;

	for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++) {
		snprintf(side, sizeof(side), "%s%s", name, sides[i]);
		if (!fstatat(dir, side, &st, AT_SYMLINK_NOFOLLOW) && bad_file(&st)) {
			snprintf(err, errsize, "cannot use %s as history: beside it lies %s: %s", path, side, bad_file(&st));
			return -EPERM;
		}
	}
	return 0;
}

/* --- lock ----------------------------------------------------------------------------------- */

static int busy(int fd, const char *path, char *err, size_t errsize)
{
	char pid[16] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? n : 0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	snprintf(err, errsize, "cannot record to %s: another recorder does already%s%s", path, pid[0] ? ": process " : "",
		 pid);
	return -EBUSY;
}

/* A file of its own, that stays: whoever removed it would let two in. */
static int lock_file(int dir, const char *name, const char *path, int *lock, char *err, size_t errsize)
{
	char file[NAME_MAX + 16], pid[16];
	struct stat st;
	int fd;

	snprintf(file, sizeof(file), "%s-lock", name);
	fd = openat(dir, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0 || fstat(fd, &st)) {
		snprintf(err, errsize, "cannot lock %s: %s-lock: %s", path, path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -errno;
	}
	if (bad_file(&st)) {
		close(fd);
		return refuse(path, "its lock file is not ours alone", err, errsize);
	}
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int ret = busy(fd, path, err, errsize);

		close(fd);
		return ret;
	}
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	/* the number is only for messages: a full disk is no reason not to lock */
	if (ftruncate(fd, 0) || pwrite(fd, pid, strlen(pid), 0) < 0)
		errno = 0;
	*lock = fd;
	return 0;
}

/* --- the file ------------------------------------------------------------------------------- */

static int find_group(const char *name, gid_t *gid, char *err, size_t errsize)
{
	struct group *group;

	errno = 0;
	group = getgrnam(name);
	if (!group) {
		snprintf(err, errsize, "cannot give the history to group '%s': there is no such group", name);
		return -ENOENT;
	}
	*gid = group->gr_gid;
	return 0;
}

/* 0600, or 0640 of a group: also of a file that is there, so that the option can change. */
static int set_access(int dir, const char *name, const char *group, char *err, size_t errsize)
{
	static const char *const files[] = { "", "-wal", "-shm" };
	mode_t mode = group ? 0640 : 0600;
	char file[NAME_MAX + 16];
	gid_t gid = getegid();
	int ret;

	ret = group ? find_group(group, &gid, err, errsize) : 0;
	for (size_t i = 0; !ret && i < 3; i++) {
		snprintf(file, sizeof(file), "%s%s", name, files[i]);
		/* checked to be no symlink in a directory where nobody else can put one */
		if ((group && fchownat(dir, file, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) && errno != ENOENT) ||
		    (fchmodat(dir, file, mode, 0) && errno != ENOENT)) {
			ret = -errno;
			snprintf(err, errsize, "cannot set the access to %s: %s", file, strerror(-ret));
		}
	}
	return ret;
}

static int create_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	fsync(fd);
	fsync(dir);
	close(fd);
	return 0;
}

static int open_directory(const char *path, char *copy, int *dir, char *err, size_t errsize)
{
	struct stat st;
	const char *reason;

	snprintf(copy, PATH_MAX, "%s", path);
	*dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0 || fstat(*dir, &st)) {
		int ret = -errno;

		snprintf(err, errsize, "cannot open the directory of %s: %s", path, strerror(-ret));
		return ret;
	}
	reason = bad_directory(&st);
	return reason ? refuse(path, reason, err, errsize) : 0;
}

int history_file_secure(const char *path, const char *group, int *lock, char *err, size_t errsize)
{
	char copy[PATH_MAX], copy2[PATH_MAX];
	const char *name;
	struct stat st;
	int dir = -1, ret;

	*lock = -1;
	ret = open_directory(path, copy, &dir, err, errsize);
	if (ret)
		goto out;
	snprintf(copy2, sizeof(copy2), "%s", path);
	name = basename(copy2);
	if (strlen(name) > NAME_MAX - 8 || strlen(path) >= PATH_MAX - 8) {
		ret = -ENAMETOOLONG;
		history_complain(path, ret, err, errsize);
		goto out;
	}
	ret = lock_file(dir, name, path, lock, err, errsize);
	if (ret)
		goto out;
	ret = create_file(dir, name);
	if (!ret && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		ret = -errno;
	if (ret)
		history_complain(path, ret, err, errsize);
	else if (bad_file(&st))
		ret = refuse(path, bad_file(&st), err, errsize);
	if (!ret)
		ret = check_side_files(dir, name, path, err, errsize);
	if (!ret)
		ret = set_access(dir, name, group, err, errsize);
out:
	if (ret && *lock >= 0) {
		close(*lock);
		*lock = -1;
	}
	if (dir >= 0)
		close(dir);
	return ret;
}

static int check_format(sqlite3 *db)
{
	int64_t tables = history_number(db, "SELECT count(*) FROM sqlite_schema");
	int64_t version = history_number(db, "PRAGMA user_version");

	/* an empty file: just made, or ended by a kill or a full disk before its schema was */
	if (tables < 0 || version < 0)
		return history_errno(db, sqlite3_errcode(db)) ? history_errno(db, sqlite3_errcode(db)) : -EUCLEAN;
	if (history_number(db, "PRAGMA application_id") != HISTORY_APPLICATION_ID)
		return tables ? -EPROTOTYPE : -ENODATA;
	if (version > HISTORY_VERSION)
		return -EPROTONOSUPPORT;
	return history_number(db, "SELECT seq FROM head") < 0 ? -EUCLEAN : 0;
}

int history_db_open(sqlite3 **db, const char *path, bool writer, char *err, size_t errsize)
{
	static bool configured;
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
	int ret;

	/* each connection has one thread, and nobody asks for its statistics */
	if (!configured) {
		sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
		sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
		configured = true;
	}
	*db = NULL;
	ret = sqlite3_open_v2(path, db, flags | (writer ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY), NULL);
	ret = history_errno(*db, ret);
	if (!ret) {
		sqlite3_busy_timeout(*db, 5000);
		/* what stands in the file is data, also when somebody else wrote its schema */
		sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		sqlite3_db_config(*db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		if (writer && sqlite3_db_readonly(*db, "main") == 1)
			ret = -EROFS;
	}
	if (!ret)
		ret = check_format(*db);
	if (ret == -ENODATA && !writer)
		ret = -EPROTOTYPE;
	if (ret && ret != -ENODATA) {
		history_complain(path, ret, err, errsize);
		sqlite3_close(*db);
		*db = NULL;
	}
	return ret;
}
