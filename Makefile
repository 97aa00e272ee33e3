# SPDX-License-Identifier: GPL-2.0-only
#
# make            build ./tapwatch
# make install    DESTDIR=… PREFIX=/usr/local
# make test       unit tests, live tests on this kernel (root), kernels in VMs
# make deps       install what building needs (Debian, root); make test-deps: what testing needs, too
# V=1             show commands          CC=clang    another compiler
# WERROR=1        warnings are errors         SYSTEMD=    without libsystemd

PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config

# Libraries, as pkg-config knows them
LIBS := libbpf libmnl json-c libcap-ng smartcols sqlite3 libcrypto libseccomp

# Optional: the journal of systemd. SYSTEMD= builds without it.
SYSTEMD ?= $(shell $(PKG_CONFIG) --exists libsystemd 2>/dev/null && echo 1)
ifneq ($(SYSTEMD),)
LIBS += libsystemd
CPPFLAGS += -DHAVE_LIBSYSTEMD
endif

# The architecture the programs run on; override for a cross build.
ARCH ?= $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')

CFLAGS ?= -O2 -g
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -Wall -Wextra $(if $(WERROR),-Werror) -Ibuild -I. \
	$(shell $(PKG_CONFIG) --cflags $(LIBS)) $(CPPFLAGS) $(CFLAGS)
ALL_LDLIBS := $(shell $(PKG_CONFIG) --libs $(LIBS)) $(LDLIBS)
BPF_CFLAGS := -g -O2 -target bpf -D__TARGET_ARCH_$(ARCH) -Wall $(if $(WERROR),-Werror)

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n' $(1) $(2)
endif

SOURCES := $(sort $(wildcard user/*.c))
OBJECTS := $(SOURCES:user/%.c=build/%.o) build/embed.o
BPF_SOURCES := $(wildcard bpf/* vmlinux/*.h vmlinux/*/*.h)

.PHONY: all
all: tapwatch

tapwatch: $(OBJECTS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LDLIBS)

build/%.o: user/%.c build/tapwatch.skel.h build/scan.lskel.h | build
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The page of `report` and styles of pictures: files that stay files, made part of the program.
build/embed.o: $(wildcard user/report/*) | build
	$(call say,AS,user/report/embed.S)
	$(Q)$(CC) $(ALL_CFLAGS) -Iuser/report -c -o $@ user/report/embed.S

# The kernel that runs here is not asked: types come from vmlinux/, offsets at load time.
build/%.bpf.o: bpf/%.bpf.c $(BPF_SOURCES) | build
	$(call say,BPF,$<)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c -o build/$*.tmp.o $<
	$(Q)$(BPFTOOL) gen object $@ build/$*.tmp.o
	$(Q)rm -f build/$*.tmp.o

build/tapwatch.skel.h: build/tapwatch.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name tapwatch_bpf > $@.tmp
	$(Q)mv $@.tmp $@

build/scan.lskel.h: build/scan.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton -L $< name scan_bpf > $@.tmp
	$(Q)mv $@.tmp $@

build:
	$(Q)mkdir -p $@

-include $(OBJECTS:.o=.d)

.PHONY: install install-service
install: tapwatch install-service
	install -D -m 755 tapwatch $(DESTDIR)$(SBINDIR)/tapwatch
	install -D -m 644 man/tapwatch.8 $(DESTDIR)$(MANDIR)/man8/tapwatch.8

# Not started, nor enabled.
install-service:
	install -d $(DESTDIR)$(UNITDIR)
	sed 's|/usr/sbin/tapwatch|$(SBINDIR)/tapwatch|' contrib/tapwatch.service >$(DESTDIR)$(UNITDIR)/tapwatch.service
	chmod 644 $(DESTDIR)$(UNITDIR)/tapwatch.service

.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/tapwatch $(DESTDIR)$(MANDIR)/man8/tapwatch.8 $(DESTDIR)$(UNITDIR)/tapwatch.service

.PHONY: clean
clean:
	rm -rf build tapwatch

# Where make itself is not there yet: contrib/install-deps, contrib/live, contrib/test.
.PHONY: deps test-deps
deps:
	$(Q)contrib/install-deps build
test-deps:
	$(Q)contrib/install-deps build test

include tests/tests.mk
