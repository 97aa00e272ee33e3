// SPDX-License-Identifier: GPL-2.0-only
/* core_btf.c - see core_btf.h. */
#include "core_btf.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Names that are wanted: open addressing. Their text belongs to the object's BTF. */
struct name {
	const char *text;
	size_t len;
	unsigned int found;	/* in which BTF: copy.number; 0 not yet */
};

struct names {
	struct name *slot;
	size_t size;		/* power of two, more than twice the number of names */
};

/* From one BTF to the new one. */
struct copy {
	const struct btf *from;
	unsigned int number;	/* of `from`, from 1 */
	struct btf *to;
	uint32_t *ids;		/* by id in `from`: id in `to`, 0 not copied yet */
	int void_pointer;	/* id in `to`, 0 not there yet */
	struct names names;
};

/* ---- names ---- */

/* Without the flavour: bpf_core_essential_name_len() */
static size_t essential_len(const char *name)
{
	const char *flavour = strstr(name, "___");

	return flavour && flavour != name ? (size_t)(flavour - name) : strlen(name);
}

static struct name *find_name(const struct names *names, const char *text, size_t len)
{
	size_t hash = 5381;

	for (size_t i = 0; i < len; i++)
		hash = hash * 33 + (unsigned char)text[i];
	for (hash &= names->size - 1;; hash = (hash + 1) & (names->size - 1)) {
		struct name *name = &names->slot[hash];

		if (!name->text || (name->len == len && !memcmp(name->text, text, len)))
			return name;
	}
}

/* What a relocation can name: bpf_core_is_flavor_sep() and the kinds of bpf_core_kind_compat. */
static bool can_be_root(const struct btf_type *t)
{
	return t->name_off && (btf_is_composite(t) || btf_is_any_enum(t) || btf_is_typedef(t));
}

static int collect_names(struct names *names, const struct btf *object)
{
	unsigned int n = btf__type_cnt(object);

	for (names->size = 64; names->size <= 2 * (size_t)n; names->size *= 2)
		;
	names->slot = calloc(names->size, sizeof(*names->slot));
	if (!names->slot)
		return -ENOMEM;
	for (unsigned int id = 1; id < n; id++) {
		const struct btf_type *t = btf__type_by_id(object, id);
		const char *text = btf__name_by_offset(object, t->name_off);

		if (can_be_root(t) && text)
			*find_name(names, text, essential_len(text)) =
				(struct name){ .text = text, .len = essential_len(text) };
	}
	return 0;
}

/* ---- types; each copier gives the id of the copy, or a negative errno ---- */

static int copy_type(struct copy *c, uint32_t id);

static const char *name_of(const struct copy *c, uint32_t offset)
{
	return btf__name_by_offset(c->from, offset);
}

static int copy_pointer(struct copy *c)
{
	if (!c->void_pointer)
		c->void_pointer = btf__add_ptr(c->to, 0);
	return c->void_pointer;
}

static int copy_array(struct copy *c, const struct btf_type *t)
{
	const struct btf_array *array = btf_array(t);
	int element = copy_type(c, array->type);
	int index = element < 0 ? element : copy_type(c, array->index_type);

	return index < 0 ? index : btf__add_array(c->to, index, element, array->nelems);
}

/* Members first: a type is added with its fields at once. By value there are no circles. */
static int copy_composite(struct copy *c, const struct btf_type *t)
{
	const struct btf_member *member = btf_members(t);
	int id, field, err = 0;

	for (int i = 0; i < btf_vlen(t); i++) {
		field = copy_type(c, member[i].type);
		if (field < 0)
			return field;
	}
	id = btf_is_struct(t) ? btf__add_struct(c->to, name_of(c, t->name_off), t->size) :
				btf__add_union(c->to, name_of(c, t->name_off), t->size);
	for (int i = 0; id > 0 && !err && i < btf_vlen(t); i++) {
		field = copy_type(c, member[i].type);	/* known by now */
		err = btf__add_field(c->to, name_of(c, member[i].name_off), field, btf_member_bit_offset(t, i),
				     btf_member_bitfield_size(t, i));
	}
	return err ? err : id;
}

static int copy_enum(struct copy *c, const struct btf_type *t)
{
	int id = btf__add_enum(c->to, name_of(c, t->name_off), t->size), err = 0;

	for (int i = 0; id > 0 && !err && i < btf_vlen(t); i++)
		err = btf__add_enum_value(c->to, name_of(c, btf_enum(t)[i].name_off), btf_enum(t)[i].val);
	return err ? err : id;
}

static int copy_enum64(struct copy *c, const struct btf_type *t)
{
	int id = btf__add_enum64(c->to, name_of(c, t->name_off), t->size, btf_kflag(t)), err = 0;

	for (int i = 0; id > 0 && !err && i < btf_vlen(t); i++)
		err = btf__add_enum64_value(c->to, name_of(c, btf_enum64(t)[i].name_off),
					    btf_enum64_value(&btf_enum64(t)[i]));
	return err ? err : id;
}

static int copy_typedef(struct copy *c, const struct btf_type *t)
{
	int id = copy_type(c, t->type);

	return id < 0 ? id : btf__add_typedef(c->to, name_of(c, t->name_off), id);
}

static int copy_new(struct copy *c, const struct btf_type *t)
{
	switch (btf_kind(t)) {
	case BTF_KIND_INT:
		return btf__add_int(c->to, name_of(c, t->name_off), t->size, btf_int_encoding(t));
	case BTF_KIND_FLOAT:
		return btf__add_float(c->to, name_of(c, t->name_off), t->size);
	case BTF_KIND_PTR:
		return copy_pointer(c);
	case BTF_KIND_ARRAY:
		return copy_array(c, t);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return copy_composite(c, t);
	case BTF_KIND_ENUM:
		return copy_enum(c, t);
	case BTF_KIND_ENUM64:
		return copy_enum64(c, t);
	case BTF_KIND_TYPEDEF:
		return copy_typedef(c, t);
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		return copy_type(c, t->type);	/* relocations look through them */
	default:
		return 0;	/* a function's type, by typedef: nothing refers to it by value */
	}
}

/* 0 for void. */
static int copy_type(struct copy *c, uint32_t id)
{
	const struct btf_type *t;
	int copied;

	if (!id || c->ids[id])
		return (int)c->ids[id];
	t = btf__type_by_id(c->from, id);
	copied = t ? copy_new(c, t) : -EINVAL;
	if (copied > 0)
		c->ids[id] = (uint32_t)copied;
	return copied;
}

/* ---- */

/* All types from id `first` on that have a wanted name, unless an earlier BTF had it: as libbpf chooses. */
static int copy_wanted(struct copy *c, const struct btf *from, unsigned int first)
{
	unsigned int n = btf__type_cnt(from);
	int err = 0;

	c->from = from;
	c->number++;
	c->ids = calloc(n, sizeof(*c->ids));
	if (!c->ids)
		return -ENOMEM;
	for (unsigned int id = first; id < n && err >= 0; id++) {
		const struct btf_type *t = btf__type_by_id(from, id);
		const char *text = can_be_root(t) ? btf__name_by_offset(from, t->name_off) : NULL;
		struct name *name = text ? find_name(&c->names, text, essential_len(text)) : NULL;

		if (!name || !name->text || (name->found && name->found != c->number))
			continue;
		name->found = c->number;
		err = copy_type(c, id);
	}
	free(c->ids);
	return err < 0 ? err : 0;
}

static int copy_all(struct copy *c, struct btf *kernel, const char *const modules[])
{
	int err = copy_wanted(c, kernel, 1);

	for (size_t i = 0; !err && modules[i]; i++) {
		struct btf *module = btf__load_module_btf(modules[i], kernel);

		if (module)
			err = copy_wanted(c, module, btf__type_cnt(kernel));
		btf__free(module);
	}
	return err;
}

static int write_file(const struct btf *btf)
{
	uint32_t size;
	const char *data = btf__raw_data(btf, &size);
	int fd = data ? memfd_create("tapwatch-btf", MFD_CLOEXEC) : -1;
	ssize_t n = 1;

	if (fd < 0)
		return data ? -errno : -ENOMEM;
	while (size && n > 0) {
		n = write(fd, data, size);
		if (n > 0) {
			data += n;
			size -= (uint32_t)n;
		}
	}
	if (!size)
		return fd;
	close(fd);
	return -EIO;
}

int core_btf_make(const struct btf *object, struct btf *kernel, const char *const modules[])
{
	struct copy c = { .to = btf__new_empty() };
	int err = c.to ? collect_names(&c.names, object) : -ENOMEM;

	if (!err)
		err = copy_all(&c, kernel, modules);
	if (!err)
		err = write_file(c.to);
	free(c.names.slot);
	btf__free(c.to);
	return err;
}
