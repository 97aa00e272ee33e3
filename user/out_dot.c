// SPDX-License-Identifier: GPL-2.0-only
/*
 * out_dot.c - rows as a graph for Graphviz: namespaces as boxes, in them devices
 * and the bridges that these belong to; beside them machines and processes, with
 * a line for each fd.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "fields.h"
#include "out.h"

/* Text from outside as part of a quoted string: no control characters, no quote, no escape of DOT's. */
static void put_text(FILE *out, const char *text, size_t len)
{
	char safe[ESCAPE_SIZE(256)];

	escape_term(safe, sizeof(safe), text, strnlen(text, len < 256 ? len : 256));
	for (const char *at = safe; *at; at++) {
		if (*at == '"' || *at == '\\')
			fputc('\\', out);
		/* it reads character references, as HTML has them */
		if (*at == '&')
			fputs("&amp;", out);
		else
			fputc(*at, out);
	}
}

static void put_string(FILE *out, const char *text)
{
	put_text(out, text, strlen(text));
}

/* Rows of one namespace follow each other; so do those of one device. */
static bool same_place(const struct row *x, const struct row *y)
{
	return x->dev.netns == y->dev.netns && !(x->has & TW_HAS_DEV) == !(y->has & TW_HAS_DEV);
}

static bool same_device(const struct row *x, const struct row *y)
{
	return x->device_id == y->device_id && !strncmp(x->dev.ifname, y->dev.ifname, TW_NAME_LEN);
}

static bool has_master(const struct row *row)
{
	return (row->has & TW_HAS_MASTER) && row->dev.master[0];
}

static void put_device(FILE *out, const struct row *row)
{
	const char *kind = kind_name(row->dev.kind);

	fprintf(out, "    d%" PRIu64 " [label=\"", row->device_id);
	put_text(out, row->dev.ifname, sizeof(row->dev.ifname));
	fprintf(out, "  %s", kind ? kind : "");
	if ((row->has & TW_HAS_QUEUES) && row->dev.queues > 1)
		fprintf(out, ", %u queues", row->dev.queues);
	if ((row->has & TW_HAS_UP) && !(row->dev.if_flags & 1 /* IFF_UP */))
		fprintf(out, ", down");
	fprintf(out, "\", class=\"%s\"%s];\n", row->state == ROW_NO_HOLDER ? "idle" : "device",
		row->state == ROW_NO_HOLDER ? ", style=\"filled,dashed\", fillcolor=\"#f8e4e4\"" : "");
}

/* Bridges are known by name only, which is one in its namespace. */
static void put_master(FILE *out, const struct row *row)
{
	fprintf(out, "    \"m%u ", row->dev.netns);
	put_text(out, row->dev.master, sizeof(row->dev.master));
	fprintf(out, "\" [label=\"");
	put_text(out, row->dev.master, sizeof(row->dev.master));
	fprintf(out, "\", class=\"bridge\", shape=hexagon, width=0.8, height=0.4, fillcolor=\"#e8e8e8\"];\n    d%" PRIu64 ":e -- \"m%u ", row->device_id,
		row->dev.netns);
	put_text(out, row->dev.master, sizeof(row->dev.master));
	fprintf(out, "\":w;\n");
}

static void put_place(FILE *out, const struct row *row, size_t len)
{
	const struct out_text plain = { .init_netns = 0 };
	char label[512];

	out_netns(&plain, label, sizeof(label), row->dev.netns, row->netns_label);
	fprintf(out, "  subgraph cluster_%u {\n    label=\"", row->dev.netns);
	put_string(out, row->dev.netns ? label : "unknown network namespace");
	fprintf(out, "\";\n");
	for (size_t i = 0; i < len; i++) {
		if (!row[i].device_id || (i && same_device(&row[i - 1], &row[i])))
			continue;
		put_device(out, &row[i]);
		if (has_master(&row[i]))
			put_master(out, &row[i]);
	}
	fprintf(out, "  }\n");
}

static uint32_t node_pid(const struct row *row)
{
	return row->vm_pid ? row->vm_pid : row->task.pid;
}

static void put_process(FILE *out, const struct row *row)
{
	fprintf(out, "  p%u [label=\"", node_pid(row));
	if (row->vm_type) {
		put_string(out, row->vm_name ? row->vm_name : "without a name");
		fprintf(out, "  %s ", row->vm_type);
	} else {
		put_text(out, row->task.comm, sizeof(row->task.comm));
		fprintf(out, "  %s%s", row->role ? row->role : "", row->role ? " " : "");
	}
	fprintf(out, "%u\", width=2, class=\"%s\", fillcolor=\"%s\"];\n", node_pid(row), row->vm_type ? "vm" : "process",
		row->vm_type ? "#dfeaf7" : "#f3f3f3");
}

static int by_pid(const void *a, const void *b)
{
	const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;

	if (node_pid(x) != node_pid(y))
		return node_pid(x) < node_pid(y) ? -1 : 1;
	if (x->device_id != y->device_id)
		return x->device_id < y->device_id ? -1 : 1;
	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

/* One line a device, with all fds of the process. */
static size_t put_edge(FILE *out, const struct row *const *holder, size_t len)
{
	size_t n = 1;

	while (n < len && node_pid(holder[n]) == node_pid(holder[0]) && holder[n]->device_id == holder[0]->device_id)
		n++;
	if (!holder[0]->device_id)
		return n;
	fprintf(out, "  p%u:e -- d%" PRIu64 ":w [label=\"fd", node_pid(holder[0]), holder[0]->device_id);
	/* of very many queues the number says enough */
	for (size_t i = 0; i < n && i < 8; i++)
		fprintf(out, " %d", holder[i]->fd);
	fprintf(out, "%s\"%s];\n", n > 8 ? " \xe2\x80\xa6" : "", holder[0]->state == ROW_DISABLED ? ", style=dashed" : "");
	return n;
}

static int put_holders(FILE *out, const struct rows *rows)
{
	const struct row **holder = calloc(rows->len + 1, sizeof(*holder));
	size_t n = 0;

	if (!holder)
		return -ENOMEM;
	for (size_t i = 0; i < rows->len; i++)
		if (rows->row[i].has & TW_HAS_TASK)
			holder[n++] = &rows->row[i];
	qsort(holder, n, sizeof(*holder), by_pid);
	for (size_t i = 0; i < n; i++)
		if (!i || node_pid(holder[i - 1]) != node_pid(holder[i]))
			put_process(out, holder[i]);
	for (size_t i = 0; i < n;)
		i += put_edge(out, &holder[i], n - i);
	free(holder);
	return 0;
}

int out_dot(FILE *out, const struct rows *rows)
{
	int err;

	/* a line of text a node, close to each other: fifty machines are to fit on a sheet of paper */
	fprintf(out, "graph tapwatch {\n  rankdir=LR;\n  ranksep=1.2;\n  nodesep=0.07;\n"
		"  node [fontname=\"sans-serif\", fontsize=11, shape=box, style=filled, color=\"#777777\", height=0.26, "
		"margin=\"0.08,0.02\", width=1.2, fillcolor=\"#e9f5e2\"];\n"
		"  edge [fontname=\"sans-serif\", fontsize=9, color=\"#555555\"];\n"
		"  graph [fontname=\"sans-serif\", fontsize=11, style=\"rounded\", color=\"#888888\"];\n");
	err = put_holders(out, rows);
	for (size_t i = 0, n; i < rows->len && !err; i += n) {
		for (n = 1; i + n < rows->len && same_place(&rows->row[i], &rows->row[i + n]);)
			n++;
		if (rows->row[i].has & TW_HAS_DEV)
			put_place(out, &rows->row[i], n);
	}
	fprintf(out, "}\n");
	errno = 0;
	if (!err && ferror(out))
		err = errno ? -errno : -EIO;
	return err;
}
