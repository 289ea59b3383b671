// koffi, an optional dependency: calls to the C library for what Node has no function for.

import { createRequire } from 'node:module';
import { VmmError } from 'vmm/errors';

/** What is used of koffi. */
export interface Koffi {
  load(path: null): {
    // biome-ignore lint/suspicious/noExplicitAny: each caller declares its function's own types
    func(name: string, result: string, args: readonly string[]): (...args: any[]) => number;
  };
  address(value: ArrayBufferView): bigint;
  view(address: bigint, sizeBytes: number): ArrayBuffer;
  errno(): number;
}

/** Loads koffi for `user`, as "The kvm engine". Throws ENODEV when it is not installed. */
export function loadKoffi(user: string): Koffi {
  try {
    return createRequire(import.meta.url)('koffi');
  } catch (cause) {
    const remedy = 'install it with "npm install koffi"';
    throw new VmmError('ENODEV', `${user} needs the package koffi: ${remedy}.`, { cause });
  }
}
