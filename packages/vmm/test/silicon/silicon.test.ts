// The oracle itself: that the runner reports what the manual says of instructions whose outcome is
// beyond doubt, that it answers the same twice, that an emulator which shares nothing with the host's
// processor agrees where it is exact, and that the comparer sees differences.

import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import type { Row } from '../../src/isa/row.ts';
import { rows } from '../../src/isa/rows.ts';
import { compareOne } from './compare.ts';
import type { SiliconResult, SiliconVector } from './format.ts';
import { type Form, formsOf, isPresent, reasonUntestable, untestable } from './forms.ts';
import { type GeneratedVector, Generator } from './generate.ts';
import { Selector } from './layout.ts';
import { hostFeatures, runOnSilicon, siliconUnavailable } from './runner.ts';
import { makeVector } from './vectors.ts';

const unavailable = siliconUnavailable();
const EMULATOR = 'qemu-x86_64-static';

function hasEmulator(): boolean {
  try {
    execFileSync(EMULATOR, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const registers = (values: Record<number, bigint>): BigUint64Array => {
  const gpr = new BigUint64Array(16);
  for (const [index, value] of Object.entries(values)) gpr[Number(index)] = value;
  return gpr;
};

const runOne = (vector: SiliconVector): SiliconResult => runOnSilicon([vector]).results[0];

const STATUS = 0x8d5;

function forms(): Form[] {
  const host = hostFeatures();
  const modes = [64, 32, 16] as const;
  return modes.flatMap((mode) => formsOf(mode, (feature) => host.has(feature)));
}

function generate(chosen: readonly Form[], each: number): GeneratedVector[] {
  const generator = new Generator();
  return chosen.flatMap((form) =>
    Array.from({ length: each }, (_, index) => generator.generate(form, index)).filter(
      (generated) => generated !== undefined,
    ),
  );
}

describe.skipIf(unavailable !== undefined)(`the host's processor${unavailable ?? ''}`, () => {
  test('ADD overflows as in SDM vol. 1, appendix A', () => {
    const gpr = registers({ 0: 0x7fff_ffff_ffff_ffffn, 1: 1n });
    const result = runOne(makeVector(64, [0x48, 0x01, 0xc8], { gpr })); // add rax, rcx
    expect(result.trap).toBe(1);
    expect(result.rip).toBe(0x1000_0103n);
    expect(result.gpr[0]).toBe(0x8000_0000_0000_0000n);
    expect(result.rflags & STATUS).toBe(0x894); // OF SF AF PF
  });

  test('AAA adjusts in 32-bit code', () => {
    const result = runOne(makeVector(32, [0x37], { gpr: registers({ 0: 0x0fn }) }));
    expect(result.gpr[0] & 0xffffn).toBe(0x0105n);
    expect(result.rflags & 0x11).toBe(0x11); // AF CF
    expect(result.cs).toBe(Selector.code32);
  });

  test('16-bit code wraps its additions at 16 bits and runs on its own segment', () => {
    const result = runOne(makeVector(16, [0x01, 0xc8], { gpr: registers({ 0: 0xffffn, 1: 1n }) }));
    expect(result.gpr[0] & 0xffffn).toBe(0n);
    expect(result.rip).toBe(0x102n);
    expect(result.cs).toBe(Selector.code16);
  });

  test('a store that runs into the read-only page faults with the address of that page', () => {
    const gpr = registers({ 1: 0x1001_1ffen });
    const result = runOne(makeVector(64, [0x89, 0x01], { gpr })); // mov [rcx], eax
    expect([result.trap, result.errorCode, result.cr2]).toEqual([14, 7, 0x1001_2000n]);
    expect(result.changes).toEqual([]);
  });

  test('a load that runs into the guard page faults as not present', () => {
    const gpr = registers({ 1: 0x1001_2ffen });
    const result = runOne(makeVector(64, [0x8b, 0x01], { gpr })); // mov eax, [rcx]
    expect([result.trap, result.errorCode, result.cr2]).toEqual([14, 4, 0x1001_3000n]);
  });

  test('code that runs into the guard page faults at its fetch', () => {
    const result = runOne(makeVector(64, [0x8b, 0xc1], { rip: 0x1000_1fffn }));
    expect([result.trap, result.errorCode, result.cr2]).toEqual([14, 0x14, 0x1000_2000n]);
  });

  test('REP STOS stops after the steps asked for, and resumes to its end', () => {
    const gpr = registers({ 0: 0xaan, 1: 20n, 7: 0x1001_0000n });
    const code = [0xf3, 0xaa];
    const some = runOne(makeVector(64, code, { gpr, steps: 5 }));
    expect([some.steps, some.rip, some.gpr[1]]).toEqual([5, 0x1000_0100n, 15n]);
    expect(some.changes.map(({ offset, bytes }) => [offset, ...bytes])).toEqual([
      [0, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa],
    ]);
    const all = runOne(makeVector(64, code, { gpr, steps: 1000 }));
    expect([all.steps, all.rip, all.gpr[1]]).toEqual([20, 0x1000_0102n, 0n]);
  });

  test('exceptions carry their vectors', () => {
    const cases: [number[], number][] = [
      [[0xf7, 0xf1], 0], // div ecx, by 0
      [[0xcc], 3], // int3
      [[0x0f, 0x0b], 6], // ud2
      [[0xf4], 13], // hlt
    ];
    for (const [code, trap] of cases) expect(runOne(makeVector(64, code)).trap).toBe(trap);
  });

  test('segments have the bases and limits of the layout', () => {
    const { based, limited, flat } = Selector;
    const selectors = { ds: flat, es: flat, fs: based, gs: limited, ss: flat };
    const gpr = registers({ 1: 0xffdn });
    const patches = [{ offset: 0xffd, bytes: Uint8Array.of(1, 2, 3, 4) }];
    const state = { gpr, selectors, patches };
    const inside = runOne(makeVector(32, [0x64, 0x8b, 0x01], state)); // mov eax, fs:[ecx]
    expect(inside.gpr[0]).toBe(0x0403_0201n);
    expect(runOne(makeVector(32, [0x65, 0x8b, 0x01], state)).trap).toBe(13); // gs:[ecx]
  });

  test('at least 900 forms are covered, and every other row has a reason', () => {
    const mnemonics = new Set(rows.map((row) => row.mnemonic));
    for (const mnemonic of Object.keys(untestable)) expect(mnemonics).toContain(mnemonic);
    const covered = new Set(generate(forms(), 1).map(({ form }) => form));
    expect(covered.size).toBeGreaterThan(900);
    const host = hostFeatures();
    const rowsCovered = new Set([...covered].map(({ row }) => row));
    const missing = rows.filter(
      (row) =>
        !rowsCovered.has(row) &&
        reasonUntestable(row) === undefined &&
        isPresent(row, (feature) => host.has(feature)),
    );
    expect(missing.map(({ name }) => name)).toEqual([]);
  });

  test('every vector answers the same twice', () => {
    const generated = generate(forms(), 1);
    const vectors = generated.map(({ vector }) => vector);
    const first = runOnSilicon(vectors).results;
    const second = runOnSilicon(vectors).results;
    generated.forEach((each, index) => {
      expect(compareOne(each, first[index], second[index])).toBeUndefined();
    });
  });

  test('the comparer sees a change in any part of the result', () => {
    const [generated] = generate([forms().find(({ row }) => row.name === 'add rmv, rv')!], 1);
    const silicon = runOne({ ...generated.vector, rip: 0x1000_0100n });
    const same = compareOne(generated, silicon, silicon);
    expect(same).toBeUndefined();
    const fx = (at: number): Uint8Array =>
      silicon.fx.map((byte, i) => (i === at ? byte ^ 1 : byte));
    const wrong: Partial<SiliconResult>[] = [
      { trap: 99 },
      { rip: silicon.rip + 1n },
      { rflags: silicon.rflags ^ 1 },
      { gpr: silicon.gpr.map((value) => value ^ (1n << 63n)) },
      { selectors: { ...silicon.selectors, es: 0 } },
      { changes: [...silicon.changes, { offset: 3, bytes: Uint8Array.of(generated.vector.seed) }] },
      ...[0, 2, 4, 24, 32, 40, 160, 415].map((at) => ({ fx: fx(at) })),
    ];
    for (const part of wrong) {
      expect(compareOne(generated, silicon, { ...silicon, ...part })).toBeDefined();
    }
  });
});

/** What QEMU's user mode does exactly: general integer and packed integer work, without LOCK. */
const EMULATED = new RegExp(
  '^(add|adc|sub|sbb|and|or|xor|cmp|test|inc|dec|neg|not|mul|imul|shl|shr|sar|rol|ror|rcl|rcr|' +
    'shld|shrd|bt|bts|btr|btc|bsf|bsr|movsx|movsxd|movzx|lea|cmovcc|setcc|cbw|cwd|push|xadd|cmpxchg|' +
    'popcnt|crc32|p(add|sub|cmp|and|or|xor|mul|max|min|avg|sad|sra|srl|sll|shuf|unpck|ack|abs|sign|' +
    'madd|alignr|movsx|movzx).*)$',
);

/** F6 /1 and F7 /1, the TEST that no manual lists and this emulator does not know. */
const isAlias = ({ encoding }: Row): boolean =>
  encoding.digit === 1 && (encoding.opcode === 0xf6 || encoding.opcode === 0xf7);

describe.skipIf(unavailable !== undefined || !hasEmulator())('the emulator', () => {
  test('agrees with the silicon on integer instructions', () => {
    // Every vector has code of its own: the emulator does not see that the runner replaces code.
    const perRun = 200;
    const chosen = forms().filter(
      ({ mode, row }) => mode === 64 && EMULATED.test(row.mnemonic) && !isAlias(row),
    );
    const generated = generate(chosen, 1)
      .filter(({ vector, form }) => !vector.code.includes(0xf0) && form.row.unit !== 'mmx')
      .map(({ form, vector }, index) => {
        const rip = 0x1000_0000n + BigInt(index % perRun) * 32n;
        return { form, vector: { ...vector, rip } };
      });
    let compared = 0;
    const disagreements: string[] = [];
    for (let start = 0; start < generated.length; start += perRun) {
      const part = generated.slice(start, start + perRun);
      const vectors = part.map(({ vector }) => vector);
      const silicon = runOnSilicon(vectors).results;
      const emulated = runOnSilicon(vectors, EMULATOR).results;
      part.forEach((each, index) => {
        // Of faults the emulator does not report the vector; alignment it does not check.
        if (silicon[index].trap !== 1) return;
        const { trap } = silicon[index];
        compared++;
        const mismatch = compareOne(each, silicon[index], { ...emulated[index], trap });
        if (mismatch) disagreements.push([mismatch.text, ...mismatch.differences].join('; '));
      });
    }
    expect(disagreements).toEqual([]);
    expect(compared).toBeGreaterThan(300);
  });
});
