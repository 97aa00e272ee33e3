// SPDX-License-Identifier: GPL-2.0-only
/* history_chain.c - the running SHA-256 over all that is written. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "history_private.h"

int hash_init(struct hash_chain *c)
{
	c->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	c->ctx = EVP_MD_CTX_new();
	return c->sha256 && c->ctx ? 0 : -ENOMEM;
}

void hash_free(struct hash_chain *c)
{
	EVP_MD_CTX_free(c->ctx);
	EVP_MD_free(c->sha256);
	free(c->row.data);
	*c = (struct hash_chain){ 0 };
}

void hash_set(struct hash_chain *c, const uint8_t hash[HISTORY_HASH_LEN])
{
	memcpy(c->hash, hash, HISTORY_HASH_LEN);
	c->open = false;
}

void hash_bytes(struct hash_chain *c, const void *row, size_t len)
{
	if (!c->open) {
		c->open = true;
		c->failed |= !EVP_DigestInit_ex2(c->ctx, c->sha256, NULL) ||
			     !EVP_DigestUpdate(c->ctx, c->hash, HISTORY_HASH_LEN);
	}
	c->failed |= !EVP_DigestUpdate(c->ctx, row, len);
}

void hash_add(struct hash_chain *c, enum table_id table, int64_t id, const struct value *values, int n)
{
	c->row.len = 0;
	row_bytes(&c->row, table, id, values, n);
	c->failed |= c->row.failed;
	hash_bytes(c, c->row.data, c->row.len);
}

void hash_close(struct hash_chain *c)
{
	if (c->open)
		c->failed |= !EVP_DigestFinal_ex(c->ctx, c->hash, NULL);
	c->open = false;
}
