// What vmm(4) promises to a second thread while a vCPU runs in the first. The numbers are rows of
// the project's acceptance list. The other thread is a real one: it executes the library as
// compiled by tsc, since not every Node that the tests run on loads TypeScript.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VmmError } from '../src/base/errors.ts';
import { openVmm, type VmmDevice } from '../src/vmm/device.ts';
import { VCPU_STATE_RUNNING } from '../src/vmm/exit-reasons.ts';
import { emptyRegState } from '../src/vmm/registers.ts';
import { runParams } from '../src/vmm/structs.ts';
import { createVmmControl } from '../src/vmm/vm-table.ts';
import { allEngines, type EngineUnderTest } from './engines-under-test.ts';
import { FakeEngine } from './fake-engine.ts';
import { assemble, guestAddressSpace, initialState } from './guest-program.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGE = resolve(HERE, '..');
/** Long enough for any machine; reached only by a test that fails. */
const PATIENCE_MS = 20_000;

/** Words that test and runner share: what has happened so far. */
const WORD = { runs: 0, reason: 1, error: 2, stop: 3, extints: 4, nones: 5 } as const;

/** Runs VM 1 until told to stop, or until it cannot. `error` becomes the length of the errno. */
const RUNNER = `
import { workerData } from 'node:worker_threads';
const { modules, factory, memory, control, words, state, code } = workerData;
const { openVmm } = await import(modules.device);
const { runParams } = await import(modules.structs);
const engine = (await import(modules.engine))[factory]();
const device = openVmm({ engine, memory, control });
const range = { vmr_gpa: 0n, vmr_va: 0x100000n, vmr_size: 0x200000n };
const id = device.create({
  vcp_nmemranges: 1n, vcp_ncpus: 1n, vcp_memranges: [range], vcp_name: 'runner', vcp_id: 0,
});
new Uint8Array(memory.buffer, 0x100000).set(code, 0x10000);
device.resetcpu({ vrp_vm_id: id, vrp_vcpu_id: 0, vrp_init_state: state });
const params = runParams(id);
try {
  while (Atomics.load(words, ${WORD.stop}) === 0) {
    device.run(params);
    Atomics.store(words, ${WORD.reason}, params.vrp_exit_reason);
    if (params.vrp_exit_reason === 1) Atomics.add(words, ${WORD.extints}, 1);
    if (params.vrp_exit_reason === 0xffff) Atomics.add(words, ${WORD.nones}, 1);
    Atomics.add(words, ${WORD.runs}, 1);
    Atomics.notify(words, ${WORD.runs});
  }
} catch (error) {
  Atomics.store(words, ${WORD.error}, error.code === 'ENOENT' ? 1 : 2);
  Atomics.add(words, ${WORD.runs}, 1);
  Atomics.notify(words, ${WORD.runs});
}
`;

let compiled = '';

beforeAll(() => {
  compiled = mkdtempSync(join(tmpdir(), 'vmm-threads-'));
  const sources = ['src/vmm/device.ts', 'src/vmm/structs.ts', 'src/base/globals.d.ts'];
  const engines = allEngines
    .filter(({ module }) => !isCompiled(module))
    .map(({ module }) => join('test', module));
  const options = ['--outDir', compiled, '--rootDir', '.', '--noCheck', '--module', 'nodenext'];
  const typescript = ['--target', 'es2023', '--rewriteRelativeImportExtensions', '--types', ''];
  const tsc = resolve(PACKAGE, '../../node_modules/.bin/tsc');
  const files = [...sources, ...engines];
  execFileSync(tsc, ['--ignoreConfig', ...options, ...typescript, ...files], { cwd: PACKAGE });
  writeFileSync(join(compiled, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(compiled, 'runner.mjs'), RUNNER);
});

afterAll(() => rmSync(compiled, { recursive: true }));

const isCompiled = (module: string): boolean => module.startsWith('file:');

const compiledUrl = (path: string): string =>
  pathToFileURL(join(compiled, path.replace(/\.ts$/, '.js'))).href;

function errno(call: () => void): string {
  try {
    call();
  } catch (error) {
    if (error instanceof VmmError) return error.code;
    throw error;
  }
  return 'no error';
}

/** A VM that runs in another thread, and this thread's view of it. */
class Runner {
  readonly device: VmmDevice;
  readonly words = new Int32Array(new SharedArrayBuffer(32));
  private readonly worker: Worker;

  constructor({ module, factory }: EngineUnderTest, source: string) {
    const memory = guestAddressSpace(4);
    const control = createVmmControl();
    this.device = openVmm({ engine: new FakeEngine(), memory, control });
    const modules = {
      device: compiledUrl('src/vmm/device.ts'),
      structs: compiledUrl('src/vmm/structs.ts'),
      engine: isCompiled(module) ? module : compiledUrl(join('test', module)),
    };
    // Without paging, so that the guest needs no memory but its code.
    const state = initialState(32);
    const code = assemble(source, 32);
    this.worker = new Worker(join(compiled, 'runner.mjs'), {
      workerData: { modules, factory, memory, control, words: this.words, state, code },
    });
    this.worker.on('error', (error) => {
      throw error;
    });
  }

  get(word: number): number {
    return Atomics.load(this.words, word);
  }

  /** Waits until `count` more RUNs have returned. */
  awaitRuns(count: number): void {
    const target = this.get(WORD.runs) + count;
    while (this.get(WORD.runs) < target) {
      const before = this.get(WORD.runs);
      if (before >= target) return;
      const answer = Atomics.wait(this.words, WORD.runs, before, PATIENCE_MS);
      if (answer === 'timed-out') throw new Error('the other thread does not run');
    }
  }

  /** Repeats `call` until the vCPU is seen running. */
  whileRunning(call: () => void): void {
    this.awaitRuns(1);
    while (this.device.info()[0].vir_vcpu_state[0] !== VCPU_STATE_RUNNING);
    call();
  }

  async end(): Promise<void> {
    Atomics.store(this.words, WORD.stop, 1);
    await this.worker.terminate();
  }
}

const LOOP = 'sti\n1: jmp 1b';

describe.each(allEngines)('with the $name engine in another thread', (engine) => {
  test('24, 38, 65: a running vCPU is BUSY for RUN, RESETCPU and MPROTECT_EPT', async () => {
    const runner = new Runner(engine, LOOP);
    const { device } = runner;
    runner.whileRunning(() => {
      expect(errno(() => device.run(runParams(1)))).toBe('EBUSY');
      const reset = { vrp_vm_id: 1, vrp_vcpu_id: 0, vrp_init_state: emptyRegState() };
      expect(errno(() => device.resetcpu(reset))).toBe('EBUSY');
      const pages = { vmep_sgpa: 0n, vmep_size: 0x1000n, vmep_prot: 1 };
      const protect = { vmep_vm_id: 1, vmep_vcpu_id: 0, ...pages };
      expect(errno(() => device.mprotectEpt(protect))).toBe('EBUSY');
    });
    runner.awaitRuns(2);
    expect(runner.get(WORD.error)).toBe(0);
    await runner.end();
  });

  test('39: a RUN that is called back returns VM_EXIT_NONE', async () => {
    const runner = new Runner(engine, LOOP);
    runner.whileRunning(() => runner.device.extKick(1, 0));
    runner.awaitRuns(1);
    expect(runner.get(WORD.reason)).toBe(0xffff);
    expect(runner.get(WORD.nones)).toBeGreaterThan(0);
    await runner.end();
  });

  test('44: INTR makes RUN return at once', async () => {
    const runner = new Runner(engine, LOOP);
    const before = performance.now();
    runner.whileRunning(() => runner.device.intr({ vip_vm_id: 1, vip_vcpu_id: 0, vip_intr: 1 }));
    runner.awaitRuns(10);
    // Ten slices: with a generous share for a machine that does other things meanwhile.
    expect(performance.now() - before).toBeLessThan(5_000);
    if (engine.name !== 'fake') expect(runner.get(WORD.extints)).toBeGreaterThan(0);
    await runner.end();
  });

  test('21, 22: TERM ends a RUN, and only one of two TERMs wins', async () => {
    const runner = new Runner(engine, LOOP);
    const { device } = runner;
    runner.whileRunning(() => {
      expect(errno(() => device.term({ vtp_vm_id: 1 }))).toBe('no error');
      expect(errno(() => device.term({ vtp_vm_id: 1 }))).toBe('ENOENT');
    });
    expect(device.info()).toEqual([]);
    // The runner learned of it: its next RUN was ENOENT.
    while (runner.get(WORD.error) === 0) runner.awaitRuns(1);
    expect(runner.get(WORD.error)).toBe(1);
    await runner.end();
  });
});
