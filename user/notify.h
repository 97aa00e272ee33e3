/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * notify.h - telling a service manager how it goes: the protocol of
 * sd_notify(3), which is one datagram. Without a service manager nothing
 * happens.
 */
#ifndef TW_NOTIFY_H
#define TW_NOTIFY_H

#include <stdint.h>

/* Connects to $NOTIFY_SOCKET. An fd, -ENOENT when there is none, another negative errno. */
int notify_open(void);

/* "READY=1", "STATUS=…", "WATCHDOG=1", "STOPPING=1"; several separated by newlines. fd < 0: nothing. */
void notify_send(int fd, const char *text);

/* How often WATCHDOG=1 is awaited: half of $WATCHDOG_USEC in ns; 0 never. */
uint64_t notify_watchdog_ns(void);

#endif /* TW_NOTIFY_H */
