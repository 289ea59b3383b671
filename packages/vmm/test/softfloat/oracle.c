// The host processor's floating point, as an oracle for the software's. `oracle OP COUNT SEED`
// writes COUNT records (struct record, 64 bytes) to standard output: random and special operands, a
// random control word, and what the processor made of them: result and exception flags.
//
// SSE records have MXCSR in `control`, x87 records the control word. An SSE operation with an
// unmasked exception traps and leaves no result: `trapped` is set.

#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

struct record {
  uint64_t a;
  uint64_t aHigh; // sign and exponent of a double extended operand, or a second argument
  uint64_t b;
  uint64_t bHigh;
  uint32_t control;
  uint32_t flags;
  uint64_t result;
  uint64_t resultHigh;
  uint32_t trapped;
  uint32_t unused;
};

static uint64_t state;

static uint64_t next(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

static uint32_t below(uint32_t n) { return next() % n; }

// A fraction of `bits` bits with few ones, many ones, a short run, or anything.
static uint64_t fraction(int bits) {
  uint64_t all = bits == 64 ? ~0ull : (1ull << bits) - 1;
  uint64_t r = next() & all;
  switch (below(8)) {
  case 0: return 0;
  case 1: return 1ull << below(bits);
  case 2: return all & ~(1ull << below(bits));
  case 3: return all & (r << below(bits));
  case 4: return all - below(4);
  case 5: return all & ((1ull << below(bits)) + below(3) - 1);
  default: return r;
  }
}

// An IEEE binary format of `exponentBits` and `fractionBits`, with all classes represented.
static uint64_t ieee(int exponentBits, int fractionBits) {
  uint64_t top = (1ull << exponentBits) - 1, bias = top >> 1, exponent;
  switch (below(16)) {
  case 0: exponent = 0; break;
  case 1: exponent = top; break;
  case 2: exponent = 1 + below(4); break;
  case 3: exponent = top - 1 - below(4); break;
  case 4: exponent = bias / 2 + below(4) - 2; break;
  case 5: exponent = bias + bias / 2 + below(4) - 2; break;
  case 6: exponent = below(2) ? 0 : below(fractionBits + 4); break;
  case 7: exponent = next() & top; break;
  case 8: exponent = bias + 28 + below(8); break;
  case 9: exponent = bias + below(70); if (exponent > top) exponent = top; break;
  default: exponent = bias + below(16) - 8; break;
  }
  return (next() & 1) << (exponentBits + fractionBits) | exponent << fractionBits |
         fraction(fractionBits);
}

static uint64_t (*random64)(void);
static uint64_t f32Value(void) { return ieee(8, 23); }
static uint64_t f64Value(void) { return ieee(11, 52); }
static uint64_t integer(void) {
  uint64_t v = next() >> below(64);
  switch (below(4)) {
  case 0: return below(8) ? v : 1ull << below(64);
  case 1: return -v;
  case 2: return fraction(64);
  default: return v;
  }
}

// A second operand near the first one now and then: cancellation, exact quotients, ties.
static uint64_t related(uint64_t a) {
  switch (below(8)) {
  case 0: return a + below(5) - 2;
  case 1: return a ^ 1ull << below(64);
  case 2: return a;
  default: return random64();
  }
}

// ----------------------------------------------------------------------------------------------
// SSE

static sigjmp_buf trap;
static volatile uint32_t trapMxcsr;

static void onFpe(int number, siginfo_t *info, void *context) {
  (void)number;
  (void)info;
  trapMxcsr = ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr;
  siglongjmp(trap, 1);
}

static uint32_t randomMxcsr(void) {
  uint32_t v = 0x1f80;
  if (below(2)) v |= below(4) << 13;
  if (below(4) == 0) v |= 1 << 6;
  if (below(4) == 0) v |= 1 << 15;
  if (below(6) == 0) v &= ~0x1f80u | next();
  return v;
}

typedef uint64_t (*sseOp)(struct record *r, uint32_t *mxcsr);

static const uint32_t quietMxcsr = 0x1f80;

#define SSE_BINARY(name, insn)                                                                     \
  static uint64_t name(struct record *r, uint32_t *mxcsr) {                                        \
    uint64_t out;                                                                                  \
    __asm__ volatile("movq %2, %%xmm0\n\tmovq %3, %%xmm1\n\tldmxcsr %4\n\t" insn                   \
                     " %%xmm1, %%xmm0\n\tstmxcsr %1\n\tldmxcsr %5\n\tmovq %%xmm0, %0"              \
                     : "=r"(out), "=m"(*mxcsr)                                                     \
                     : "r"(r->a), "r"(r->b), "m"(r->control), "m"(quietMxcsr)                      \
                     : "xmm0", "xmm1");                                                            \
    return out;                                                                                    \
  }
#define SSE_UNARY(name, insn)                                                                      \
  static uint64_t name(struct record *r, uint32_t *mxcsr) {                                        \
    uint64_t out;                                                                                  \
    __asm__ volatile("movq %2, %%xmm1\n\tpxor %%xmm0, %%xmm0\n\tldmxcsr %3\n\t" insn               \
                     " %%xmm1, %%xmm0\n\tstmxcsr %1\n\tldmxcsr %4\n\tmovq %%xmm0, %0"              \
                     : "=r"(out), "=m"(*mxcsr)                                                     \
                     : "r"(r->a), "m"(r->control), "m"(quietMxcsr)                                 \
                     : "xmm0", "xmm1");                                                            \
    return out;                                                                                    \
  }
#define SSE_TO_INTEGER(name, insn, reg)                                                            \
  static uint64_t name(struct record *r, uint32_t *mxcsr) {                                        \
    uint64_t out = 0;                                                                              \
    __asm__ volatile("movq %2, %%xmm1\n\tldmxcsr %3\n\t" insn " %%xmm1, %" reg                     \
                     "0\n\tstmxcsr %1\n\tldmxcsr %4"                                               \
                     : "+r"(out), "=m"(*mxcsr)                                                     \
                     : "r"(r->a), "m"(r->control), "m"(quietMxcsr)                                 \
                     : "xmm1");                                                                    \
    return out;                                                                                    \
  }
#define SSE_FROM_INTEGER(name, insn)                                                               \
  static uint64_t name(struct record *r, uint32_t *mxcsr) {                                        \
    uint64_t out;                                                                                  \
    __asm__ volatile("pxor %%xmm0, %%xmm0\n\tldmxcsr %3\n\t" insn                                  \
                     " %2, %%xmm0\n\tstmxcsr %1\n\tldmxcsr %4\n\tmovq %%xmm0, %0"                  \
                     : "=r"(out), "=m"(*mxcsr)                                                     \
                     : "r"(r->a), "m"(r->control), "m"(quietMxcsr)                                 \
                     : "xmm0");                                                                    \
    return out;                                                                                    \
  }
#define SSE_COMPARE(name, insn)                                                                    \
  static uint64_t name(struct record *r, uint32_t *mxcsr) {                                        \
    uint64_t out;                                                                                  \
    __asm__ volatile("movq %2, %%xmm0\n\tmovq %3, %%xmm1\n\tldmxcsr %4\n\t" insn                   \
                     " %%xmm1, %%xmm0\n\tpushfq\n\tpopq %0\n\tstmxcsr %1\n\tldmxcsr %5"            \
                     : "=r"(out), "=m"(*mxcsr)                                                     \
                     : "r"(r->a), "r"(r->b), "m"(r->control), "m"(quietMxcsr)                      \
                     : "xmm0", "xmm1", "cc");                                                      \
    return out & 0x45;                                                                             \
  }

SSE_BINARY(f64Add, "addsd")
SSE_BINARY(f64Subtract, "subsd")
SSE_BINARY(f64Multiply, "mulsd")
SSE_BINARY(f64Divide, "divsd")
SSE_UNARY(f64Sqrt, "sqrtsd")
SSE_BINARY(f32Add, "addss")
SSE_BINARY(f32Subtract, "subss")
SSE_BINARY(f32Multiply, "mulss")
SSE_BINARY(f32Divide, "divss")
SSE_UNARY(f32Sqrt, "sqrtss")
SSE_COMPARE(f64Ucomi, "ucomisd")
SSE_COMPARE(f64Comi, "comisd")
SSE_COMPARE(f32Ucomi, "ucomiss")
SSE_COMPARE(f32Comi, "comiss")
SSE_UNARY(f32ToF64, "cvtss2sd")
SSE_UNARY(f64ToF32, "cvtsd2ss")
SSE_TO_INTEGER(f32ToI32, "cvtss2si", "k")
SSE_TO_INTEGER(f32ToI64, "cvtss2si", "q")
SSE_TO_INTEGER(f64ToI32, "cvtsd2si", "k")
SSE_TO_INTEGER(f64ToI64, "cvtsd2si", "q")
SSE_TO_INTEGER(f32TruncateI32, "cvttss2si", "k")
SSE_TO_INTEGER(f32TruncateI64, "cvttss2si", "q")
SSE_TO_INTEGER(f64TruncateI32, "cvttsd2si", "k")
SSE_TO_INTEGER(f64TruncateI64, "cvttsd2si", "q")
SSE_FROM_INTEGER(i64ToF32, "cvtsi2ssq")
SSE_FROM_INTEGER(i64ToF64, "cvtsi2sdq")
#define SSE_ROUND(type, insn, imm) SSE_UNARY(type##Round##imm, insn " $" #imm ",")
#define SSE_ROUNDS(type, insn)                                                                     \
  SSE_ROUND(type, insn, 0)                                                                         \
  SSE_ROUND(type, insn, 1)                                                                         \
  SSE_ROUND(type, insn, 2)                                                                         \
  SSE_ROUND(type, insn, 3)                                                                         \
  SSE_ROUND(type, insn, 4)                                                                         \
  SSE_ROUND(type, insn, 9)                                                                         \
  SSE_ROUND(type, insn, 12)
SSE_ROUNDS(f32, "roundss")
SSE_ROUNDS(f64, "roundsd")

static uint64_t roundByImmediate(struct record *r, uint32_t *mxcsr, sseOp const ops[7]) {
  static const uint8_t immediates[7] = {0, 1, 2, 3, 4, 9, 12};
  uint32_t i = r->b % 7;
  r->b = immediates[i];
  return ops[i](r, mxcsr);
}
static uint64_t f32Round(struct record *r, uint32_t *mxcsr) {
  static sseOp const ops[7] = {f32Round0, f32Round1, f32Round2, f32Round3,
                               f32Round4, f32Round9, f32Round12};
  return roundByImmediate(r, mxcsr, ops);
}
static uint64_t f64Round(struct record *r, uint32_t *mxcsr) {
  static sseOp const ops[7] = {f64Round0, f64Round1, f64Round2, f64Round3,
                               f64Round4, f64Round9, f64Round12};
  return roundByImmediate(r, mxcsr, ops);
}

static const struct {
  const char *name;
  sseOp op;
  uint64_t (*operand)(void);
} sseOps[] = {
#define F32(name) {#name, name, f32Value}
#define F64(name) {#name, name, f64Value}
#define INT(name) {#name, name, integer}
    F64(f64Add),         F64(f64Subtract),    F64(f64Multiply),    F64(f64Divide),
    F64(f64Sqrt),        F32(f32Add),         F32(f32Subtract),    F32(f32Multiply),
    F32(f32Divide),      F32(f32Sqrt),        F64(f64Ucomi),       F64(f64Comi),
    F32(f32Ucomi),       F32(f32Comi),        F32(f32ToF64),       F64(f64ToF32),
    F32(f32ToI32),       F32(f32ToI64),       F64(f64ToI32),       F64(f64ToI64),
    F32(f32TruncateI32), F32(f32TruncateI64), F64(f64TruncateI32), F64(f64TruncateI64),
    INT(i64ToF32),       INT(i64ToF64),       F32(f32Round),       F64(f64Round),
};

static void runSseRecord(sseOp op, struct record *r) {
  uint32_t mxcsr = 0;
  if (sigsetjmp(trap, 0) == 0) {
    r->result = op(r, &mxcsr);
    r->flags = mxcsr & 0x3f;
  } else {
    __asm__ volatile("ldmxcsr %0" : : "m"(quietMxcsr));
    r->flags = trapMxcsr & 0x3f;
    r->trapped = 1;
  }
}

static int runSse(const char *name, struct record *records, size_t count) {
  for (size_t i = 0; i < sizeof sseOps / sizeof *sseOps; i++) {
    if (strcmp(name, sseOps[i].name)) continue;
    struct sigaction action = {.sa_sigaction = onFpe, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGFPE, &action, 0);
    random64 = sseOps[i].operand;
    for (size_t n = 0; n < count; n++) {
      struct record *r = &records[n];
      r->a = random64();
      r->b = related(r->a);
      if (random64 == f32Value) r->b = (uint32_t)r->b;
      r->control = randomMxcsr();
      runSseRecord(sseOps[i].op, r);
    }
    return 1;
  }
  return 0;
}

#include "oracle-x87.h"

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: oracle OP COUNT SEED\n"), 2;
  size_t count = strtoul(argv[2], 0, 0);
  state = strtoul(argv[3], 0, 0);
  struct record *records = calloc(count, sizeof *records);
  if (!runSse(argv[1], records, count) && !runX87(argv[1], records, count))
    return fprintf(stderr, "oracle: no operation %s\n", argv[1]), 1;
  return fwrite(records, sizeof *records, count, stdout) == count ? 0 : 1;
}
