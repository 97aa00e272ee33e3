// SPDX-License-Identifier: GPL-2.0-only
/*
 * escape.c - see escape.h.
 */
#include "escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

/*
 * Length of the character at `in`, whose code point goes to *cp; 0 for what
 * is no UTF-8: a lone or missing continuation, an overlong form, a surrogate,
 * a value above U+10FFFF (RFC 3629). Needs len >= 1.
 */
static size_t decode(const char *in, size_t len, uint32_t *cp)
{
	/* By length: smallest code point that may be written so long. */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)in;
	size_t n, i;

	if (s[0] < 0x80) {
		*cp = s[0];
		return 1;
	}
	if ((s[0] & 0xe0) == 0xc0)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if ((s[0] & 0xf8) == 0xf0)
		n = 4;
	else
		return 0;
	if (n > len)
		return 0;
	*cp = s[0] & (0x7f >> n);
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (s[i] & 0x3f);
	}
	if (*cp < least[n] || *cp > 0x10ffff || (*cp >= 0xd800 && *cp <= 0xdfff))
		return 0;
	return n;
}

/* Characters that act on the terminal or hide in it instead of being seen. */
static bool unprintable(uint32_t cp)
{
	static const struct { uint32_t first, last; } ranges[] = {
		{ 0x0000, 0x001f },	/* C0: escape sequences, newline */
		{ 0x007f, 0x009f },	/* DEL and C1: U+009B is a CSI */
		{ 0x00ad, 0x00ad },	/* soft hyphen */
		{ 0x061c, 0x061c },	/* Arabic letter mark */
		{ 0x115f, 0x1160 },	/* Hangul fillers: blank letters */
		{ 0x180e, 0x180e },	/* Mongolian vowel separator */
		{ 0x200b, 0x200f },	/* zero width, direction marks */
		{ 0x2028, 0x202e },	/* line separators, bidi embeddings and overrides */
		{ 0x2060, 0x206f },	/* invisible operators, bidi isolates */
		{ 0x3164, 0x3164 },	/* Hangul filler */
		{ 0xfeff, 0xfeff },	/* zero width no-break space */
		{ 0xfff9, 0xfffb },	/* interlinear annotation */
		{ 0xfffe, 0xffff },	/* no characters, and not allowed in XML 1.0 */
		{ 0xe0000, 0xe0fff },	/* tags and more variation selectors */
	};
	size_t i;

	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (cp >= ranges[i].first && cp <= ranges[i].last)
			return true;
	return false;
}

/* \xNN for each of n bytes into `to`, which has room for 4 * n. */
static size_t hex(char *to, const char *in, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char c = in[i];

		*to++ = '\\';
		*to++ = 'x';
		*to++ = digits[c >> 4];
		*to++ = digits[c & 15];
	}
	return 4 * n;
}

static size_t escape(char *out, size_t size, const char *in, size_t len, bool terminal)
{
	size_t at = 0, done = 0;

	if (!size)
		return 0;
	len = strnlen(in, len);
	while (at < len) {
		char piece[16];
		uint32_t cp;
		size_t n = decode(in + at, len - at, &cp), m;

		if (!n || (terminal && unprintable(cp))) {
			n = n ? n : 1;
			m = hex(piece, in + at, n);
		} else {
			memcpy(piece, in + at, n);
			m = n;
		}
		if (m >= size - done)
			break;
		memcpy(out + done, piece, m);
		done += m;
		at += n;
	}
	out[done] = '\0';
	return done;
}

size_t escape_utf8(char *out, size_t size, const char *in, size_t len)
{
	return escape(out, size, in, len, false);
}

size_t escape_term(char *out, size_t size, const char *in, size_t len)
{
	return escape(out, size, in, len, true);
}

size_t escape_width(const char *text)
{
	size_t len = strlen(text), width = 0;

	while (len) {
		uint32_t cp = 0;
		size_t n = decode(text, len, &cp);
		/* glibc and musl: a wchar_t is a code point in every locale. */
		int w = n ? wcwidth((wchar_t)cp) : 1;

		width += w < 0 ? 1 : w;
		n = n ? n : 1;
		text += n;
		len -= n;
	}
	return width;
}
