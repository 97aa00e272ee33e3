/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * escape.h - bytes from outside (comm, ifname, paths, VM names) made safe to
 * print. Anybody may choose them, so nothing but these functions may bring
 * them to a terminal or into JSON.
 *
 * Whatever cannot be shown is written as the four characters \xNN a byte, in
 * lower-case hex. A literal backslash stays as it is.
 */
#ifndef TW_ESCAPE_H
#define TW_ESCAPE_H

#include <stddef.h>

/* A buffer of this size holds any `len` bytes escaped, and the NUL. */
#define ESCAPE_SIZE(len) (4 * (len) + 1)

/*
 * Both write at most `size` bytes to `out` including the NUL (always there
 * unless size is 0), and return the length without it. Output that does not
 * fit is cut before a whole character or escape, never inside. `in` ends
 * after `len` bytes or at its first NUL, whichever is first, so a fixed-size
 * kernel array may be given with its sizeof.
 */

/* Valid UTF-8: bytes that are not become \xNN. For JSON, whose writer deals with quotes and control characters. */
size_t escape_utf8(char *out, size_t size, const char *in, size_t len);

/*
 * Fit for a terminal: also control characters (C0, DEL, C1, so no newline and
 * no escape sequence survives) and the invisible ones that reorder, hide or
 * break a line (bidi controls, zero-width, line separators, tags).
 */
size_t escape_term(char *out, size_t size, const char *in, size_t len);

/*
 * Columns a terminal takes for the output of escape_term(). Wide characters
 * count by the caller's LC_CTYPE; what that does not know counts one.
 */
size_t escape_width(const char *text);

#endif /* TW_ESCAPE_H */
