/*
 * Executes single guest instructions on the host's own processor, in user mode, and records what
 * they did. This is the oracle of the processor's tests: it knows no semantics, so it cannot share
 * a mistake with the engine under test.
 *
 *     runner VECTORS RESULTS
 *
 * How one instruction is run. All state is loaded by the kernel's sigreturn from an edited signal
 * frame (general registers, RFLAGS, CS and SS, and the FXSAVE image), with TF set, so that exactly
 * one instruction executes and ends in SIGTRAP; a fault ends it in SIGSEGV, SIGBUS, SIGILL or
 * SIGFPE instead. The handler reads the frame of that signal (the vector's result: trap number,
 * error code and CR2 are in it too), then overwrites it with the next vector's state and returns
 * into it. There is one signal per instruction and nothing else, about 5 us.
 *
 * Code segments: 64-bit code runs on CS 0x33, 32-bit on CS 0x23 (Linux's __USER32_CS), 16-bit on an
 * LDT descriptor whose base is the code region. The other data segments than Linux's flat 0x2b are
 * LDT descriptors too, with base and limit from the file's header.
 *
 * Files. Little endian; every record starts on a multiple of 8. struct file_header, struct region
 * and struct vector describe the vectors, struct result_header and struct result the results: these
 * declarations are the format. Behind a vector come its patches, behind a result its changes: each
 * is an arena offset, a length, and the bytes, padded to 8. The arena is all data regions laid end
 * to end in the header's order. Before each vector the arena is filled from the vector's seed (see
 * noise()), then patched; a change is a run of bytes that differ from that afterwards.
 *
 * Not done: what user mode cannot reach (privileged instructions only fault), CPL changes, and
 * segments other than those of the header.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define VECTOR_MAGIC 0x564c4953u /* "SILV" */
#define RESULT_MAGIC 0x524c4953u /* "SILR" */
#define FORMAT_VERSION 2u
#define REGIONS_MAX 8
#define RUN_SECONDS_MAX 120

#define CS_64 0x33u
#define CS_32 0x23u
#define CS_16 LDT_SELECTOR(LDT_CODE16)

#define LDT_SELECTOR(entry) ((entry) << 3 | 7u)
#define LDT_CODE16 0u  /* 16-bit code from the start of the code region, limit code16_limit */
#define LDT_STACK16 1u /* 16-bit data (B = 0), 64 KiB from the header's segment_base */
#define LDT_BASED 2u   /* 32-bit data, 4 GiB from segment_base */
#define LDT_LIMITED 3u /* 32-bit data, from segment_base, limit segment_limit */
#define LDT_DOWN 4u    /* 32-bit data that expands down to down_limit */
#define LDT_DOWN16 5u  /* 16-bit data that expands down to down_limit */
#define LDT_FIXED 6u   /* 32-bit data that cannot be written, 64 KiB from segment_base */

#define FLAGS_TF 0x100u
#define UC_STRICT_RESTORE_SS_BITS 6u /* UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS of asm/ucontext.h */
#define FX_STATE_BYTES 416u          /* x87, MXCSR, XMM0-15; the rest is the kernel's */
#define FX_MXCSR_MASK 28u
#define XSTATE_BV 512u
#define XSTATE_FP_SSE 3ull
#define XSTATE_AVX 4ull
#define XSTATE_EXTENDED 0xe4ull /* AVX and AVX-512: the latter is loaded as its initial state */
#define AVX_OFFSET 576u          /* YMM0-15, their upper halves, in the standard format */
#define YMM_BYTES 256u
#define AT_HWCAP2_FSGSBASE 2u

#define CAN_RUN_COMPATIBILITY 1u /* 32- and 16-bit code */
#define CAN_FSGSBASE 2u
#define CAN_AVX 4u

struct region {
    uint64_t address;
    uint32_t length;
    uint32_t writable;
};

struct file_header {
    uint32_t magic, version, vector_count, region_count;
    uint64_t code_address;
    uint32_t code_length;
    uint32_t segment_base, segment_limit;
    uint32_t code16_limit, down_limit;
    uint32_t reserved[5];
};

struct vector {
    uint32_t size; /* of the whole record, patches included */
    uint16_t mode; /* 16, 32 or 64 */
    uint16_t code_length;
    uint32_t steps; /* traps to take while RIP stays at the instruction (REP); at least 1 */
    uint32_t seed;
    uint64_t rip; /* in 16-bit mode an offset from the code region's start */
    uint64_t rflags;
    uint64_t gpr[16]; /* RAX RCX RDX RBX RSP RBP RSI RDI R8-R15 */
    uint64_t fs_base, gs_base;
    uint16_t ds, es, fs, gs, ss, pad;
    uint32_t patch_count;
    uint8_t code[24];
    uint8_t fx[512]; /* FXSAVE64 image; FX_STATE_BYTES of it are loaded */
    uint8_t ymm[YMM_BYTES]; /* the upper halves of YMM0-15; ignored where there is no AVX */
};

struct result_header {
    uint32_t magic, version, result_count, capabilities;
};

struct result {
    uint32_t size; /* of the whole record, changes included */
    uint16_t trap; /* vector number of the exception; 1 when the instruction completed */
    uint16_t signal; /* the signal that came: emulators do not all report the vector number */
    uint32_t error_code;
    uint32_t steps; /* traps taken */
    uint64_t rip;
    uint64_t rflags;
    uint64_t gpr[16];
    uint64_t fs_base, gs_base;
    uint16_t ds, es, fs, gs, ss, cs;
    uint32_t change_count;
    uint64_t cr2; /* meaningful for trap 14 only */
    uint8_t fx[512];
    uint8_t ymm[YMM_BYTES];
};

struct piece { /* a patch or a change, followed by its bytes */
    uint32_t arena_offset, length;
};

_Static_assert(sizeof(struct file_header) == 64, "file header layout");
_Static_assert(sizeof(struct vector) == 984, "vector layout");
_Static_assert(sizeof(struct result) == 968, "result layout");

static const int greg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

static const struct file_header *header;
static const struct region *regions;
static const struct vector *current; /* the vector that is running */
static uint32_t vectors_left;
static uint32_t steps_taken;

static uint8_t *code_alias; /* the code region, writable; the guest sees it read-only */
static uint8_t *arena_alias[REGIONS_MAX];
static uint32_t arena_start[REGIONS_MAX];
static uint32_t arena_length;
static uint8_t *expected; /* the arena as it was before the instruction */

static struct result_header *results;
static uint8_t *result_end;
static int result_fd;
static uint64_t host_fs_base;
static uint32_t capabilities;

static void die(const char *what) {
    fprintf(stderr, "runner: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void reject(const char *what) {
    fprintf(stderr, "runner: %s\n", what);
    exit(1);
}

/*
 * A handler must not touch the C library's thread-local storage: FS belongs to the guest until
 * finish(). So system calls are made by hand, and errno is not used.
 */
static long raw_syscall(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

static uint64_t read_base(int which) {
    uint64_t base;
    if (capabilities & CAN_FSGSBASE) {
        if (which == ARCH_GET_FS)
            __asm__ volatile("rdfsbase %0" : "=r"(base));
        else
            __asm__ volatile("rdgsbase %0" : "=r"(base));
        return base;
    }
    raw_syscall(SYS_arch_prctl, which, (long)&base, 0);
    return base;
}

static void write_base(int which, uint64_t base) {
    if (!(capabilities & CAN_FSGSBASE))
        raw_syscall(SYS_arch_prctl, which, (long)base, 0);
    else if (which == ARCH_SET_FS)
        __asm__ volatile("wrfsbase %0" : : "r"(base));
    else
        __asm__ volatile("wrgsbase %0" : : "r"(base));
}

/* The arena's 32-bit word `index` under `seed`: an xorshift-multiply hash, each word by itself. */
static inline uint32_t noise(uint32_t seed, uint32_t index) {
    uint32_t x = seed + index * 0x9e3779b1u;
    x ^= x >> 15;
    x *= 0x85ebca77u;
    x ^= x >> 13;
    x *= 0xc2b2ae3du;
    x ^= x >> 16;
    return x;
}

static const struct piece *next_piece(const struct piece *piece) {
    return (const struct piece *)((const uint8_t *)(piece + 1) + ((piece->length + 7u) & ~7u));
}

static void fill_arena(const struct vector *vector) {
    uint32_t *words = (uint32_t *)expected;
    for (uint32_t i = 0; i < arena_length / 4; i++)
        words[i] = noise(vector->seed, i);
    const struct piece *patch = (const struct piece *)(vector + 1);
    for (uint32_t i = 0; i < vector->patch_count; i++, patch = next_piece(patch))
        memcpy(expected + patch->arena_offset, patch + 1, patch->length);
    for (uint32_t r = 0; r < header->region_count; r++)
        memcpy(arena_alias[r], expected + arena_start[r], regions[r].length);
}

/* Appends every run of bytes of one region that differs from `expected`. */
static void append_changes(struct result *result, uint32_t region) {
    const uint8_t *now = arena_alias[region];
    const uint8_t *then = expected + arena_start[region];
    uint32_t length = regions[region].length;
    for (uint32_t i = 0; i < length;) {
        if ((i & 7) == 0 && *(const uint64_t *)(now + i) == *(const uint64_t *)(then + i)) {
            i += 8;
            continue;
        }
        uint32_t end = i;
        while (end < length && now[end] != then[end])
            end++;
        if (end == i) {
            i++;
            continue;
        }
        struct piece *change = (struct piece *)result_end;
        change->arena_offset = arena_start[region] + i;
        change->length = end - i;
        memcpy(change + 1, now + i, end - i);
        result_end = (uint8_t *)next_piece(change);
        result->change_count++;
        i = end;
    }
}

static uint16_t selector_ds(void) {
    uint16_t s;
    __asm__ volatile("mov %%ds, %0" : "=rm"(s));
    return s;
}

static uint16_t selector_es(void) {
    uint16_t s;
    __asm__ volatile("mov %%es, %0" : "=rm"(s));
    return s;
}

static uint16_t selector_fs(void) {
    uint16_t s;
    __asm__ volatile("mov %%fs, %0" : "=rm"(s));
    return s;
}

static uint16_t selector_gs(void) {
    uint16_t s;
    __asm__ volatile("mov %%gs, %0" : "=rm"(s));
    return s;
}

static void load_segments(const struct vector *vector) {
    if (selector_ds() != vector->ds) __asm__ volatile("mov %0, %%ds" : : "r"(vector->ds));
    if (selector_es() != vector->es) __asm__ volatile("mov %0, %%es" : : "r"(vector->es));
    if (selector_fs() != vector->fs) __asm__ volatile("mov %0, %%fs" : : "r"(vector->fs));
    if (selector_gs() != vector->gs) __asm__ volatile("mov %0, %%gs" : : "r"(vector->gs));
    /* In the 32-bit modes the bases are those that loading the selectors gave. */
    if (vector->mode == 64) {
        write_base(ARCH_SET_FS, vector->fs_base);
        write_base(ARCH_SET_GS, vector->gs_base);
    }
}

static uint16_t code_selector(const struct vector *vector) {
    return vector->mode == 64 ? CS_64 : vector->mode == 32 ? CS_32 : CS_16;
}

static uint32_t code_offset(const struct vector *vector) {
    return (uint32_t)(vector->mode == 16 ? vector->rip : vector->rip - header->code_address);
}

/* Bytes of the vector's code that lie inside the code region; others would be in its guard page. */
static uint32_t code_bytes(const struct vector *vector) {
    uint32_t room = header->code_length - code_offset(vector);
    return vector->code_length < room ? vector->code_length : room;
}

/* Turns the signal frame into `vector`'s state: returning from the handler runs its instruction. */
static void start(const struct vector *vector, ucontext_t *frame) {
    fill_arena(vector);
    memcpy(code_alias + code_offset(vector), vector->code, code_bytes(vector));
    greg_t *gregs = frame->uc_mcontext.gregs;
    for (int i = 0; i < 16; i++)
        gregs[greg_of[i]] = (greg_t)vector->gpr[i];
    gregs[REG_RIP] = (greg_t)vector->rip;
    gregs[REG_EFL] = (greg_t)(vector->rflags | FLAGS_TF);
    gregs[REG_CSGSFS] = (greg_t)(code_selector(vector) | (uint64_t)vector->ss << 48);
    frame->uc_flags |= UC_STRICT_RESTORE_SS_BITS;
    uint8_t *fx = (uint8_t *)frame->uc_mcontext.fpregs;
    uint32_t mxcsr_mask;
    memcpy(&mxcsr_mask, fx + FX_MXCSR_MASK, 4);
    memcpy(fx, vector->fx, FX_STATE_BYTES);
    memcpy(fx + FX_MXCSR_MASK, &mxcsr_mask, 4);
    uint64_t *xstate_bv = (uint64_t *)(fx + XSTATE_BV);
    *xstate_bv = (*xstate_bv & ~XSTATE_EXTENDED) | XSTATE_FP_SSE;
    if (capabilities & CAN_AVX) {
        *xstate_bv |= XSTATE_AVX;
        memcpy(fx + AVX_OFFSET, vector->ymm, YMM_BYTES);
    }
    load_segments(vector);
    current = vector;
    steps_taken = 0;
}

/* Records how the current vector's instruction ended, and takes its code away again. */
static void record(int number, const ucontext_t *frame) {
    const greg_t *gregs = frame->uc_mcontext.gregs;
    struct result *result = (struct result *)result_end;
    result->trap = (uint16_t)gregs[REG_TRAPNO];
    result->signal = (uint16_t)number;
    result->error_code = (uint32_t)gregs[REG_ERR];
    result->steps = steps_taken;
    result->rip = (uint64_t)gregs[REG_RIP];
    result->rflags = (uint64_t)gregs[REG_EFL];
    for (int i = 0; i < 16; i++)
        result->gpr[i] = (uint64_t)gregs[greg_of[i]];
    result->fs_base = read_base(ARCH_GET_FS);
    result->gs_base = read_base(ARCH_GET_GS);
    result->ds = selector_ds();
    result->es = selector_es();
    result->fs = selector_fs();
    result->gs = selector_gs();
    result->ss = (uint16_t)((uint64_t)gregs[REG_CSGSFS] >> 48);
    result->cs = (uint16_t)gregs[REG_CSGSFS];
    result->cr2 = (uint64_t)gregs[REG_CR2];
    result->change_count = 0;
    const uint8_t *fx = (const uint8_t *)frame->uc_mcontext.fpregs;
    uint64_t xstate_bv;
    memcpy(&xstate_bv, fx + XSTATE_BV, 8);
    memcpy(result->fx, fx, FX_STATE_BYTES);
    if ((capabilities & CAN_AVX) && (xstate_bv & XSTATE_AVX))
        memcpy(result->ymm, fx + AVX_OFFSET, YMM_BYTES);
    else
        memset(result->ymm, 0, YMM_BYTES);
    result_end = (uint8_t *)(result + 1);
    for (uint32_t r = 0; r < header->region_count; r++)
        if (regions[r].writable) append_changes(result, r);
    result->size = (uint32_t)(result_end - (uint8_t *)result);
    results->result_count++;
    memset(code_alias + code_offset(current), 0x90, code_bytes(current));
}

/* Writes the results and ends the process from within the handler: nothing is left to return to. */
static void finish(void) {
    write_base(ARCH_SET_FS, host_fs_base);
    const uint8_t *at = (const uint8_t *)results;
    while (at < result_end) {
        ssize_t written = write(result_fd, at, (size_t)(result_end - at));
        if (written <= 0) die("write results");
        at += written;
    }
    _exit(0);
}

__attribute__((used)) static void on_signal(int number, siginfo_t *info, void *context) {
    (void)info;
    ucontext_t *frame = context;
    if (number != SIGUSR1) {
        greg_t *gregs = frame->uc_mcontext.gregs;
        steps_taken++;
        int stepped = number == SIGTRAP && gregs[REG_TRAPNO] == 1;
        if (stepped && (uint64_t)gregs[REG_RIP] == current->rip && steps_taken < current->steps) {
            gregs[REG_EFL] |= FLAGS_TF;
            return;
        }
        record(number, frame);
        vectors_left--;
        if (vectors_left == 0) finish();
        start((const struct vector *)((const uint8_t *)current + current->size), frame);
        return;
    }
    if (vectors_left == 0) finish();
    start(current, frame);
}

/*
 * The kernel clears DF and TF for a handler. AC it leaves, under which compiled code can fault, and
 * NT and ID, which sigreturn would then carry into the next vector. 0x202 is IF and the fixed bit.
 */
extern void signal_entry(int, siginfo_t *, void *);
__asm__("signal_entry:\n"
        "    pushq $0x202\n"
        "    popfq\n"
        "    jmp on_signal\n");

static void *map_fixed(uint64_t address, uint32_t length, int protection, int fd) {
    int flags = MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE;
    void *at = mmap((void *)address, length, protection, flags, fd, 0);
    if (at != (void *)address) die("a region's fixed address is taken");
    return at;
}

/* Maps `length` bytes at a guest address with `protection`; returns a writable alias of them. */
static uint8_t *map_guest(uint64_t address, uint32_t length, int protection) {
    int fd = memfd_create("guest", 0);
    if (fd < 0 || ftruncate(fd, length) != 0) die("memfd");
    uint8_t *alias =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (alias == MAP_FAILED) die("mmap");
    memset(alias, 0x90, length);
    map_fixed(address, length, protection, fd);
    mlock(alias, length);
    mlock((void *)address, length);
    close(fd);
    return alias;
}

static void map_regions(void) {
    if (header->region_count > REGIONS_MAX) reject("too many regions");
    code_alias = map_guest(header->code_address, header->code_length, PROT_READ | PROT_EXEC);
    for (uint32_t r = 0; r < header->region_count; r++) {
        int protection = regions[r].writable ? PROT_READ | PROT_WRITE : PROT_READ;
        arena_alias[r] = map_guest(regions[r].address, regions[r].length, protection);
        arena_start[r] = arena_length;
        arena_length += regions[r].length;
    }
    expected = mmap(NULL, arena_length, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (expected == MAP_FAILED) die("mmap arena");
}

static int set_ldt(struct user_desc desc) {
    desc.useable = 1;
    return (int)syscall(SYS_modify_ldt, 0x11, &desc, sizeof desc);
}

/* Creates the segments of the header; notes in `capabilities` which modes this host can run. */
static void make_segments(void) {
    int failed = set_ldt((struct user_desc){.entry_number = LDT_CODE16,
                                            .base_addr = (uint32_t)header->code_address,
                                            .limit = header->code16_limit,
                                            .contents = MODIFY_LDT_CONTENTS_CODE});
    failed |= set_ldt((struct user_desc){
        .entry_number = LDT_STACK16, .base_addr = header->segment_base, .limit = 0xffff});
    failed |= set_ldt((struct user_desc){.entry_number = LDT_BASED,
                                         .base_addr = header->segment_base,
                                         .limit = 0xfffff,
                                         .limit_in_pages = 1,
                                         .seg_32bit = 1});
    failed |= set_ldt((struct user_desc){.entry_number = LDT_LIMITED,
                                         .base_addr = header->segment_base,
                                         .limit = header->segment_limit,
                                         .seg_32bit = 1});
    failed |= set_ldt((struct user_desc){.entry_number = LDT_DOWN,
                                         .base_addr = header->segment_base,
                                         .limit = header->down_limit,
                                         .contents = MODIFY_LDT_CONTENTS_STACK,
                                         .seg_32bit = 1});
    failed |= set_ldt((struct user_desc){.entry_number = LDT_DOWN16,
                                         .base_addr = header->segment_base,
                                         .limit = header->down_limit,
                                         .contents = MODIFY_LDT_CONTENTS_STACK});
    failed |= set_ldt((struct user_desc){.entry_number = LDT_FIXED,
                                         .base_addr = header->segment_base,
                                         .limit = 0xffff,
                                         .read_exec_only = 1,
                                         .seg_32bit = 1});
    if (failed == 0) capabilities |= CAN_RUN_COMPATIBILITY;
    if (__builtin_cpu_supports("avx")) capabilities |= CAN_AVX;
    if (getauxval(AT_HWCAP2) & AT_HWCAP2_FSGSBASE) capabilities |= CAN_FSGSBASE;
}

static void install_handlers(void) {
    static const int signals[] = {SIGUSR1, SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    size_t length = (size_t)sysconf(_SC_SIGSTKSZ) + 65536;
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    stack_t stack = {.ss_sp = memory, .ss_size = length};
    if (memory == MAP_FAILED || sigaltstack(&stack, NULL) != 0) die("sigaltstack");
    struct sigaction action = {.sa_sigaction = signal_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], &action, NULL) != 0) die("sigaction");
}

static uint32_t total_arena_length(void) {
    uint32_t length = 0;
    for (uint32_t r = 0; r < header->region_count; r++)
        length += regions[r].length;
    return length;
}

static void check_patches(const struct vector *vector) {
    const uint8_t *end = (const uint8_t *)vector + vector->size;
    const struct piece *patch = (const struct piece *)(vector + 1);
    for (uint32_t i = 0; i < vector->patch_count; i++, patch = next_piece(patch)) {
        const uint8_t *bytes = (const uint8_t *)(patch + 1);
        if (bytes > end || patch->length > (size_t)(end - bytes))
            reject("a patch is longer than its vector");
        if ((uint64_t)patch->arena_offset + patch->length > total_arena_length())
            reject("a patch lies outside the arena");
    }
}

/* Reads and checks the whole file, so that the handler can trust every size in it. */
static void read_vectors(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) die(path);
    size_t size = (size_t)status.st_size;
    if (size < sizeof *header) reject("the vector file is truncated");
    const uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED) die("mmap vectors");
    header = (const struct file_header *)bytes;
    if (header->magic != VECTOR_MAGIC || header->version != FORMAT_VERSION)
        reject("not a vector file of this version");
    regions = (const struct region *)(header + 1);
    current = (const struct vector *)(regions + header->region_count);
    vectors_left = header->vector_count;
    const uint8_t *at = (const uint8_t *)current;
    for (uint32_t i = 0; i < header->vector_count; i++) {
        const struct vector *vector = (const struct vector *)at;
        size_t room = (size_t)(bytes + size - at);
        if (room < sizeof *vector || vector->size < sizeof *vector || vector->size > room)
            reject("the vector file is truncated");
        if (code_offset(vector) >= header->code_length || vector->code_length > 24)
            reject("a vector's code lies outside the code region");
        check_patches(vector);
        at += vector->size;
    }
}

static void open_results(const char *path) {
    result_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (result_fd < 0) die(path);
    /* The worst case: every second byte of the arena changed, each a piece of 16 bytes. */
    size_t most = sizeof(struct result) + (size_t)arena_length * 8;
    size_t size = sizeof *results + most * (header->vector_count + 1u);
    results = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (results == MAP_FAILED) die("mmap results");
    *results = (struct result_header){RESULT_MAGIC, FORMAT_VERSION, 0, capabilities};
    result_end = (uint8_t *)(results + 1);
}

int main(int argc, char **argv) {
    if (argc != 3) reject("usage: runner VECTORS RESULTS");
    read_vectors(argv[1]);
    map_regions();
    make_segments();
    open_results(argv[2]);
    host_fs_base = read_base(ARCH_GET_FS);
    install_handlers();
    alarm(RUN_SECONDS_MAX);
    raise(SIGUSR1);
    reject("the last signal handler returned");
}
