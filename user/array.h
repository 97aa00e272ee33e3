/* SPDX-License-Identifier: GPL-2.0-only */
/* array.h - arrays that grow. */
#ifndef TW_ARRAY_H
#define TW_ARRAY_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Room for `want` elements in all, in an array that begins as NULL with room 0;
 * the room doubles. `array` points to the pointer. 0 or -ENOMEM: then the array
 * is as it was.
 */
static inline int array_room(void *array, size_t *room, size_t want, size_t element)
{
	size_t bigger = *room ? *room : 8;
	void *p;

	if (want <= *room)
		return 0;
	while (bigger < want)
		bigger *= 2;
	memcpy(&p, array, sizeof(p));
	p = reallocarray(p, bigger, element);
	if (!p)
		return -ENOMEM;
	memcpy(array, &p, sizeof(p));
	*room = bigger;
	return 0;
}

#define ARRAY_ROOM(array, room, want) array_room(&(array), &(room), (want), sizeof(*(array)))

#endif /* TW_ARRAY_H */
