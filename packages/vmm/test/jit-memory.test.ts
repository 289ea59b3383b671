// What compiled code takes of the host: a guest that goes on making code must neither run out of
// places in the function table nor keep what it no longer executes.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { REGION_SLOTS } from '../src/cpu/jit/jit.ts';
import { Guest } from './guest-program.ts';
import { ObservedEngine } from './observed-engine.ts';

/** Collects garbage, all of it. */
function collect(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** Counts the WebAssembly instances that are alive while `body` runs, as far as is known. */
async function countInstances(body: () => void): Promise<{ made: number; alive: number }> {
  const { Instance } = WebAssembly;
  let made = 0;
  let gone = 0;
  const registry = new FinalizationRegistry(() => void gone++);
  const counting = new Proxy(Instance, {
    construct(target, parameters) {
      const instance = Reflect.construct(target, parameters) as WebAssembly.Instance;
      made++;
      registry.register(instance, undefined);
      return instance;
    },
  });
  WebAssembly.Instance = counting;
  try {
    body();
  } finally {
    WebAssembly.Instance = Instance;
  }
  // Finalizers run in tasks of their own, behind this one.
  for (let i = 0; i < 20 && made - gone > 0; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { made, alive: made - gone };
}

test('a guest that writes one function after the other leaves no instance behind', async () => {
  const ROUNDS = 2000;
  // Each round takes a code page of 17 KiB: room for all, as what is decoded where other code was
  // before counts as compiled already.
  const engine = new ObservedEngine('always', 64 << 20);
  const guest = new Guest(
    engine,
    64,
    `mov ebp, ${ROUNDS}
     xor ebx, ebx
     1: mov edi, 0x30000
     mov byte ptr [rdi], 0xb8
     mov [rdi + 1], ebp
     mov byte ptr [rdi + 5], 0xc3
     call rdi
     add ebx, eax
     dec ebp
     jnz 1b
     mov eax, ebx
     report
     done`,
  );
  let reports: number[] = [];
  const { made, alive } = await countInstances(() => {
    reports = guest.reports();
  });
  expect(reports).toEqual([(ROUNDS * (ROUNDS + 1)) / 2]);
  const { regions, dropped } = engine.statistics.jit!;
  expect(made).toBeGreaterThan(ROUNDS);
  expect(regions - dropped).toBeLessThan(50);
  expect(alive).toBeLessThan(50);
});

test('more blocks than there are places for regions drop all code, and go on', () => {
  const BLOCK_BYTES = 7;
  const PER_PAGE = Math.floor(4096 / BLOCK_BYTES);
  const PAGES = Math.ceil((REGION_SLOTS + 1000) / PER_PAGE);
  const BLOCKS = PAGES * PER_PAGE;
  const FIRST = 0x30000;
  const engine = new ObservedEngine('always', 16 << 20);
  const guest = new Guest(
    engine,
    64,
    `xor ebx, ebx
     mov eax, ${FIRST}
     jmp rax
     .org 0x100
     mov eax, ebx
     report
     done`,
  );
  // INC EBX, and a jump into the next page: no region has two of them.
  const place = (n: number): number =>
    n < BLOCKS ? FIRST + (n % PAGES) * 4096 + Math.floor(n / PAGES) * BLOCK_BYTES : 0x10100;
  const { view } = guest;
  for (let n = 0; n < BLOCKS; n++) {
    const at = place(n);
    view.setUint16(at, 0xc3ff, true);
    view.setUint8(at + 2, 0xe9);
    view.setInt32(at + 3, place(n + 1) - at - BLOCK_BYTES, true);
  }
  expect(guest.reports()).toEqual([BLOCKS]);
  const { jit, codeFlushes } = engine.statistics;
  expect(jit?.regions).toBeGreaterThan(REGION_SLOTS);
  expect(jit?.dropped).toBeGreaterThanOrEqual(REGION_SLOTS);
  expect(codeFlushes).toBe(1);
});
