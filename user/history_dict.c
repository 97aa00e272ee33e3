// SPDX-License-Identifier: GPL-2.0-only
/*
 * history_dict.c - dictionaries: rows that many events refer to.
 *
 * The writer remembers, per table and bounded, which rows it has written in
 * this segment. What it has forgotten is written again under a new id: that
 * costs a few bytes and is never wrong, so nothing has to be looked up in the
 * database. A row is known by a keyed 128-bit digest: who may choose the
 * bytes (comm, names) must not be able to make two rows look the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "history_private.h"

/* Rows remembered; a VM host with a thousand guests fits. 24 bytes each. */
static const size_t sizes[T_DICTS] = {
	[T_TEXT] = 16384, [T_NETNS] = 4096, [T_CLOCK] = 16, [T_VM] = 16384, [T_PROCESS] = 16384,
	[T_FILE] = 16384, [T_STATE] = 16384, [T_OLD] = 16, [T_NAME] = 16384,
};

/* SipHash-c-d with 128 bits of output (Aumasson, Bernstein). */
#define ROTL(x, n) ((x) << (n) | (x) >> (64 - (n)))
#define ROUND(v) do { \
	v[0] += v[1]; v[1] = ROTL(v[1], 13) ^ v[0]; v[0] = ROTL(v[0], 32); \
	v[2] += v[3]; v[3] = ROTL(v[3], 16) ^ v[2]; \
	v[0] += v[3]; v[3] = ROTL(v[3], 21) ^ v[0]; \
	v[2] += v[1]; v[1] = ROTL(v[1], 17) ^ v[2]; v[2] = ROTL(v[2], 32); \
} while (0)

static inline struct digest siphash(int c, int d, const uint64_t key[2], const uint8_t *in, size_t len)
{
	uint64_t v[4] = {
		key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee,
		key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573,
	};
	uint64_t word, last = (uint64_t)len << 56;
	struct digest digest;

	for (; len >= 8; in += 8, len -= 8) {
		memcpy(&word, in, 8);
		v[3] ^= word;
		for (int i = 0; i < c; i++)
			ROUND(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < len; i++)
		last |= (uint64_t)in[i] << (8 * i);
	v[3] ^= last;
	for (int i = 0; i < c; i++)
		ROUND(v);
	v[0] ^= last;
	v[2] ^= 0xee;
	for (int i = 0; i < d; i++)
		ROUND(v);
	digest.a = v[0] ^ v[1] ^ v[2] ^ v[3];
	v[1] ^= 0xdd;
	for (int i = 0; i < d; i++)
		ROUND(v);
	digest.b = v[0] ^ v[1] ^ v[2] ^ v[3];
	return digest;
}

/* As tables of hashes commonly take it: the key is this process's own, and the digests are shown to nobody. */
struct digest dict_digest(const struct history *h, const void *bytes, size_t len)
{
	const uint64_t key[2] = { h->salt.a, h->salt.b };

	return siphash(1, 3, key, bytes, len);
}

/* Positive, so that it reads well; 0 for 0. */
uint64_t history_salted_address(const uint64_t salt[2], uint64_t addr)
{
	uint8_t bytes[8];

	if (!addr)
		return 0;
	memcpy(bytes, &addr, sizeof(bytes));
	return siphash(2, 4, salt, bytes, sizeof(bytes)).a >> 1 | 1;
}

/* --- short cuts --------------------------------------------------------------------------- */

void memo_begin(struct history *h, enum table_id table)
{
	uint8_t tag = (uint8_t)table;

	h->raw.len = 0;
	bytes_add(&h->raw, &tag, 1);
}

void memo_bytes(struct history *h, const void *bytes, size_t len)
{
	bytes_add(&h->raw, bytes, len);
}

void memo_text(struct history *h, const char *text)
{
	uint32_t len = text ? (uint32_t)strlen(text) : UINT32_MAX;

	bytes_add(&h->raw, &len, sizeof(len));
	if (text)
		bytes_add(&h->raw, text, len);
}

static struct dict_slot *memo_slot(const struct history *h, const struct memo_key *key)
{
	return &h->memo[key->digest.a % MEMO_SLOTS];
}

int64_t memo_find(struct history *h, struct memo_key *key)
{
	const struct dict_slot *slot;

	key->digest = dict_digest(h, h->raw.data, h->raw.len);
	slot = memo_slot(h, key);
	return slot->key.a == key->digest.a && slot->key.b == key->digest.b && !h->raw.failed ? slot->id : 0;
}

void memo_set(struct history *h, const struct memo_key *key, int64_t id)
{
	if (id && !h->raw.failed)
		*memo_slot(h, key) = (struct dict_slot){ key->digest, id };
}

/* --- dictionaries ------------------------------------------------------------------------- */

#define HUGE_PAGE (2UL << 20)

/*
 * One piece for all, of huge pages where the kernel has them: each look-up goes
 * somewhere else, and finding out where a page is costs more than reading it.
 */
static struct dict_slot *all_slots(void)
{
	size_t n = MEMO_SLOTS, bytes;
	struct dict_slot *slots;

	for (size_t t = 0; t < T_DICTS; t++)
		n += sizes[t];
	bytes = (n * sizeof(*slots) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	slots = aligned_alloc(HUGE_PAGE, bytes);
	if (!slots)
		return NULL;
	madvise(slots, bytes, MADV_HUGEPAGE);
	memset(slots, 0, n * sizeof(*slots));
	return slots;
}

int dict_init(struct history *h)
{
	struct dict_slot *slots = all_slots();

	h->memo = slots;
	if (!slots)
		return -ENOMEM;
	slots += MEMO_SLOTS;
	for (size_t t = 0; t < T_DICTS; t++) {
		h->cache[t].size = sizes[t];
		h->cache[t].slots = slots;
		slots += sizes[t];
	}
	return getrandom(&h->salt, sizeof(h->salt), 0) == sizeof(h->salt) ? 0 : -EIO;
}

void dict_free(struct history *h)
{
	free(h->memo);
	free(h->raw.data);
}

void dict_forget(struct history *h)
{
	for (size_t t = 0; t < T_DICTS; t++)
		memset(h->cache[t].slots, 0, h->cache[t].size * sizeof(*h->cache[t].slots));
	memset(h->memo, 0, MEMO_SLOTS * sizeof(*h->memo));
	memset(h->words, 0, sizeof(h->words));
	h->source_id = 0;
	h->clock_id = 0;
}

/* Two places for each digest: the one used last comes first. */
static int64_t look(struct dict_cache *cache, const struct digest *key, struct dict_slot **pair)
{
	struct dict_slot *two = &cache->slots[key->a & (cache->size - 1) & ~1ULL], swap;

	*pair = two;
	for (int i = 0; i < 2; i++) {
		if (!two[i].id || two[i].key.a != key->a || two[i].key.b != key->b)
			continue;
		if (i) {
			swap = two[0];
			two[0] = two[1];
			two[1] = swap;
		}
		return two[0].id;
	}
	return 0;
}

static int64_t find(struct history *h, enum table_id table, const struct value *values, struct digest *key,
		    struct dict_slot **pair)
{
	h->scratch.len = 0;
	row_bytes(&h->scratch, table, 0, values, schema[table].n_key);
	*key = dict_digest(h, h->scratch.data, h->scratch.len);
	return look(&h->cache[table], key, pair);
}

int64_t dict_find(struct history *h, enum table_id table, const struct value *values)
{
	struct dict_slot *pair;
	struct digest key;

	return find(h, table, values, &key, &pair);
}

static int64_t add(struct history *h, enum table_id table, const struct value *values, const struct digest *key,
		   struct dict_slot *pair)
{
	int64_t id = history_insert(h, table, values);

	if (!id)
		return 0;
	pair[1] = pair[0];
	pair[0] = (struct dict_slot){ *key, id };
	return id;
}

int64_t dict_new(struct history *h, enum table_id table, const struct value *values)
{
	struct dict_slot *pair;
	struct digest key;

	find(h, table, values, &key, &pair);
	return add(h, table, values, &key, pair);
}

static bool nothing(enum table_id table, const struct value *values)
{
	for (int i = 0; i < schema[table].n_key; i++)
		if (values[i].type != VALUE_NULL)
			return false;
	return true;
}

int64_t dict_row(struct history *h, enum table_id table, const struct value *values)
{
	struct dict_slot *pair;
	struct digest key;
	int64_t id;

	if (nothing(table, values))
		return 0;
	id = find(h, table, values, &key, &pair);
	return id ? id : add(h, table, values, &key, pair);
}

struct value dict_text(struct history *h, const char *text, size_t len)
{
	struct value value;

	if (!text || !len)
		return (struct value){ .type = VALUE_NULL };
	value = value_bytes(text, len < INFO_MAX ? len : INFO_MAX);
	return value_known((uint64_t)dict_row(h, T_TEXT, &value));
}
