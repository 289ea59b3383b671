// Reads a suspended machine: docs/suspend-format.md. In two steps, since what comes first says how
// much memory the machine has. A file may be cut, damaged or made to do harm: nothing of it reaches
// the guest's memory that is not guest memory, no more of it is held than one section, and it is
// refused in one sentence.

import type { SavedValue } from '../../base/saved-state.ts';
import { type GuestRam, ramBytes } from '../guest-ram.ts';
import { ByteSource } from './byte-source.ts';
import { crc32 } from './crc32.ts';
import { type MachineSummary, machineSummary } from './machine-section.ts';
import { loadMemory, MEMORY_NAME, PAGE_BYTES } from './memory-pages.ts';
import {
  CRC_BYTES,
  checkHeader,
  damaged,
  HEADER_BYTES,
  PAYLOAD_BYTES_MAX,
  PREFIX_BYTES,
  SECTION,
  SectionCount,
} from './section.ts';
import { HOST_SECTION, MACHINE_SECTION, type SavedParts } from './snapshot-writer.ts';
import { decodeValue } from './wire.ts';

/** A machine has a dozen; a file may not fill the host's memory with them. */
const PARTS_MAX = 256;
const END_BYTES = 12;

interface Section {
  readonly kind: number;
  readonly name: string;
  readonly payload: Uint8Array;
  readonly crc: number;
}

/** A file that is being read. */
export class SnapshotReader {
  private readonly source: ByteSource;
  private readonly sections = new SectionCount();
  private readonly parts = new Map<string, SavedValue>();
  private pages = 0;
  private isOver = false;

  private constructor(source: ByteSource) {
    this.source = source;
  }

  /** Reads what comes before the memory. EINVAL unless that is a suspended machine's. */
  static async open(source: AsyncIterable<Uint8Array>): Promise<SnapshotReader> {
    const bytes = new ByteSource(source);
    checkHeader(await bytes.read(HEADER_BYTES));
    const reader = new SnapshotReader(bytes);
    await reader.next(undefined);
    if (!reader.parts.has(MACHINE_SECTION)) throw damaged('it does not begin with the machine');
    return reader;
  }

  /** What the machine is. EINVAL when it makes no sense. */
  get machine(): MachineSummary {
    return machineSummary(this.parts.get(MACHINE_SECTION)!);
  }

  /** What the host kept, if it is the section that follows; the file is read up to there. */
  async host(): Promise<SavedValue | undefined> {
    if (!this.isOver && this.parts.size === 1) await this.next(undefined);
    return this.parts.get(HOST_SECTION);
  }

  /**
   * Reads the rest, and the memory into `ram`, which is all zeros. Resolves with the parts of the
   * machine when the end is there, and all before it as it was written. `progress` is told how many
   * bytes of memory have come.
   */
  async finish(ram: GuestRam, progress?: (bytes: number) => void): Promise<SavedParts> {
    while (!this.isOver) {
      await this.next(ram);
      progress?.(this.pages * PAGE_BYTES);
    }
    if (!(await this.source.isAtEnd())) throw damaged('something follows its end');
    return this.parts;
  }

  /** Reads a section. One of memory needs the memory. */
  private async next(ram: GuestRam | undefined): Promise<void> {
    const { kind, name, payload, crc } = await this.section();
    switch (kind) {
      case SECTION.STATE:
        if (this.parts.has(name)) throw damaged(`section "${name}" is there twice`);
        if (this.parts.size === PARTS_MAX) throw damaged('it has too many sections');
        this.parts.set(name, decodeValue(payload, `Section "${name}"`));
        break;
      case SECTION.MEMORY:
        if (ram === undefined || name !== MEMORY_NAME) throw damaged('memory is not in its place');
        this.pages += loadMemory(ram, payload);
        if (this.pages * PAGE_BYTES > ramBytes(ram.layout)) throw damaged('it has too much memory');
        break;
      case SECTION.END:
        this.end(payload);
        return;
      default:
        throw damaged(`section "${name}" is of an unknown kind, ${kind}`);
    }
    this.sections.add(crc);
  }

  private end(payload: Uint8Array): void {
    if (payload.length !== END_BYTES) throw damaged('its end is of the wrong length');
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    const { count, crc } = this.sections;
    const isWhole =
      view.getUint32(0, true) === count &&
      view.getUint32(4, true) === this.pages &&
      view.getUint32(8, true) === crc;
    if (!isWhole) throw damaged('sections are missing, or not in order');
    this.isOver = true;
  }

  private async section(): Promise<Section> {
    const prefix = (await this.source.read(PREFIX_BYTES)).slice();
    const length = new DataView(prefix.buffer).getUint32(0, true);
    const nameLength = prefix[5];
    if (length > PAYLOAD_BYTES_MAX) throw damaged('a section is too long');
    const rest = await this.source.read(nameLength + length + CRC_BYTES);
    const end = nameLength + length;
    const crc = crc32(rest.subarray(0, end), crc32(prefix));
    const view = new DataView(rest.buffer, rest.byteOffset, rest.length);
    if (view.getUint32(end, true) !== crc) throw damaged('a section has the wrong checksum');
    const name = String.fromCharCode(...rest.subarray(0, nameLength));
    return { kind: prefix[4], name, payload: rest.subarray(nameLength, end), crc };
  }
}
