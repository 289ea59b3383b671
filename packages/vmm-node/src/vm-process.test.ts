// Whole runs, worker and all, of the built package (workers are JavaScript files), with small
// kernels.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type RunConsole,
  type RunControl,
  type RunOptions,
  type RunOutcome,
  runVm,
} from 'vmm-node';
import { interrupts, testKernel } from '../../vmm/test/test-kernel.ts';

const MB = 1 << 20;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-process-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Seen {
  readonly outcome: RunOutcome;
  readonly output: string;
}

interface TestConsole extends RunConsole {
  text: string;
}

/** A console that types `typed` and waits this long for each piece of output to be shown. */
function makeConsole(typed: string, delayMs?: number): TestConsole {
  return {
    text: '',
    input: (async function* () {
      yield new TextEncoder().encode(typed);
    })(),
    output(bytes) {
      this.text += new TextDecoder('latin1').decode(bytes.slice());
      return delayMs === undefined;
    },
    drained: () => new Promise((resolve) => setTimeout(resolve, delayMs)),
  };
}

async function run(
  source: string,
  more: Partial<RunOptions> = {},
  console = makeConsole(''),
): Promise<Seen> {
  const outcome = await runVm({
    name: 'test',
    memoryBytes: 16 * MB,
    kernel: testKernel(source),
    kernelPath: 'kernel',
    modules: [],
    commandLine: '',
    disks: [],
    engine: 'soft',
    jit: 'off',
    cpu: 'v3',
    exitPort: true,
    noReboot: false,
    verbose: false,
    stop: new AbortController().signal,
    console,
    ...more,
  });
  return { outcome, output: console.text };
}

test('runVm() ends with the exit port’s value as a status', async () => {
  const { outcome, output } = await run(`put 'o'; put 'k'; leave 0x15`);
  expect(outcome).toEqual({ kind: 'exit-port', status: 0x2b });
  expect(output).toBe('ok');
});

test('runVm() ends with status 0 when the guest halts, and counts when asked', async () => {
  const { outcome } = await run('mov ecx, 1000000; 1: dec ecx; jnz 1b; cli; hlt', {
    verbose: true,
  });
  expect(outcome).toMatchObject({ kind: 'halt', status: 0 });
  // The prologue's instruction, the loop, CLI and HLT.
  expect(outcome.statistics?.instructions).toBe(2_000_004);
  expect(outcome.statistics?.seconds).toBeGreaterThan(0);
  expect(outcome.statistics?.idleSeconds).toBe(0);
});

test('runVm() shows all output, however slowly it is taken', async () => {
  const bytes = 200_000;
  const source = `
    mov ecx, ${bytes}
    mov dx, 0x3f8
    mov al, 'a'
1:  out dx, al
    dec ecx
    jnz 1b
    put '.'
    leave 0`;
  const { outcome, output } = await run(source, {}, makeConsole('', 5));
  expect(outcome.kind).toBe('exit-port');
  expect(output).toBe(`${'a'.repeat(bytes)}.`);
});

/** Echoes input from an interrupt handler, and ends at an exclamation mark. */
const echo = `
  ${interrupts({ 36: 'input' }, 1 << 4)}
  outb 0x3fa, 1
  outb 0x3fc, 8
  outb 0x3f9, 1
  sti
1: hlt
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
2: outb 0x20, 0x20
  iretd`;

test('runVm() carries typing to a halted guest, more than any buffer holds', async () => {
  const text = `${'0123456789abcdef'.repeat(1000)}!`;
  const { outcome, output } = await run(echo, { timeoutMs: 30_000 }, makeConsole(text));
  expect(outcome.kind).toBe('exit-port');
  // The first byte may come before the guest has switched the FIFO on, which clears it.
  expect(text.endsWith(output)).toBe(true);
  expect(output.length).toBeGreaterThan(text.length - 20);
});

test('runVm() ends by timeout, be the guest busy, halted, or waiting for its output', async () => {
  for (const source of ['jmp .', `${interrupts({}, 0)}; sti; hlt`]) {
    const { outcome } = await run(source, { timeoutMs: 100 });
    expect(outcome).toEqual({ kind: 'timeout', status: 124 });
  }
  const stuck = { ...makeConsole('', 1), drained: () => new Promise<void>(() => {}) };
  const { outcome } = await run(`mov dx, 0x3f8; 1: out dx, al; jmp 1b`, { timeoutMs: 100 }, stuck);
  expect(outcome).toEqual({ kind: 'timeout', status: 124 });
});

test('runVm() ends when it is told to stop, before or after the start', async () => {
  const early = new AbortController();
  early.abort();
  const { outcome } = await run('jmp .', { stop: early.signal });
  expect(outcome).toEqual({ kind: 'left', status: 0 });
  const late = new AbortController();
  const console = makeConsole('');
  const show = console.output;
  console.output = (bytes) => {
    late.abort();
    return show.call(console, bytes);
  };
  const left = await run(`put 'x'; jmp .`, { stop: late.signal }, console);
  expect(left.outcome).toEqual({ kind: 'left', status: 0 });
});

test('runVm() ends at a reset that must not reboot, and otherwise goes on', async () => {
  const { outcome } = await run('outb 0xcf9, 6; jmp .', { noReboot: true });
  expect(outcome).toEqual({ kind: 'reset', status: 0 });
});

test('runVm() reports a guest that cannot go on', async () => {
  const { outcome } = await run('mov eax, 0xe0000000; jmp eax');
  expect(outcome).toMatchObject({ kind: 'error', status: 1 });
  expect(outcome.message).toMatch(/0xe0000000/);
});

test('runVm() survives a worker that dies, and says of what', async () => {
  const modules = [{ commandLine: '', bytes: undefined as unknown as Uint8Array }];
  const { outcome } = await run('', { modules });
  expect(outcome).toMatchObject({ kind: 'error', status: 1 });
  expect(outcome.message).toMatch(/^The virtual machine died of a defect .*undefined.*\.$/);
  const verbose = await run('', { modules, verbose: true });
  expect(verbose.outcome.message).toMatch(/\n +at .*multiboot/);
});

test('runVm() refuses what is no kernel, and disks that are none, with one sentence', async () => {
  const notKernel = { kernel: new TextEncoder().encode('hello') };
  await expect(run('', notKernel)).rejects.toMatchObject({ name: 'VmmError', code: 'ENOEXEC' });
  const missing = join(folder, 'missing.img');
  const disks = [{ path: missing, readOnly: false }];
  await expect(run('', { disks })).rejects.toMatchObject({ code: 'ENOENT' });
});

test('runVm() gives the disk back after the run', async () => {
  const path = join(folder, 'disk.img');
  writeFileSync(path, new Uint8Array(1 * MB).fill(7));
  const disks = [{ path, readOnly: false }];
  for (let i = 0; i < 2; i++) {
    const { outcome } = await run('leave 0', { disks });
    expect(outcome.kind).toBe('exit-port');
  }
  expect(readFileSync(path).every((byte) => byte === 7)).toBe(true);
});

/**
 * Runs a routine, then reads the disk's first sector over it with the legacy virtio interface, and
 * runs it again; ends with the sum of what the routine returned.
 */
const overwriteCode = `
  .set card, 0x3000        # after the ranges of entropy and network
  .set queue, 0x300000     # 128 descriptors, available ring, and on the next page the used ring
  .set header, 0x310000
  .set status, 0x310010
  .set routine, 0x400000
  ${interrupts({ 38: 'done' }, 1 << 6)}
  mov dword ptr [routine], 0x00c301b0  # mov al, 1; ret
  mov eax, offset routine
  call eax
  movzx ebx, al
  outb card + 18, 0        # device status: reset, ACKNOWLEDGE, DRIVER
1: mov dx, card + 18
  in al, dx
  test al, al
  jnz 1b
  outb card + 18, 3
  mov dx, card + 14        # queue select
  xor eax, eax
  out dx, ax
  mov dx, card + 8         # queue address
  mov eax, queue >> 12
  out dx, eax
  outb card + 18, 7        # DRIVER_OK
  mov edi, queue
  .macro descriptor address, length, flags, next
  mov dword ptr [edi], \\address
  mov dword ptr [edi + 8], \\length
  mov word ptr [edi + 12], \\flags
  mov word ptr [edi + 14], \\next
  add edi, 16
  .endm
  descriptor header, 16, 1, 1
  descriptor routine, 512, 3, 2
  descriptor status, 1, 2, 0
  mov byte ptr [status], 0xff
  mov word ptr [queue + 0x802], 1
  xor esi, esi
  mov dx, card + 16        # queue notify
  xor eax, eax
  out dx, ax
2: cli
  test esi, esi
  jnz 3f
  sti
  hlt
  jmp 2b
3: mov eax, offset routine
  call eax
  add bl, al
  add bl, [status]
  leave bl
done: mov dx, card + 19    # interrupt status
  in al, dx
  outb 0x20, 0x20
  inc esi
  iretd`;

test('a guest executes what its disk has written, not what was there before', async () => {
  const path = join(folder, 'code.img');
  const image = new Uint8Array(4096);
  image.set([0xb0, 0x10, 0xc3]); // mov al, 0x10; ret
  writeFileSync(path, image);
  const disks = [{ path, readOnly: false }];
  const { outcome } = await run(overwriteCode, { disks, timeoutMs: 10_000 });
  expect(outcome).toEqual({ kind: 'exit-port', status: (0x11 << 1) | 1 });
});

/** Says "t" at each tick of the timer, and "J" when its clock has jumped by two seconds or more. */
const ticking = `
  ${interrupts({ 32: 'tick' }, 1)}
  outb 0x43, 0x34
  outb 0x40, 0x9c          # 100 Hz
  outb 0x40, 0x2e
  rdtsc
  mov esi, eax
  mov edi, edx
  sti
1: hlt
  jmp 1b
tick: rdtsc
  mov ebx, eax
  mov ecx, edx
  sub eax, esi
  sbb edx, edi
  mov esi, ebx
  mov edi, ecx
  cmp edx, 0
  jne 2f
  cmp eax, 2000000000
  jb 3f
2: put 'J'
3: put 't'
  outb 0x20, 0x20
  iretd`;

test('a machine that is paused stands still, and does not notice', async () => {
  const console = makeConsole('');
  const stop = new AbortController();
  let ticked: () => void = () => {};
  const show = console.output;
  console.output = (bytes) => {
    ticked();
    return show.call(console, bytes);
  };
  const nextTick = (): Promise<void> => new Promise((resolve) => (ticked = resolve));
  let control: RunControl | undefined;
  const ended = run(
    ticking,
    { stop: stop.signal, onRunning: (it) => (control = it), timeoutMs: 30_000 },
    console,
  );
  await nextTick();
  await control!.pause();
  const before = console.text;
  // Real time is what the test is about: nothing may happen in it.
  await new Promise((resolve) => setTimeout(resolve, 2200));
  expect(console.text.length - before.length).toBeLessThanOrEqual(1);
  const next = nextTick();
  control!.unpause();
  await next;
  await nextTick();
  await control!.pause();
  stop.abort();
  const { outcome } = await ended;
  expect(outcome.kind).toBe('left');
  expect(console.text).toMatch(/^t+$/);
});

test('runVm() tells of each new start of the guest', async () => {
  let restarts = 0;
  const stop = new AbortController();
  const { outcome } = await run('outb 0xcf9, 6; jmp .', {
    stop: stop.signal,
    onRestart: () => {
      restarts++;
      if (restarts === 3) stop.abort();
    },
  });
  expect(outcome.kind).toBe('left');
  expect(restarts).toBeGreaterThanOrEqual(3);
});
