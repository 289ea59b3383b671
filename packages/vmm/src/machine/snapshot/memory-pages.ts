// Guest memory in a file: runs of pages, each with where it is. Pages of zeros are left out, since
// memory begins as zeros.

import { refuse } from '../../base/saved-state.ts';
import { type GuestRam, ramBytes, ramRanges } from '../guest-ram.ts';
import { SECTION, SectionDraft } from './section.ts';

export const PAGE_BYTES = 4096;
const PAGE_WORDS = PAGE_BYTES / 4;
/** The address, 64 bits, and the number of pages, 32. */
const RUN_HEADER_BYTES = 12;
/** A section has a mebibyte of pages, and as many runs as that takes. */
const SECTION_PAGES_MAX = 256;
const SECTION_BYTES_MAX = SECTION_PAGES_MAX * (PAGE_BYTES + RUN_HEADER_BYTES);
/** The name of these sections. */
export const MEMORY_NAME = 'memory';

/** Some pages, as a section. */
export interface MemorySection {
  readonly draft: SectionDraft;
  readonly payloadBytes: number;
  readonly pages: number;
  /** Bytes of memory looked at so far, zeros included. */
  readonly doneBytes: number;
}

function isZero(words: Int32Array, start: number): boolean {
  const end = start + PAGE_WORDS;
  for (let at = start; at < end; at += 8) {
    const some =
      words[at] |
      words[at + 1] |
      words[at + 2] |
      words[at + 3] |
      words[at + 4] |
      words[at + 5] |
      words[at + 6] |
      words[at + 7];
    if (some !== 0) return false;
  }
  return true;
}

/** The pages of `ram` that are not zero, as sections. The memory must not change meanwhile. */
export function* memorySections(ram: GuestRam): Generator<MemorySection> {
  const { buffer } = ram.memory;
  const total = ramBytes(ram.layout);
  const words = new Int32Array(buffer, 0, total / 4);
  const bytes = new Uint8Array(buffer);
  let section = new MemoryDraft();
  for (const { gpa, offset, sizeBytes } of ramRanges(ram.layout)) {
    for (let at = 0; at < sizeBytes; at += PAGE_BYTES) {
      const from = offset + at;
      if (isZero(words, from / 4)) continue;
      section.add(gpa + at, bytes.subarray(from, from + PAGE_BYTES));
      if (section.pages < SECTION_PAGES_MAX) continue;
      yield section.finish(from + PAGE_BYTES);
      section = new MemoryDraft();
    }
  }
  if (section.pages > 0) yield section.finish(total);
}

/** A section that is being filled. */
class MemoryDraft {
  private readonly draft = new SectionDraft(SECTION.MEMORY, MEMORY_NAME, SECTION_BYTES_MAX);
  private length = 0;
  /** Where the header of the last run is, and what would continue it. */
  private runAt = -1;
  private nextGpa = -1;
  pages = 0;

  add(gpa: number, page: Uint8Array): void {
    const { view, payload } = this.draft;
    if (gpa !== this.nextGpa) {
      this.runAt = this.length;
      view.setBigUint64(this.runAt, BigInt(gpa), true);
      this.length += RUN_HEADER_BYTES;
    }
    payload.set(page, this.length);
    this.length += PAGE_BYTES;
    this.nextGpa = gpa + PAGE_BYTES;
    this.pages++;
    view.setUint32(this.runAt + 8, view.getUint32(this.runAt + 8, true) + 1, true);
  }

  finish(doneBytes: number): MemorySection {
    const { draft, length, pages } = this;
    return { draft, payloadBytes: length, pages, doneBytes };
  }
}

/** Puts the pages of a section into `ram`; returns how many. EINVAL for pages elsewhere. */
export function loadMemory(ram: GuestRam, payload: Uint8Array): number {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const { bytes } = ram;
  let at = 0;
  let pages = 0;
  while (at < payload.length) {
    if (payload.length - at < RUN_HEADER_BYTES) refuse('The memory', 'ends within a run of pages');
    const gpa = Number(view.getBigUint64(at, true));
    const count = view.getUint32(at + 8, true);
    at += RUN_HEADER_BYTES;
    const length = count * PAGE_BYTES;
    if (count === 0 || length > payload.length - at) {
      refuse('The memory', 'ends within a run of pages');
    }
    const offset = gpa % PAGE_BYTES === 0 ? ram.offset(gpa, length) : -1;
    if (offset < 0) refuse('The memory', `has pages at 0x${gpa.toString(16)}, where none is`);
    bytes.set(payload.subarray(at, at + length), offset);
    at += length;
    pages += count;
  }
  return pages;
}
