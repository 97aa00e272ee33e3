/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TW_VERSION_H
#define TW_VERSION_H
#define TAPWATCH_VERSION "0.1.0"
#endif
