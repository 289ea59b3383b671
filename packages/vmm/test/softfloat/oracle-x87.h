// The x87 half of oracle.c. A record's operands are a (ST(0)) and b (ST(1), or memory).

static void extended(uint64_t *significand, uint64_t *signExponent) {
  uint64_t exponent, integer = 1ull << 63;
  switch (below(16)) {
  case 0: exponent = 0; integer = below(8) ? 0 : integer; break;
  case 1: exponent = 0x7fff; break;
  case 2: exponent = 1 + below(66); break;
  case 3: exponent = 0x7ffe - below(66); break;
  case 4: exponent = 16383 / 2 + below(4) - 2; break;
  case 5: exponent = 16383 + 16383 / 2 + below(4) - 2; break;
  case 6: exponent = next() & 0x7fff; break;
  case 7: exponent = 16383 - 1023 + 3 - below(60); break;
  case 8: exponent = 16383 + 1024 + 2 - below(4); break;
  case 9: exponent = below(2) ? 16383 - 127 + 3 - below(30) : 16383 + 128 + 2 - below(4); break;
  case 10: exponent = 16383 + below(68); break;
  default: exponent = 16383 + below(16) - 8; break;
  }
  if (below(64) == 0) integer ^= 1ull << 63;
  *significand = integer | fraction(63);
  *signExponent = exponent | (next() & 1) << 15;
}

// Numbers of either sign with exponents from 2^low to 2^high.
static void between(int low, int high, uint64_t *significand, uint64_t *signExponent) {
  *significand = 1ull << 63 | fraction(63);
  *signExponent = (16383 + low + below(high - low + 1)) | (next() & 1) << 15;
}

static uint32_t randomFcw(void) {
  static const uint32_t precisions[4] = {0, 1, 2, 3};
  uint32_t v = 0x3f | precisions[below(4)] << 8;
  if (below(2)) v |= below(4) << 10;
  if (below(6) == 0) v &= ~0x3fu | next();
  return v;
}

typedef uint32_t (*x87Op)(struct record *r, void *result);

#define X87_BEFORE "fninit\n\tfldt 16(%2)\n\tfldt (%2)\n\tfldcw %3\n\t"
#define X87_AFTER "\n\tfnstsw %0\n\tfnclex\n\tfldcw %4\n\t"
#define X87(name, insn, fetch)                                                                     \
  static uint32_t name(struct record *r, void *result) {                                           \
    uint16_t status, fcw = r->control, quiet = 0x37f;                                              \
    __asm__ volatile(X87_BEFORE insn X87_AFTER fetch "\n\tfninit"                                  \
                     : "=&a"(status)                                                               \
                     : "r"(result), "r"(r), "m"(fcw), "m"(quiet)                                   \
                     : "memory", "cc");                                                            \
    return status;                                                                                 \
  }
#define TOP "fstpt (%1)"
#define SECOND "fstp %%st(0)\n\tfstpt (%1)"
// ST(1) if the instruction pushed; with C2 set it did not.
#define PUSHED "testl $0x400, %%eax\n\tjnz 1f\n\tfstp %%st(0)\n1:\tfstpt (%1)"

X87(f80Add, "fadd %%st(1), %%st", TOP)
X87(f80Subtract, "fsub %%st(1), %%st", TOP)
X87(f80Multiply, "fmul %%st(1), %%st", TOP)
X87(f80Divide, "fdiv %%st(1), %%st", TOP)
X87(f80Sqrt, "fsqrt", TOP)
X87(f80Fcom, "fcom %%st(1)", "")
X87(f80Fucom, "fucom %%st(1)", "")
X87(f80RoundIntegral, "frndint", TOP)
X87(f80Scale, "fscale", TOP)
X87(f80ExtractSignificand, "fxtract", TOP)
X87(f80ExtractExponent, "fxtract", SECOND)
X87(f80Fprem, "fprem", TOP)
X87(f80Fprem1, "fprem1", TOP)
X87(f80AddF32, "fadds 16(%2)", TOP)
X87(f80DivideF32, "fdivs 16(%2)", TOP)
X87(f80MultiplyF64, "fmull 16(%2)", TOP)
X87(f80DivideF64, "fdivl 16(%2)", TOP)
X87(f80FcomF64, "fcoml 16(%2)", "")
X87(f80LoadF32, "flds 16(%2)", TOP)
X87(f80LoadF64, "fldl 16(%2)", TOP)
X87(f80LoadI64, "fildll 16(%2)", TOP)
X87(f80LoadBcd, "fbld 16(%2)", TOP)
X87(f80StoreF32, "fsts (%1)", "")
X87(f80StoreF64, "fstl (%1)", "")
X87(f80StoreI16, "fists (%1)", "")
X87(f80StoreI32, "fistl (%1)", "")
X87(f80StoreI64, "fistpll (%1)", "")
X87(f80TruncateI16, "fisttps (%1)", "")
X87(f80TruncateI32, "fisttpl (%1)", "")
X87(f80TruncateI64, "fisttpll (%1)", "")
X87(f80StoreBcd, "fbstp (%1)", "")
X87(fld1, "fld1", TOP)
X87(fldl2t, "fldl2t", TOP)
X87(fldl2e, "fldl2e", TOP)
X87(fldpi, "fldpi", TOP)
X87(fldlg2, "fldlg2", TOP)
X87(fldln2, "fldln2", TOP)
X87(fldz, "fldz", TOP)
X87(f2xm1, "f2xm1", TOP)
X87(fyl2x, "fyl2x", TOP)
X87(fyl2xp1, "fyl2xp1", TOP)
X87(fpatan, "fpatan", TOP)
X87(fptan, "fptan", PUSHED)
X87(fsin, "fsin", TOP)
X87(fcos, "fcos", TOP)
X87(fsincosSin, "fsincos", PUSHED)
X87(fsincosCos, "fsincos", TOP)

static void anything(struct record *r) {
  extended(&r->a, &r->aHigh);
  extended(&r->b, &r->bHigh);
  switch (below(8)) {
  case 0: r->b = r->a + below(5) - 2; break;
  case 1: r->b = r->a; r->bHigh = r->aHigh ^ (next() & 0x8001); break;
  case 2: r->bHigh = (r->aHigh & 0x8000) | ((r->aHigh + below(140) - 70) & 0x7fff); break;
  }
}
static void anythingAndF32(struct record *r) { anything(r); r->b = f32Value(); }
static void anythingAndF64(struct record *r) { anything(r); r->b = f64Value(); }
static void anythingAndInteger(struct record *r) { anything(r); r->b = integer(); }
static void anythingAndBcd(struct record *r) {
  anything(r);
  r->b = 0;
  for (int i = 0; i < 64; i += 4) r->b |= (uint64_t)below(10) << i;
  if (below(4) == 0) r->b >>= below(64) & ~3;
  r->bHigh = below(10) | below(10) << 4 | below(2) << 15;
  if (below(4) == 0) r->bHigh &= 0x8000;
}
// Scales: integers of all sizes, and what they scale.
static void scales(struct record *r) {
  anything(r);
  if (below(4)) between(-2, 17, &r->b, &r->bHigh);
}
static void integers(struct record *r) {
  anything(r);
  if (below(2)) between(-2, 64, &r->a, &r->aHigh);
  if (below(4) == 0) r->a &= ~0ull << below(64);
}
static void angles(struct record *r) {
  anything(r);
  if (below(8)) between(-20, 10, &r->a, &r->aHigh);
  else if (below(2)) between(-70, 64, &r->a, &r->aHigh);
  // Near multiples of pi / 2.
  if (below(8) == 0) {
    long double near = 1.5707963267948966192313L * (int)(1 + below(1000));
    memcpy(&r->a, &near, 8);
    memcpy(&r->aHigh, (char *)&near + 8, 2);
    r->a += below(5) - 2;
  }
}
static void exponents(struct record *r) {
  anything(r);
  if (below(8)) between(-70, -1, &r->a, &r->aHigh);
  if (below(4) == 0) between(-3, 1, &r->a, &r->aHigh);
}
static void logarithms(struct record *r) {
  anything(r);
  if (below(8)) between(-30, 30, &r->b, &r->bHigh);
  if (below(8)) { between(-20, 20, &r->a, &r->aHigh); r->aHigh &= 0x7fff; }
  if (below(4) == 0) { between(-1, 0, &r->a, &r->aHigh); r->aHigh &= 0x7fff; }
  if (below(8) == 0) r->a = 1ull << 63;
}
static void logarithmsPlus1(struct record *r) {
  anything(r);
  if (below(8)) between(-30, 30, &r->b, &r->bHigh);
  if (below(8)) between(-70, -1, &r->a, &r->aHigh);
  if (below(4) == 0) between(-4, 2, &r->a, &r->aHigh);
}
static void ratios(struct record *r) {
  anything(r);
  if (below(8)) {
    between(-20, 20, &r->a, &r->aHigh);
    between(-20, 20, &r->b, &r->bHigh);
  }
}

static const struct {
  const char *name;
  x87Op op;
  void (*operands)(struct record *);
  // Unmasked exceptions that leave no result.
  uint32_t faults;
} x87Ops[] = {
#define ANY(name) {#name, name, anything, 7}
#define WITH(name, operands) {#name, name, operands, 7}
#define STORE(name, operands) {#name, name, operands, 0x1f}
    ANY(f80Add), ANY(f80Subtract), ANY(f80Multiply), ANY(f80Divide), ANY(f80Sqrt), ANY(f80Fcom),
    ANY(f80Fucom), WITH(f80RoundIntegral, integers), WITH(f80Scale, scales),
    ANY(f80ExtractSignificand), ANY(f80ExtractExponent), ANY(f80Fprem), ANY(f80Fprem1),
    WITH(f80AddF32, anythingAndF32), WITH(f80DivideF32, anythingAndF32),
    WITH(f80MultiplyF64, anythingAndF64), WITH(f80DivideF64, anythingAndF64),
    WITH(f80FcomF64, anythingAndF64), WITH(f80LoadF32, anythingAndF32),
    WITH(f80LoadF64, anythingAndF64), WITH(f80LoadI64, anythingAndInteger),
    WITH(f80LoadBcd, anythingAndBcd), STORE(f80StoreF32, anything), STORE(f80StoreF64, anything),
    STORE(f80StoreI16, integers), STORE(f80StoreI32, integers), STORE(f80StoreI64, integers),
    STORE(f80TruncateI16, integers), STORE(f80TruncateI32, integers),
    STORE(f80TruncateI64, integers), STORE(f80StoreBcd, integers), ANY(fld1), ANY(fldl2t),
    ANY(fldl2e), ANY(fldpi), ANY(fldlg2), ANY(fldln2), ANY(fldz), WITH(f2xm1, exponents),
    WITH(fyl2x, logarithms), WITH(fyl2xp1, logarithmsPlus1), WITH(fpatan, ratios),
    WITH(fptan, angles), WITH(fsin, angles), WITH(fcos, angles), WITH(fsincosSin, angles),
    WITH(fsincosCos, angles),
};

static int runX87(const char *name, struct record *records, size_t count) {
  for (size_t i = 0; i < sizeof x87Ops / sizeof *x87Ops; i++) {
    if (strcmp(name, x87Ops[i].name)) continue;
    int compares = strstr(name, "com") != 0;
    for (size_t n = 0; n < count; n++) {
      struct record *r = &records[n];
      x87Ops[i].operands(r);
      r->control = randomFcw();
      uint64_t result[2] = {0, 0};
      uint32_t status = x87Ops[i].op(r, result);
      r->flags = status & 0x473f;
      r->trapped = (status & ~r->control & x87Ops[i].faults) != 0;
      r->result = compares ? status >> 8 & 0x45 : result[0];
      r->resultHigh = result[1];
    }
    return 1;
  }
  return 0;
}
