// How much memory a process of the host has in use.

import { readFileSync } from 'node:fs';

/** x86-64, and arm64 in its usual configuration. */
const PAGE_BYTES = 4096;

/** Resident bytes of the process `pid`, from proc(5); null on hosts without it. */
export function residentBytes(pid: number): number | null {
  try {
    const [, pages] = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ');
    return Number(pages) * PAGE_BYTES;
  } catch {
    return null;
  }
}
