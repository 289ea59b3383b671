// Tap interfaces of the host, for the machines that have some. vmd opens them, as OpenBSD's parent
// does, since a machine's process may be an unprivileged user's, and hands the descriptors down.

import { closeSync } from 'node:fs';
import { VmmError } from 'vmm/errors';
import { openTap } from 'vmm-node/tap';
import type { VmPlan } from './run-plan.ts';

/** A tap for interface `index`. */
export interface OpenedTap {
  readonly index: number;
  readonly fd: number;
  readonly name: string;
}

/** What of a plan could be had, and a sentence for what could not. */
export interface OpenedTaps {
  readonly taps: readonly OpenedTap[];
  readonly warnings: readonly string[];
}

/**
 * Opens the taps of a plan. VmmError when one that the configuration names cannot be had; one that
 * it does not name is done without.
 */
export function openTaps({ id, name, interfaces }: VmPlan): OpenedTaps {
  const taps: OpenedTap[] = [];
  const warnings: string[] = [];
  for (const [index, { tap }] of interfaces.entries()) {
    if (tap === null) continue;
    try {
      const alias = `vm${id}-if${index}-${name}`;
      taps.push({ index, ...openTap({ name: tap.name, bridge: tap.bridge, alias }) });
    } catch (error) {
      if (!(error instanceof VmmError)) throw error;
      if (tap.isRequired) {
        closeTaps(taps);
        throw new VmmError(error.code, `vm "${name}" gets no tap: ${error.message}`);
      }
      warnings.push(`vm "${name}": interface ${index} is plugged into nothing. ${error.message}`);
    }
  }
  return { taps, warnings };
}

/** Closes this process's descriptors. */
export function closeTaps(taps: readonly OpenedTap[]): void {
  for (const { fd } of taps) closeSync(fd);
}
