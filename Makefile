# SPAK: read from top to bottom. `make help` lists what to type.

# --- settings: make CC=clang, make B=build/other, make V=1, make STATIC=1, make SAN=1 ---
CC      ?= cc
B       ?= build
OUT     ?= out
PROFILE ?= smoke
Q       := $(if $(V),,@)

PKGS     := lua5.4 jansson libcrypto yaml-0.1 zlib
CPPFLAGS := -Isrc -Ikernels -D_GNU_SOURCE $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
WARN     := -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla
CFLAGS   := -std=c17 -O2 -g -fno-math-errno -pthread $(WARN)
LIBS     := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
LDFLAGS  := -pthread -rdynamic
LDLIBS   := $(if $(STATIC),-Wl$(comma)-Bstatic $(LIBS) -Wl$(comma)-Bdynamic,$(LIBS)) -ldl -lm
ifdef SAN
CFLAGS  += -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif
comma   := ,

# --- sources ---
SRC  := $(sort $(wildcard src/*/*.c kernels/*.c kernels/*/*.c))
MAIN := src/cli/main.c
OBJ  := $(SRC:%.c=$(B)/obj/%.o)
LIB  := $(B)/libspak.a
BIN  := $(B)/spak
TEST_SRC := $(sort $(wildcard tests/*/*.c tests/*/*/*.c))
TEST_BIN := $(TEST_SRC:%.c=$(B)/%.t)
TEST_SH  := $(sort $(wildcard tests/*/*.t tests/*/*/*.t))

.PHONY: all
all: $(BIN)

# A stamp that changes with the compiler and its flags, so that new flags rebuild everything.
FLAGS_NOW := $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(LDLIBS)
$(shell mkdir -p $(B); echo '$(FLAGS_NOW)' | cmp -s - $(B)/flags || echo '$(FLAGS_NOW)' > $(B)/flags)

# Kernels for one instruction set carry its name at the end of theirs.
$(B)/obj/kernels/%_avx2.o:   CFLAGS += -O3 -mavx2 -mfma
$(B)/obj/kernels/%_avx512.o: CFLAGS += -O3 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC    $<')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(filter-out $(B)/obj/$(MAIN:.c=.o),$(OBJ))
	$(if $(V),,@echo '  AR    $@')
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BIN): $(B)/obj/$(MAIN:.c=.o) $(LIB)
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $(B)/obj/$(MAIN:.c=.o) $(LIB) $(LDLIBS)

$(B)/tests/%.t: $(B)/obj/tests/%.o $(LIB)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

# --- tests ---
.PHONY: test
test: $(BIN) $(TEST_BIN)
	$(Q)SPAK=$(BIN) B=$(B) prove --timer -Q $(TEST_BIN) $(TEST_SH)

.PHONY: clean
clean:
	rm -rf build

-include $(OBJ:.o=.d) $(TEST_BIN:$(B)/%.t=$(B)/obj/%.d)
.SECONDARY:
