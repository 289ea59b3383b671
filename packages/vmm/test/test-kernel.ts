// Small kernels for tests of whole machines: assembly by the system's assembler behind a Multiboot 1
// header (0.6.96, section 3.1) that says where the file goes, since it is no ELF file. They start in
// flat 32-bit protected mode with interrupts off.

import { assemble } from './guest-program.ts';

/** Where kernels load. */
export const KERNEL_ADDRESS = 0x10_0000;
/** Memory that a kernel may use, and that a reset leaves as it is. */
export const SCRATCH_ADDRESS = 0x20_0000;

const MAGIC = 0x1bad_b002;
const ADDRESS_FIELDS = 0x0001_0000;
const HEADER_BYTES = 32;

/** What every kernel can use. COM1 takes bytes at once; the exit port ends the run. */
const PROLOGUE = `
.macro put byte
  mov dx, 0x3f8
  mov al, \\byte
  out dx, al
.endm
.macro leave value
  mov al, \\value
  out 0xf4, al
.endm
.macro outb port, value
  mov dx, \\port
  mov al, \\value
  out dx, al
.endm
  mov esp, ${SCRATCH_ADDRESS + 0x1_0000}
`;

/**
 * An interrupt table with a handler for each vector that is given as a label, controllers programmed
 * so that IRQ 0 is vector 0x20 and IRQ 8 vector 0x28, all lines masked but those of `unmasked`.
 */
export function interrupts(handlers: Record<number, string>, unmasked: number): string {
  const gates = Object.entries(handlers).map(
    ([vector, label]) => `
  mov eax, offset ${label}
  mov word ptr [idt + 8 * ${vector}], ax
  mov word ptr [idt + 8 * ${vector} + 2], cs
  mov word ptr [idt + 8 * ${vector} + 4], 0x8e00
  shr eax, 16
  mov word ptr [idt + 8 * ${vector} + 6], ax`,
  );
  const mask = ~(unmasked | 4);
  return `
  .set idt, ${SCRATCH_ADDRESS + 0x2_0000}
  ${gates.join('\n')}
  sub esp, 8
  mov word ptr [esp], 0x7ff
  mov dword ptr [esp + 2], idt
  lidt [esp]
  outb 0x20, 0x11
  outb 0xa0, 0x11
  outb 0x21, 0x20
  outb 0xa1, 0x28
  outb 0x21, 4
  outb 0xa1, 2
  outb 0x21, 1
  outb 0xa1, 1
  outb 0x21, ${mask & 0xff}
  outb 0xa1, ${(mask >> 8) & 0xff}
`;
}

/** Assembles a kernel (GNU as, Intel syntax). */
export function testKernel(source: string): Uint8Array {
  const code = assemble(`${PROLOGUE}\n${source}`, 32, KERNEL_ADDRESS + HEADER_BYTES);
  const image = new Uint8Array(HEADER_BYTES + code.length);
  const view = new DataView(image.buffer);
  const fields = [
    MAGIC,
    ADDRESS_FIELDS,
    -(MAGIC + ADDRESS_FIELDS),
    KERNEL_ADDRESS, // header_addr
    KERNEL_ADDRESS, // load_addr
    KERNEL_ADDRESS + image.length, // load_end_addr
    KERNEL_ADDRESS + image.length, // bss_end_addr
    KERNEL_ADDRESS + HEADER_BYTES, // entry_addr
  ];
  for (const [index, field] of fields.entries()) view.setUint32(4 * index, field, true);
  image.set(code, HEADER_BYTES);
  return image;
}
