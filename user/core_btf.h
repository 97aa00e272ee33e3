/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * core_btf.h - the part of the kernel's BTF that an object's CO-RE relocations
 * can refer to.
 *
 * libbpf looks for each type that a program uses by comparing its name with
 * all names of the kernel's (more than 100,000 types), and when it is a
 * module's, with those of all modules. That is most of the time that loading
 * takes. In a BTF of some hundred types it takes none.
 */
#ifndef TW_CORE_BTF_H
#define TW_CORE_BTF_H

struct btf;

/*
 * Copies from `kernel`, and from the BTF of the modules, all types whose name
 * is that of a type in `object`, whatever stands behind "___" there. What they
 * contain is copied with them; what they point to is not: pointers are void *.
 * So offsets, sizes and the existence of fields are as in the kernel, but ids
 * of types are not (bpf_core_type_id_kernel() would be wrong).
 *
 * Gives an fd of a memory file with the result, or a negative errno. modules
 * is NULL-terminated; one that is not there or has no BTF is skipped.
 */
int core_btf_make(const struct btf *object, struct btf *kernel, const char *const modules[]);

#endif /* TW_CORE_BTF_H */
