// SPDX-License-Identifier: GPL-2.0-only
/* xml.c - see xml.h. */
#include "xml.h"

#include <stdlib.h>
#include <string.h>

#include "escape.h"

#define SMALL 256

/* Bytes of the character that begins here; `safe` is valid UTF-8. */
static size_t char_len(const char *safe)
{
	unsigned char c = (unsigned char)*safe;

	return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static void put_char(FILE *out, const char *at, size_t len)
{
	static const struct { char c; const char *reference; } markup[] = {
		{ '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&quot;" }, { '\'', "&#39;" },
	};

	for (size_t i = 0; i < sizeof(markup) / sizeof(markup[0]); i++) {
		if (*at == markup[i].c) {
			fputs(markup[i].reference, out);
			return;
		}
	}
	fwrite(at, 1, len, out);
}

static size_t columns_of(const char *at, size_t len)
{
	char one[8];

	memcpy(one, at, len);
	one[len] = '\0';
	return escape_width(one);
}

/* Where to cut so that it fits with an ellipsis; the end where all fits. */
static const char *cut(const char *safe, size_t columns)
{
	const char *at = safe, *fits = NULL;
	size_t used = 0;

	for (size_t len; *at; at += len) {
		len = char_len(at);
		used += columns_of(at, len);
		if (used > columns - 1 && !fits)
			fits = at;
	}
	return used > columns ? fits : at;
}

void xml_text(FILE *out, const char *text, size_t len, size_t columns)
{
	char small[ESCAPE_SIZE(SMALL)], *safe = small;
	const char *end;

	len = strnlen(text, len);
	/* what does not fit is left out where there is no memory */
	if (len > SMALL && !(safe = malloc(ESCAPE_SIZE(len))))
		safe = small;
	escape_term(safe, safe == small ? sizeof(small) : ESCAPE_SIZE(len), text, len);
	end = columns ? cut(safe, columns) : safe + strlen(safe);
	for (const char *at = safe; at < end; at += char_len(at))
		put_char(out, at, char_len(at));
	if (*end)
		fputs("\xe2\x80\xa6", out);
	if (safe != small)
		free(safe);
}

void xml_string(FILE *out, const char *text)
{
	if (text)
		xml_text(out, text, strlen(text), 0);
}
