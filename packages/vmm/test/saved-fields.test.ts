// Nothing that a device or a processor remembers is forgotten over a suspension by accident: every
// field that can change is saved, or says beside it why it need not be. The oracle is the source.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { S } from '../src/cpu/state.ts';

const SOURCE = join(import.meta.dirname, '../src');

interface Field {
  readonly name: string;
  readonly comment: string;
}

/** The fields of classes that can change: not readonly, or of something that is filled. */
function mutableFields(source: string): Field[] {
  const fields: Field[] = [];
  let comment = '';
  let inClass = false;
  for (const line of source.split('\n')) {
    if (/^(export )?(abstract )?class /.test(line)) inClass = true;
    else if (line === '}') inClass = false;
    if (/^ {2}(\/\*\*| \*)/.test(line)) {
      comment = line.startsWith('  /**') ? line : `${comment} ${line}`;
      continue;
    }
    const member = /^ {2}(?:private |protected )?(readonly )?(\w+)\??(?::[^(]*?)?( =.*)?;?$/.exec(
      line,
    );
    if (inClass && member !== null && !line.includes('(this')) {
      const [, readonly, name = '', value = ''] = member;
      const filled = /= (\[\]|\[(0|undefined)|new (Map|Set|(Big)?(Int|Uint)\d+Array))/.test(value);
      if (readonly === undefined ? /[:=]/.test(line) : filled) fields.push({ name, comment });
    }
    comment = '';
  }
  return fields;
}

/** The names in the declarations of what is saved. */
function savedNames(source: string): Set<string> {
  const names = new Set<string>();
  for (const [, body = ''] of source.matchAll(/savedFields(?:<\w+>)?\(\{([\s\S]*?)\}\)/g)) {
    for (const [, name = ''] of body.matchAll(/(?:^|[{,\s])(\w+):/g)) names.add(name);
  }
  return names;
}

const files = ['bus', 'devices']
  .flatMap((folder) =>
    (readdirSync(join(SOURCE, folder), { recursive: true }) as string[]).map((path) =>
      join(folder, path),
    ),
  )
  .filter((path) => /\.ts$/.test(path) && !/(\.test|test-driver)\.ts$/.test(path));

test('mutableFields() and savedNames() find what they are to find', () => {
  const source = `
const A_STATE = savedFields({ one: u8, two: flag });
class A {
  readonly name: string;
  private one = 0;
  /** Is two. */
  private two: boolean;
  private readonly three = new Uint8Array(8);
  private readonly wired = new B();
  method(): void {
    this.one = 1;
  }
}`;
  expect(mutableFields(source).map(({ name }) => name)).toEqual(['one', 'two', 'three']);
  expect(savedNames(source)).toEqual(new Set(['one', 'two']));
  expect(files.length).toBeGreaterThan(20);
});

test.each(files)('%s saves every field that changes, or says why not', (path) => {
  const source = readFileSync(join(SOURCE, path), 'utf8');
  const saved = savedNames(source);
  const forgotten = mutableFields(source).filter(
    ({ name, comment }) => !saved.has(name) && !comment.includes('Transient: '),
  );
  const advice =
    'declare it in savedFields(), or begin a sentence of its comment with "Transient:"';
  expect(forgotten.map(({ name }) => `${name}: ${advice}`)).toEqual([]);
});

/** State that follows from the rest, or means something only while an instruction is executed. */
const DERIVED = new Set(
  `flagResult flagCarry eflags tlb budget cpl codeMode window fetchTlb stackSize stepping fpFlags
  fpScratch
  fpResult fpResultHi faultVector faultCode faultHasCode eventKind eventRip delivering exit
  exitPort exitSize exitFlags exitLength exitData exitGpa tlbMisses overhead exceptions
  mmioNext physicalMap nonGlobalCount walkFlags fpuTraps physicalMask addressMask bounce
  scratch task
  nonGlobal stepRecords largeRegions fetchNonGlobal lastEntry lastPhysical codeMap codeGeneration
  codePage touchedPages debugTraps codeBound exceptionCounts heatLimit compiled epoch expected
  depth codeKey codeBase lanes fpDeferring fpStage fpDeferred`.split(/\s+/),
);

/** Reached by segmentCache() and segmentBase(). */
const BY_FUNCTION = new Set(['segment', 'systemBase']);

test('the soft engine saves every field of a vCPU that does not follow from others', () => {
  const text = ['soft-registers.ts', 'soft-state.ts', 'soft-engine.ts']
    .map((name) => readFileSync(join(SOURCE, 'vmm', name), 'utf8'))
    .join('');
  const forgotten = Object.keys(S).filter(
    (name) =>
      !DERIVED.has(name) && !BY_FUNCTION.has(name) && !new RegExp(`\\bS\\.${name}\\b`).test(text),
  );
  expect(forgotten).toEqual([]);
  expect([...DERIVED].filter((name) => !(name in S))).toEqual([]);
});
