// Writes a suspended machine: docs/suspend-format.md. The machine must stand still until the last
// piece has been taken.

import type { SavedValue } from '../../base/saved-state.ts';
import { type GuestRam, ramBytes } from '../guest-ram.ts';
import { memorySections } from './memory-pages.ts';
import { header, SECTION, SectionCount, SectionDraft } from './section.ts';
import { encodeValue } from './wire.ts';

/** The section that comes first: what a reader must know before it can make a machine. */
export const MACHINE_SECTION = 'machine';
/** What the host keeps of a machine: where its disks are, and the like. */
export const HOST_SECTION = '~host';

/** The parts of a machine by their names; the first is {@link MACHINE_SECTION}. */
export type SavedParts = ReadonlyMap<string, SavedValue>;

/** What a file is made of. */
export interface Snapshot {
  readonly parts: SavedParts;
  /** For {@link HOST_SECTION}. */
  readonly host?: SavedValue;
  readonly ram: GuestRam;
}

/** A piece of a file, and how far it is. */
export interface SnapshotPiece {
  readonly bytes: Uint8Array;
  /** Bytes of guest memory that are done with, of {@link GuestRam.memoryBytes}. */
  readonly doneBytes: number;
}

/** The file, piece by piece; each is of its own memory. */
export function* writeSnapshot({ parts, host, ram }: Snapshot): Generator<SnapshotPiece> {
  const sections = new SectionCount();
  const state = (name: string, value: SavedValue): Uint8Array => {
    const payload = encodeValue(value);
    const draft = new SectionDraft(SECTION.STATE, name, payload.length);
    draft.payload.set(payload);
    const { bytes, crc } = draft.seal(payload.length);
    sections.add(crc);
    return bytes;
  };
  let doneBytes = 0;
  yield { bytes: header(), doneBytes };
  for (const [name, value] of parts) {
    yield { bytes: state(name, value), doneBytes };
    if (name === MACHINE_SECTION && host !== undefined) {
      yield { bytes: state(HOST_SECTION, host), doneBytes };
    }
  }
  let pages = 0;
  for (const section of memorySections(ram)) {
    const { bytes, crc } = section.draft.seal(section.payloadBytes);
    sections.add(crc);
    pages += section.pages;
    doneBytes = section.doneBytes;
    yield { bytes, doneBytes };
  }
  const end = new SectionDraft(SECTION.END, 'end', 12);
  end.view.setUint32(0, sections.count, true);
  end.view.setUint32(4, pages, true);
  end.view.setUint32(8, sections.crc, true);
  yield { bytes: end.seal(12).bytes, doneBytes: ramBytes(ram.layout) };
}
