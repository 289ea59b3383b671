// What "vmctl create" takes on its command line; apart from the command, which loads the disks'
// code.

import type { Option } from './getopt.ts';

/** The options of "vmctl create". */
export const CREATE_OPTIONS: readonly Option[] = [
  { name: 'b', argument: 'base' },
  { name: 'i', argument: 'disk', insteadOf: 'b' },
  { name: 's', argument: 'size' },
];
