# clm - programs that convert, quantize, tokenize, run, score and serve language models.
#
#   make              programs in build/
#   make check        every test          make check-X      suite or .t file X
#   make bench        time the hot calls  make fuzz-smoke   seconds per parser
#   make check-shared with ../shared      make install      PREFIX= DESTDIR=
#
# SAN=1 builds under the address and undefined behaviour sanitizers, into
# build/san. CC, CPPFLAGS, CFLAGS, LDFLAGS and BUILD are yours; WERROR= lets
# an unknown compiler warn. A new file needs no edit here.

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

BUILD  ?= build
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
WERROR ?= -Werror
ifeq ($(origin CC),default)
CC := gcc
endif

B := $(BUILD)$(if $(SAN),/san)

# ---- rooms, left to right, and what each may see (nearest first)
ROOMS := util tensor format text exec kv model gen convert store serve
SEES_util    := util
SEES_tensor  := tensor util
SEES_format  := format tensor util
SEES_text    := text format tensor util
SEES_exec    := exec tensor util
SEES_kv      := kv exec format tensor util
SEES_model   := model kv exec format tensor util
SEES_gen     := gen model kv exec text format tensor util
SEES_convert := convert gen model kv exec text format tensor util
SEES_store   := store util
SEES_serve   := serve store convert gen model kv exec text format tensor util

# ---- compilers and libraries; CLBlast is opened at run time, by who asks for it
PKGS  := libzip libcjson OpenCL libutf8proc libpcre2-8 libcrypto libmicrohttpd yaml-0.1 sqlite3 libcurl
CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
X86   := $(filter x86_64,$(firstword $(subst -, ,$(shell $(CC) -dumpmachine))))

comma     := ,
SANITIZE  := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all \
             -fno-omit-frame-pointer)
# kernels are long once unrolled: under the sanitizers they are built for
# their accesses alone, else they would take most of the build
TUNE_K     := $(if $(SAN),-O1 -fsanitize=address -fno-omit-frame-pointer,-O3) -g1
WARN      := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes $(WERROR)
PKG_C     := $(shell pkg-config --cflags $(PKGS))
PKG_LD    := $(shell pkg-config --libs $(PKGS))
COMMON    := -D_GNU_SOURCE -Ilibcore -pthread $(PKG_C)
COMPILE    = $(CC) -std=c11 $(COMMON) $(WARN) -ffp-contract=off $(CPPFLAGS) $(CFLAGS) $(SANITIZE) -MMD -MP
COMPILE_K  = $(CC) -std=gnu11 -D_GNU_SOURCE -Ikernels -Ilibcore -Wall -Wextra $(WERROR) -Wno-psabi \
             -Wno-unknown-pragmas $(CPPFLAGS) $(CFLAGS) $(TUNE_K) -MMD -MP -ffp-contract=fast
LINK       = $(CC) $(CFLAGS) $(SANITIZE) $(LDFLAGS) -pthread -Wl,--as-needed
LIBS       = $(PKG_LD) $(LDLIBS) -lm

# ---- sources
sources  = $(filter-out %_check.c,$(wildcard libcore/$1/*.c))
objects  = $(patsubst %.c,$(B)/%.o,$1)
CHECKS  := $(wildcard libcore/*/*_check.c)
SUITES  := $(patsubst %_check.c,%,$(notdir $(CHECKS)))
CMDS    := $(patsubst cmd/%.c,%,$(wildcard cmd/clm-*.c))
CLI     := $(filter-out cmd/clm-%,$(wildcard cmd/*.c))
HAVE    := $(foreach r,$(ROOMS),$(if $(call sources,$r),$r))
TAPS    := $(wildcard tests/*.t tests/cmd/*.t)
SHARED  := $(abspath ../shared)

.PHONY: all
all: $(B)/libcore.a $(CMDS:%=$(B)/%)

# ---- kernels: a text for OpenCL, and for CPUs an object per instruction set
LEVELS := plain $(if $(X86),v2 v3 v4 v4vnni)
WIDE   := $(if $(CLANG),-mprefer-vector-width=512)
LEVEL_plain  := -DISA=plain
LEVEL_v2     := -DISA=v2 -march=x86-64-v2
LEVEL_v3     := -DISA=v3 -march=x86-64-v3
LEVEL_v4     := -DISA=v4 -march=x86-64-v4 $(WIDE)
LEVEL_v4vnni := -DISA=v4vnni -march=x86-64-v4 -mavx512vnni $(WIDE)

# the matrix unit's rows go with v4vnni's
LEVEL_v4amx  := -DISA=v4amx -march=x86-64-v4 -mavx512vnni -mavx512vbmi -mavx512bf16 \
                -mamx-tile -mamx-bf16 -mamx-int8 $(WIDE)
AMX_KERNELS  := $(if $(X86),$(patsubst kernels/amx/%.c,%,$(wildcard kernels/amx/*.c)))

KERNELS     := $(wildcard $(foreach d,kernels kernels/cpu kernels/nvidia,$d/*.cl $d/*.clh $d/*.h))
CPU_KERNELS := $(patsubst kernels/cpu/%.cl,%,$(wildcard kernels/cpu/*.cl))
KERNEL_OBJS := $(foreach k,$(CPU_KERNELS),$(LEVELS:%=$(B)/kernels/$k.%.o)) $(B)/kernels/texts.o \
               $(AMX_KERNELS:%=$(B)/kernels/%.v4amx.o)

define level_rule
$(B)/kernels/%.$1.o: kernels/cpu/%.cl $(B)/flags
	@mkdir -p $$(@D)
	$$(COMPILE_K) $(LEVEL_$1) -MT $$@ -c -x c $$< -o $$@
endef
$(foreach l,$(LEVELS),$(eval $(call level_rule,$l)))

$(B)/kernels/%.v4amx.o: kernels/amx/%.c $(B)/flags
	@mkdir -p $(@D)
	$(COMPILE_K) $(LEVEL_v4amx) -c $< -o $@

$(B)/kernels/texts.c: scripts/embed-kernels $(KERNELS)
	@mkdir -p $(@D)
	scripts/embed-kernels kernels > $@.new && mv $@.new $@

$(B)/kernels/texts.o: $(B)/kernels/texts.c $(B)/flags
	$(COMPILE) -c $< -o $@

# ---- the server's page, embedded
PAGE := $(wildcard libcore/serve/page/*)

$(B)/serve/page.c: scripts/embed-page $(PAGE)
	@mkdir -p $(@D)
	scripts/embed-page libcore/serve/page > $@.new && mv $@.new $@

MADE_exec  := $(KERNEL_OBJS)
MADE_serve := $(B)/serve/page.o

$(B)/serve/page.o: $(B)/serve/page.c $(B)/flags
	$(COMPILE) -c $< -o $@

# ---- objects, an archive per room, all rooms as one
$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(COMPILE) -c $< -o $@

# a different compiler or flag builds anew
.PHONY: FORCE
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(COMPILE) $(COMPILE_K))' | cmp -s - $@ || \
	 echo '$(subst ','\'',$(COMPILE) $(COMPILE_K))' > $@

room_objects = $(call objects,$(call sources,$1)) $(if $(call sources,$1),$(MADE_$1))

define archive
@rm -f $@
ar qcs $@ $(filter %.o,$^)
endef

define room_rule
$(B)/room-$1.a: $(call room_objects,$1)
	$$(archive)
endef
$(foreach r,$(HAVE),$(eval $(call room_rule,$r)))

$(B)/libcore.a: $(foreach r,$(HAVE),$(call room_objects,$r))
	$(archive)

# ---- programs
$(CMDS:%=$(B)/%): $(B)/%: $(B)/cmd/%.o $(call objects,$(CLI)) $(B)/libcore.a
	$(LINK) $^ $(LIBS) -o $@

# ---- checks: all suites as one program, and each with only the rooms it may see
CHECK_C  := $(shell pkg-config --cflags check)
CHECK_LD := $(shell pkg-config --libs check)

# private: build/flags, which it needs, is everybody's
$(B)/%_check.o: private COMMON += $(CHECK_C)

$(B)/suites/%/suites.h: $(CHECKS)
	@mkdir -p $(@D)
	@for s in $(if $(filter all,$*),$(SUITES),$*); do echo "SUITE($$s)"; done > $@

$(B)/suites/%/main.o: tests/main.c $(B)/suites/%/suites.h $(B)/flags
	$(COMPILE) $(CHECK_C) -I$(@D) -c $< -o $@

define suite_rule
$(B)/check/$(patsubst %_check.c,%,$(notdir $1)): $(B)/suites/$(patsubst %_check.c,%,$(notdir $1))/main.o \
		$(1:%.c=$(B)/%.o) \
		$(patsubst %,$(B)/room-%.a,$(filter $(HAVE),$(SEES_$(notdir $(patsubst %/,%,$(dir $1))))))
	@mkdir -p $$(@D)
	$$(LINK) $$^ $$(CHECK_LD) $$(LIBS) -o $$@
endef
$(foreach c,$(CHECKS),$(eval $(call suite_rule,$c)))

$(B)/check/all: $(B)/suites/all/main.o $(CHECKS:%.c=$(B)/%.o) $(B)/libcore.a
	@mkdir -p $(@D)
	$(LINK) $^ $(CHECK_LD) $(LIBS) -o $@

# ---- fuzz: a driver per parser; without a fuzzer it replays its seeds
FUZZ    := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ_CC ?= $(shell command -v clang-15 || command -v clang)
FUZZ_S  ?= 5
FUZZ_FLAGS = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -O1 -g
fuzz_objects = $(patsubst %.c,$(B)/fuzz/obj/%.o,$(foreach r,$(HAVE),$(call sources,$r)))

$(B)/fuzz/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(FUZZ_CC) -std=c11 $(COMMON) $(WARN) $(CPPFLAGS) $(FUZZ_FLAGS) -MMD -MP -c $< -o $@

$(B)/fuzz/libcore.a: $(fuzz_objects) $(if $(call sources,exec),$(MADE_exec)) \
                     $(if $(call sources,serve),$(MADE_serve))
	$(archive)

$(FUZZ:%=$(B)/fuzz/%): $(B)/fuzz/%: $(B)/fuzz/obj/tests/fuzz/%.o $(B)/fuzz/libcore.a
	$(FUZZ_CC) -fsanitize=fuzzer,address,undefined $(LDFLAGS) -pthread -Wl,--as-needed $^ $(LIBS) -o $@

$(FUZZ:%=$(B)/replay/%): $(B)/replay/%: $(B)/tests/fuzz/%.o $(B)/tests/replay.o $(B)/libcore.a
	@mkdir -p $(@D)
	$(LINK) $^ $(LIBS) -o $@

.PHONY: fuzz fuzz-smoke replay
fuzz: $(FUZZ:%=$(B)/fuzz/%)

# each a few seconds, from its seeds; what it learns stays in build/
ifeq ($(FUZZ_CC),)
fuzz-smoke:
	@echo 'fuzz-smoke: no clang here: skipped'
else
fuzz-smoke: fuzz
	@for f in $(FUZZ); do \
		mkdir -p $(B)/fuzz/corpus/$$f; \
		seeds=$(abspath tests/fuzz/seeds)/$$f; \
		[ -d $$seeds ] || seeds=; \
		echo "fuzz-smoke: $$f, $(FUZZ_S) s"; \
		(cd $(B)/fuzz && ./$$f -max_total_time=$(FUZZ_S) -timeout=10 -rss_limit_mb=2048 \
			-verbosity=0 corpus/$$f $$seeds >$$f.log 2>&1) || \
			{ cat $(B)/fuzz/$$f.log; exit 1; }; \
	done
endif

replay: $(FUZZ:%=$(B)/replay/%)
	@for f in $(FUZZ); do \
		echo "replay: $$f: $$(find tests/fuzz/seeds/$$f -type f 2>/dev/null | sort | \
			$(TEST_ENV) xargs $(B)/replay/$$f)" || exit 1; \
	done

# ---- running them
# Programs by name; caches in build/; time enough for a busy machine; the
# sanitizers say no where there is no memory, as malloc() does, and leave signal
# stacks alone: PoCL's compiler gives threads one of its own, from malloc().
TEST_ENV = BUILD='$(B)' PATH="$(abspath $(B)):$$PATH" XDG_CACHE_HOME='$(abspath $(BUILD))/cache' \
	POCL_CACHE_DIR='$(abspath $(BUILD))/cache/pocl' CK_DEFAULT_TIMEOUT=120 $(if $(SAN),SAN=1 \
	CK_TIMEOUT_MULTIPLIER=4 ASAN_OPTIONS=allocator_may_return_null=1:strict_string_checks=1:use_sigaltstack=0 \
	UBSAN_OPTIONS=print_stacktrace=1 \
	LSAN_OPTIONS=suppressions='$(abspath tests/lsan.supp)':print_suppressions=0:use_tls=0)

# a suite a process, as many at once as there are cores, the long ones first
JOBS := $(shell nproc)
SLOW := model opencl batch cpu_attention

.PHONY: check
check: all $(B)/check/all replay
	@mkdir -p $(BUILD)/cache/pocl
	@rc=0; \
	printf '%s\n' $(filter $(SLOW),$(SUITES)) $(filter-out $(SLOW),$(SUITES)) | \
		$(TEST_ENV) xargs -n 1 -P $(JOBS) $(B)/check/all || rc=1; \
	$(if $(TAPS),$(TEST_ENV) prove -j $(JOBS) $(TAPS) || rc=1;) \
	exit $$rc

.PHONY: $(SUITES:%=check-%)
$(SUITES:%=check-%): check-%: $(B)/check/%
	@mkdir -p $(BUILD)/cache/pocl
	$(TEST_ENV) $<

ALL_TAPS  := $(TAPS) $(wildcard tests/shared/*.t)
TAP_NAMES := $(filter-out $(SUITES) shared rooms,$(basename $(notdir $(ALL_TAPS))))
.PHONY: $(TAP_NAMES:%=check-%)
$(TAP_NAMES:%=check-%): check-%: all
	@mkdir -p $(BUILD)/cache/pocl
	SHARED=$(SHARED) $(TEST_ENV) prove -v $(filter %/$*.t,$(ALL_TAPS))

# needs no program: run it at any time
check-rooms: check-%:
	prove -v tests/$*.t

.PHONY: check-shared
check-shared: all $(B)/check/all
	@if [ ! -d $(SHARED) ]; then \
		echo 'check-shared: no ../shared here: skipped'; \
		exit 0; \
	fi; \
	export SHARED=$(SHARED); \
	rc=0; \
	$(TEST_ENV) $(B)/check/all -t shared || rc=1; \
	set -- tests/shared/*.t; \
	[ ! -e "$$1" ] || $(TEST_ENV) prove -j $(JOBS) "$$@" || rc=1; \
	exit $$rc

.PHONY: bench
bench: $(B)/check/all
	$(TEST_ENV) $(B)/check/all -t bench

# ---- install
SHARE   = $(DESTDIR)$(PREFIX)/share
BASHDIR = $(SHARE)/bash-completion/completions
UNITDIR = $(DESTDIR)$(PREFIX)/lib/systemd/user
UNITS  := $(wildcard scripts/systemd/clm-serve.*)
PAGES  := $(wildcard man/*.[1-8])

$(CMDS:%=$(B)/completion/%): $(B)/completion/%: $(B)/% scripts/completion
	@mkdir -p $(@D)
	scripts/completion $< > $@.new && mv $@.new $@

.PHONY: install uninstall
install: all $(CMDS:%=$(B)/completion/%)
	install -d $(DESTDIR)$(PREFIX)/bin $(BASHDIR) $(SHARE)/doc/clm
	install -m 755 $(CMDS:%=$(B)/%) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(CMDS:%=$(B)/completion/%) $(BASHDIR)
	for p in $(PAGES); do install -D -m 644 $$p $(SHARE)/man/man$${p##*.}/$${p##*/} || exit 1; done
	install -m 644 $(wildcard LICENSE README.md CHANGELOG.md) $(SHARE)/doc/clm
	install -d $(UNITDIR)
	for u in $(UNITS); do sed 's|@bindir@|$(PREFIX)/bin|' $$u > $(UNITDIR)/$${u##*/} || exit 1; done

uninstall:
	rm -f $(CMDS:%=$(DESTDIR)$(PREFIX)/bin/%) $(CMDS:%=$(BASHDIR)/%)
	for p in $(PAGES); do rm -f $(SHARE)/man/man$${p##*.}/$${p##*/}; done
	rm -rf $(SHARE)/doc/clm
	rm -f $(UNITS:scripts/systemd/%=$(UNITDIR)/%)

# ---- the rest
.PHONY: format clean
format:
	clang-format -i $(wildcard cmd/*.[ch] libcore/*/*.[ch] tests/*.c tests/fuzz/*.c)

clean:
	rm -rf $(BUILD)

-include $(shell find $(B) -mindepth 1 -name san -prune -o -name '*.d' -print 2>/dev/null)
