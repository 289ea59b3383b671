// Whole machines on the soft engine and a clock that moves only when the machine idles or polls,
// with small kernels whose effects the data sheets and the SDM tell.

import { describe, expect, test } from 'vitest';
import { HotEngine } from '../../test/hot-engine.ts';
import { interrupts, SCRATCH_ADDRESS, testKernel } from '../../test/test-kernel.ts';
import { VirtualClock } from '../base/clock.ts';
import { VmmError } from '../base/errors.ts';
import type { JitMode } from '../cpu/jit/jit.ts';
import type { Engine } from '../vmm/engine.ts';
import { SoftEngine } from '../vmm/soft-engine.ts';
import { GuestRam } from './guest-ram.ts';
import { Machine, type MachineOptions } from './machine.ts';

const MB = 1 << 20;
const WASM_PAGE_BYTES = 65536;
const POLL_NS = 1e5;
/** A guest that takes more exits than this hangs. */
const POLLS_MAX = 20_000;

const clock = new VirtualClock(Date.UTC(2024, 1, 29, 12, 34, 56));
const entropy = { fill: (bytes: Uint8Array): void => void bytes.fill(0x5a) };

interface World {
  readonly machine: Machine;
  /** What the guest sent to its serial port. */
  readonly output: () => string;
  readonly idles: () => number;
}

interface Script extends Partial<MachineOptions> {
  /** Bytes typed as soon as the guest idles. */
  readonly typed?: string;
  /** Polls after which the host ends the run. */
  readonly patience?: number;
  readonly memoryMb?: number;
}

const softEngine = (jit: JitMode): SoftEngine =>
  new SoftEngine({ clock, entropy, codeBytes: 2 * MB, jit });

const engines: readonly (readonly [string, Engine])[] = [
  ['off', softEngine('off')],
  ['on, and soon', new HotEngine(softEngine('on'))],
  ['always', softEngine('always')],
];

describe.each(engines)('with the compiler %s', (_, engine) => {
  function build(source: string, script: Script = {}): World {
    const { typed = '', patience = POLLS_MAX, memoryMb = 4, ...options } = script;
    const initial = (memoryMb * MB) / WASM_PAGE_BYTES;
    const memory = new WebAssembly.Memory({ initial, maximum: initial + 1024, shared: true });
    let output = '';
    let typing = Array.from(new TextEncoder().encode(typed));
    let idles = 0;
    let polls = 0;
    const machine: Machine = new Machine({
      name: 'test',
      ram: new GuestRam(memory, { memoryBytes: memoryMb * MB, hasFirmware: false }),
      engine,
      clock,
      entropy,
      host: {
        poll() {
          clock.advance(POLL_NS);
          if (idles > 0 && typing.length > 0) {
            typing = typing.slice(machine.receive(new Uint8Array(typing)));
          }
          return ++polls > patience;
        },
        idle(deadlineNs) {
          idles++;
          if (deadlineNs !== Infinity) clock.advance(Math.max(0, deadlineNs - clock.now()));
        },
      },
      kernel: { name: 'kernel', bytes: testKernel(source) },
      modules: [],
      commandLine: '',
      console: {
        transmit: (byte) => {
          output += String.fromCharCode(byte);
        },
      },
      nics: [],
      disks: [],
      exitPort: true,
      noReboot: false,
      ...options,
    });
    return { machine, output: () => output, idles: () => idles };
  }

  test('run() ends with what the guest writes to the exit port', () => {
    const { machine, output } = build(`put 'h'; put 'i'; leave 0x2a`);
    expect(machine.run()).toEqual({ kind: 'exit-port', value: 0x2a });
    expect(output()).toBe('hi');
    expect(machine.statistics.exits).toMatchObject({ io: 3, mmio: 0, hlt: 0 });
  });

  test('run() has no exit port unless asked: the port is unassigned', () => {
    const { machine } = build('leave 1; cli; hlt', { exitPort: false });
    expect(machine.run()).toEqual({ kind: 'halt' });
  });

  test('run() ends as a halt when the processor halts with interrupts off', () => {
    const { machine } = build('cli; hlt');
    expect(machine.run()).toEqual({ kind: 'halt' });
    expect(machine.statistics.idleNs).toBe(0);
  });

  /** Channel 0, mode 2, in steps of 1/1193182 s. */
  const timer = (count: number): string =>
    `outb 0x43, 0x34; outb 0x40, ${count & 0xff}; outb 0x40, ${count >> 8}`;

  const acknowledge = 'push eax; mov al, 0x20; out 0x20, al; pop eax';

  test('a halted guest is woken by each tick of the PIT, and sleeps in between', () => {
    const { machine, idles } = build(`
    ${interrupts({ 32: 'tick' }, 1)}
    ${timer(11932)}
    xor ecx, ecx
    sti
1:  hlt
    cmp ecx, 50
    jb 1b
    leave cl
tick: inc ecx
    ${acknowledge}
    iretd`);
    const startNs = clock.now();
    expect(machine.run()).toEqual({ kind: 'exit-port', value: 50 });
    const tookNs = clock.now() - startNs;
    // OUT goes high with the mode already, which is the first tick (8254 data sheet, mode 2).
    const expectedNs = (49 * 11932 * 1e9) / 1193182;
    expect(tookNs).toBeGreaterThanOrEqual(expectedNs);
    // What the machine did besides costs a poll for each exit.
    expect(tookNs).toBeLessThan(expectedNs * 1.05);
    expect(idles()).toBeGreaterThanOrEqual(49);
    expect(machine.statistics.idleNs).toBeGreaterThan(expectedNs * 0.9);
  });

  test('a busy guest is interrupted by the PIT', () => {
    const { machine } = build(`
    ${interrupts({ 32: 'tick' }, 1)}
    ${timer(1193)}
    xor ecx, ecx
    sti
1:  cmp ecx, 20
    jb 1b
    leave cl
tick: inc ecx
    ${acknowledge}
    iretd`);
    expect(machine.run()).toEqual({ kind: 'exit-port', value: 20 });
    expect(machine.statistics.exits.slice).toBeGreaterThan(0);
  });

  test('an interrupt that comes while interrupts are off is delivered when they are on', () => {
    const { machine } = build(`
    ${interrupts({ 32: 'tick' }, 1)}
    ${timer(1193)}
    xor ecx, ecx
    mov ebx, 1000000
1:  dec ebx
    jnz 1b
    mov ecx, 7
    sti
2:  jmp 2b
tick: leave cl`);
    expect(machine.run()).toEqual({ kind: 'exit-port', value: 7 });
    expect(machine.statistics.exits['interrupt window']).toBe(1);
  });

  test('input wakes a halted guest, which echoes it', () => {
    const echo = build(
      `
    ${interrupts({ 36: 'input' }, 1 << 4)}
    outb 0x3fa, 1    # FIFOs
    outb 0x3fc, 8    # OUT2
    outb 0x3f9, 1    # received data
    sti
1:  hlt
    jmp 1b
input: mov dx, 0x3fd
    in al, dx
    test al, 1
    jz 2f
    mov dx, 0x3f8
    in al, dx
    out dx, al
    cmp al, '!'
    jne input
    leave 0
2:  ${acknowledge}
    iretd`,
      { typed: 'more than the sixteen bytes of a FIFO!' },
    );
    expect(echo.machine.run()).toEqual({ kind: 'exit-port', value: 0 });
    expect(echo.output()).toBe('more than the sixteen bytes of a FIFO!');
  });

  const resets = {
    'the reset control register': 'outb 0xcf9, 2; outb 0xcf9, 6',
    'system control port A': 'outb 0x92, 3',
    'the keyboard controller': 'outb 0x64, 0xfe',
    'a triple fault':
      'sub esp, 8; mov dword ptr [esp], 0; mov word ptr [esp + 4], 0; lidt [esp]; ud2',
  };

  for (const [name, source] of Object.entries(resets)) {
    test(`${name} starts the kernel anew, with RAM as it was`, () => {
      const { machine, output } = build(`
      mov ecx, [${SCRATCH_ADDRESS}]
      inc ecx
      mov [${SCRATCH_ADDRESS}], ecx
      put 'r'
      cmp ecx, 3
      je 1f
      ${source}
      jmp .
1:    leave 3`);
      expect(machine.run()).toEqual({ kind: 'exit-port', value: 3 });
      expect(output()).toBe('rrr');
    });

    test(`${name} ends the run of a machine that must not reboot`, () => {
      const { machine } = build(`${source}; jmp .`, { noReboot: true });
      expect(machine.run()).toEqual({ kind: 'reset' });
    });
  }

  test('S5 switches the machine off, and other sleeping states do not', () => {
    const sleep = (type: number): string =>
      `mov dx, 0x604; mov ax, ${(type << 10) | 0x2001}; out dx, ax`;
    const { machine, output } = build(`${sleep(0)}; ${sleep(3)}; put 'a'; ${sleep(5)}; put 'b'`);
    expect(machine.run()).toEqual({ kind: 'poweroff' });
    expect(output()).toBe('a');
  });

  test('a guest that hears the button is not started again when it resets', () => {
    const source = `
    ${interrupts({ 41: 'button' }, 1 << 9)}
    put 'a'
    mov dx, 0x602
    mov ax, 0x100
    out dx, ax
    sti
  1: hlt
    jmp 1b
  button: mov dx, 0x600
    mov ax, 0x100
    out dx, ax
    outb 0xcf9, 6
    jmp .`;
    const heard: string[] = [];
    const world: World = build(source, {
      host: {
        poll: () => false,
        idle() {
          if (heard.length < 3) heard.push(String(world.machine.requestShutdown()));
        },
        shutdownHeard: () => void heard.push('heard'),
      },
    });
    expect(world.machine.run()).toEqual({ kind: 'reset' });
    expect([world.output(), heard]).toEqual(['a', ['true', 'heard']]);
  });

  test('a guest that does not listen is not asked, and starts again when it resets', () => {
    const source = `
    cmp dword ptr [${SCRATCH_ADDRESS}], 0
    jne second
    inc dword ptr [${SCRATCH_ADDRESS}]
    outb 0xcf9, 6
    jmp .
  second: leave 1`;
    const { machine } = build(source);
    expect(machine.requestShutdown()).toBe(false);
    expect(machine.run()).toEqual({ kind: 'exit-port', value: 1 });
  });

  test('a reset silences the devices', () => {
    const { machine } = build(`
    ${interrupts({ 32: 'tick' }, 1)}
    cmp dword ptr [${SCRATCH_ADDRESS}], 0
    jne second
    inc dword ptr [${SCRATCH_ADDRESS}]
    ${timer(1193)}
    outb 0x92, 1
    jmp .
second: sti
    mov ebx, 3000000
1:  dec ebx
    jnz 1b
    leave 0
tick: leave 1`);
    expect(machine.run()).toEqual({ kind: 'exit-port', value: 0 });
  });

  test('string I/O moves every element', () => {
    const { machine, output } = build(`
    outb 0x510, 0
    mov word ptr [${SCRATCH_ADDRESS}], 0
    mov dx, 0x510
    xor eax, eax
    out dx, ax                 # fw_cfg: the signature
    mov edi, ${SCRATCH_ADDRESS}
    mov ecx, 4
    mov dx, 0x511
    cld
    rep insb
    mov esi, ${SCRATCH_ADDRESS}
    mov ecx, 4
    mov dx, 0x3f8
    rep outsb
    add cl, 1
    leave cl`);
    expect(machine.run()).toEqual({ kind: 'exit-port', value: 1 });
    expect(output()).toBe('QEMU');
  });

  test('memory that nobody has reads all ones, in every width, and takes writes', () => {
    const { machine } = build(`
    mov esi, 0xf8000000
    mov dword ptr [esi], 0x12345678
    mov eax, [esi]
    inc eax
    jnz bad
    mov ax, [esi + 2]
    inc ax
    jnz bad
    mov al, [esi + 5]
    inc al
    jnz bad
    fild qword ptr [esi]
    fistp qword ptr [esp - 8]
    cmp dword ptr [esp - 4], -1
    jne bad
    leave 0
bad: leave 1`);
    expect(machine.run()).toEqual({ kind: 'exit-port', value: 0 });
    expect(machine.statistics.exits.mmio).toBe(5);
  });

  test('an interrupt does not come between an access to no memory and its answer', () => {
    const { machine } = build(`
    ${interrupts({ 32: 'tick' }, 1)}
    ${timer(300)}
    mov esi, 0xf8000000
    xor ecx, ecx
    sti
1:  mov eax, [esi]
    inc eax
    jnz bad
    cmp ecx, 20
    jb 1b
    leave 0
bad: leave 1
tick: inc ecx
    push eax
    mov eax, [esi]
    mov al, 0x20
    out 0x20, al
    pop eax
    iretd`);
    expect(machine.run()).toEqual({ kind: 'exit-port', value: 0 });
  });

  // The host's address of the routine is beyond 2 GiB in the one, that of decoded code in both.
  for (const [memoryMb, routine] of [
    [2304, 0x300ffe],
    [2304, 0x8800_0ffe],
  ]) {
    test(`a guest of ${memoryMb} MB runs code at 0x${routine.toString(16)}, and what it writes over it`, () => {
      const { machine } = build(
        `
      mov edi, ${routine}
      mov dword ptr [edi], 0x000000b8    # mov eax, 2, across the end of the page
      mov dword ptr [edi + 1], 2
      mov byte ptr [edi + 5], 0xc3       # ret
      call edi
      mov ebx, eax
      mov byte ptr [edi + 1], 0x40
      call edi
      add bl, al
      leave bl`,
        { memoryMb },
      );
      expect(machine.run()).toEqual({ kind: 'exit-port', value: 0x42 });
    });
  }

  test('run() ends with the reason when the guest executes where there is no memory', () => {
    const { machine } = build('mov eax, 0xe0000000; jmp eax');
    const end = machine.run();
    expect(end.kind).toBe('error');
    expect(end).toHaveProperty('message', expect.stringMatching(/0xe0000000.*no memory/));
  });

  test('run() ends when the host asks for it, be the guest busy or halted', () => {
    expect(build('jmp .', { patience: 3 }).machine.run()).toEqual({ kind: 'stopped' });
    const halted = build(`${interrupts({}, 0)}; sti; hlt`, { patience: 20 });
    expect(halted.machine.run()).toEqual({ kind: 'stopped' });
  });

  test('Machine() refuses a kernel that is none', () => {
    const kernel = { name: 'motd', bytes: new TextEncoder().encode('hello') };
    expect(() => build('', { kernel })).toThrow(VmmError);
  });
});
