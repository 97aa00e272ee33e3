/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * table.h - a hash table, intrusive and chained, that grows by itself. An
 * object may have several links, each in a table of its own.
 */
#ifndef TW_TABLE_H
#define TW_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct link {
	struct link *next;
	struct link **pprev;	/* NULL: in no table */
	uint64_t hash;
};

struct table {
	struct link **slots;
	size_t size;		/* a power of two */
	size_t used;
};

int table_init(struct table *t);	/* 0 or -ENOMEM */
void table_free(struct table *t);	/* the slots; members belong to the caller */
/* Never fails: without memory to grow the chains merely get longer. */
void table_add(struct table *t, struct link *l, uint64_t hash);
void table_del(struct table *t, struct link *l);	/* nothing when in no table */
struct link *table_first(const struct table *t, uint64_t hash);
struct link *table_next(const struct link *l);		/* next with the same hash */
uint64_t hash_words(uint64_t a, uint64_t b, uint64_t c);

#define container(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define table_each(t, hash, l) for ((l) = table_first(t, hash); (l); (l) = table_next(l))

#endif /* TW_TABLE_H */
