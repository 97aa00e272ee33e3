/* SPDX-License-Identifier: GPL-2.0-only */
/* xml.h - text from outside as text or attribute of XML and HTML. */
#ifndef TW_XML_H
#define TW_XML_H

#include <stddef.h>
#include <stdio.h>

/*
 * Writes text that anybody may have chosen: what cannot be shown as \xNN, as
 * escape_term() has it, markup as references.
 * It ends after `len` bytes or at its first NUL. `columns`: cut to so many
 * columns of a terminal, the last one "..." then; 0: not cut.
 */
void xml_text(FILE *out, const char *text, size_t len, size_t columns);

/* All of a string; NULL writes nothing. */
void xml_string(FILE *out, const char *text);

#endif /* TW_XML_H */
