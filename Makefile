# The only place of compile flags; setup.py calls it with B=<its build folder>.
#   make        ./darknet and the library        make test   C-level smoke test and pytest
#   make asan   the tests under sanitizers (after pip install)   make clean
MAKEFLAGS += --no-builtin-rules
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' darknet_vae/_version.py)
CC ?= cc
B ?= build/make
OPT ?= -O3 -g -fno-math-errno -fno-trapping-math
WARN := -Wall -Wextra $(if $(WERROR),-Werror)
FLAGS := -std=gnu11 $(OPT) $(WARN) $(CFLAGS) -fPIC -fvisibility=hidden -pthread -Icsrc -DDN_VERSION='"$(VERSION)"'
MACHINE := $(shell $(CC) -dumpmachine)
ISAS := base
ifneq (,$(filter x86_64%,$(MACHINE)))
ISAS += avx2 avx512
endif
ISA_base :=
ISA_avx2 := -mavx2 -mfma
ISA_avx512 := -mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -mprefer-vector-width=512
LIBS := -lm -ldl
ifeq ($(shell uname -s),Darwin)
SO := dylib
SHARED := -dynamiclib -install_name @rpath/libdarknet.dylib
LIBS := -lm
else
SO := so
SHARED := -shared -Wl,-soname,libdarknet.so -Wl,-z,defs
endif

SOURCES := $(wildcard csrc/*.c csrc/layers/*.c csrc/cpu/cpu_*.c csrc/fence/*.c)
# Every csrc/cpu/isa_*.c is compiled once per instruction set.
PER_ISA := $(patsubst csrc/cpu/%.c,%,$(wildcard csrc/cpu/isa_*.c))
OBJECTS := $(SOURCES:csrc/%.c=$(B)/%.o) $(foreach i,$(ISAS),$(PER_ISA:%=$(B)/cpu/%@$(i).o))
CLI := $(patsubst csrc/%.c,$(B)/%.o,$(wildcard csrc/cli/*.c))

all: bin lib
bin: $(B)/darknet
	@if [ "$(B)" = build/make ]; then cp $(B)/darknet darknet; fi
lib: $(B)/libdarknet.$(SO)

# Changed flags rebuild everything.
$(B)/flags: FORCE
	@mkdir -p $(B) && echo '$(CC) $(subst ','',$(FLAGS))' | cmp -s - $@ || echo '$(CC) $(subst ','',$(FLAGS))' > $@
FORCE:

$(B)/%.o: csrc/%.c $(B)/flags
	@mkdir -p $(@D)
	@echo '  CC  $<'; $(CC) $(FLAGS) -MMD -MP -c $< -o $@
define ISA_RULE
$(B)/cpu/%@$(1).o: csrc/cpu/%.c $(B)/flags
	@mkdir -p $$(@D)
	@echo '  CC  $$< ($(1))'; $(CC) $(FLAGS) $(ISA_$(1)) -DDN_ISA=$(1) -MMD -MP -c $$< -o $$@
endef
$(foreach i,$(ISAS),$(eval $(call ISA_RULE,$(i))))
$(B)/libdarknet.$(SO): $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(SHARED) $(LDFLAGS) -pthread $^ -o $@ $(LIBS)
$(B)/darknet: $(OBJECTS) $(CLI)
	@echo '  LD  $@'; $(CC) $(LDFLAGS) -pthread $^ -o $@ $(LIBS)

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined
asan:
	$(MAKE) B=build/asan OPT="-O1 -g $(SANITIZE)" LDFLAGS="$(SANITIZE)" bin lib
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	LD_LIBRARY_PATH=$(CURDIR)/build/asan DARKNET_BINARY=$(CURDIR)/build/asan/darknet \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 pytest -m "not timing and not slow"
	ASAN_OPTIONS=detect_leaks=1 build/asan/darknet vae train cfg/autoencoder.cfg data/digits.csv -epochs 1 -quiet \
	    -save build/asan/leaks.weights
test: all
	pytest
clean:
	rm -rf build darknet
.PHONY: all bin lib asan test clean FORCE
-include $(wildcard $(B)/*.d $(B)/*/*.d)
