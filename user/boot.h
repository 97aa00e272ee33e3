/* SPDX-License-Identifier: GPL-2.0-only */
/* boot.h - which boot --boot means. */
#ifndef TW_BOOT_H
#define TW_BOOT_H

#include <stddef.h>

#include "history.h"

/*
 * As journalctl has it: "" and "0" the last of the n boots, "-1" the one
 * before, "1" the first; an id, with or without dashes, or "ID+1", "ID-1": the
 * one that comes so many after, or before, that one. NULL: there is none.
 */
const struct history_boot *boot_find(const struct history_boot *boots, size_t n, const char *word);

#endif /* TW_BOOT_H */
