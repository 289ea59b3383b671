// Writes to a disk for ever, to be killed: `node kill-writer.mjs image first`. Operation n, from
// `first` on, is the one that kill-operations.mjs describes. After each flush it says how many
// operations that covers.

import { writeSync } from 'node:fs';
import { openDisk } from 'vmm-node';
import { bytesOf, operationOf } from './kill-operations.mjs';

const [path, first] = process.argv.slice(2);
const disk = await openDisk({ path, format: 'qcow2' }, false);
const IN_FLIGHT = 4;

for (let next = Number(first); ; next += IN_FLIGHT) {
  // Those that are in flight together do not meet; see there.
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async (_, index) => {
      const operation = operationOf(next + index);
      const { offset, length, isZero } = operation;
      if (isZero) await disk.writeZeroes(offset, length, true);
      else await disk.write(offset, [bytesOf(operation)]);
    }),
  );
  if ((next / IN_FLIGHT) % 3 !== 0) continue;
  await disk.flush();
  writeSync(1, `${next + IN_FLIGHT}\n`);
}
