/* SPDX-License-Identifier: GPL-2.0-only */
/* embed.h - the files of user/report, each with a NUL at its end; embed.S puts them into the program. */
#ifndef TW_REPORT_EMBED_H
#define TW_REPORT_EMBED_H

extern const char report_page[], report_style[], report_script[], timeline_style[], topology_style[];

#endif /* TW_REPORT_EMBED_H */
