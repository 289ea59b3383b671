import { expect, test } from 'vitest';
import { FakeEngine } from '../../test/fake-engine.ts';
import { VmmError } from '../base/errors.ts';
import { openVmm, type VmmDevice } from './device.ts';
import { EngineExitReason } from './engine.ts';
import * as codes from './ioctl-codes.ts';
import { argumentSize } from './ioctl-codes.ts';
import { VCPU_REGS, VM_RWREGS_CRS, VM_RWREGS_GPRS } from './registers.ts';

// Offsets are written out here, as a C program compiled against <machine/vmmvar.h> has them.
const CREATE = { nmemranges: 0, ncpus: 8, memranges: 32, name: 1056, id: 1272 };
const RUN = { vmId: 0, vcpuId: 4, continue: 8, irq: 10, exit: 16, reason: 24, irqready: 26 };
const EXIT = { size: 0, dir: 1, string: 3, port: 6, data: 8, vrs: 16, cpl: 584, length: 592 };
const RESULT_SIZE = 160;
const USER = 0x8000;

interface Bench {
  device: VmmDevice;
  engine: FakeEngine;
  memory: WebAssembly.Memory;
  user: DataView;
}

function bench(): Bench {
  const engine = new FakeEngine();
  const memory = new WebAssembly.Memory({ initial: 32, maximum: 64, shared: true });
  const device = openVmm({ engine, memory, pid: 4242 });
  return { device, engine, memory, user: new DataView(memory.buffer) };
}

const argument = (code: number): DataView => new DataView(new ArrayBuffer(argumentSize(code)));

function ioctl(device: VmmDevice, code: number, view: DataView): string {
  try {
    device.ioctl(code, new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
    return 'ok';
  } catch (error) {
    if (error instanceof VmmError) return error.code;
    throw error;
  }
}

function create(device: VmmDevice, name: string): DataView {
  const params = argument(codes.VMM_IOC_CREATE);
  params.setBigUint64(CREATE.nmemranges, 1n, true);
  params.setBigUint64(CREATE.ncpus, 1n, true);
  params.setBigUint64(CREATE.memranges + 8, 0x10000n, true);
  params.setBigUint64(CREATE.memranges + 16, 0x100000n, true);
  new Uint8Array(params.buffer).set(Buffer.from(name), CREATE.name);
  expect(ioctl(device, codes.VMM_IOC_CREATE, params)).toBe('ok');
  return params;
}

function runArgument(exit: number): DataView {
  const params = argument(codes.VMM_IOC_RUN);
  params.setUint32(RUN.vmId, 1, true);
  params.setUint16(RUN.irq, 0xffff, true);
  params.setBigUint64(RUN.exit, BigInt(exit), true);
  return params;
}

test('ioctl() answers ENOTTY to other codes, among them those of other releases', () => {
  const { device } = bench();
  const big = new DataView(new ArrayBuffer(4096));
  // 7.4's CREATE, 7.6's RUN, SHAREMEM, the 2015 number 8 with no argument, and nonsense.
  for (const code of [0xc2585601, 0xc0285602, 0x8210560b, 0x20005608, 0, 0xffffffff]) {
    expect(ioctl(device, code, big)).toBe('ENOTTY');
  }
  // A code as a signed number, which is how a 32-bit operation leaves it.
  expect(ioctl(device, codes.VMM_IOC_INFO | 0, argument(codes.VMM_IOC_INFO))).toBe('ok');
  expect(ioctl(device, codes.VMM_IOC_TERM, new DataView(new ArrayBuffer(3)))).toBe('EFAULT');
});

test('ioctl() CREATE writes the id and nothing else', () => {
  const { device } = bench();
  create(device, 'first');
  const second = create(device, 'second');
  expect(second.getUint32(CREATE.id, true)).toBe(2);
  second.setUint32(CREATE.id, 0, true);
  expect(Buffer.from(second.buffer).toString('latin1', CREATE.name, CREATE.name + 7)).toBe(
    'second\0',
  );
  expect(second.getBigUint64(CREATE.memranges + 16, true)).toBe(0x100000n);
});

test('ioctl() INFO says what room it needs, then fills it, newest first', () => {
  const { device, user, memory } = bench();
  create(device, 'first');
  create(device, 'second');
  const params = argument(codes.VMM_IOC_INFO);
  expect(ioctl(device, codes.VMM_IOC_INFO, params)).toBe('ok');
  expect(params.getBigUint64(0, true)).toBe(BigInt(2 * RESULT_SIZE));
  expect(params.getBigUint64(8, true)).toBe(0n);
  params.setBigUint64(16, BigInt(USER), true);
  expect(ioctl(device, codes.VMM_IOC_INFO, params)).toBe('ok');
  expect(params.getBigUint64(8, true)).toBe(2n);
  const name = (at: number): string =>
    Buffer.from(new Uint8Array(memory.buffer, at + 96, 7)).toString('latin1');
  expect([name(USER), name(USER + RESULT_SIZE)]).toEqual(['second\0', 'first\0\0']);
  expect(user.getUint32(USER + 92, true)).toBe(2);
  expect(user.getInt32(USER + 88, true)).toBe(4242);
  expect(user.getBigUint64(USER, true)).toBe(1n);
  for (const bad of [0n, BigInt(memory.buffer.byteLength - 319), 1n << 60n]) {
    params.setBigUint64(0, 4096n, true);
    params.setBigUint64(16, bad, true);
    expect(ioctl(device, codes.VMM_IOC_INFO, params)).toBe('EFAULT');
  }
});

test('ioctl() RUN puts the exit where vrp_exit points, and reads the answer there', () => {
  const { device, engine, user } = bench();
  create(device, 'vm');
  const [vcpu] = engine.vcpus;
  vcpu.regs.vrs_gprs[VCPU_REGS.RIP] = 0x7c02n;
  vcpu.script.push((v) => {
    Object.assign(v.exit, { port: 0x71, size: 1, isIn: true });
    return EngineExitReason.io;
  });
  const params = runArgument(USER);
  expect(ioctl(device, codes.VMM_IOC_RUN, params)).toBe('ok');
  expect(params.getUint16(RUN.reason, true)).toBe(30);
  expect(params.getUint8(RUN.irqready)).toBe(0);
  expect(user.getUint8(USER + EXIT.size)).toBe(1);
  expect(user.getUint8(USER + EXIT.dir)).toBe(1);
  expect(user.getUint16(USER + EXIT.port, true)).toBe(0x71);
  expect(user.getBigUint64(USER + EXIT.vrs + 8 * 16, true)).toBe(0x7c02n);
  user.setUint32(USER + EXIT.data, 0x26, true);
  params.setUint8(RUN.continue, 1);
  expect(ioctl(device, codes.VMM_IOC_RUN, params)).toBe('ok');
  expect(params.getUint16(RUN.reason, true)).toBe(0xffff);
  expect(vcpu.calls.slice(-2)).toEqual([`finishIo ${0x26}`, 'run']);
});

test('ioctl() RUN with a protection exit writes the other side of the union', () => {
  const { device, engine, user } = bench();
  create(device, 'vm');
  engine.vcpus[0].script.push(() => EngineExitReason.protection);
  user.setUint32(USER + EXIT.data, 0x55555555, true);
  const params = runArgument(USER);
  expect(ioctl(device, codes.VMM_IOC_RUN, params)).toBe('ok');
  expect(params.getUint16(RUN.reason, true)).toBe(48);
  expect(user.getUint8(USER)).toBe(0);
  expect(user.getUint32(USER + EXIT.data, true)).toBe(0);
});

test('ioctl() RUN with a bad pointer is EFAULT before the guest moves, and harmless', () => {
  const { device, engine, memory } = bench();
  create(device, 'vm');
  const end = memory.buffer.byteLength;
  for (const bad of [0, end - EXIT.length + 1, 2 ** 52]) {
    expect(ioctl(device, codes.VMM_IOC_RUN, runArgument(bad))).toBe('EFAULT');
  }
  expect(engine.vcpus[0].calls).toEqual([]);
  expect(ioctl(device, codes.VMM_IOC_RUN, runArgument(end - EXIT.length))).toBe('ok');
  const unknown = runArgument(0);
  unknown.setUint32(RUN.vmId, 9, true);
  expect(ioctl(device, codes.VMM_IOC_RUN, unknown)).toBe('ENOENT');
});

test('ioctl() READREGS leaves the classes that were not asked for as they were', () => {
  const { device, engine } = bench();
  create(device, 'vm');
  engine.vcpus[0].regs.vrs_gprs[VCPU_REGS.RBP] = 0xb9n;
  const params = argument(codes.VMM_IOC_READREGS);
  params.setUint32(0, 1, true);
  // An unknown bit in the mask is ignored.
  params.setBigUint64(8, BigInt(VM_RWREGS_GPRS) | (1n << 63n), true);
  params.setBigUint64(16 + 144, 0x1234n, true); // CR0
  expect(ioctl(device, codes.VMM_IOC_READREGS, params)).toBe('ok');
  expect(params.getBigUint64(16 + 15 * 8, true)).toBe(0xb9n);
  expect(params.getBigUint64(16 + 144, true)).toBe(0x1234n);
  // Paging without protection is no state.
  params.setBigUint64(8, BigInt(VM_RWREGS_CRS), true);
  params.setBigUint64(16 + 144, 0x80000000n, true);
  expect(ioctl(device, codes.VMM_IOC_WRITEREGS, params)).toBe('EINVAL');
  const reset = new DataView(new ArrayBuffer(576));
  reset.setUint32(0, 1, true);
  reset.setBigUint64(8 + 144, 0x80000000n, true);
  expect(ioctl(device, codes.VMM_IOC_RESETCPU, reset)).toBe('EIO');
});

test('ioctl() READVMPARAMS and WRITEVMPARAMS exchange the clock', () => {
  const { device } = bench();
  create(device, 'vm');
  const params = argument(codes.VMM_IOC_READVMPARAMS);
  params.setUint32(0, 1, true);
  params.setUint32(8, 3, true);
  params.setBigUint64(16, 0x2001n, true);
  params.setUint32(24, 12, true);
  expect(ioctl(device, codes.VMM_IOC_WRITEVMPARAMS, params)).toBe('ok');
  params.setBigUint64(16, 0n, true);
  params.setUint32(24, 0, true);
  params.setUint32(8, 1, true);
  expect(ioctl(device, codes.VMM_IOC_READVMPARAMS, params)).toBe('ok');
  expect([params.getBigUint64(16, true), params.getUint32(24, true)]).toEqual([0x2001n, 0]);
});

test('ioctl() INTR, MPROTECT_EPT and TERM reach the VM', () => {
  const { device, engine } = bench();
  create(device, 'vm');
  const protect = argument(codes.VMM_IOC_MPROTECT_EPT);
  protect.setUint32(0, 1, true);
  protect.setBigUint64(8, 0x3000n, true);
  protect.setBigUint64(16, 0x1000n, true);
  protect.setInt32(24, 1, true);
  expect(ioctl(device, codes.VMM_IOC_MPROTECT_EPT, protect)).toBe('ok');
  expect(engine.vcpus[0].calls).toEqual([`protect ${0x3000} ${0x1000} 1`]);
  const intr = argument(codes.VMM_IOC_INTR);
  intr.setUint32(0, 1, true);
  intr.setUint16(8, 1, true);
  expect(ioctl(device, codes.VMM_IOC_INTR, intr)).toBe('ok');
  const term = argument(codes.VMM_IOC_TERM);
  term.setUint32(0, 1, true);
  expect(ioctl(device, codes.VMM_IOC_TERM, term)).toBe('ok');
  expect(ioctl(device, codes.VMM_IOC_TERM, term)).toBe('ENOENT');
  expect(engine.vcpus[0].isClosed).toBe(true);
});
