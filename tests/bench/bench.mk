# SPDX-License-Identifier: GPL-2.0-only
#
# make bench          the first two of these
# make bench-list     what `list` costs beside other ways to the same answer (root; lsof, lsfd, gdb, ip)
# make bench-history  what recording costs, and questions to a history of ten million events (2.5 GB in /var/tmp)
# make bench-hooks    what the hooks add to system calls, in instructions of a guest (KERNELS="6.12 7.x")

BENCH_PROGRAMS := build/bench/crowd build/bench/walk build/bench/measure
BENCH_CFLAGS := -std=gnu11 -D_GNU_SOURCE -Wall -Wextra $(if $(WERROR),-Werror) -g -O2

build/bench/crowd build/bench/measure build/bench/syscalls: build/bench/%: tests/bench/%.c | build/bench
	$(call say,BENCH,$@)
	$(Q)$(CC) $(BENCH_CFLAGS) -o $@ $<

# The project's own iterator, with nothing around it.
build/bench/walk: tests/bench/walk.c $(filter-out build/main.o,$(OBJECTS)) | build/bench
	$(call say,BENCH,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LDLIBS)

build/bench:
	$(Q)mkdir -p $@

.PHONY: bench bench-list bench-history
bench: bench-list bench-history
bench-list: tapwatch $(BENCH_PROGRAMS)
	$(Q)tests/bench/list
bench-history: tapwatch build/tests/history_feed
	$(Q)tests/bench/history

.PHONY: bench-hooks
bench-hooks: tapwatch build/bench/syscalls
	$(Q)for kernel in $(or $(KERNELS),6.12 7.x); do tests/vm/run --icount $$kernel -- tests/bench/hooks fentry || exit; done
