// SPDX-License-Identifier: GPL-2.0-only
/* boot.c - see boot.h. */
#include "boot.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_BOOTS 1000000
#define ID_DIGITS 32

/* All of the word a number? Of so many digits that it could be an id it is none. */
static bool parse_number(const char *word, long *number)
{
	char *end;

	*number = strtol(word, &end, 10);
	return !*end && labs(*number) < MOST_BOOTS;
}

static const struct history_boot *at(const struct history_boot *boots, size_t n, long index)
{
	return index >= 0 && (size_t)index < n ? &boots[index] : NULL;
}

/* How much of the word the boot's id takes, with dashes or without any; 0: it does not begin with it. */
static size_t id_len(const char *word, const char *id)
{
	char plain[BOOT_ID_LEN + 1];
	size_t len = 0;

	if (!strncasecmp(word, id, BOOT_ID_LEN) && strlen(id) == BOOT_ID_LEN)
		return BOOT_ID_LEN;
	for (; *id; id++)
		if (*id != '-')
			plain[len++] = *id;
	plain[len] = '\0';
	return len == ID_DIGITS && !strncasecmp(word, plain, len) ? len : 0;
}

const struct history_boot *boot_find(const struct history_boot *boots, size_t n, const char *word)
{
	long number;

	if (parse_number(word, &number))
		return at(boots, n, number > 0 ? number - 1 : (long)n - 1 + number);
	for (size_t i = 0; i < n; i++) {
		size_t len = id_len(word, boots[i].id);

		if (!len)
			continue;
		if (!word[len])
			return &boots[i];
		if ((word[len] == '+' || word[len] == '-') && word[len + 1] && parse_number(word + len, &number))
			return at(boots, n, (long)i + number);
	}
	return NULL;
}
