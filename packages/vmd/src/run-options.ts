// The options of "vmctl run", apart from what they mean: whoever only wants to know which there are
// does not load a machine.

import { BOOT_DEVICES, CPU_MODELS, ENGINES, JIT_MODES } from 'vmm-node/options';
import type { Option } from './getopt.ts';

/** The options of "vmctl run". */
export const RUN_OPTIONS: readonly Option[] = [
  { name: 'v' },
  { name: 'm', argument: 'size' },
  { name: 'b', argument: 'kernel', choices: 'path' },
  { name: 'I', argument: 'initrd', choices: 'path' },
  { name: 'a', argument: 'cmdline' },
  { name: 'd', argument: 'disk', repeats: true, choices: 'path' },
  { name: 'r', argument: 'iso', choices: 'path' },
  { name: 'B', argument: 'device', choices: BOOT_DEVICES },
  { name: 'L' },
  { name: 'p', argument: 'forward', repeats: true },
  { name: 'e', argument: 'engine', choices: ENGINES },
  { name: 't', argument: 'seconds' },
  { name: 'jit', argument: 'mode', choices: JIT_MODES },
  { name: 'cpu', argument: 'model', choices: CPU_MODELS },
  { name: 'inet6' },
  { name: 'host-loopback' },
  { name: 'no-nat' },
  { name: 'exit-port' },
  { name: 'no-reboot' },
  { name: 'suspend', argument: 'file', choices: 'path' },
  { name: 'restore', argument: 'file', choices: 'path' },
];
