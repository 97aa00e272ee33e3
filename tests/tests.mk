# SPDX-License-Identifier: GPL-2.0-only
#
# make test         everything: unit tests, live tests on this kernel, the kernels in VMs
# make test-unit    unit tests only (no root, no kernel)
# make test-live    live tests on this kernel (root)
# make test-vm      live tests on the kernels of tests/vm/kernels
# make chaos        random operations, see below; not part of make test, but a short run of it is
# make fuzz         fuzzers, five minutes each; not part of make test
# One at a time: prove build/t/NAME.t, after make tests

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
# Not `:=`: pkg-config is to be asked only when a test is built, plain make needs no cmocka.
UNIT_CFLAGS = -std=gnu11 -D_GNU_SOURCE -Wall -Wextra $(if $(WERROR),-Werror) -g -O1 $(SANITIZE) -I. -Itests/unit $(CPPFLAGS) \
	$(shell $(PKG_CONFIG) --cflags $(LIBS) cmocka)
UNIT_LDLIBS = $(shell $(PKG_CONFIG) --libs $(LIBS) cmocka)

# Which sources each unit test is made of, beside its own.
VM_SOURCES := vm vm_qemu vm_cloud_hypervisor vm_firecracker vm_crosvm vm_other vm_roles
EVENT_SOURCES := event machines packets rtnl vm_track table process netns $(VM_SOURCES)
OUT_SOURCES := escape names $(EVENT_SOURCES)
unit_bindings := bindings bindings_chain bindings_dev bindings_fd bindings_fd_scan bindings_file bindings_ioctl bindings_scan bindings_table table names
unit_bindings_fd := $(unit_bindings)
unit_bindings_scan := $(unit_bindings)
unit_bindings_soup := $(unit_bindings)
unit_escape := escape
unit_when := when escape
unit_cursor := cursor
unit_boot := boot
unit_process := process $(VM_SOURCES)
unit_vm := escape $(VM_SOURCES)
unit_vm_track := vm_track table process names $(VM_SOURCES)
unit_packets := packets
unit_vm_stats := vm_stats table names
unit_filter := filter $(OUT_SOURCES)
unit_out := out_json out_text $(OUT_SOURCES)
unit_xml := xml escape
unit_timeline := out_timeline xml out_json out_text embed $(OUT_SOURCES)
unit_journal := journal out_json out_text $(OUT_SOURCES)
unit_netns := netns
unit_proc_scan := proc_scan inject netns
unit_labels := labels netns
unit_rows := rows labels filter $(unit_bindings) escape $(EVENT_SOURCES)
unit_reconcile := reconcile rows labels $(unit_bindings) escape $(EVENT_SOURCES)
unit_replay := replay rows labels $(unit_bindings) escape $(EVENT_SOURCES)
unit_fields := fields out_table rows labels out_json $(unit_bindings) escape $(EVENT_SOURCES)
HISTORY_SOURCES := $(patsubst user/%.c,%,$(wildcard user/history_*.c)) privilege
unit_report := report_data report_chosen filter out_text $(HISTORY_SOURCES) out_json $(unit_bindings) escape $(EVENT_SOURCES)
unit_history := $(HISTORY_SOURCES) out_json $(unit_bindings) escape $(EVENT_SOURCES)

UNIT_TESTS := $(patsubst unit_%,%,$(filter unit_%,$(.VARIABLES)))
UNIT_PROGRAMS := $(UNIT_TESTS:%=build/tests/test_%)

# Many tests are made of the same sources: each is compiled once.
build/san/%.o: user/%.c | build/san
	$(call say,CC,$@)
	$(Q)$(CC) $(UNIT_CFLAGS) -MMD -MP -c -o $@ $<
build/san/%.o: tests/unit/%.c | build/san
	$(call say,CC,$@)
	$(Q)$(CC) $(UNIT_CFLAGS) -MMD -MP -c -o $@ $<
build/san/embed.o: build/embed.o | build/san
	$(Q)cp $< $@
build/san:
	$(Q)mkdir -p $@
-include $(wildcard build/san/*.d)

.SECONDEXPANSION:
$(UNIT_PROGRAMS): build/tests/test_%: build/san/test_%.o $$(foreach s,$$(unit_$$*),build/san/$$(s).o) | build/tests
	$(call say,TEST,$@)
	$(Q)$(CC) $(UNIT_CFLAGS) -o $@ $^ $(UNIT_LDLIBS)

# Fixtures of the live tests. tap32 is a 32-bit program without libc: no multilib packages.
HELPERS := build/tests/tapfix build/tests/tap32 build/tests/busy_target build/tests/seccomp_target \
	build/tests/tables_target build/tests/seed_dump build/tests/chaos build/tests/history_feed \
	build/tests/report_feed
build/tests/busy_target build/tests/seccomp_target build/tests/tables_target: build/tests/%: tests/helpers/%.c | build/tests
	$(call say,TEST,$@)
	$(Q)$(CC) -std=gnu11 -Wall -Wextra $(if $(WERROR),-Werror) -g -O1 -pthread -o $@ $<
# Drives the seed back-ends: the program without its commands
build/tests/seed_dump: tests/live/seed_dump.c $(filter-out build/main.o,$(OBJECTS)) | build/tests
	$(call say,TEST,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LDLIBS)
# Made-up events into a history, without a kernel: the program without its commands
build/tests/history_feed: tests/helpers/history_machines.c tests/helpers/history_machines.h
build/tests/history_feed build/tests/report_feed: build/tests/%: tests/helpers/%.c tests/unit/facts.h $(filter-out build/main.o,$(OBJECTS)) | build/tests
	$(call say,TEST,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.c %.o,$^) $(ALL_LDLIBS)
build/tests/tapfix: $(wildcard tests/helpers/tapfix/*) | build/tests
	$(call say,TEST,$@)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra $(if $(WERROR),-Werror) -g -O1 -pthread -o $@ $(filter %.c,$^)
build/tests/tap32: tests/helpers/tap32.c | build/tests
	$(call say,TEST,$@)
	$(Q)$(CC) -m32 -static -nostdlib -ffreestanding -fno-stack-protector -O1 -Wall -Wextra -o $@ $<
# Static and at fixed addresses: it execs itself a lot, and its processes share pointers.
build/tests/chaos: $(wildcard tests/chaos/*.c) tests/chaos/chaos.h | build/tests
	$(call say,TEST,$@)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra $(if $(WERROR),-Werror) -g -O1 -pthread -static -no-pie \
		-o $@ $(filter %.c,$^)

# Live tests in C against the modules themselves
build/tests/test_rtnl: tests/live/test_rtnl.c user/rtnl.c user/rtnl_monitor.c user/netns.c | build/tests
	$(call say,TEST,$@)
	$(Q)$(CC) $(UNIT_CFLAGS) -o $@ $(filter %.c,$^) $(UNIT_LDLIBS)

build/tests:
	$(Q)mkdir -p $@

.PHONY: tests test test-unit test-live test-vm chaos
tests: tapwatch $(UNIT_PROGRAMS) $(HELPERS) build/tests/test_rtnl build/bench/syscalls
	$(Q)tests/plan

test: tests
	$(Q)tests/run unit live vm
test-unit: $(UNIT_PROGRAMS)
	$(Q)tests/plan
	$(Q)tests/run unit
test-live: tests
	$(Q)tests/run live
test-vm: tests
	$(Q)tests/run vm

# Random operations: make chaos OPS=200000 SEED=17 BACKEND=fentry EVERY=1000 [OVERFLOW=1] [KEEP=DIR] [KERNEL=6.12]
chaos: tests
	$(Q)$(if $(KERNEL),tests/vm/run --timeout 86400 --env TW_TIMEOUT_FACTOR=12 $(if $(KEEP),--share $(KEEP)) $(KERNEL) --) \
		tests/live/chaos.py --verbose --ops $(or $(OPS),20000) --every $(or $(EVERY),500) \
		--backend $(or $(BACKEND),auto) $(if $(SEED),--seed $(SEED)) $(if $(OVERFLOW),--overflow) \
		$(if $(KEEP),--keep $(abspath $(KEEP)))

include tests/bench/bench.mk
include tests/fuzz/fuzz.mk
