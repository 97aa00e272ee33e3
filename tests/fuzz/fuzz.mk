# SPDX-License-Identifier: GPL-2.0-only
#
# make fuzz         each fuzzer for FUZZ_SECONDS (300); needs clang. What it finds: build/fuzz/

FUZZ_SECONDS ?= 300
FUZZ_CFLAGS = -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -g -O1 -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined -I. $(shell $(PKG_CONFIG) --cflags $(LIBS))

# Which sources each fuzzer is made of, beside its own, and its corpus.
fuzz_vm := $(VM_SOURCES)
corpus_vm := tests/data/cmdlines

FUZZERS := vm

build/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $$(foreach s,$$(fuzz_$$*),user/$$(s).c) $(wildcard tests/unit/*.h user/*.h) | build/fuzz
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -o $@ $(filter %.c,$^) $(shell $(PKG_CONFIG) --libs $(LIBS))

# New inputs go to the first directory, the corpus itself stays as it is.
.PHONY: fuzz
fuzz: $(FUZZERS:%=build/fuzz/fuzz_%)
	$(Q)set -e; $(foreach f,$(FUZZERS),mkdir -p build/fuzz/$(f); \
		build/fuzz/fuzz_$(f) -max_total_time=$(FUZZ_SECONDS) -timeout=10 -max_len=16384 -print_final_stats=1 \
		-dict=tests/fuzz/$(f).dict -artifact_prefix=build/fuzz/$(f)- build/fuzz/$(f) $(corpus_$(f));)

build/fuzz:
	$(Q)mkdir -p $@
