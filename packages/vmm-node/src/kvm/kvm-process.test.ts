// Whole runs of the built package on this host's KVM, with small kernels.
import { describe, expect, test } from 'vitest';
import { type EngineChoice, type RunConsole, type RunOptions, runVm } from 'vmm-node';
import { kvmAbsence, kvmIsEmulated } from '../../../vmm/test/kvm-engine-under-test.ts';
import { interrupts, testKernel } from '../../../vmm/test/test-kernel.ts';

class TestConsole implements RunConsole {
  text = '';
  readonly input: AsyncIterable<Uint8Array>;

  constructor(typed: string) {
    this.input = (async function* () {
      yield new TextEncoder().encode(typed);
    })();
  }

  output(bytes: Uint8Array): boolean {
    this.text += new TextDecoder('latin1').decode(bytes.slice());
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }
}

async function run(source: string, more: Partial<RunOptions> = {}, typed = '') {
  const console = new TestConsole(typed);
  const outcome = await runVm({
    name: 'test',
    memoryBytes: 16 << 20,
    kernel: testKernel(source),
    kernelPath: 'kernel',
    modules: [],
    commandLine: '',
    disks: [],
    engine: 'kvm',
    jit: 'on',
    cpu: 'v2',
    exitPort: true,
    noReboot: false,
    verbose: true,
    stop: new AbortController().signal,
    console,
    ...more,
  });
  return { outcome, output: console.text };
}

describe.skipIf(kvmAbsence !== '')(`on KVM${kvmAbsence && ` (${kvmAbsence})`}`, () => {
  test('runVm() says on which engine it runs, and counts exits but not instructions', async () => {
    const choices: EngineChoice[] = [];
    const onEngine = (choice: EngineChoice): void => void choices.push(choice);
    const { outcome, output } = await run(`put 'o'; put 'k'; leave 0x15`, { onEngine });
    expect(outcome).toMatchObject({ kind: 'exit-port', status: 0x2b });
    expect(output).toBe('ok');
    expect(choices).toEqual([{ engine: 'kvm', reason: 'asked for' }]);
    expect(outcome.statistics?.exits).toMatchObject({ io: 3 });
    expect(outcome.statistics).not.toHaveProperty('instructions');
  });

  test('what is typed reaches the guest', async () => {
    const echo = `1: mov dx, 0x3fd; in al, dx; test al, 1; jz 1b; mov dx, 0x3f8; in al, dx
      cmp al, '.'; je 2f; out dx, al; jmp 1b; 2: leave 1`;
    const { output } = await run(echo, {}, 'typed.');
    expect(output).toBe('typed');
  });

  test('a guest that is busy or halted ends in time', async () => {
    for (const source of ['1: jmp 1b', 'sti; 1: hlt; jmp 1b']) {
      const startMs = performance.now();
      const { outcome } = await run(source, { timeoutMs: 300 });
      expect(outcome).toMatchObject({ kind: 'timeout', status: 124 });
      // Two seconds later it would be ended by force.
      expect(performance.now() - startMs).toBeLessThan(2300);
    }
  });

  test('a triple fault is a reset', async () => {
    const source =
      'sub esp, 8; mov dword ptr [esp], 0; mov dword ptr [esp + 4], 0; lidt [esp]; ud2';
    const { outcome } = await run(source, { noReboot: true });
    expect(outcome).toMatchObject({ kind: 'reset', status: 0 });
  });

  const interrupted = 'interrupts of the timer are delivered, and end a halt';
  test.skipIf(kvmIsEmulated)(
    `${interrupted}${kvmIsEmulated ? ' (emulated: no IRET in protected mode)' : ''}`,
    async () => {
      const source = `jmp start
        tick: push eax; inc ebx; mov al, 0x20; out 0x20, al; pop eax; iretd
        start: ${interrupts({ 32: 'tick' }, 1)}
        outb 0x43, 0x34
        outb 0x40, 0xa9
        outb 0x40, 0x04
        xor ebx, ebx; sti; 1: hlt; cmp ebx, 20; jb 1b; leave 7`;
      const { outcome } = await run(source, { timeoutMs: 10_000 });
      expect(outcome).toMatchObject({ kind: 'exit-port', status: 15 });
    },
  );
});
