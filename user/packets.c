// SPDX-License-Identifier: GPL-2.0-only
/* packets.c - see packets.h. */
#include "packets.h"

#include <stdlib.h>
#include <string.h>

#include "array.h"

enum { OUT, IN, DIRECTIONS };

struct young {
	struct device dev;	/* as it was told of last */
	uint32_t pid;
	char *place;
	uint64_t searched_ns;
	uint64_t since_ns;	/* the machine got it */
	uint64_t next_ns;
	bool based;		/* `base` is known */
	uint64_t base[DIRECTIONS];
	uint64_t stood_ns[DIRECTIONS];	/* when the counter was still at its base */
	bool told[DIRECTIONS];
};

struct packets {
	struct young **young;	/* by namespace, unless `unsorted` */
	size_t len, room;
	bool unsorted;
	size_t at;		/* looks of this turn go on from here */
	uint64_t turn_ns;	/* which turn that is */
};

struct packets *packets_new(void)
{
	return calloc(1, sizeof(struct packets));
}

static void young_free(struct young *y)
{
	free(y->place);
	free(y);
}

void packets_free(struct packets *p)
{
	if (!p)
		return;
	while (p->len)
		young_free(p->young[--p->len]);
	free(p->young);
	free(p);
}

static size_t find(const struct packets *p, uint64_t id)
{
	size_t i = 0;

	while (i < p->len && p->young[i]->dev.id != id)
		i++;
	return i;
}

static void end(struct packets *p, size_t i)
{
	young_free(p->young[i]);
	memmove(&p->young[i], &p->young[i + 1], (--p->len - i) * sizeof(*p->young));
	if (p->at > i)
		p->at--;
}

/* All at the same instants: one wake-up for many. */
static uint64_t next_look(const struct young *y, uint64_t now_ns)
{
	uint64_t pause = now_ns > y->since_ns ? (now_ns - y->since_ns) / 20 : 0;

	if (pause < PACKETS_TICK_NS)
		pause = PACKETS_TICK_NS;
	if (pause > PACKETS_SLOWEST_NS)
		pause = PACKETS_SLOWEST_NS;
	return (now_ns + pause) / PACKETS_TICK_NS * PACKETS_TICK_NS;
}

void packets_begin(struct packets *p, const struct device *dev, uint32_t pid, bool fresh, uint64_t time_ns)
{
	size_t i = find(p, dev->id);
	struct young *y;

	if (i < p->len)
		end(p, i);
	if (p->len == PACKETS_MAX || ARRAY_ROOM(p->young, p->room, p->len + 1))
		return;
	y = calloc(1, sizeof(*y));
	if (!y)
		return;
	y->dev = *dev;
	y->pid = pid;
	y->since_ns = time_ns;
	/* where it began counting is to be known soon, or a first packet is taken for what was before */
	y->next_ns = fresh ? next_look(y, time_ns) : time_ns;
	y->based = fresh;
	if (fresh)
		y->stood_ns[OUT] = y->stood_ns[IN] = dev->since_ns;
	p->young[p->len++] = y;
	p->unsorted = true;
}

void packets_change(struct packets *p, const struct change *change)
{
	const struct device *dev = change->dev;
	size_t i = dev && p->len ? find(p, dev->id) : p->len;
	struct young *y;

	if (i == p->len)
		return;
	if (change->event == EV_DELETE) {
		end(p, i);
		return;
	}
	y = p->young[i];
	if (y->dev.d.netns != dev->d.netns) {
		free(y->place);
		y->place = NULL;
		y->searched_ns = 0;
		p->unsorted = true;
	}
	y->dev = *dev;
}

uint64_t packets_next(const struct packets *p)
{
	uint64_t next = 0;

	for (size_t i = 0; i < p->len; i++)
		if (!next || p->young[i]->next_ns < next)
			next = p->young[i]->next_ns;
	return next;
}

static int by_netns(const void *a, const void *b)
{
	const struct young *x = *(const struct young *const *)a, *y = *(const struct young *const *)b;

	if (x->dev.d.netns != y->dev.d.netns)
		return x->dev.d.netns < y->dev.d.netns ? -1 : 1;
	return x->dev.id < y->dev.id ? -1 : x->dev.id > y->dev.id;
}

bool packets_due(struct packets *p, uint64_t now_ns, struct packets_look *look)
{
	if (p->turn_ns != now_ns) {
		p->turn_ns = now_ns;
		p->at = 0;
		if (p->unsorted)
			qsort(p->young, p->len, sizeof(*p->young), by_netns);
		p->unsorted = false;
	}
	while (p->at < p->len) {
		struct young *y = p->young[p->at];

		if (now_ns > y->since_ns + PACKETS_YOUNG_NS || (y->told[OUT] && y->told[IN])) {
			end(p, p->at);
			continue;
		}
		p->at++;
		if (y->next_ns > now_ns)
			continue;
		y->next_ns = next_look(y, now_ns);
		*look = (struct packets_look){
			.dev = &y->dev, .pid = y->pid, .place = &y->place, .searched_ns = &y->searched_ns,
			.index = p->at - 1, .one = y,
		};
		return true;
	}
	return false;
}

void packets_give_up(struct packets *p, const struct packets_look *look)
{
	end(p, look->index);
}

/*
 * What the machine sends, a tun device receives (tun_get_user(), drivers/net/tun.c),
 * and a macvtap transmits (macvlan_start_xmit()); and the other way round.
 */
static void by_direction(const struct device *dev, const struct packets_count *count, uint64_t counter[DIRECTIONS])
{
	bool lower = dev->d.kind == TW_KIND_MACVTAP || dev->d.kind == TW_KIND_IPVTAP;

	counter[OUT] = lower ? count->tx : count->rx;
	counter[IN] = lower ? count->rx : count->tx;
}

size_t packets_counted(struct packets *p, const struct packets_look *look, const struct packets_count *count,
		       struct change told[2])
{
	static const enum how hows[DIRECTIONS] = { [OUT] = HOW_OUT, [IN] = HOW_IN };
	struct young *y = look->one;
	uint64_t counter[DIRECTIONS];
	size_t n = 0;

	(void)p;
	by_direction(&y->dev, count, counter);
	for (int i = 0; i < DIRECTIONS; i++) {
		if (!y->based)
			y->base[i] = counter[i];
		if (y->told[i])
			continue;
		if (counter[i] <= y->base[i]) {
			y->stood_ns[i] = count->before_ns;
			continue;
		}
		y->told[i] = true;
		told[n++] = (struct change){
			.event = EV_FIRST_PACKET, .time_ns = count->after_ns, .after_ns = y->stood_ns[i], .fd = -1,
			.dev = &y->dev, .how = hows[i],
		};
	}
	y->based = true;
	return n;
}
