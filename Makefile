# SPAK. Reads from top to bottom: settings, flags, sources, rules, then what to type. `make help` lists the targets.
#
#   make V=1             shows the commands              make B=build/clang CC=clang   another compiler, another folder
#   make STATIC=1        one binary for other machines   make SAN=1                    address and UB sanitizers
#   make OUT=out         where results go                make PROFILE=smoke|paper      how much an experiment runs
#   make RECIPES=experiments/fmha.lua   some experiments only
#
# smoke takes minutes on two cores; paper runs the sizes and repetitions that the paper reports.

# --- settings ---
B       ?= build
OUT     ?= out
PROFILE ?= smoke
C       ?=
CFLAGS  ?= -O2 -g
WERROR  ?= -Werror
LUA     ?= lua5.4
FORMAT  ?= clang-format
PROVE   ?= prove --timer $(if $(V),-v) --exec ''
Q       := $(if $(V),,@)
export LC_ALL := C.UTF-8
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# --- what must be installed; nothing is needed for `make help` and `make clean` ---
PKGS := $(LUA) jansson libcrypto yaml-0.1 zlib
ifneq ($(filter-out help clean,$(or $(MAKECMDGOALS),all)),)
ifneq ($(shell pkg-config --exists $(PKGS) 2>/dev/null && echo yes),yes)
MISSING := $(shell command -v pkg-config >/dev/null || echo pkg-config)
MISSING := $(or $(MISSING),$(shell for p in $(PKGS); do pkg-config --exists $$p || echo $$p; done))
$(error not installed: $(MISSING). Type ./reproduce.sh install, which installs it or names the line to type)
endif
endif

# --- flags: CFLAGS is the user's, the rest is ours ---
comma   := ,
DIALECT := -std=c17 -pthread -fno-math-errno
WARN    := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla
DEFS    := -Isrc -Ikernels -D_GNU_SOURCE $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
SANS    := $(if $(SAN),-O1 -fsanitize=address$(comma)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
ifdef STATIC
LIBS    := $(filter-out -ldl -lm -lpthread -pthread,$(shell pkg-config --static --libs $(PKGS) 2>/dev/null))
LIBS    := -Wl,-Bstatic $(LIBS) -Wl,-Bdynamic -ldl -lm
else
LIBS    := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -ldl -lm
endif
COMPILE  = $(CC) $(DEFS) $(CPPFLAGS) $(DIALECT) $(CFLAGS) $(SANS) $(WARN)
LINK     = $(CC) -pthread $(CFLAGS) $(SANS) $(LDFLAGS)

# Kernels are compiled for speed. Those for one instruction set carry its name at the end of theirs; on other processors
# they compile to nothing. Sanitizers leave those alone (unrolled, they take minutes to compile); guard pages watch them.
# The portable ones hand vectors wider than a register to inlined functions: no ABI is involved (-Wno-psabi).
ifneq ($(filter x86_64%,$(shell $(CC) -dumpmachine 2>/dev/null)),)
AVX2    := -mavx2 -mfma
AVX512  := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512
endif
SPEED   := $(if $(SAN),-O1,-O3)
MICRO   := -O3 $(if $(SAN),-fno-sanitize=all)
$(B)/obj/kernels/%.o:        ISA := $(SPEED)
$(B)/obj/src/nn/%.o:         ISA := $(SPEED)
$(B)/obj/kernels/%_portable.o: ISA := $(SPEED) -Wno-psabi
$(B)/obj/kernels/emulate/%.o:  ISA := $(SPEED) -Wno-psabi
$(B)/obj/tests/kernels/%.o:    ISA := -Wno-psabi
# The one test that compares our declarations with CUDA's headers, where they are.
CUDA_INC := $(firstword $(wildcard $(CUDA_HOME)/include/cuda.h $(CUDA_PATH)/include/cuda.h /usr/local/cuda/include/cuda.h))
$(B)/obj/tests/device/test_cuda_h.o: ISA := $(CUDA_INC:%/cuda.h=-isystem %)
$(B)/obj/kernels/%_avx2.o:   ISA := $(MICRO) $(AVX2)
$(B)/obj/kernels/%_avx512.o: ISA := $(MICRO) $(AVX512)

# --- sources ---
SRC      := $(sort $(wildcard src/*/*.c kernels/*.c kernels/*/*.c kernels/*/*/*.c))
MAIN     := $(B)/obj/src/cli/main.o
OBJ      := $(SRC:%.c=$(B)/obj/%.o)
LIB      := $(B)/libspak.a
BIN      := $(B)/spak
EVERY    := $(sort $(wildcard experiments/*.lua))
RECIPES  ?= $(EVERY)
PROSE    := $(sort $(wildcard chapters/*.md)) $(wildcard paper/paper.md)

# A test is a C program or a shell script that prints TAP. Sanitizers judge the C programs only.
PARTS    ?= $(filter-out long tap.h tap.sh,$(notdir $(wildcard tests/*)))
TESTS_OF  = $(patsubst %.c,$(B)/%.t,$(sort $(wildcard tests/$(1)/*.c tests/$(1)/*/*.c))) \
            $(if $(SAN),,$(sort $(wildcard tests/$(1)/*.t tests/$(1)/*/*.t)))
QUICK    := $(foreach part,$(PARTS),$(call TESTS_OF,$(part)))
LONG     := $(call TESTS_OF,long)
TEST_BIN := $(filter $(B)/%,$(QUICK) $(LONG))

# --- rules ---
# A stamp's name holds a checksum. New flags, or a file more or less, give another name: the stamp is made, the old one
# goes, and what depends on it is built again. -Werror changes no code and is left out.
STAMP     = $(B)/stamp/$(1)-$(firstword $(shell echo '$(2)' | cksum))
FLAGS    := $(call STAMP,flags,$(COMPILE) $(LINK) $(LIBS) $(SPEED) $(MICRO) $(AVX2) $(AVX512))
FILES    := $(call STAMP,files,$(SRC))
$(FLAGS) $(FILES):
	$(Q)mkdir -p $(@D) && rm -f $(@D)/$(firstword $(subst -, ,$(@F)))-* && touch $@

# Written under another name and then renamed: what a killed build leaves behind is never taken for a result.
$(B)/obj/%.o: %.c $(FLAGS)
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo '  CC    $<')
	$(Q)$(COMPILE) $(WERROR) $(ISA) -MMD -MP -MT $@ -MF $@.d~ -c -o $@~ $<
	$(Q)mv $@.d~ $(@:.o=.d) && mv $@~ $@

$(LIB): $(filter-out $(MAIN),$(OBJ)) $(FILES)
	$(if $(V),,@echo '  AR    $@')
	$(Q)rm -f $@~ && $(AR) rcs $@~ $(filter %.o,$^) && mv $@~ $@

$(BIN): $(MAIN) $(LIB)
$(TEST_BIN): $(B)/%.t: $(B)/obj/%.o $(LIB)
$(BIN) $(TEST_BIN):
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(LINK) -o $@~ $(filter %.o,$^) $(LIB) $(LIBS) && mv $@~ $@

-include $(OBJ:.o=.d) $(TEST_BIN:$(B)/%.t=$(B)/obj/%.d)

# --- what to type ---
all: $(BIN) ## build build/spak

.PHONY: test test-long
test: $(BIN) $(QUICK) ## every quick test; make test PARTS="dsl trace" for some
	$(Q)SPAK=$(BIN) B=$(B) $(PROVE) $(or $(QUICK),$(error no test in: $(PARTS)))

test-long: $(BIN) $(LONG) ## the tests that take minutes
	$(Q)SPAK=$(BIN) B=$(B) $(PROVE) $(or $(LONG),$(error no test in tests/long))

.PHONY: reproduce figures book claim status data bench kernels readme
reproduce: $(BIN) ## run every experiment (resumes) or RECIPES=experiments/fmha.lua, then tables, figures, verdicts, the paper
	$(Q)for recipe in $(RECIPES); do $(BIN) run $$recipe --profile $(PROFILE) --out $(OUT) || exit 1; done
	$(Q)for recipe in $(filter-out $(RECIPES),$(EVERY)); do $(BIN) run $$recipe --report-only --out $(OUT) || exit 1; done
	$(Q)$(BIN) claims --out $(OUT) >/dev/null
	$(Q)$(BIN) weave --out $(OUT) $(PROSE)
	$(Q)$(BIN) claims --out $(OUT) --summary

figures: $(BIN) ## tables and figures from the archived traces alone, in OUT/archived; runs no experiment
	$(Q)for recipe in $(EVERY); do $(BIN) run $$recipe --report-only --out $(OUT)/archived || exit 1; done

book: $(BIN) ## the chapters and the paper as HTML, from the traces in OUT and the archived ones
	$(Q)for recipe in $(EVERY); do $(BIN) run $$recipe --report-only --out $(OUT) || exit 1; done
	$(Q)$(BIN) claims --out $(OUT) >/dev/null
	$(Q)$(BIN) weave --out $(OUT) $(PROSE)

claim: $(BIN) ## one claim: its experiments, then the verdict with its evidence: make claim C=M1
	$(Q)names=$$($(BIN) claims --experiments $(or $(C),$(error which claim? Type, say, make claim C=M1))) || exit 1; \
	  for e in $$names; do $(BIN) run experiments/$$e.lua --profile $(PROFILE) --out $(OUT) || exit 1; done
	$(Q)$(BIN) claims --out $(OUT) --claim $(C)

status: $(BIN) ## what OUT holds, what is stale, what is still to run
	$(Q)$(BIN) status --out $(OUT)

data: $(BIN) ## fetch the data sets of data/MANIFEST.dsl that are not here into data/cache
	$(Q)$(BIN) data fetch

bench: $(BIN) ## the top of the MatMul ladder beside OpenBLAS, one thread and two
	$(Q)$(BIN) bench matmul

kernels: $(BIN) ## compile the CUDA kernels ahead (nvcc or NVRTC; no GPU needed) and hold them against their budget
	$(Q)$(BIN) kernels

readme: $(BIN) ## write the claims table into README.md
	$(Q)$(BIN) claims --readme README.md

.PHONY: check check-format check-floors check-readme check-dsl check-san
check: check-format check-floors check-readme check-dsl check-san ## format, floors, README, systems, sanitizers

check-format: ## every C file as .clang-format has it
	$(Q)if command -v $(FORMAT) >/dev/null; then echo '  FORMAT' && \
	  $(FORMAT) --dry-run -Werror $(wildcard src/*/*.[ch] kernels/*.[ch] kernels/*/*.[ch] kernels/*/*/*.[ch] kernels/*/*.cu* kernels/*/*/*.cu* tests/*.h tests/*/*.[ch]); \
	  else echo '  FORMAT  not checked: $(FORMAT) is not installed'; fi

check-floors: ## no lower floor includes a higher one
	$(Q)echo '  FLOORS' && sh tests/house/floors.sh .

check-readme: $(BIN) ## README.md's claims table is the one that the traces give, and no number there is typed by hand
	$(Q)$(BIN) weave --check-numbers README.md
	$(Q)$(BIN) claims --readme README.md --check

check-dsl: $(BIN) ## every system of dsl/ and every manifest is well-formed and laid out as `spak dsl fmt` has it
	$(Q)$(BIN) dsl check $(wildcard dsl/*.dsl dsl/*/*.dsl kernels/*.dsl kernels/*/*.dsl kernels/*/*/*.dsl src/nn/*.dsl) >/dev/null
	$(Q)$(BIN) dsl fmt --check $(wildcard dsl/*.dsl dsl/*/*.dsl kernels/*.dsl kernels/*/*.dsl kernels/*/*/*.dsl src/nn/*.dsl)

check-san: ## the C tests of all parts but the kernels, under the sanitizers
	$(Q)$(MAKE) --no-print-directory B=$(B)/san SAN=1 PARTS='base dsl trace data device loop nn lua report' test

.PHONY: help clean
help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1#\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'#' '{printf "%-22s %s\n", $$1, $$2}'

clean: ## remove build/ (results in out/ stay)
	rm -rf $(B)
