// SPDX-License-Identifier: GPL-2.0-only
/* cmd_verify.c - is the history as it was written? */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "diag.h"
#include "history.h"
#include "options.h"

static const char help[] =
	"Usage: tapwatch verify [OPTION...]\n\n"
	"Walks the hash chain of the history database and names the first record that is not as it was\n"
	"written. The head that it prints, kept elsewhere, proves later that nothing up to it was\n"
	"exchanged: --anchor.\n";

struct anchor {
	uint64_t seq;		/* 0: not given */
	uint8_t hash[HISTORY_HASH_LEN];
};

/* "17:64 hex digits" or the digits alone: 0 or -EINVAL. */
static int parse_anchor(const char *word, struct anchor *anchor)
{
	const char *colon = strchr(word, ':');
	char *end;

	anchor->seq = 0;
	if (colon) {
		anchor->seq = strtoull(word, &end, 10);
		if (end != colon || !anchor->seq)
			return -EINVAL;
		word = colon + 1;
	}
	if (strlen(word) != 2 * HISTORY_HASH_LEN || strspn(word, "0123456789abcdefABCDEF") != 2 * HISTORY_HASH_LEN)
		return -EINVAL;
	for (size_t i = 0; i < HISTORY_HASH_LEN; i++) {
		const char pair[3] = { word[2 * i], word[2 * i + 1], '\0' };

		anchor->hash[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return 0;
}

static const char *hex(const uint8_t hash[HISTORY_HASH_LEN], char text[2 * HISTORY_HASH_LEN + 1])
{
	for (size_t i = 0; i < HISTORY_HASH_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	return text;
}

/* Why the anchor does not hold; NULL: it does, or none was given. */
static const char *anchor_fault(const struct anchor *anchor, const struct history_verdict *v)
{
	if (!anchor)
		return NULL;
	if (v->anchor_found)
		return anchor->seq && anchor->seq != v->anchor_seq ? "it stands after another event than it says" : NULL;
	if (anchor->seq && anchor->seq < v->first)
		return "it is of an event that retention has removed: it cannot be checked any more";
	return "the chain does not lead through it: the records up to it are not those that were written then";
}

static void put_uint(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static void put_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

static void put_anchor(struct json_object *object, const struct history_verdict *v, const char *fault)
{
	struct json_object *inner = json_object_new_object();

	json_object_object_add(inner, "found", json_object_new_boolean(!fault));
	if (v->anchor_found)
		put_uint(inner, "seq", v->anchor_seq);
	if (fault)
		put_text(inner, "reason", fault);
	json_object_object_add(object, "anchor", inner);
}

static void print_json(const struct history_verdict *v, const struct anchor *anchor, const char *fault)
{
	struct json_object *object = json_object_new_object();
	char text[2 * HISTORY_HASH_LEN + 1];

	json_object_object_add(object, "ok", json_object_new_boolean(v->ok && !fault));
	put_uint(object, "first", v->first);
	put_uint(object, "last", v->last);
	put_uint(object, "rows", v->rows);
	if (v->pruned_before)
		put_uint(object, "pruned_before", v->pruned_before);
	if (v->ok) {
		put_text(object, "head", hex(v->hash, text));
	} else {
		put_uint(object, "bad_seq", v->bad_seq);
		put_text(object, "reason", v->reason);
	}
	if (anchor && v->ok)
		put_anchor(object, v, fault);
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

static void print_text(const struct history_verdict *v, const struct anchor *anchor, const char *fault)
{
	char text[2 * HISTORY_HASH_LEN + 1];

	if (!v->ok) {
		printf("BAD: event %" PRIu64 ": %s\n", v->bad_seq, v->reason);
		return;
	}
	if (v->last >= v->first)
		printf("%s: events %" PRIu64 " to %" PRIu64 ", %" PRIu64 " rows\n", fault ? "whole in itself" : "ok", v->first,
		       v->last, v->rows);
	else
		printf("%s: no events\n", fault ? "whole in itself" : "ok");
	if (v->pruned_before)
		printf("events before %" PRIu64 " were removed by retention\n", v->pruned_before);
	if (fault)
		printf("BAD: anchor: %s\n", fault);
	else if (anchor)
		printf("the anchor stands after event %" PRIu64 "\n", v->anchor_seq);
	printf("head %" PRIu64 ":%s\n", v->last, hex(v->hash, text));
}

static int verify(const struct options *o, const struct anchor *anchor)
{
	struct history_verdict verdict;
	struct history_reader *reader;
	const char *fault;
	char err[1024];
	int ret;

	if (history_reader_open(&reader, o->db, err, sizeof(err))) {
		warn_msg("%s", err);
		return EXIT_FAILED;
	}
	ret = history_verify(reader, anchor ? anchor->hash : NULL, &verdict);
	history_reader_close(reader);
	if (ret) {
		warn_msg("cannot read %s: %s", o->db, ret == -EUCLEAN ? "it is damaged" : strerror(-ret));
		return EXIT_FAILED;
	}
	fault = verdict.ok ? anchor_fault(anchor, &verdict) : NULL;
	if (o->json)
		print_json(&verdict, anchor, fault);
	else
		print_text(&verdict, anchor, fault);
	return verdict.ok && !fault ? EXIT_FINE : EXIT_FAILED;
}

int cmd_verify(int argc, char **argv)
{
	struct anchor anchor;
	struct options options;
	int status = options_parse(&options, OPT_DB | OPT_VERIFY | OPT_JSON, argc, argv, help);

	if (status >= 0)
		return status;
	if (options.first_operand < argc)
		status = usage_error("verify", "unexpected argument '%s'", argv[options.first_operand]);
	else if (options.anchor && parse_anchor(options.anchor, &anchor))
		status = usage_error("verify", "'%s' is no anchor: give the 64 digits of a head, or SEQ:DIGITS", options.anchor);
	else
		status = verify(&options, options.anchor ? &anchor : NULL);
	options_free(&options);
	return status;
}
