/*
 * Test kernels that print what their loader handed to them on the first serial port, one fact a line,
 * and end by the exit port. Lines that begin with "own" are about the machine (addresses, sizes of
 * memory); all others are the same under any loader of the protocol that is right.
 *
 * Structures: Multiboot Specification 0.6.96, 3.3; The Multiboot2 Specification 2.0, 3.6; Xen's
 * arch-x86/hvm/start_info.h; OpenBSD's arch/amd64/include/biosvar.h.
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

extern u32 registers[6]; /* EAX, EBX, ESP, EFLAGS, CR0, CR4 */
extern char end[];

/* Not zero in the file, so that a .bss which is not cleared is noticed by what lies before it. */
static u32 data_word = 0x12345678;
static u32 bss_words[256];

static inline void outb(u16 port, u8 value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

/* Waits until the serial port has sent what it has: an emulator that ends sends no more. */
static void put_byte(u8 byte) {
  outb(0x3f8, byte);
  while (!(inb(0x3fd) & 0x40)) continue;
}

static void put(const char *text) {
  while (*text) put_byte(*text++);
}

static void hex(u64 value) {
  int shift = 60;
  while (shift > 0 && !(value >> shift)) shift -= 4;
  for (; shift >= 0; shift -= 4) put_byte("0123456789abcdef"[(value >> shift) & 15]);
}

static void fact(const char *name, u64 value) {
  put(name);
  put(" ");
  hex(value);
  put("\n");
}

__attribute__((unused)) static void quoted(const char *name, const char *text) {
  put(name);
  put(" \"");
  put(text);
  put("\"\n");
}

/* Enough to see that every byte is in its place: FNV-1a. */
static u32 sum(const u8 *bytes, u32 length) {
  u32 hash = 0x811c9dc5;
  while (length--) hash = (hash ^ *bytes++) * 0x01000193;
  return hash;
}

__attribute__((unused)) static void module(u32 start, u32 length, const char *text) {
  fact("module bytes", length);
  fact("module sum", sum((const u8 *)start, length));
  fact("module begins in its page at", start & 0xfff);
  fact("own module overlaps the kernel", start < (u32)end && start + length > 0x1000000);
  quoted("module string", text);
}

static void range(u64 base, u64 length, u32 type) {
  put("own range ");
  hex(base);
  put(" ");
  hex(length);
  put(" ");
  hex(type);
  put("\n");
}

static void segment(const char *name, u16 selector) {
  u32 limit = 0, rights = 0;
  __asm__("lsl %1, %0" : "=r"(limit) : "r"((u32)selector));
  __asm__("lar %1, %0" : "=r"(rights) : "r"((u32)selector));
  put(name);
  put(" limit ");
  hex(limit);
  /* Without the accessed bit: whether it is set is the loader's affair. */
  put(" rights ");
  hex((rights & 0xd0fe00) >> 8);
  put("\n");
}

static void processor(void) {
  u16 cs, ds, es, ss;
  u32 bss = 0;
  __asm__("mov %%cs, %0" : "=r"(cs));
  __asm__("mov %%ds, %0" : "=r"(ds));
  __asm__("mov %%es, %0" : "=r"(es));
  __asm__("mov %%ss, %0" : "=r"(ss));
  segment("cs", cs);
  segment("ds", ds);
  segment("es", es);
  segment("ss", ss);
  fact("flags VM IF TF", registers[3] & 0x20300);
  fact("cr0 PG PE", registers[4] & 0x80000001);
  for (u32 index = 0; index < 256; index++) bss |= bss_words[index];
  fact("bss", bss);
  fact("data", data_word);
}

#if defined MULTIBOOT

int main(void) {
  const u32 *info = (const u32 *)registers[1];
  processor();
  fact("magic", registers[0]);
  /* Sizes of memory, command line, modules, map: what every loader must give. */
  fact("flags", info[0] & 0x4d);
  fact("own lower", info[1]);
  fact("own upper", info[2]);
  quoted("command line", (const char *)info[4]);
  fact("modules", info[5]);
  for (u32 index = 0; index < info[5]; index++) {
    const u32 *entry = (const u32 *)info[6] + index * 4;
    module(entry[0], entry[1] - entry[0], (const char *)entry[2]);
  }
  for (u32 at = info[12]; at < info[12] + info[11]; at += *(u32 *)at + 4) {
    range(*(u64 *)(at + 4), *(u64 *)(at + 12), *(u32 *)(at + 20));
  }
  outb(0xf4, 0);
  return 0;
}

#elif defined MULTIBOOT2

static void sections(const u32 *tag) {
  const u32 *table = tag + 5;
  u32 words = tag[3] / 4;
  fact("sections", tag[2]);
  for (u32 index = 0; index < tag[2]; index++) {
    const u32 *header = table + index * words;
    if (header[1] != 2) continue; /* SHT_SYMTAB */
    const u32 *names = table + header[6] * words;
    for (u32 at = 0; at < header[5]; at += 16) {
      const u32 *symbol = (const u32 *)(header[3] + at);
      const char *name = (const char *)names[3] + symbol[0];
      if (name[0] == 'e' && name[1] == 'n' && name[2] == 'd' && !name[3]) {
        fact("symbol end is right", symbol[1] == (u32)end);
      }
    }
  }
}

int main(void) {
  u32 at = registers[1] + 8;
  processor();
  fact("magic", registers[0]);
  fact("information begins at a multiple of 8, plus", registers[1] & 7);
  fact("reserved", ((u32 *)registers[1])[1]);
  for (;;) {
    const u32 *tag = (const u32 *)at;
    if (tag[0] == 0) break;
    if (tag[0] == 1) quoted("command line", (const char *)(tag + 2));
    if (tag[0] == 2) quoted("own loader", (const char *)(tag + 2));
    if (tag[0] == 3) module(tag[2], tag[3] - tag[2], (const char *)(tag + 4));
    if (tag[0] == 4) fact("own lower", tag[2]), fact("own upper", tag[3]);
    if (tag[0] == 6) {
      fact("map version", tag[3]);
      for (u32 entry = at + 16; entry < at + tag[1]; entry += tag[2]) {
        range(*(u64 *)entry, *(u64 *)(entry + 8), *(u32 *)(entry + 16));
      }
    }
    if (tag[0] == 9) sections(tag);
    at += (tag[1] + 7) & ~7;
  }
  fact("the end tag ends the information", at + 8 == registers[1] + *(u32 *)registers[1]);
  outb(0xf4, 0);
  return 0;
}

#elif defined PVH

struct start_info {
  u32 magic, version, flags, modules;
  u64 module_list, command_line, rsdp, map;
  u32 map_entries, reserved;
};

int main(void) {
  const struct start_info *info = (const struct start_info *)registers[1];
  processor();
  fact("cr0 of writable bits", registers[4] & ~0x10);
  fact("cr4", registers[5]);
  fact("magic", info->magic);
  fact("version", info->version);
  fact("flags", info->flags);
  fact("reserved", info->reserved);
  quoted("command line", (const char *)(u32)info->command_line);
  fact("modules", info->modules);
  for (u32 index = 0; index < info->modules; index++) {
    const u64 *entry = (const u64 *)(u32)info->module_list + index * 4;
    module(entry[0], entry[1], "");
    if (entry[2]) quoted("own module string", (const char *)(u32)entry[2]);
  }
  for (u32 index = 0; index < info->map_entries; index++) {
    u32 entry = (u32)info->map + index * 24;
    range(*(u64 *)entry, *(u64 *)(entry + 8), *(u32 *)(entry + 16));
  }
  outb(0xf4, 0);
  return 0;
}

#elif defined OPENBSD

__attribute__((section(".openbsd.randomdata"))) u32 random_words[4] = {1, 1, 1, 1};

/* As ddb(4) looks for symbols: an ELF header behind the kernel, with section headers. */
static void symbols(u32 esym) {
  u32 at = ((u32)end + 7) & ~7;
  const u8 *header = (const u8 *)at;
  int wide = header[4] == 2;
  u32 shoff = *(u32 *)(header + (wide ? 40 : 32));
  u32 size = *(u16 *)(header + (wide ? 58 : 46));
  u32 count = *(u16 *)(header + (wide ? 60 : 48));
  fact("symbols magic", *(u32 *)header);
  fact("program headers", *(u16 *)(header + (wide ? 56 : 44)));
  for (u32 index = 0; index < count; index++) {
    u32 section = at + shoff + index * size;
    if (*(u32 *)(section + 4) != 2) continue; /* SHT_SYMTAB */
    u32 link = at + shoff + *(u32 *)(section + (wide ? 40 : 24)) * size;
    u32 table = at + *(u32 *)(section + (wide ? 24 : 16));
    u32 names = at + *(u32 *)(link + (wide ? 24 : 16));
    u32 bytes = *(u32 *)(section + (wide ? 32 : 20));
    for (u32 symbol = table; symbol < table + bytes; symbol += wide ? 24 : 16) {
      const char *name = (const char *)(names + *(u32 *)symbol);
      if (name[0] == 'e' && name[1] == 'n' && name[2] == 'd' && !name[3]) {
        fact("symbol end is right", *(u32 *)(symbol + (wide ? 8 : 4)) == (u32)end);
      }
    }
    fact("symbols lie before esym", table > at && table < esym && names < esym);
  }
}

int main(void) {
  /* A return address, then the arguments of start(). */
  const u32 *stack = (const u32 *)registers[2];
  u32 low, high;
  u8 gdtr[6];
  processor();
  fact("cr0 of writable bits", registers[4] & ~0x10);
  fact("cr4", registers[5]);
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0xc0000080));
  fact("efer", low);
  __asm__ volatile("sgdt %0" : "=m"(gdtr));
  fact("gdt limit", *(u16 *)gdtr);
  fact("gdt base", *(u32 *)(gdtr + 2));
  fact("stack", registers[2]);
  fact("howto", stack[1]);
  fact("bootdev", stack[2]);
  fact("api version", stack[3]);
  fact("extmem", stack[5]);
  fact("cnvmem", stack[6]);
  fact("arguments bytes", stack[7]);
  fact("arguments at", stack[8]);
  symbols(stack[4]);
  for (u32 at = stack[8]; at < stack[8] + stack[7] && *(u32 *)at != ~0u; at += ((u32 *)at)[1]) {
    const u32 *argument = (const u32 *)at;
    if (argument[0] == 0) {
      u32 entry = at + 12;
      for (; *(u32 *)(entry + 16) != 0; entry += 20) {
        range(*(u64 *)entry, *(u64 *)(entry + 8), *(u32 *)(entry + 16));
      }
      fact("map ends with its argument", entry + 20 == at + argument[1]);
    } else if (argument[0] == 5) {
      fact("console major", (argument[3] >> 8) & 0xff);
      fact("console minor", argument[3] & 0xff);
      fact("console speed", argument[4]);
      fact("console address", *(u64 *)(argument + 5));
    } else {
      fact("unknown argument", argument[0]);
    }
  }
  fact("end marker", *(u32 *)(stack[8] + stack[7]));
  for (u32 index = 0; index < 4; index++) fact("random", random_words[index]);
  outb(0xf4, 0);
  return 0;
}

#endif
