// SPDX-License-Identifier: GPL-2.0-only
/* table.c - see table.h. */
#include <errno.h>
#include <stdlib.h>

#include "table.h"

#define FIRST_SIZE 64

int table_init(struct table *t)
{
	t->slots = calloc(FIRST_SIZE, sizeof(*t->slots));
	if (!t->slots)
		return -ENOMEM;
	t->size = FIRST_SIZE;
	t->used = 0;
	return 0;
}

void table_free(struct table *t)
{
	free(t->slots);
	t->slots = NULL;
	t->size = 0;
}

static void put(struct link **slot, struct link *l)
{
	l->next = *slot;
	if (l->next)
		l->next->pprev = &l->next;
	l->pprev = slot;
	*slot = l;
}

static void grow(struct table *t)
{
	size_t i, size = t->size * 2;
	struct link **slots = calloc(size, sizeof(*slots));
	struct link *l, *next;

	if (!slots)
		return;
	for (i = 0; i < t->size; i++) {
		for (l = t->slots[i]; l; l = next) {
			next = l->next;
			put(&slots[l->hash & (size - 1)], l);
		}
	}
	free(t->slots);
	t->slots = slots;
	t->size = size;
}

void table_add(struct table *t, struct link *l, uint64_t hash)
{
	if (t->used >= t->size)
		grow(t);
	l->hash = hash;
	put(&t->slots[hash & (t->size - 1)], l);
	t->used++;
}

void table_del(struct table *t, struct link *l)
{
	if (!l->pprev)
		return;
	*l->pprev = l->next;
	if (l->next)
		l->next->pprev = l->pprev;
	l->pprev = NULL;
	t->used--;
}

static struct link *same_hash(struct link *l, uint64_t hash)
{
	while (l && l->hash != hash)
		l = l->next;
	return l;
}

struct link *table_first(const struct table *t, uint64_t hash)
{
	return same_hash(t->slots[hash & (t->size - 1)], hash);
}

struct link *table_next(const struct link *l)
{
	return same_hash(l->next, l->hash);
}

/* The finalizer of MurmurHash3, once per word: addresses differ in few bits. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	x ^= x >> 33;
	return x;
}

uint64_t hash_words(uint64_t a, uint64_t b, uint64_t c)
{
	return mix(mix(mix(a) + b) + c);
}
