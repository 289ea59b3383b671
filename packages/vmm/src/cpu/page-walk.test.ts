// The page walk against the rules of SDM vol. 3A, 4.3 to 4.8, which are written down here once
// more, as the manual's own lists and tables: random entries, control bits and accesses in all four
// forms.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SystemFixture } from '../../test/system/fixture.ts';
import { ACCESS, FAULT_NON_CANONICAL, WALK } from './page-walk.ts';
import { S, VECTOR } from './state.ts';

const P = 1n;
const W = 2n;
const U = 4n;
const A = 0x20n;
const D = 0x40n;
const PS = 0x80n;
const G = 0x100n;
const NX = 1n << 63n;

/** A level of tables: the lowest address bit it translates, how many, and if it may be a leaf. */
interface Level {
  readonly shift: bigint;
  readonly bits: bigint;
  readonly leaf: 'never' | 'large' | 'always';
}

interface Form {
  readonly name: string;
  readonly entryBytes: 4 | 8;
  /** From the root down. */
  readonly levels: readonly Level[];
  readonly cr4: bigint;
  readonly efer: bigint;
}

const level = (shift: number, bits: number, leaf: Level['leaf']): Level => {
  return { shift: BigInt(shift), bits: BigInt(bits), leaf };
};
const CR4_PSE = 0x10n;
const CR4_PAE = 0x20n;
const FORMS: readonly Form[] = [
  {
    name: '4-level',
    entryBytes: 8,
    levels: [
      level(39, 9, 'never'),
      level(30, 9, 'large'),
      level(21, 9, 'large'),
      level(12, 9, 'always'),
    ],
    cr4: CR4_PAE,
    efer: 0x500n,
  },
  {
    name: 'PAE',
    entryBytes: 8,
    levels: [level(21, 9, 'large'), level(12, 9, 'always')],
    cr4: CR4_PAE,
    efer: 0n,
  },
  {
    name: '32-bit, with 4 MiB pages',
    entryBytes: 4,
    levels: [level(22, 10, 'large'), level(12, 10, 'always')],
    cr4: CR4_PSE,
    efer: 0n,
  },
  {
    name: '32-bit, without',
    entryBytes: 4,
    levels: [level(22, 10, 'never'), level(12, 10, 'always')],
    cr4: 0n,
    efer: 0n,
  },
];

/** One attempt: what the tables say, what the control bits are, and what is tried. */
interface Attempt {
  /** Flags of each level's entry; the frame comes from `frame` at the leaf. */
  readonly entries: readonly bigint[];
  readonly frame: bigint;
  readonly linear: bigint;
  readonly access: number;
  readonly wp: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly pge: boolean;
  readonly nxe: boolean;
  readonly ac: boolean;
}

/** What the manual says becomes of an attempt. */
type Outcome =
  | { readonly error: number }
  | { readonly physical: bigint; readonly flags: number; readonly depth: number };

/** Bits of a present entry that must be zero, SDM vol. 3A, tables 4-5 to 4-20; MAXPHYADDR is 40. */
function isReserved(form: Form, at: Level, entry: bigint, isLeaf: boolean, nxe: boolean): boolean {
  if (form.entryBytes === 4) return isLeaf && at.shift > 12n && (entry & (1n << 21n)) !== 0n;
  if ((entry & 0x000f_ff00_0000_0000n) !== 0n) return true;
  if (!nxe && (entry & NX) !== 0n) return true;
  if (form.name === 'PAE' && (entry & (0x7ffn << 52n)) !== 0n) return true;
  if (at.shift === 39n && (entry & PS) !== 0n) return true;
  return isLeaf && at.shift > 12n && (entry & ((1n << at.shift) - (1n << 13n))) !== 0n;
}

/** SDM vol. 3A, 4.6.1: whether an access is allowed by the rights that all entries grant. */
function isAllowed(form: Form, used: readonly bigint[], attempt: Attempt): boolean {
  const { access, wp, smep, smap, nxe, ac } = attempt;
  const all = (bit: bigint): boolean => used.every((entry) => (entry & bit) !== 0n);
  const noExecute = form.entryBytes === 8 && nxe && used.some((entry) => (entry & NX) !== 0n);
  const userPage = all(U);
  const isFetch = (access & ACCESS.fetch) !== 0;
  const isWrite = (access & ACCESS.write) !== 0;
  if ((access & ACCESS.user) !== 0) {
    if (!userPage) return false;
    if (isFetch) return !noExecute;
    return !isWrite || all(W);
  }
  if (isFetch) return !(noExecute || (userPage && smep));
  const isExcused = ac && (access & ACCESS.implicit) === 0;
  if (userPage && smap && !isExcused) return false;
  return !isWrite || !wp || all(W);
}

/** SDM vol. 3A, 4.7: the error code, with or without P and RSVD. */
function errorCode(form: Form, attempt: Attempt, bits: number): number {
  const { access, smep, nxe } = attempt;
  const fetch = smep || (nxe && form.entryBytes === 8) ? access & ACCESS.fetch : 0;
  return bits | (access & (ACCESS.write | ACCESS.user)) | fetch;
}

function expectedOutcome(form: Form, attempt: Attempt): Outcome {
  const used: bigint[] = [];
  for (const [depth, at] of form.levels.entries()) {
    const isLast = at.leaf === 'always';
    let entry = attempt.entries[depth];
    const isLeaf = isLast || (at.leaf === 'large' && (entry & PS) !== 0n);
    if (isLeaf) entry |= attempt.frame;
    used.push(entry);
    if ((entry & P) === 0n) return { error: errorCode(form, attempt, 0) };
    if (isReserved(form, at, entry, isLeaf, attempt.nxe))
      return { error: errorCode(form, attempt, 9) };
    if (!isLeaf) continue;
    if (!isAllowed(form, used, attempt)) return { error: errorCode(form, attempt, 1) };
    const offset = attempt.linear & ((1n << at.shift) - 1n);
    let base = entry & 0x000f_ffff_ffff_f000n & ~((1n << at.shift) - 1n);
    // PSE-36: bits 20:13 of the entry are bits 39:32 of the address.
    if (form.entryBytes === 4 && at.shift === 22n) base |= (entry & 0x1f_e000n) << 19n;
    return { physical: base | offset, flags: walkFlags(used, at, attempt), depth };
  }
  throw new Error('a walk without a leaf');
}

/** What the TLB may keep of a translation. */
function walkFlags(used: readonly bigint[], leaf: Level, attempt: Attempt): number {
  const entry = used[used.length - 1];
  const isWrite = (attempt.access & ACCESS.write) !== 0;
  const isDirty = isWrite || (entry & D) !== 0n;
  const isSupervisor = (attempt.access & ACCESS.user) === 0;
  const mayWrite = used.every((each) => (each & W) !== 0n) || (isSupervisor && !attempt.wp);
  const size = leaf.shift >= 30n ? WALK.huge : leaf.shift > 12n ? WALK.large : 0;
  return (
    (isDirty && mayWrite ? WALK.writable : 0) |
    (attempt.pge && (entry & G) !== 0n ? WALK.global : 0) |
    size
  );
}

const x = new SystemFixture();
const TABLES = 0x10_0000n;

/** Where the entry that translates `linear` at `depth` is: each level has one page of its own. */
function entryAddress(form: Form, depth: number, linear: bigint): number {
  const { shift, bits } = form.levels[depth];
  const index = (linear >> shift) & ((1n << bits) - 1n);
  return Number(TABLES + 0x1000n * BigInt(depth) + index * BigInt(form.entryBytes));
}

function setUp(form: Form, attempt: Attempt): void {
  for (const [depth, at] of form.levels.entries()) {
    const flags = attempt.entries[depth];
    const isLeaf = at.leaf === 'always' || (at.leaf === 'large' && (flags & PS) !== 0n);
    const next = TABLES + 0x1000n * BigInt(depth + 1);
    const entry = flags | (isLeaf ? attempt.frame : next);
    x.write(entryAddress(form, depth, attempt.linear), form.entryBytes, entry);
  }
  x.set64(S.cr0, 0x8000_0011n | (attempt.wp ? 0x1_0000n : 0n));
  const features = (attempt.smep ? 1n << 20n : 0n) | (attempt.smap ? 1n << 21n : 0n);
  x.set64(S.cr4, form.cr4 | features | (attempt.pge ? 0x80n : 0n));
  x.set64(S.efer, form.efer | (attempt.nxe ? 0x800n : 0n));
  x.set64(S.cr3, TABLES);
  // Under PAE paging the root is four registers, which carry no rights.
  for (let index = 0; index < 4; index++) x.set64(S.pdpte + 8 * index, TABLES | P);
  x.set32(S.eflags, 2 | (attempt.ac ? 1 << 18 : 0));
}

const entriesOf = (form: Form, attempt: Attempt): bigint[] =>
  form.levels.map((_, depth) => x.read(entryAddress(form, depth, attempt.linear), form.entryBytes));

function check(form: Form, attempt: Attempt): void {
  setUp(form, attempt);
  const before = entriesOf(form, attempt);
  const wanted = expectedOutcome(form, attempt);
  const result = x.call('memory.translate', 0, attempt.linear, attempt.access);
  const after = entriesOf(form, attempt);
  if ('error' in wanted) {
    expect(x.takeFault()).toEqual([VECTOR.PF, wanted.error]);
    expect(result).toBe(-1);
    expect(x.get64(S.cr2)).toBe(attempt.linear);
    // Accessed bits of upper levels may be set before the fault is found; nothing else may change.
    expect(after.map((entry, at) => (entry & ~A) | (before[at] & A))).toEqual(before);
    expect(after.at(-1)).toBe(before.at(-1));
    return;
  }
  expect(x.takeFault()).toBeNull();
  expect(x.get64(S.lastPhysical)).toBe(wanted.physical);
  expect(x.get32(S.walkFlags)).toBe(wanted.flags);
  const marks = (attempt.access & ACCESS.write) !== 0 ? A | D : A;
  const marked = before.map((entry, depth) => {
    if (depth > wanted.depth) return entry;
    return entry | (depth === wanted.depth ? marks : A);
  });
  expect(after).toEqual(marked);
}

/** Mostly the bits that let an access through, so that every level is reached. */
function entryBits(form: Form): fc.Arbitrary<bigint> {
  const rarely = (bits: bigint): fc.Arbitrary<bigint> =>
    fc.oneof(
      { weight: 12, arbitrary: fc.constant(0n) },
      { weight: 1, arbitrary: fc.constant(bits) },
    );
  const mostly = (bits: bigint): fc.Arbitrary<bigint> =>
    fc.oneof(
      { weight: 4, arbitrary: fc.constant(bits) },
      { weight: 1, arbitrary: fc.constant(0n) },
    );
  const either = (bits: bigint): fc.Arbitrary<bigint> => fc.constantFrom(0n, bits);
  const wide =
    form.entryBytes === 8
      ? [rarely(NX), rarely(1n << 40n), rarely(1n << 51n), rarely(1n << 62n)]
      : [];
  return fc
    .tuple(rarely(0n), mostly(P), mostly(W), mostly(U), either(A), either(D), rarely(PS), either(G))
    .chain((bits) =>
      fc.tuple(...wide).map((more) => [...bits, ...more].reduce((a, b) => a | b, 0n)),
    );
}

function attempts(form: Form): fc.Arbitrary<Attempt> {
  const rights = fc.constantFrom(ACCESS.read, ACCESS.write, ACCESS.fetch);
  const who = fc.constantFrom(0, ACCESS.user, 0, ACCESS.user, ACCESS.implicit);
  const addresses = form.entryBytes === 8 && form.levels.length === 4 ? 1n << 47n : 1n << 32n;
  // Frames of small, of large pages, and with bits that large pages must not have.
  const frames = [0x1234_5000n, 0x4000_0000n, 0x0020_0000n, 0xffff_f000n, 0x0040_2000n];
  return fc.record({
    entries: fc.array(entryBits(form), {
      minLength: form.levels.length,
      maxLength: form.levels.length,
    }),
    frame: fc.constantFrom(...frames),
    linear: fc.bigInt(0n, addresses - 1n),
    access: fc.tuple(rights, who).map(([a, b]) => a | b),
    wp: fc.boolean(),
    smep: fc.boolean(),
    smap: fc.boolean(),
    pge: fc.boolean(),
    nxe: fc.boolean(),
    ac: fc.boolean(),
  });
}

for (const form of FORMS) {
  test(`${form.name} paging translates and faults as the manual says`, () => {
    fc.assert(
      fc.property(attempts(form), (attempt) => check(form, attempt)),
      { numRuns: 3000 },
    );
  });
}

/** An attempt that succeeds. */
const PLAIN: Attempt = {
  entries: [P | W | U, P | W | U, P | W | U, P | W | U],
  frame: 0x1234_5000n,
  linear: 0x12_3456_789an,
  access: ACCESS.read,
  wp: true,
  smep: false,
  smap: false,
  pge: true,
  nxe: true,
  ac: false,
};

test('4-level paging maps 4 KiB, 2 MiB and 1 GiB pages', () => {
  const [form] = FORMS;
  const translated = (attempt: Partial<Attempt>): bigint => {
    setUp(form, { ...PLAIN, ...attempt });
    x.call('memory.translate', 0, PLAIN.linear, ACCESS.read);
    expect(x.takeFault()).toBeNull();
    return x.get64(S.lastPhysical);
  };
  const [pml4e, pdpte, pde, pte] = PLAIN.entries;
  expect(translated({})).toBe(0x1234_589an);
  const large = { entries: [pml4e, pdpte, pde | PS, pte], frame: 0x0ac0_0000n };
  expect(translated(large)).toBe((0x0ad6_789an & ~0x1f_ffffn) | (PLAIN.linear & 0x1f_ffffn));
  const huge = { entries: [pml4e, pdpte | PS, pde, pte], frame: 0x1_4000_0000n };
  expect(translated(huge)).toBe(0x1_4000_0000n | (PLAIN.linear & 0x3fff_ffffn));
});

test('addresses whose upper bits are not all alike are no page faults', () => {
  setUp(FORMS[0], PLAIN);
  for (const linear of [1n << 47n, -(1n << 47n) - 1n, 1n << 63n, 0x7fff_ffff_ffff_ffffn]) {
    x.call('memory.translate', 0, BigInt.asIntN(64, linear), ACCESS.read);
    expect(x.takeFault()?.[0]).toBe(FAULT_NON_CANONICAL);
  }
  for (const linear of [(1n << 47n) - 1n, -(1n << 47n), -1n]) {
    x.call('memory.translate', 0, linear, ACCESS.read);
    expect(x.takeFault()?.[0] ?? VECTOR.PF).toBe(VECTOR.PF);
  }
});

test('without paging, linear addresses are physical', () => {
  x.set64(S.cr0, 0x11n);
  x.set64(S.efer, 0n);
  x.call('memory.translate', 0, 0x1_2345_6789n, ACCESS.write | ACCESS.user);
  expect(x.takeFault()).toBeNull();
  expect(x.get64(S.lastPhysical)).toBe(0x2345_6789n);
  expect(x.get32(S.walkFlags)).toBe(WALK.writable);
});

test('tables outside memory are not present', () => {
  const [form] = FORMS;
  setUp(form, PLAIN);
  x.write(entryAddress(form, 1, PLAIN.linear), 8, 0x7f_0000_0007n);
  x.call('memory.translate', 0, PLAIN.linear, ACCESS.read);
  expect(x.takeFault()).toEqual([VECTOR.PF, 0]);
});
