// Compares our processor with the host's from the command line:
//
//     node packages/vmm/test/silicon/check.ts [-n vectors] [-m 64,32,16] [-s shown]
//         [-x execution] [mnemonic...]
//
// runs `vectors` (default 10) of each form of the mnemonics (regular expressions; default all), and
// prints the mismatches by mnemonic, `shown` (default 3) of each in full. Exit status 1 if any.
// What `execution` is `hot` or `always` runs compiled; default `interpreted`.

import { parseArgs } from 'node:util';
import { checkForms, describeMismatch, EXECUTIONS, sharedForms } from './check-forms.ts';
import type { Mismatch } from './compare.ts';
import type { VectorMode } from './format.ts';
import { siliconUnavailable } from './runner.ts';

function byMnemonic(mismatches: readonly Mismatch[]): [string, Mismatch[]][] {
  const groups = new Map<string, Mismatch[]>();
  for (const mismatch of mismatches) {
    const { mnemonic } = mismatch.generated.form.row;
    groups.set(mnemonic, [...(groups.get(mnemonic) ?? []), mismatch]);
  }
  return [...groups].sort(([, a], [, b]) => b.length - a.length);
}

function main(): void {
  const { values, positionals } = parseArgs({
    options: {
      n: { type: 'string', short: 'n', default: '10' },
      m: { type: 'string', short: 'm', default: '64,32,16' },
      s: { type: 'string', short: 's', default: '3' },
      x: { type: 'string', short: 'x', default: 'interpreted' },
    },
    allowPositionals: true,
  });
  const unavailable = siliconUnavailable();
  if (unavailable !== undefined) throw new Error(unavailable);
  const execution = EXECUTIONS.find((name) => name === values.x);
  if (execution === undefined) throw new Error(`-x takes one of ${EXECUTIONS.join(', ')}`);
  const wanted = positionals.map((text) => new RegExp(`^(${text})$`));
  const forms = sharedForms(values.m.split(',').map(Number) as VectorMode[]).filter(
    ({ row }) => wanted.length === 0 || wanted.some((pattern) => pattern.test(row.mnemonic)),
  );
  const { mismatches, count, regions } = checkForms(forms, 0, Number(values.n), execution);
  for (const [mnemonic, list] of byMnemonic(mismatches)) {
    console.log(`${mnemonic}: ${list.length}`);
    for (const mismatch of list.slice(0, Number(values.s))) {
      console.log(`  ${describeMismatch(mismatch)}`);
    }
  }
  console.log(
    `${forms.length} forms, ${count} vectors, ${regions} regions, ` +
      `${mismatches.length} mismatches.`,
  );
  process.exitCode = mismatches.length === 0 ? 0 : 1;
}

main();
