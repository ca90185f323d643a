# The only place of compile flags; setup.py calls it with B=<its build folder>.
#   make        ./darknet, the library and, where nvcc is, the CUDA plugin       make test   pytest
#   make asan   the tests under sanitizers (after pip install), CC=clang too   make tsan   the threads   make clean
#   make install PREFIX=/usr/local DESTDIR=    program, libraries, header, manual page, completions      make uninstall
#   make docs   the documentation as a site, build/docs/index.html (after pip install '.[docs]')
#   make bench  measure the installed package beside its peers and write docs/performance.md
#   CUDA=0 leaves the plugin out; ARCHS="80 90" names the GPUs it is for, ARCHS=native those of this machine;
#   NVCC= where nvcc is; DEBUG=1 keeps debug information
#   make emulated parity    for tests: the plugin's kernels on a CPU, and the comparison of two devices
MAKEFLAGS += --no-builtin-rules
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' darknet_vae/_version.py)
CC ?= cc
B ?= build/make
# An OPT of one's own is for all files.
ifeq ($(origin OPT),undefined)
OPT = $(LEVEL) $(if $(DEBUG),-g) -fno-math-errno -fno-trapping-math -fno-asynchronous-unwind-tables
endif
WARN := -Wall -Wextra $(if $(WERROR),-Werror)
FLAGS = -std=gnu11 $(OPT) $(WARN) $(CFLAGS) -fPIC -fvisibility=hidden -pthread -Icsrc -DDN_ABI=$(ABI) \
    -DDN_VERSION='"$(VERSION)"'
# Core and plugin must know the same tables: a checksum of them.
ABI := $(shell cat csrc/backend/backend.h csrc/backend/backend_ops.h csrc/backend/plugin.h | cksum | cut -d' ' -f1)u
MACHINE := $(shell $(CC) -dumpmachine)
ISAS := base
ifneq (,$(filter x86_64%,$(MACHINE)))
ISAS += avx2 avx512
endif
# Kernels are made as fast as can be. What only calls others is not, which costs the compiler half the time; nor are, but for
# products, the kernels for x86 processors without AVX2, of which there are hardly any.
LEVEL = $(if $(filter $(LIGHT) $(SPARE),$@),-O1,$(if $(filter $(B)/cpu/% $(B)/units/cpu.o,$@),-O3,-O2))
LIGHT := $(patsubst %,$(B)/units/%.o,cli io jobs layers net seam)
SPARE = $(if $(filter avx2,$(ISAS)),$(patsubst %,$(B)/cpu/%@base.o,$(filter-out isa_gemm,$(PER_ISA))))
# What is linked is stripped, unless the flags ask for debug information.
STRIP = $(if $(filter -g%,$(OPT) $(CFLAGS)),,$(STRIP_FLAGS))
ISA_avx2 := -mavx2 -mfma
ISA_avx512 := -mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -mprefer-vector-width=512
LIBS := -lm -ldl
ifeq ($(shell uname -s),Darwin)
SO := dylib
SHARED := -dynamiclib -install_name @rpath/libdarknet.dylib
LIBS := -lm
STRIP_FLAGS := -Wl,-S -Wl,-x
BESIDE := -Wl,-rpath,@loader_path
else
SO := so
STRIP_FLAGS := -s
BESIDE := -Wl,-rpath,'$$ORIGIN'
SHARED := -shared -Wl,-soname,libdarknet.so -Wl,-z,defs
endif

# Every csrc/cpu/isa_*.c is compiled once per instruction set.
PER_ISA := $(patsubst csrc/cpu/%.c,%,$(wildcard csrc/cpu/isa_*.c))
# All other files of a folder are one unit, a file that includes them: to start a compiler and to read headers took longer than
# to compile most of them. So what is static in a folder has a name of its own there.
# What the library and the package's program both hold, as the library does not export it, is a unit, too.
UNITS := jobs tables io layers cpu net base both seam
FILES_tables := $(wildcard csrc/io/csv*.c csrc/io/frame*.c)
FILES_io := $(filter-out $(FILES_tables),$(wildcard csrc/io/*.c))
FILES_both := $(addprefix csrc/base/,nearest.c number.c printable.c)
FILES_base := $(filter-out $(FILES_both),$(wildcard csrc/base/*.c))
FILES_seam := $(wildcard csrc/backend/*.c csrc/fence/*.c)
ALONE := cpu/cpu_conv cpu/cpu_dense cpu/cpu_dense_many cpu/cpu_gemm
FILES_cpu := $(filter-out $(ALONE:%=csrc/%.c),$(wildcard csrc/cpu/cpu_*.c))
UNIT_FILES = $(sort $(or $(FILES_$*),$(wildcard csrc/$*/*.c)))
# What takes longest first.
OBJECTS := $(foreach k,$(PER_ISA),$(ISAS:%=$(B)/cpu/$(k)@%.o)) $(UNITS:%=$(B)/units/%.o) $(ALONE:%=$(B)/%.o)
CLI := $(B)/units/cli.o

all: bin lib cuda
bin: $(B)/darknet
	@if [ "$(B)" = build/make ]; then cp $(B)/darknet darknet; fi
lib: $(B)/libdarknet.$(SO)

# Changed flags rebuild everything.
$(B)/flags: FORCE
	@mkdir -p $(B) && echo '$(CC) $(subst ','',$(FLAGS))' | cmp -s - $@ || echo '$(CC) $(subst ','',$(FLAGS))' > $@
FORCE:

$(B)/%.o: csrc/%.c $(B)/flags
	@mkdir -p $(@D); echo '  CC  $<'; $(CC) $(FLAGS) -MMD -MP -c $< -o $@
HASH := \#
UNIT_TEXT = printf '%s\n' '$(HASH)define _GNU_SOURCE' $(UNIT_FILES:csrc/%='$(HASH)include "%"')
$(B)/units/%.c: FORCE
	@mkdir -p $(@D); $(UNIT_TEXT) | cmp -s - $@ || $(UNIT_TEXT) > $@
.SECONDEXPANSION:
$(B)/units/%.o: $(B)/units/%.c $$(UNIT_FILES) $(B)/flags
	@echo '  CC  csrc/$* ($(words $(UNIT_FILES)) files)'; $(CC) $(FLAGS) -MMD -MP -c $< -o $@
.SECONDARY: $(UNITS:%=$(B)/units/%.c) $(B)/units/cli.c
define ISA_RULE
$(B)/cpu/%@$(1).o: csrc/cpu/%.c $(B)/flags
	@mkdir -p $$(@D); echo '  CC  $$< ($(1))'; $(CC) $$(FLAGS) $(ISA_$(1)) $(ISA_FLAGS) -DDN_ISA=$(1) -MMD -MP -c $$< -o $$@
endef
$(foreach i,$(ISAS),$(eval $(call ISA_RULE,$(i))))
$(B)/libdarknet.$(SO): $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(SHARED) $(STRIP) $(CFLAGS) $(LDFLAGS) -pthread $^ -o $@ $(LIBS)
$(B)/darknet: $(OBJECTS) $(CLI)
	@echo '  LD  $@'; $(CC) $(STRIP) $(CFLAGS) $(LDFLAGS) -pthread $^ -o $@ $(LIBS)
# For the Python package: a program that needs the library beside it, so that a wheel holds the core once.
program: $(B)/package/darknet
$(B)/package/darknet: $(CLI) $(B)/units/both.o $(B)/libdarknet.$(SO)
	@mkdir -p $(@D)
	@echo '  LD  $@'; $(CC) $(STRIP) $(CFLAGS) $(LDFLAGS) -pthread $^ -o $@ $(BESIDE) $(LIBS)

# ---- make install: for C programs, and for people without Python ----
PLUGIN := $(B)/libdarknet_cuda.so
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
SHAREDIR ?= $(PREFIX)/share
# Before 1.0 every minor version may change what programs were compiled for.
SOVERSION := $(word 1,$(subst ., ,$(VERSION))).$(word 2,$(subst ., ,$(VERSION)))
ifeq ($(SO),dylib)
LIBRARY := libdarknet.$(VERSION).dylib
SONAME := libdarknet.$(SOVERSION).dylib
LINK_VERSIONED = -dynamiclib -install_name $(LIBDIR)/$(SONAME)
else
LIBRARY := libdarknet.so.$(VERSION)
SONAME := libdarknet.so.$(SOVERSION)
LINK_VERSIONED = -shared -Wl,-soname,$(SONAME) -Wl,-z,defs
endif
$(B)/$(LIBRARY): $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(LINK_VERSIONED) $(STRIP) $(CFLAGS) $(LDFLAGS) -pthread $^ -o $@ $(LIBS)
# One object, so that only the interface's names are seen from outside.
$(B)/libdarknet.a: $(OBJECTS)
	@echo '  AR  $@'; rm -f $@
ifeq ($(SO),dylib)
	@ar rcs $@ $^
else
	@$(CC) -r -nostdlib $(LDFLAGS) $^ -o $(B)/libdarknet.o
	@$$($(CC) -print-prog-name=objcopy) --localize-hidden $(B)/libdarknet.o
	@$$($(CC) -print-prog-name=ar) rcs $@ $(B)/libdarknet.o
endif

# RUN=qemu-aarch64, say, runs a program for another machine.
RUN ?=
PAGES := $(addprefix $(B)/pages/,darknet.1 darknet.bash darknet.zsh darknet.fish)
$(B)/pages/darknet.1: $(B)/darknet
	@mkdir -p $(@D) && $(RUN) $< --man > $@
$(B)/pages/darknet.%: $(B)/darknet
	@mkdir -p $(@D) && $(RUN) $< --completion $* > $@
MAN := $(SHAREDIR)/man/man1/darknet.1
BASH := $(SHAREDIR)/bash-completion/completions/darknet
ZSH := $(SHAREDIR)/zsh/site-functions/_darknet
FISH := $(SHAREDIR)/fish/vendor_completions.d/darknet.fish
SHARED_FILES := $(wildcard cfg/*.cfg cfg/recipes/*.cfg) data/digits.csv data/penguins.csv data/wine.csv
# In lists of files a blank begins another name.
BLANK := $(strip $(foreach v,B PREFIX DESTDIR BINDIR LIBDIR INCLUDEDIR SHAREDIR,$(if $(word 2,[$($(v))]),$(v))))
$(if $(BLANK),$(error $(firstword $(BLANK)) contains a blank, which make cannot have in paths: choose another folder))
INSTALLED := $(BINDIR)/darknet $(addprefix $(LIBDIR)/,$(LIBRARY) $(SONAME) libdarknet.$(SO) libdarknet.a $(notdir $(PLUGIN)) \
    pkgconfig/darknet-vae.pc) $(INCLUDEDIR)/darknet.h $(addprefix $(SHAREDIR)/darknet-vae/,$(notdir $(SHARED_FILES))) \
    $(MAN) $(BASH) $(ZSH) $(FISH)
install: all $(B)/$(LIBRARY) $(B)/libdarknet.a $(PAGES)
	install -d $(sort $(dir $(INSTALLED:%=$(DESTDIR)%)))
	install -m 755 $(B)/darknet $(DESTDIR)$(BINDIR)
	install -m 755 $(B)/$(LIBRARY) $(DESTDIR)$(LIBDIR)
	ln -sf $(LIBRARY) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libdarknet.$(SO)
	install -m 644 $(B)/libdarknet.a $(DESTDIR)$(LIBDIR)
	if [ "$(CUDA)" != 0 ] && [ -f $(PLUGIN) ]; then install -m 755 $(PLUGIN) $(DESTDIR)$(LIBDIR); fi
	install -m 644 csrc/darknet.h $(DESTDIR)$(INCLUDEDIR)
	install -m 644 $(SHARED_FILES) $(DESTDIR)$(SHAREDIR)/darknet-vae
	install -m 644 $(B)/pages/darknet.1 $(DESTDIR)$(MAN)
	install -m 644 $(B)/pages/darknet.bash $(DESTDIR)$(BASH)
	install -m 644 $(B)/pages/darknet.zsh $(DESTDIR)$(ZSH)
	install -m 644 $(B)/pages/darknet.fish $(DESTDIR)$(FISH)
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$(INCLUDEDIR)' '' 'Name: darknet-vae' \
	    'Description: Autoencoders and variational autoencoders on a Darknet core' 'Version: $(VERSION)' \
	    'Libs: -L$${libdir} -ldarknet' 'Libs.private: -pthread $(LIBS)' 'Cflags: -I$${includedir}' \
	    > $(DESTDIR)$(LIBDIR)/pkgconfig/darknet-vae.pc
	$(if $(DESTDIR),,ldconfig 2>/dev/null || true)
uninstall:
	rm -f $(INSTALLED:%=$(DESTDIR)%)
	rmdir $(DESTDIR)$(SHAREDIR)/darknet-vae 2>/dev/null || true

# The kernels against plain loops; run by tests/test_kernels.py.
$(B)/test_kernels: tests/c/test_kernels.c $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

$(B)/test_likelihoods: tests/c/test_likelihoods.c $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

# Products beside those of a BLAS; run by bench/products.py.
$(B)/bench_gemm: bench/gemm.c $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

$(B)/test_machine: tests/c/test_machine.c $(B)/base/machine.o
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

$(B)/test_schedule: tests/c/test_schedule.c $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

$(B)/test_safetensors: tests/c/test_safetensors.c $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

$(B)/test_keep: tests/c/test_keep.c $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

# Damaged and hostile files; run by tests/test_safetensors.py and tests/test_schema.py, and for long with clang's fuzzer: fuzz/README.md.
$(B)/fuzz_%: fuzz/%.c fuzz/standalone.c $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

$(B)/test_pool: tests/c/test_pool.c $(addprefix $(B)/base/,pool.o pace.o machine.o sys.o status.o printable.o)
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

$(B)/test_pace: tests/c/test_pace.c $(B)/base/pace.o
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

$(B)/test_threads: tests/c/test_threads.c $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

$(B)/test_training_fields: tests/c/test_training_fields.c $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

$(B)/test_replay: tests/c/test_replay.c $(OBJECTS)
	@echo '  LD  $@'; $(CC) $(FLAGS) $(LDFLAGS) -MMD -MP $(filter %.c %.o,$^) -o $@ $(LIBS)

# ---- the CUDA plugin: no NEEDED on any library of NVIDIA ----
comma := ,
empty :=
space := $(empty) $(empty)
CUDA ?= auto
NVCC ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
PLUGIN_OBJECTS := $(patsubst csrc/cuda/%,$(B)/cuda/%.o,$(wildcard csrc/cuda/*.cu csrc/cuda/*.c))
HOST_FLAGS = -fPIC -fvisibility=hidden $(WARN)
ifneq ($(CUDA),0)
ifneq ($(NVCC),)
ARCHS ?= all
KNOWN_ARCHS := $(patsubst compute_%,%,$(shell $(NVCC) --list-gpu-arch))
ifeq ($(ARCHS),native)
# The GPUs of this machine, or where none is to be seen 8.x, the most common; any other one compiles what is for 7.5.
GPUS := $(filter-out 5% 6% 70 72,$(filter $(KNOWN_ARCHS),$(subst .,,$(sort \
    $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null)))))
CODE_ARCHS := $(or $(GPUS),80)
PTX_ARCH := 75
else
# Those of them that this toolkit knows. 8.7 and 8.9 run what is for 8.6, 10.3 what is for 10.0; later ones compile the
# last for themselves. 10.1 became 11.0 in CUDA 13.
CODE_ARCHS := $(if $(filter all,$(ARCHS)),$(filter 75 80 86 90 100 101 110 120,$(KNOWN_ARCHS)),$(ARCHS))
PTX_ARCH := $(lastword $(CODE_ARCHS))
endif
NVCC_FLAGS = -O3 $(foreach a,$(CODE_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) -DDN_ABI=$(ABI) -Icsrc \
    -gencode arch=compute_$(PTX_ARCH),code=compute_$(PTX_ARCH) --threads 2 $(if $(WERROR),-Werror all-warnings)
# where the wheels of NVIDIA put the static runtime
NVCC_LIBS = $(patsubst %,-L%,$(wildcard $(dir $(NVCC))../lib))
cuda: $(PLUGIN)
	@if [ "$(B)" = build/make ]; then cp $(PLUGIN) .; fi
else
cuda:
	@echo '  no nvcc: without the CUDA plugin (this build computes on CPUs)'
endif
else
cuda:
endif
$(B)/cuda/flags: FORCE
	@mkdir -p $(@D) && echo '$(NVCC) $(NVCC_FLAGS)' | cmp -s - $@ || echo '$(NVCC) $(NVCC_FLAGS)' > $@
$(B)/cuda/%.cu.o: csrc/cuda/%.cu $(B)/cuda/flags
	@echo '  NVCC  $<'; $(NVCC) $(NVCC_FLAGS) -std=c++17 --extended-lambda -Xcompiler=$(subst $(space),$(comma),$(HOST_FLAGS)) \
	    -MMD -MP -MF $(@:.o=.d) -c $< -o $@
$(B)/cuda/%.c.o: csrc/cuda/%.c $(B)/cuda/flags
	@echo '  NVCC  $<'; $(NVCC) $(NVCC_FLAGS) -Xcompiler=$(subst $(space),$(comma),-std=gnu11 $(HOST_FLAGS)) \
	    -MMD -MP -MF $(@:.o=.d) -c $< -o $@
$(PLUGIN): $(PLUGIN_OBJECTS)
	@echo '  LD  $@'; $(NVCC) -shared -cudart static $(if $(STRIP),-Xlinker $(STRIP)) -Xlinker --exclude-libs,ALL $(NVCC_LIBS) $^ -o $@ -ldl -lpthread -lrt

# The same files on a CPU, for tests.
CXX ?= c++
EMULATED_FLAGS = -O3 -g $(HOST_FLAGS) -DDN_ABI=$(ABI) -Icsrc -Itests/cuda_emulation -pthread
EMULATED_OBJECTS := $(patsubst csrc/cuda/%,$(B)/emulated/%.o,$(wildcard csrc/cuda/*.cu csrc/cuda/*.c)) $(B)/emulated/emulation.o
$(B)/emulated/flags: FORCE
	@mkdir -p $(@D) && echo '$(CXX) $(EMULATED_FLAGS)' | cmp -s - $@ || echo '$(CXX) $(EMULATED_FLAGS)' > $@
$(B)/emulated/%.cu.o: csrc/cuda/%.cu $(B)/emulated/flags
	@echo '  CXX  $< (emulated)'; $(CXX) -std=c++17 $(EMULATED_FLAGS) -Wno-unknown-pragmas -MMD -MP -x c++ -c $< -o $@
$(B)/emulated/%.c.o: csrc/cuda/%.c $(B)/emulated/flags
	@echo '  CC  $< (emulated)'; $(CC) -std=gnu11 $(EMULATED_FLAGS) -MMD -MP -c $< -o $@
$(B)/emulated/emulation.o: tests/cuda_emulation/emulation.cpp $(B)/emulated/flags
	@echo '  CXX  $<'; $(CXX) -std=c++17 $(EMULATED_FLAGS) -MMD -MP -c $< -o $@
$(B)/libdarknet_cuda_emulated.so: $(EMULATED_OBJECTS)
	@echo '  LD  $@'; $(CXX) -shared -pthread $^ -o $@ -ldl
emulated: $(B)/libdarknet_cuda_emulated.so
$(B)/cuda_parity: $(OBJECTS) $(B)/tests/cuda_parity.o
	@echo '  LD  $@'; $(CC) $(LDFLAGS) -pthread $^ -o $@ $(LIBS)
$(B)/tests/%.o: tests/c/%.c $(B)/flags
	@mkdir -p $(@D)
	@echo '  CC  $<'; $(CC) $(FLAGS) -MMD -MP -c $< -o $@
parity: $(B)/cuda_parity

# gcc, or CC=clang, which sees more; TESTS= names the files. Numbers that no integer holds are looked for, divisions by
# zero are not: infinity is a value.
TESTS ?=
SANITIZE := -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
ifneq (,$(findstring clang,$(shell $(CC) --version 2>/dev/null)))
ASAN_RUNTIME := $(firstword $(wildcard $(foreach f,libclang_rt.asan-$(firstword $(subst -, ,$(MACHINE))).so libclang_rt.asan.so,\
    $(shell $(CC) -print-file-name=$(f)))))
ASAN_BUILD := build/asan-clang
SANITIZE += -fsanitize=implicit-signed-integer-truncation,local-bounds -shared-libasan -Wl,-rpath,$(dir $(ASAN_RUNTIME)) \
    -Wno-unused-command-line-argument
# clang compiles unrolled kernels for many minutes with this check, which gcc makes.
ASAN_ISA_FLAGS := -fno-sanitize=signed-integer-overflow
else
ASAN_BUILD := build/asan
ASAN_RUNTIME := $(foreach f,libasan.so libubsan.so,$(shell $(CC) -print-file-name=$(f)))
endif
asan:
	$(MAKE) B=$(ASAN_BUILD) OPT="-O1 -g $(SANITIZE)" LDFLAGS="$(SANITIZE)" ISA_FLAGS=$(ASAN_ISA_FLAGS) bin lib \
	    $(addprefix $(ASAN_BUILD)/,test_kernels test_likelihoods test_pool test_pace test_machine test_schedule test_safetensors test_keep \
	    test_training_fields fuzz_model_file fuzz_schema)
	LD_PRELOAD="$(ASAN_RUNTIME)" LD_LIBRARY_PATH=$(CURDIR)/$(ASAN_BUILD) DARKNET_BINARY=$(CURDIR)/$(ASAN_BUILD)/darknet \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 pytest -m "not timing and not slow" $(TESTS)
	ASAN_OPTIONS=detect_leaks=1 $(ASAN_BUILD)/darknet vae train cfg/autoencoder.cfg data/digits.csv -epochs 1 -quiet \
	    -save $(ASAN_BUILD)/leaks.weights
# The pool, and a network in many threads, under ThreadSanitizer.
tsan:
	$(MAKE) B=build/tsan OPT="-O1 -g -fsanitize=thread" LDFLAGS="-fsanitize=thread" build/tsan/test_pool build/tsan/test_threads
	build/tsan/test_pool 2000
	build/tsan/test_threads 60
test: all
	pytest
# Format and types; pip install '.[test,lint]' has the tools. `make format` writes what it asks for.
FORMATTED = $(wildcard csrc/*.h csrc/*/*.[ch] csrc/*/*.cu csrc/*/*.cuh tests/c/*.[ch] examples/c/*.c bench/*.c fuzz/*.c)
lint:
	clang-format --dry-run -Werror $(FORMATTED)
	ruff check .
	ruff format --check .
	mypy darknet_vae bench
format:
	clang-format -i $(FORMATTED)
	ruff check --fix .
	ruff format .
docs:
	python -m sphinx -W -q -j auto docs build/docs
	@echo '  build/docs/index.html'
bench:
	python -m bench --output docs/performance.md
clean:
	rm -rf build darknet libdarknet_cuda.so
.PHONY: lint format all bin lib program cuda install uninstall emulated parity asan tsan test docs bench clean FORCE
-include $(wildcard $(B)/*.d $(B)/*/*.d)
