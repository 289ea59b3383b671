import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as codes from './ioctl-codes.ts';
import type { Member, StructLayout } from './layout.ts';
import { offsetOf, pack, unpack } from './layout.ts';
import { emptyRegState, VCPU_REGS, VCPU_SREGS } from './registers.ts';
import * as structs from './structs.ts';

const LAYOUTS = (Object.values(structs) as unknown[]).filter(
  (value): value is StructLayout<unknown> => typeof value === 'object',
);

const C_TYPES: Record<string, string> = {
  char: 'char',
  u8: 'uint8_t',
  u16: 'uint16_t',
  u32: 'uint32_t',
  i32: 'int32_t',
  u64: 'uint64_t',
  pointer: 'void *',
};

function declaration(member: Member): string {
  const { type, name, dimensions } = member;
  const suffix = dimensions.map((dimension) => `[${dimension}]`).join('');
  if (typeof type === 'string') return `${C_TYPES[type]} ${name}${suffix};`;
  if (type.kind === 'struct') return `struct ${type.name} ${name}${suffix};`;
  return `union { ${type.members.map(declaration).join(' ')} };`;
}

/** Names that offsetof takes: the alternatives of an anonymous union, not the union itself. */
const memberNames = (layout: StructLayout<unknown>): string[] =>
  layout.members.flatMap(({ name, type }) =>
    typeof type !== 'string' && type.kind === 'union'
      ? type.members.map((alternative) => alternative.name)
      : [name],
  );

const REQUESTS: [name: string, macro: string, tag: string, number: number][] = [
  ['VMM_IOC_CREATE', '_IOWR', 'vm_create_params', 1],
  ['VMM_IOC_RUN', '_IOWR', 'vm_run_params', 2],
  ['VMM_IOC_INFO', '_IOWR', 'vm_info_params', 3],
  ['VMM_IOC_TERM', '_IOW', 'vm_terminate_params', 4],
  ['VMM_IOC_RESETCPU', '_IOW', 'vm_resetcpu_params', 5],
  ['VMM_IOC_INTR', '_IOW', 'vm_intr_params', 6],
  ['VMM_IOC_READREGS', '_IOWR', 'vm_rwregs_params', 7],
  ['VMM_IOC_WRITEREGS', '_IOW', 'vm_rwregs_params', 8],
  ['VMM_IOC_READVMPARAMS', '_IOWR', 'vm_rwvmparams_params', 9],
  ['VMM_IOC_WRITEVMPARAMS', '_IOW', 'vm_rwvmparams_params', 10],
  ['VMM_IOC_MPROTECT_EPT', '_IOW', 'vm_mprotect_ept_params', 11],
];

/** A C program that prints what the compiler makes of the structures: one "name value" per line. */
function cProgram(): string {
  const declarations = LAYOUTS.map(
    (layout) => `struct ${layout.name} { ${layout.members.map(declaration).join(' ')} };`,
  );
  const prints = LAYOUTS.flatMap(({ name, members }) => [
    `P("sizeof ${name}", sizeof(struct ${name}));`,
    ...memberNames({ name, members } as StructLayout<unknown>).map(
      (member) => `P("${name}.${member}", offsetof(struct ${name}, ${member}));`,
    ),
  ]);
  const requests = REQUESTS.map(
    ([name, macro, tag, number]) => `P("${name}", ${macro}('V', ${number}, struct ${tag}));`,
  );
  return `#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#define _IOC(dir, g, n, t) ((dir) | ((sizeof(t) & 0x1ffful) << 16) | ((g) << 8) | (n))
#define _IOW(g, n, t) _IOC(0x80000000ul, g, n, t)
#define _IOWR(g, n, t) _IOC(0xc0000000ul, g, n, t)
#define P(name, value) printf("%s %lu\\n", name, (unsigned long)(value))
${declarations.join('\n')}
int main(void) {
${[...prints, ...requests].join('\n')}
return 0; }
`;
}

function compileAndRun(source: string): Map<string, number> {
  const folder = mkdtempSync(join(tmpdir(), 'vmm-structs-'));
  try {
    const program = join(folder, 'layouts');
    writeFileSync(`${program}.c`, source);
    execFileSync('gcc', ['-std=c11', '-Wall', '-Werror', '-o', program, `${program}.c`]);
    const lines = execFileSync(program, { encoding: 'utf8' }).trim().split('\n');
    return new Map(
      lines.map((line) => {
        const space = line.lastIndexOf(' ');
        return [line.slice(0, space), Number(line.slice(space + 1))];
      }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the layout tables agree with the C compiler on sizes, offsets and request codes', () => {
  const fromC = compileAndRun(cProgram());
  const ours = new Map<string, number>();
  for (const layout of LAYOUTS) {
    ours.set(`sizeof ${layout.name}`, layout.size);
    for (const name of memberNames(layout)) {
      ours.set(`${layout.name}.${name}`, offsetOf(layout, name));
    }
  }
  for (const [name] of REQUESTS) ours.set(name, (codes as unknown as Record<string, number>)[name]);
  expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(fromC));
  expect(LAYOUTS.length).toBe(16);
});

test('the tables are those of <machine/vmmvar.h>, September 2021', () => {
  // Computed with a C compiler from the header itself, not from our tables.
  expect(Object.fromEntries(LAYOUTS.map((layout) => [layout.name, layout.size]))).toEqual({
    vcpu_segment_info: 24,
    vm_exit_inout: 12,
    vm_exit_eptviolation: 1,
    vcpu_reg_state: 568,
    vm_mem_range: 24,
    vm_exit: 592,
    vm_create_params: 1280,
    vm_run_params: 32,
    vm_info_result: 160,
    vm_info_params: 24,
    vm_terminate_params: 4,
    vm_resetcpu_params: 576,
    vm_intr_params: 12,
    vm_rwregs_params: 584,
    vm_rwvmparams_params: 32,
    vm_mprotect_ept_params: 32,
  });
  const { VM_CREATE_PARAMS, VM_EXIT, VCPU_REG_STATE, VM_RUN_PARAMS, VM_INFO_RESULT } = structs;
  const offsets = (layout: StructLayout<unknown>): number[] =>
    memberNames(layout).map((name) => offsetOf(layout, name));
  expect(offsets(VM_CREATE_PARAMS)).toEqual([0, 8, 16, 24, 32, 416, 928, 1056, 1120, 1248, 1272]);
  expect(offsets(VM_EXIT)).toEqual([0, 0, 16, 584]);
  expect(offsets(VCPU_REG_STATE)).toEqual([0, 144, 224, 280, 328, 520, 544]);
  expect(offsets(VM_RUN_PARAMS)).toEqual([0, 4, 8, 10, 16, 24, 26]);
  expect(offsets(VM_INFO_RESULT)).toEqual([0, 8, 16, 24, 88, 92, 96]);
  expect(offsets(structs.VM_EXIT_INOUT)).toEqual([0, 1, 2, 3, 4, 6, 8]);
  expect(offsets(structs.VM_RWVMPARAMS_PARAMS)).toEqual([0, 4, 8, 16, 24]);
  expect(offsets(structs.VM_MPROTECT_EPT_PARAMS)).toEqual([0, 4, 8, 16, 24]);
  expect(offsets(structs.VCPU_SEGMENT_INFO)).toEqual([0, 4, 8, 16]);
});

test('the request codes are those of the 6.7 to 7.2 releases', () => {
  expect(
    Object.fromEntries(Object.entries(codes).filter(([, v]) => typeof v === 'number')),
  ).toEqual({
    VMM_IOC_CREATE: 0xc5005601,
    VMM_IOC_RUN: 0xc0205602,
    VMM_IOC_INFO: 0xc0185603,
    VMM_IOC_TERM: 0x80045604,
    VMM_IOC_RESETCPU: 0x82405605,
    VMM_IOC_INTR: 0x800c5606,
    VMM_IOC_READREGS: 0xc2485607,
    VMM_IOC_WRITEREGS: 0x82485608,
    VMM_IOC_READVMPARAMS: 0xc0205609,
    VMM_IOC_WRITEVMPARAMS: 0x8020560a,
    VMM_IOC_MPROTECT_EPT: 0x8020560b,
  });
  expect(codes.argumentSize(codes.VMM_IOC_CREATE)).toBe(1280);
  expect(codes.isInOut(codes.VMM_IOC_CREATE)).toBe(true);
  expect(codes.isInOut(codes.VMM_IOC_TERM)).toBe(false);
});

test('pack() and unpack() place every kind of member', () => {
  const view = new DataView(new ArrayBuffer(16 + structs.VM_CREATE_PARAMS.size));
  const params: Required<structs.VmCreateParams> = {
    vcp_nmemranges: 1n,
    vcp_ncpus: 1n,
    vcp_ndisks: 2n,
    vcp_nnics: 3n,
    vcp_memranges: [{ vmr_gpa: 0x1000n, vmr_va: 0xffff_ffff_ffff_f000n, vmr_size: 0x2000n }],
    vcp_disks: ['/a.img', '/b.img'],
    vcp_cdrom: '/install.iso',
    vcp_name: 'puffy',
    vcp_kernel: '/bsd.rd',
    vcp_macs: [Uint8Array.of(0xfe, 0xe1, 0xbb, 0xd1, 0, 1)],
    vcp_id: 0x01020304,
  };
  pack(structs.VM_CREATE_PARAMS, params, view, 16);
  const bytes = Buffer.from(view.buffer, 16);
  expect(bytes.readBigUInt64LE(40)).toBe(0xffff_ffff_ffff_f000n);
  expect(bytes.toString('latin1', 416 + 128, 416 + 128 + 7)).toBe('/b.img\0');
  expect(bytes.toString('latin1', 1056, 1062)).toBe('puffy\0');
  expect(bytes.toString('hex', 1248, 1254)).toBe('fee1bbd10001');
  expect(bytes.toString('hex', 1272, 1276)).toBe('04030201');
  const back = unpack(structs.VM_CREATE_PARAMS, view, 16);
  expect(back.vcp_memranges[0]).toEqual(params.vcp_memranges[0]);
  expect(back.vcp_memranges.length).toBe(16);
  expect(back.vcp_disks).toEqual(['/a.img', '/b.img', '', '']);
  expect({ name: back.vcp_name, id: back.vcp_id }).toEqual({ name: 'puffy', id: 0x01020304 });
});

test('pack() cuts text at a whole character and ends it with NUL', () => {
  const view = new DataView(new ArrayBuffer(structs.VM_INFO_RESULT.size));
  const result = unpack(structs.VM_INFO_RESULT, view);
  pack(structs.VM_INFO_RESULT, { ...result, vir_name: `${'x'.repeat(62)}é` }, view);
  expect(unpack(structs.VM_INFO_RESULT, view).vir_name).toBe('x'.repeat(62));
  pack(structs.VM_INFO_RESULT, { ...result, vir_name: 'y'.repeat(64) }, view);
  expect(unpack(structs.VM_INFO_RESULT, view).vir_name).toBe('y'.repeat(63));
});

test('pack() stores registers in the order of the releases before 7.3', () => {
  const view = new DataView(new ArrayBuffer(structs.VCPU_REG_STATE.size));
  const regs = emptyRegState();
  for (const [name, index] of Object.entries(VCPU_REGS)) {
    regs.vrs_gprs[index] = BigInt(`0x${Buffer.from(name).toString('hex')}`);
  }
  regs.vrs_sregs[VCPU_SREGS.SS] = {
    vsi_sel: 0x10,
    vsi_limit: 0xffffffff,
    vsi_ar: 0xc093,
    vsi_base: 1n << 40n,
  };
  pack(structs.VCPU_REG_STATE, regs, view);
  const word = (name: string): bigint => BigInt(`0x${Buffer.from(name).toString('hex')}`);
  expect(view.getBigUint64(8 * 1, true)).toBe(word('RBX'));
  expect(view.getBigUint64(8 * 14, true)).toBe(word('RSP'));
  expect(view.getBigUint64(8 * 16, true)).toBe(word('RIP'));
  expect(view.getUint32(328 + 5 * 24 + 8, true)).toBe(0xc093);
  expect(view.getBigUint64(328 + 5 * 24 + 16, true)).toBe(1n << 40n);
  expect(unpack(structs.VCPU_REG_STATE, view)).toEqual(regs);
});
