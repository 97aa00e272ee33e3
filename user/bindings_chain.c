// SPDX-License-Identifier: GPL-2.0-only
/* bindings_chain.c - how each file came from its opener to its holders, in bounded memory. */
#include <stdlib.h>
#include <string.h>

#include "bindings_private.h"

static struct chain_link *next_link(struct chain *chain)
{
	if (chain->first_len < CHAIN_FIRST)
		return &chain->first[chain->first_len++];
	if (chain->last_len < CHAIN_LAST)
		return &chain->last[chain->last_len++];
	/* opener and first receivers stay, and the present ones; the middle of the story goes */
	chain->left_out++;
	memmove(chain->last, chain->last + 1, (CHAIN_LAST - 1) * sizeof(chain->last[0]));
	return &chain->last[CHAIN_LAST - 1];
}

void chain_add(struct file_node *f, const struct change *c)
{
	struct chain_link *l;

	if (!f->chain)
		f->chain = calloc(1, sizeof(*f->chain));
	if (!f->chain)
		return;
	l = next_link(f->chain);
	memset(l, 0, sizeof(*l));
	l->time_ns = c->time_ns;
	l->event = c->event;
	l->how = c->how;
	l->fd = c->has & CH_FD ? c->fd : -1;
	l->seed = c->has & CH_SEED;
	if (c->task) {
		l->pid = c->task->pid;
		l->uid = c->task->uid;
		l->start_ns = c->task->start_ns;
		memcpy(l->comm, c->task->comm, TW_NAME_LEN);
	}
	if ((c->has & CH_OLD_COMM) && memcmp(c->old.comm, l->comm, TW_NAME_LEN))
		memcpy(l->old_comm, c->old.comm, TW_NAME_LEN);
}

const struct chain *bindings_chain(const struct file *file)
{
	return container(file, struct file_node, file)->chain;
}
