/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * history_private.h - what the history_*.c files share, and nobody else.
 *
 * history_schema.c   the tables, and a row as bytes for the chain
 * history_file.c     the file: safe creation and opening, lock, errors of SQLite
 * history_chain.c    the running SHA-256
 * history_dict.c     dictionaries: what is written once a segment and referred to
 * history_pending.c  rows on their way into the tables
 * history_write.c    events, commits, failure and recovery
 * history_snapshot.c snapshots and segments
 * history_prune.c    retention
 * history_read.c     rows to events
 * history_query.c    which rows: ranges, names, snapshots
 * history_time.c     which rows: times, moments, boots
 * history_verify.c   the chain walked
 */
#ifndef TW_HISTORY_PRIVATE_H
#define TW_HISTORY_PRIVATE_H

#include <openssl/evp.h>
#include <sqlite3.h>
#include <string.h>

#include "history.h"

#define HISTORY_APPLICATION_ID 0x74617077	/* "tapw" */
#define HISTORY_VERSION 1
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_SEC 1000000000ULL

/* --- history_schema.c ------------------------------------------------------------------- */

/* Part of the chained bytes: append only. */
enum table_id {
	T_TEXT, T_NETNS, T_CLOCK, T_VM, T_PROCESS, T_FILE, T_STATE, T_OLD, T_NAME,	/* dictionaries */
	T_EVENT, T_ENTRY, T_MARK, T_MAX,
	T_DICTS = T_EVENT,
};

/* Where values of columns stand, as in schema.columns[]. */
enum { NETNS_INODE, NETNS_COOKIE, NETNS_LABEL, NETNS_COLUMNS };
enum { CLOCK_BOOT, CLOCK_OFFSET, CLOCK_SEQ, CLOCK_COLUMNS };
enum { VM_TYPE, VM_NAME, VM_UUID, VM_MANAGER, VM_COLUMNS };
enum { PROCESS_PID, PROCESS_START, PROCESS_PPID, PROCESS_UID, PROCESS_USER, PROCESS_COMM, PROCESS_EXE,
       PROCESS_CGROUP, PROCESS_NETNS, PROCESS_ROLE, PROCESS_VM, PROCESS_VM_PID, PROCESS_VM_START, PROCESS_CMDLINE,
       PROCESS_COLUMNS };
enum { FILE_NUMBER, FILE_NETNS, FILE_NAME_ONLY, FILE_ADDRESS, FILE_COLUMNS };
enum { STATE_DEVICE, STATE_HAS, STATE_KIND, STATE_IFNAME, STATE_IFINDEX, STATE_NETNS, STATE_MAC, STATE_TUN_FLAGS,
       STATE_OWNER, STATE_GROUP, STATE_QUEUES, STATE_DISABLED, STATE_UP, STATE_MASTER, STATE_MASTER_IFINDEX,
       STATE_COLUMNS };
enum { OLD_IFNAME, OLD_IFINDEX, OLD_NETNS, OLD_MAC, OLD_COMM, OLD_COLUMNS };
enum { NAME_IFNAME, NAME_DEVICE, NAME_SEQ, NAME_COLUMNS };
enum { EVENT_CLOCK, EVENT_TIME, EVENT_KIND, EVENT_SOURCE, EVENT_PROCESS, EVENT_TID, EVENT_FD, EVENT_FILE,
       EVENT_DEVICE, EVENT_STATE, EVENT_BITS, EVENT_HOW, EVENT_OLD, EVENT_REQUESTED, EVENT_ERROR, EVENT_COUNT,
       EVENT_INFO, EVENT_VM, EVENT_COLUMNS };
enum { ENTRY_PROCESS, ENTRY_FD, ENTRY_FILE, ENTRY_DEVICE, ENTRY_STATE, ENTRY_BITS, ENTRY_COLUMNS };
enum { MARK_SEQ, MARK_KIND, MARK_CLOCK, MARK_TIME, MARK_FIRST, MARK_LAST, MARK_BASE, MARK_IDS, MARK_COLUMNS };
#define MAX_COLUMNS 20

enum column_type { COL_INT, COL_BYTES, COL_REF };

struct column {
	const char *name;
	enum column_type type;
	enum table_id ref;	/* COL_REF */
};

struct schema_table {
	const char *name;
	const char *key;	/* name of the INTEGER PRIMARY KEY */
	const struct column *columns;
	int n_columns;
	int n_key;		/* dictionaries: rows that agree in so many leading columns are the same */
	bool hashed;		/* has a column `hash` after the others: 8 bytes of the chain */
};
extern const struct schema_table schema[T_MAX];
extern const char history_schema_sql[];
extern const char history_schema_index_sql[];	/* whatever index there is to be, also in a database of before */

/* What the index of names begins with, as an expression over `name`. */
#define NAME_STRETCH "seq >> 18"

enum value_type { VALUE_NULL, VALUE_INT, VALUE_BYTES };

struct value {
	enum value_type type;
	size_t len;
	int64_t number;
	const void *bytes;	/* borrowed */
};

static inline struct value value_int(int64_t number)
{
	return (struct value){ .type = VALUE_INT, .number = number };
}

/* For numbers whose 0 means unknown. */
static inline struct value value_known(uint64_t number)
{
	return (struct value){ .type = number ? VALUE_INT : VALUE_NULL, .number = (int64_t)number };
}

static inline struct value value_bytes(const void *bytes, size_t len)
{
	return (struct value){ .type = VALUE_BYTES, .bytes = bytes, .len = len };
}

/* Which members of struct change are there, and small things about the file, in one column `bits`. */
#define BITS_FILE(s)	((uint64_t)(s))		/* enum file_state, 2 bits */
#define BITS_VALUE	(1u << 2)		/* change.value */
#define BITS_HAS(has)	((uint64_t)(has) << 3)	/* CH_*, 17 bits */
#define BITS_HAS_MASK	0x1ffffu
#define BITS_VHOST(n)	((uint64_t)(n) << 20)	/* vhost_queues */
_Static_assert(CH_OLD_COMM <= BITS_HAS_MASK, "no room for the bits of struct change");

struct bytes {
	uint8_t *data;
	size_t len, room;
	bool failed;		/* out of memory */
};
void bytes_add(struct bytes *b, const void *data, size_t len);

/*
 * A row as bytes that are the same for the same row everywhere: what the
 * chain is made over. `id` 0 leaves it out: what the caches compare.
 */
void row_bytes(struct bytes *b, enum table_id table, int64_t id, const struct value *values, int n);

/* Such a row read again, value by value; *at goes on. Bytes are borrowed. */
int64_t row_id(const uint8_t *data, size_t *at);
struct value row_value(const uint8_t *data, size_t *at);

/* "SELECT key, columns[, hash] FROM table " + tail */
int schema_prepare_select(sqlite3 *db, enum table_id table, const char *tail, sqlite3_stmt **stmt);
/* Values of a row of such a select; borrowed until the next step. */
void schema_row(sqlite3_stmt *stmt, enum table_id table, int64_t *id, struct value *values);

/* mark.kind: part of what is stored. */
enum { MARK_SEGMENT, MARK_SNAPSHOT, MARK_PRUNE };

/* --- history_file.c ---------------------------------------------------------------------- */

/* A negative errno for the last error on a connection. */
int history_errno(sqlite3 *db, int sqlite_error);
/* A sentence about a database that cannot be used. Returns err_no. */
int history_complain(const char *path, int err_no, char *err, size_t errsize);

/* Checks directory and file, creates the file (0600 from the first byte), locks. *lock: fd to keep open. */
int history_file_secure(const char *path, const char *group, int *lock, char *err, size_t errsize);
int history_db_open(sqlite3 **db, const char *path, bool writer, char *err, size_t errsize);
int history_exec(sqlite3 *db, const char *sql);
/* Only number of a one-number query; -1 on failure or NULL. */
int64_t history_number(sqlite3 *db, const char *sql);

/* --- history_chain.c --------------------------------------------------------------------- */

/*
 * H(n) = SHA-256(H(n-1), bytes of the rows that record n brought along, in the
 * order of their insertion, and its own). A record is an event or a mark.
 */
struct hash_chain {
	uint8_t hash[HISTORY_HASH_LEN];
	EVP_MD *sha256;
	EVP_MD_CTX *ctx;
	struct bytes row;	/* scratch */
	bool open;		/* rows were added since the last record */
	bool failed;
};
int hash_init(struct hash_chain *c);
void hash_free(struct hash_chain *c);
void hash_set(struct hash_chain *c, const uint8_t hash[HISTORY_HASH_LEN]);
void hash_add(struct hash_chain *c, enum table_id table, int64_t id, const struct value *values, int n);
void hash_bytes(struct hash_chain *c, const void *row, size_t len);	/* of row_bytes() */
void hash_close(struct hash_chain *c);	/* the record ends: hash is the new one */

/* --- history_dict.c ---------------------------------------------------------------------- */

struct digest {
	uint64_t a, b;
};

/* What this process has written in this segment: digest of the row -> its id. */
struct dict_cache {
	struct dict_slot { struct digest key; int64_t id; } *slots;
	size_t size;		/* a power of two */
};

/* Digest of unencoded parts -> id. */
#define MEMO_SLOTS 32768
struct memo_key {
	struct digest digest;
};

struct pending {
	enum table_id table;
	sqlite3_stmt *insert;
	struct bytes rows;	/* row_bytes() of each, and where it is hashed 8 bytes of the chain */
	int64_t first;		/* id of the first one, where there are any */
};

struct history {
	sqlite3 *db;
	int lock;
	int timer;
	struct history_options options;
	char *path;
	sqlite3_stmt *head, *begin, *commit, *rollback, *copy_process, *copy_text;
	struct pending pending[T_MAX];
	struct hash_chain chain;
	struct dict_cache cache[T_DICTS];
	struct recent *recent;		/* history_snapshot.c */
	struct digest salt;		/* of the digests */
	struct bytes scratch, raw;
	struct dict_slot *memo;
	uint64_t address_salt[2];
	int64_t next_id[T_MAX];
	uint64_t device_id, file_id;	/* greatest seen */
	int64_t words[EV_MAX + HOW_MAX]; /* ids of their texts in this segment; 0: not yet */
	char source[16];		/* of the last event, as text … */
	int64_t source_id;		/* … of this segment; 0: not yet */

	/* of the last event put */
	uint64_t event_time_ns;
	int64_t event_offset_ns, clock_id;	/* clock_id 0: none in this segment */
	/* up to this moment everything is recorded: that event's, or later when nothing happened */
	uint64_t last_time_ns, last_realtime_ns;
	char boot[BOOT_ID_LEN + 1];

	/* the open transaction */
	bool in_transaction;
	unsigned in_batch;		/* events */
	uint64_t batch_ns;		/* CLOCK_BOOTTIME when it began */
	uint64_t committed_ns;

	/* as of the last commit, to go back to */
	struct saved {
		int64_t next_id[T_MAX];
		uint8_t hash[HISTORY_HASH_LEN];
		uint64_t device_id, file_id;
		uint64_t time_ns, realtime_ns, event_time_ns;
		int64_t event_offset_ns;
		char boot[BOOT_ID_LEN + 1];
		uint64_t segment_seq, segment_realtime_ns, snapshot_seq;
	} saved;

	/* segment and snapshot */
	uint64_t segment_seq, segment_realtime_ns;	/* event before its first one; when it began */
	uint64_t snapshot_seq;				/* event the last snapshot was made after */
	size_t snapshot_len;

	struct prune *prune;		/* history_prune.c */
	struct checkpoint *checkpoint;	/* history_checkpoint.c; NULL: without a thread */

	int stuck;			/* negative errno of the write that failed; 0 */
	uint64_t lost;
	uint64_t tried_ns;
	uint64_t prune_ns;		/* when retention was looked at last */

	struct history_reader *reader;
};

/* Notes a failure of the database; the first one makes h stuck. */
void history_fail(struct history *h, int sqlite_error);
void history_begin_batch(struct history *h);
void history_arm(struct history *h);
uint64_t history_now(int clock);

/*
 * A short cut: what a row is made of, unencoded, to its id. The slow way makes
 * a dozen look-ups of texts for a process that is the same as ever. The parts
 * are added to h->raw; memo_find() ends the key.
 */
void memo_begin(struct history *h, enum table_id table);
void memo_bytes(struct history *h, const void *bytes, size_t len);
void memo_text(struct history *h, const char *text);	/* NULL is not "" */
int64_t memo_find(struct history *h, struct memo_key *key);
void memo_set(struct history *h, const struct memo_key *key, int64_t id);

int dict_init(struct history *h);
void dict_free(struct history *h);
void dict_forget(struct history *h);	/* a new segment; or after a rollback */
/* The row's id: found in the cache, or 0. */
int64_t dict_find(struct history *h, enum table_id table, const struct value *values);
/* Found or inserted. NULL values only: 0, no row. */
int64_t dict_row(struct history *h, enum table_id table, const struct value *values);
int64_t dict_new(struct history *h, enum table_id table, const struct value *values); /* always inserted */
struct value dict_text(struct history *h, const char *text, size_t len);	/* a reference; NULL for NULL and "" */
struct digest dict_digest(const struct history *h, const void *bytes, size_t len);

/* --- history_pending.c ------------------------------------------------------------------- */

/*
 * Eight bytes at once, for command lines are long: the top bit of each byte of
 * the result, up to the first that is set, tells whether that byte is less
 * than n (at most 128), or equal to it. After the first it may be wrong.
 */
#define EACH(byte) (0x0101010101010101ULL * (byte))
#define ANY_LESS(word, n) (((word) - EACH(n)) & ~(word) & EACH(0x80))
#define ANY_EQUAL(word, byte) ANY_LESS((word) ^ EACH(byte), 1)

static inline uint64_t eight(const void *s)
{
	uint64_t word;

	memcpy(&word, s, sizeof(word));
	return word;
}

int pending_init(struct history *h);
void pending_finalize(struct history *h);
void pending_forget(struct history *h);		/* their transaction is undone */
/* Chains a row, and inserts it now or a little later. Its id; 0 when something failed. */
int64_t history_insert(struct history *h, enum table_id table, const struct value *values);
/* So that h->db has them: all; or this row, if it is among them. */
void history_flush(struct history *h);
void history_flush_row(struct history *h, enum table_id table, int64_t id);

/* --- history_snapshot.c ------------------------------------------------------------------ */

int recent_init(struct history *h);
void recent_free(struct history *h);
void recent_forget(struct history *h);		/* ids are void: after a rollback */
void recent_process(struct history *h, const struct tw_task *task, int64_t id);
void recent_netns(struct history *h, uint32_t inode, const char *label);
void snapshot_work(struct history *h, const struct bindings *b);
void segment_begin(struct history *h);		/* mark only; a snapshot is to follow */

/* --- history_write.c --------------------------------------------------------------------- */

struct value encode_netns(struct history *h, uint32_t inode, uint64_t cookie, const char *label);
struct value encode_state(struct history *h, const struct device *dev, const char *netns_label);
struct value encode_file(struct history *h, const struct file *file, const char *netns_label);
struct value encode_process(struct history *h, const struct tw_task *task, const struct process_info *info,
			    const char *netns_label, bool fresh);
uint64_t encode_file_bits(const struct file *file);
uint64_t history_salted_address(const uint64_t salt[2], uint64_t addr);

/* --- history_checkpoint.c ---------------------------------------------------------------- */

void checkpoint_init(struct history *h);	/* copies what history_commit() leaves in the log */
void checkpoint_free(struct history *h);

/* --- history_prune.c --------------------------------------------------------------------- */

int prune_init(struct history *h);
void prune_free(struct history *h);
bool prune_busy(const struct history *h);
void prune_work(struct history *h);

/* --- history_read.c ----------------------------------------------------------------------- */

struct history_reader {
	sqlite3 *db;
	bool borrowed;			/* the writer's connection */
	int depth;			/* of history_reader_begin() */
	sqlite3_stmt *by_id[T_MAX];
	struct read_slot *cache[T_DICTS];
	struct decoded *decoded;
};
int reader_new(struct history_reader **out, sqlite3 *db, bool borrowed);
/* Makes an event of a row; valid until the next one. */
int reader_event(struct history_reader *r, int64_t seq, const struct value *values, struct event *event);
int reader_entry(struct history_reader *r, const struct value *mark, const struct value *values, struct event *event);
/* A dictionary row by id: 0; -ENOENT. The values are valid until the next call. */
int reader_values(struct history_reader *r, enum table_id table, int64_t id, struct value *values);
int64_t reader_first(struct history_reader *r);	/* first seq that retention left; 1 when it took none */

#define INFO_MAX 65536	/* longest text that is kept */

#endif /* TW_HISTORY_PRIVATE_H */
