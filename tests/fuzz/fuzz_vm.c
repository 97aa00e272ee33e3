// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz_vm.c - the recognisers on any process. The input is the text of a case
 * (tests/unit/vm_case.h), so that tests/data/cmdlines is the corpus.
 */
#include "../unit/vm_case.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_process p;
	struct vm_case c;
	char *argv;

	if (!vm_case_read(&c, (const char *)data, size))
		return 0;
	p = c.process;
	/* a block of its own, so that reading behind the end shows */
	argv = malloc(p.argv_len + 1);
	if (argv) {
		memcpy(argv, p.argv, p.argv_len);
		argv[p.argv_len] = '\0';
		p.argv = argv;
		vm_free(vm_recognise(&p));
		vm_forks(&p);
	}
	free(argv);
	vm_case_free(&c);
	return 0;
}
