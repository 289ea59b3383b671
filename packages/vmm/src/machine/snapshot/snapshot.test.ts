// Suspended machines: the oracle is the same machine that was not suspended, which on a clock of
// its own does the same every time; for the checksum, zlib's.
import { crc32 as zlibCrc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HotEngine } from '../../../test/hot-engine.ts';
import {
  fileOf,
  freshRam,
  inPieces,
  type Making,
  makeMachine,
  readFile,
} from '../../../test/suspended-machine.ts';
import type { SavedValue } from '../../base/saved-state.ts';
import type { SoftEngine } from '../../vmm/soft-engine.ts';
import type { Machine } from '../machine.ts';
import { crc32 } from './crc32.ts';
import { SnapshotReader } from './snapshot-reader.ts';
import { writeSnapshot } from './snapshot-writer.ts';
import { decodeValue, encodeValue } from './wire.ts';

const EVER = 1e6;
const MODES: readonly (readonly [string, Making])[] = [
  ['off', { jit: 'off' }],
  ['hot', { jit: 'on', wrap: (engine: SoftEngine) => new HotEngine(engine) }],
  ['always', { jit: 'always' }],
];

const whole = makeMachine();
const END = whole.run(EVER);
const OUTPUT = whole.output();
const results = (bytes: Uint8Array): Uint8Array => bytes.slice(0x20_1000, 0x20_1000 + 240);
const RESULTS = results(whole.ram.bytes);

test('the guest that is suspended here computes for a while, and ends', () => {
  expect(END).toEqual({ kind: 'exit-port', value: 0x11 });
  expect(OUTPUT).toMatch(/^[a-p]{60}$/);
  expect(new Set(OUTPUT).size).toBeGreaterThan(8);
});

describe.each(MODES)('saved with the compiler %s', (name, making) => {
  test.each(MODES)('a machine goes on with %s, wherever it was', async (otherName, other) => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    let state = seed;
    let watched = makeMachine(making);
    let output = '';
    let trips = 0;
    for (;;) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 1;
      const end = watched.run(1 + (state % 40));
      output += watched.output();
      if (end.kind !== 'stopped') {
        expect(end, `${name} to ${otherName}, seed ${seed}`).toEqual(END);
        break;
      }
      const restored = await readFile(fileOf(watched.machine));
      watched = makeMachine({ ...(trips++ % 2 === 0 ? other : making), restored });
    }
    expect(output, `seed ${seed}`).toBe(OUTPUT);
    expect(results(watched.ram.bytes), `seed ${seed}`).toEqual(RESULTS);
    expect(trips).toBeGreaterThan(1);
  });
});

test('a machine that was saved, and is not ended, goes on as if it had not been', () => {
  let files = 0;
  const atPoll = (poll: number, machine: Machine): void => {
    if (poll % 7 === 0) files += fileOf(machine).length > 0 ? 1 : 0;
  };
  const watched = makeMachine({ atPoll });
  expect(watched.run(EVER)).toEqual(END);
  expect(files).toBeGreaterThan(10);
  expect(watched.output()).toBe(OUTPUT);
});

test('a file says what its machine is, and may arrive in any pieces', async () => {
  const watched = makeMachine();
  watched.run(30);
  const bytes = fileOf(watched.machine);
  expect(bytes.length).toBeLessThan(200_000);
  const { summary, ram } = await readFile(bytes, 7);
  expect(summary).toMatchObject({ name: 'traveller', memoryBytes: 4 << 20, engine: 'soft' });
  const used = (from: Uint8Array): Uint8Array => from.slice(0, 4 << 20);
  expect(Buffer.compare(used(ram.bytes), used(watched.ram.bytes))).toBe(0);
});

test('what the host keeps comes with the file, for a reader who asks', async () => {
  const watched = makeMachine();
  watched.run(5);
  const host: SavedValue = new Map([['disk', '/a']]);
  const bytes = Buffer.concat([...watched.machine.save(host)].map((piece) => piece.bytes));
  const reader = await SnapshotReader.open(inPieces(bytes));
  expect(await reader.host()).toEqual(host);
  const restored = await readFile(bytes);
  expect(makeMachine({ restored }).run(EVER)).toEqual(END);
});

test('crc32() agrees with zlib', () => {
  fc.assert(
    // Of no bytes, that of Node 20 gives 0 whatever came before.
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), fc.nat(8), (bytes, offset) => {
      const copy = new Uint8Array(new ArrayBuffer(bytes.length + offset), offset);
      copy.set(bytes);
      expect(crc32(copy, 0x1234)).toBe(zlibCrc32(copy, 0x1234));
    }),
  );
});

const values = fc.letrec<{ value: SavedValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.boolean(),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.double({ noNaN: true }),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array(),
    fc.array(tie('value')),
    fc.dictionary(fc.stringMatching(/^[ -~]{0,20}$/), tie('value')).map((it) => {
      return new Map(Object.entries(it));
    }),
  ),
})).value;

test('decodeValue() gives back what encodeValue() was given', () => {
  fc.assert(
    fc.property(values, (value) => {
      expect(decodeValue(encodeValue(value), 'it')).toEqual(value);
    }),
  );
});

test('decodeValue() makes of any bytes a value or a refusal', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        decodeValue(bytes, 'it');
      } catch (error) {
        expect(error).toMatchObject({ name: 'VmmError', code: 'EINVAL' });
      }
    }),
    { numRuns: 2000 },
  );
});

const refusal = async (bytes: Uint8Array): Promise<string> => {
  try {
    const restored = await readFile(bytes);
    makeMachine({ restored });
    return 'none';
  } catch (error) {
    expect(error).toMatchObject({ name: 'VmmError', code: 'EINVAL' });
    return (error as Error).message;
  }
};

const saved = (() => {
  const watched = makeMachine();
  watched.run(20);
  return { bytes: fileOf(watched.machine), parts: watched.machine.saveParts() };
})();

test('a file that was cut anywhere is refused', async () => {
  const { bytes } = saved;
  for (let length = 0; length < bytes.length; length += 1 + Math.floor(length / 50)) {
    expect(await refusal(bytes.subarray(0, length)), `${length} bytes`).toMatch(/ends too early/);
  }
});

test('a file with one wrong bit is refused', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  for (let round = 0; round < 300; round++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const bytes = saved.bytes.slice();
    const bit = state % (8 * Math.min(bytes.length, round < 150 ? 400 : bytes.length));
    bytes[bit >> 3] ^= 1 << (bit & 7);
    expect(await refusal(bytes), `bit ${bit}, seed ${seed}`).not.toBe('none');
  }
});

test('another version, another kind, and something behind the end are refused', async () => {
  const other = (change: (header: DataView) => void): Uint8Array => {
    const bytes = saved.bytes.slice();
    const view = new DataView(bytes.buffer);
    change(view);
    view.setUint32(12, zlibCrc32(bytes.subarray(0, 12)), true);
    return bytes;
  };
  expect(await refusal(other((it) => it.setUint16(8, 2, true)))).toBe(
    'The suspended machine is in version 2 of the format; this reads version 1.',
  );
  expect(await refusal(other((it) => it.setUint8(1, 0x50)))).toBe(
    'This is not a suspended machine: it does not begin as one.',
  );
  expect(await refusal(Buffer.concat([saved.bytes, new Uint8Array(1)]))).toBe(
    'The suspended machine is damaged: something follows its end.',
  );
});

/** A file of the saved machine with other parts. */
function fileWith(change: (parts: Map<string, SavedValue>) => void): Uint8Array {
  const parts = structuredClone(new Map(saved.parts)) as Map<string, SavedValue>;
  change(parts);
  return Buffer.concat([...writeSnapshot({ parts, ram: freshRam() })].map(({ bytes }) => bytes));
}

const recordOf = (parts: Map<string, SavedValue>, name: string): Map<string, SavedValue> =>
  parts.get(name) as Map<string, SavedValue>;

test('what is not known is refused by its name, unless it may be ignored', async () => {
  expect(await refusal(fileWith((parts) => parts.set('hpet', new Map())))).toBe(
    'The machine has no device "hpet", which the suspended one had.',
  );
  expect(await refusal(fileWith((parts) => recordOf(parts, 'com1').set('efr', 1n)))).toBe(
    'Section "com1" has "efr", which this version does not know.',
  );
  const ignorable = fileWith((parts) => {
    parts.set('~hpet', 1n);
    recordOf(parts, 'com1').set('~efr', 1n);
  });
  expect(await refusal(ignorable)).toBe('none');
});

test('what a machine cannot be is refused', async () => {
  const cases: [string, string, SavedValue, RegExp][] = [
    ['com1', 'divisor', 0x1_0000n, /^Section "com1", field "divisor", is 65536, not 0 to 65535\.$/],
    ['com1', 'fifo', false, /^Section "com1", field "fifo", is not a list\.$/],
    ['machine', 'memoryBytes', 1n, /memory/],
    ['machine', 'timeNs', -1, /time that no machine reaches/],
    ['machine', 'features', [0xffff_ffffn], /^The processor lacks what the suspended one had/],
    ['vcpu 0', 'mxcsr', 0x1_0000n, /reserved bits in MXCSR/],
    ['vcpu 0', 'pvclock', 0xffff_ffff_ffff_f001n, /its clock outside of memory/],
    [
      'vcpu 0',
      'msrs',
      [
        new Map([
          ['index', 1n],
          ['value', 1n],
        ]),
      ],
      /has an MSR 0x1/,
    ],
  ];
  for (const [part, field, value, message] of cases) {
    const bytes = fileWith((parts) => recordOf(parts, part).set(field, value));
    expect(await refusal(bytes), `${part} ${field}`).toMatch(message);
  }
  const lacking = fileWith((parts) => recordOf(parts, 'i8253').delete('speaker'));
  expect(await refusal(lacking)).toBe('Section "i8253" lacks "speaker".');
  const controls = fileWith((parts) => {
    const registers = recordOf(parts, 'vcpu 0').get('registers') as Map<string, SavedValue>;
    (registers.get('crs') as Map<string, SavedValue>).set('CR0', 0x8000_0000n);
  });
  expect(await refusal(controls)).toMatch(/in a state that no processor can be in/);
});

test('a file with any values in it is refused, or its machine runs', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let restorable = 0;
  let ran = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat(), values, async (which, where, value) => {
      const names = [...saved.parts.keys()];
      const bytes = fileWith((parts) => {
        const record = recordOf(parts, names[which % names.length]!);
        replace(record, where, value);
      });
      try {
        const restored = await readFile(bytes);
        const watched = makeMachine({ restored });
        // A processor takes time to make.
        if (restorable++ % 10 !== 0) return;
        watched.run(3);
        ran++;
      } catch (error) {
        expect(error).toMatchObject({ name: 'VmmError' });
      }
    }),
    { numRuns: 200, seed },
  );
  expect(ran, `seed ${seed}`).toBeGreaterThan(0);
});

/** Puts `value`, or one like what is there, somewhere into a record. */
function replace(record: Map<string, SavedValue>, where: number, value: SavedValue): void {
  const names = [...record.keys()];
  const name = names[where % names.length]!;
  const old = record.get(name);
  if (old instanceof Map && old.size > 0) replace(old, Math.floor(where / names.length), value);
  else if (typeof old === 'bigint') record.set(name, where % 2 === 0 ? old ^ BigInt(where) : value);
  else record.set(name, value);
}
