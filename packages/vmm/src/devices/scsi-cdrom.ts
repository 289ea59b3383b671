// A CD-ROM or DVD-ROM drive with a disc in it, as a SCSI logical unit. Follows SPC-4 (T10/1731-D),
// MMC-6 (T10/1836-D) and, for REPORT LUNS and sense data, SAM-5. Modelled: what boot loaders and
// the drivers of systems ask for to mount a data disc of one session and one track. Not modelled:
// changing the disc (the drive refuses to eject it), audio, writing, unit attention after a reset,
// what is only for drives with a mechanism.

import { type BlockBackend, SECTOR_BYTES } from './block-backend.ts';

/** The unit that discs are read in, in bytes. */
export const DISC_BLOCK_BYTES = 2048;
/** More than 80 minutes is no CD (MMC-6, 6.33: profiles tell them apart). */
const CD_BLOCKS_MAX = 80 * 60 * 75;

/** Statuses of SAM-5, 5.3.1. */
export const SCSI_GOOD = 0x00;
export const SCSI_CHECK_CONDITION = 0x02;

const SENSE_BYTES = 18;
const SENSE_CURRENT_FIXED = 0x70;
const MEDIUM_ERROR = 0x03;
const ILLEGAL_REQUEST = 0x05;

// Additional sense codes and their qualifiers as one number (SPC-4, annex D).
const UNRECOVERED_READ_ERROR = 0x1100;
const INVALID_OPERATION_CODE = 0x2000;
const BLOCK_OUT_OF_RANGE = 0x2100;
const INVALID_FIELD = 0x2400;
const UNIT_NOT_SUPPORTED = 0x2500;
const REMOVAL_PREVENTED = 0x5302;

const DEVICE_TYPE_CDROM = 0x05;
/** No device can be here: qualifier 011b and type 1Fh. */
const DEVICE_TYPE_NONE = 0x7f;
const PROFILE_CDROM = 0x0008;
const PROFILE_DVDROM = 0x0010;

const VENDOR = 'OpenBSD ';
const PRODUCT = 'VMM CD-ROM      ';
const REVISION = '001 ';

/** What a command came to. */
export interface ScsiOutcome {
  readonly status: typeof SCSI_GOOD | typeof SCSI_CHECK_CONDITION;
  /** The sense data of a CHECK CONDITION. */
  readonly sense: Uint8Array;
  /** How many bytes were put into the initiator's buffer. */
  readonly length: number;
}

const NO_SENSE = new Uint8Array(0);

/** A command that the drive refuses; caught within it. */
class Refusal {
  readonly key: number;
  readonly code: number;

  constructor(key: number, code: number) {
    this.key = key;
    this.code = code;
  }
}

const illegal = (code: number): Refusal => new Refusal(ILLEGAL_REQUEST, code);

/** Answers a command with data, of which the initiator takes what it has allocated room for. */
type Answer = (cdb: DataView) => Uint8Array;

/** The drive. It keeps no state from one command to the next. */
export class ScsiCdrom {
  private readonly image: BlockBackend;
  private readonly blocks: number;
  private readonly answers: ReadonlyMap<number, Answer>;

  /** `image` is the disc; what is beyond its last whole block cannot be read. */
  constructor(image: BlockBackend) {
    this.image = image;
    this.blocks = Math.floor((image.sectors * SECTOR_BYTES) / DISC_BLOCK_BYTES);
    this.answers = this.commands();
  }

  /**
   * Carries out the command `cdb` for logical unit `unit`, of which only 0 exists, and puts what it
   * reads into `into`. Never rejects.
   */
  async execute(unit: number, cdb: Uint8Array, into: readonly Uint8Array[]): Promise<ScsiOutcome> {
    // Longer than any command, so that fields of those that are cut short read as zero.
    const whole = new Uint8Array(16);
    whole.set(cdb.subarray(0, whole.length));
    const view = new DataView(whole.buffer);
    try {
      const length = await this.perform(unit, view, into);
      return { status: SCSI_GOOD, sense: NO_SENSE, length };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { status: SCSI_CHECK_CONDITION, sense: senseData(error), length: 0 };
    }
  }

  private async perform(unit: number, cdb: DataView, into: readonly Uint8Array[]): Promise<number> {
    const operation = cdb.getUint8(0);
    if (unit !== 0) return put(into, absentUnit(operation, cdb));
    switch (operation) {
      case 0x08: // READ(6): a length of 0 is 256.
        return this.read(into, cdb.getUint32(0) & 0x1f_ffff, cdb.getUint8(4) || 256);
      case 0x28: // READ(10)
        return this.read(into, cdb.getUint32(2), cdb.getUint16(7));
      case 0xa8: // READ(12)
        return this.read(into, cdb.getUint32(2), cdb.getUint32(6));
      case 0x88: // READ(16)
        return this.read(into, Number(cdb.getBigUint64(2)), cdb.getUint32(10));
      default: {
        const answer = this.answers.get(operation);
        if (answer === undefined) throw illegal(INVALID_OPERATION_CODE);
        return put(into, answer(cdb));
      }
    }
  }

  private commands(): ReadonlyMap<number, Answer> {
    const nothing = (): Uint8Array => NO_SENSE;
    return new Map<number, Answer>([
      [0x00, nothing], // TEST UNIT READY
      [0x03, (cdb) => allocated(cdb.getUint8(4), senseData(new Refusal(0, 0)))],
      [0x12, inquiry],
      [0x1a, (cdb) => allocated(cdb.getUint8(4), modePages(cdb, 4))],
      [0x1b, startStop],
      [0x1e, nothing], // PREVENT ALLOW MEDIUM REMOVAL
      [0x25, () => this.capacity10()],
      [0x2b, nothing], // SEEK(10)
      [0x35, nothing], // SYNCHRONIZE CACHE(10)
      [0x43, (cdb) => allocated(cdb.getUint16(7), this.tableOfContents(cdb))],
      [0x46, (cdb) => allocated(cdb.getUint16(7), this.configuration(cdb))],
      [0x4a, (cdb) => allocated(cdb.getUint16(7), eventStatus(cdb))],
      [0x51, (cdb) => allocated(cdb.getUint16(7), discInformation(cdb))],
      [0x5a, (cdb) => allocated(cdb.getUint16(7), modePages(cdb, 8))],
      [0x9e, (cdb) => this.serviceAction(cdb)],
      [0xa0, (cdb) => allocated(cdb.getUint32(6), UNITS)],
      [0xbd, (cdb) => allocated(cdb.getUint16(8), new Uint8Array(8))], // MECHANISM STATUS
    ]);
  }

  /** As much as the buffer takes in whole sectors: it is the initiator who made it too short. */
  private async read(into: readonly Uint8Array[], block: number, count: number): Promise<number> {
    if (block + count > this.blocks) throw illegal(BLOCK_OUT_OF_RANGE);
    const parts = prefix(into, count * DISC_BLOCK_BYTES);
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length % SECTOR_BYTES !== 0) throw illegal(INVALID_FIELD);
    try {
      if (length > 0) await this.image.read(block * DISC_BLOCK_BYTES, parts);
    } catch {
      throw new Refusal(MEDIUM_ERROR, UNRECOVERED_READ_ERROR);
    }
    return length;
  }

  /** READ CAPACITY(10), MMC-6 6.25: the last block, and the size of a block. */
  private capacity10(): Uint8Array {
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, Math.min(0xffff_ffff, Math.max(0, this.blocks - 1)));
    view.setUint32(4, DISC_BLOCK_BYTES);
    return bytesOf(view);
  }

  /** READ CAPACITY(16) is the only one of these. */
  private serviceAction(cdb: DataView): Uint8Array {
    if ((cdb.getUint8(1) & 0x1f) !== 0x10) throw illegal(INVALID_FIELD);
    const view = new DataView(new ArrayBuffer(32));
    view.setBigUint64(0, BigInt(Math.max(0, this.blocks - 1)));
    view.setUint32(8, DISC_BLOCK_BYTES);
    return allocated(cdb.getUint32(10), bytesOf(view));
  }

  /** READ TOC/PMA/ATIP, MMC-6 6.26: one session with one data track, and the lead-out. */
  private tableOfContents(cdb: DataView): Uint8Array {
    const inTime = (cdb.getUint8(1) & 0x02) !== 0;
    // Older initiators have the format in the two high bits of the control byte.
    const format = cdb.getUint8(2) & 0x0f || cdb.getUint8(9) >> 6;
    const track = cdb.getUint8(6);
    if (format > 1) throw illegal(INVALID_FIELD);
    if (format === 0 && track > 1 && track !== LEAD_OUT) throw illegal(INVALID_FIELD);
    const tracks: (readonly [number, number])[] = [];
    if (format === 1 || track <= 1) tracks.push([1, 0]);
    if (format === 0) tracks.push([LEAD_OUT, this.blocks]);
    const view = new DataView(new ArrayBuffer(4 + 8 * tracks.length));
    view.setUint16(0, view.byteLength - 2);
    view.setUint8(2, 1); // first track, or session
    view.setUint8(3, 1); // last
    for (const [index, [number, block]] of tracks.entries()) {
      const at = 4 + 8 * index;
      view.setUint8(at + 1, 0x14); // position; a data track that may not be copied
      view.setUint8(at + 2, number);
      view.setUint32(at + 4, inTime ? minuteSecondFrame(block) : block);
    }
    return bytesOf(view);
  }

  /** GET CONFIGURATION, MMC-6 6.5: the features of section 5.3 that a drive for reading has. */
  private configuration(cdb: DataView): Uint8Array {
    const profile = this.blocks > CD_BLOCKS_MAX ? PROFILE_DVDROM : PROFILE_CDROM;
    const which = cdb.getUint8(1) & 0x03;
    const from = cdb.getUint16(2);
    const features = featuresOf(profile).filter(({ code, isCurrent }) => {
      if (which === 2) return code === from;
      return code >= from && (which === 0 || isCurrent);
    });
    const bytes = features.flatMap(({ code, isCurrent, data }) => {
      return [code >> 8, code & 0xff, 0x08 | (isCurrent ? 0x01 : 0), data.length, ...data];
    });
    const length = 4 + bytes.length;
    return new Uint8Array([0, 0, length >> 8, length & 0xff, 0, 0, 0, profile, ...bytes]);
  }
}

const LEAD_OUT = 0xaa;

/** REPORT LUNS: a length of eight, four reserved bytes, and unit 0. */
const UNITS = new Uint8Array([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

/** Fixed format, SPC-4 4.5.3. */
function senseData({ key, code }: Refusal): Uint8Array {
  const sense = new Uint8Array(SENSE_BYTES);
  sense[0] = SENSE_CURRENT_FIXED;
  sense[2] = key;
  sense[7] = SENSE_BYTES - 8;
  sense[12] = code >> 8;
  sense[13] = code & 0xff;
  return sense;
}

/** Whoever asks at another unit learns that there is none (SPC-4, 4.6.1 and 6.6.1). */
function absentUnit(operation: number, cdb: DataView): Uint8Array {
  if (operation === 0xa0) return allocated(cdb.getUint32(6), UNITS);
  if (operation !== 0x12) throw illegal(UNIT_NOT_SUPPORTED);
  const standard = inquiry(new DataView(new Uint8Array([0x12, 0, 0, 0, 36, 0]).buffer)).slice();
  standard[0] = DEVICE_TYPE_NONE;
  return allocated(cdb.getUint16(3), standard);
}

/** INQUIRY, SPC-4 6.6: standard data, and the pages of product data that every device has. */
function inquiry(cdb: DataView): Uint8Array {
  const page = cdb.getUint8(2);
  const hasPage = (cdb.getUint8(1) & 0x01) !== 0;
  if (!hasPage && page !== 0) throw illegal(INVALID_FIELD);
  return allocated(cdb.getUint16(3), hasPage ? productData(page) : standardInquiry());
}

function standardInquiry(): Uint8Array {
  const text = new TextEncoder().encode(VENDOR + PRODUCT + REVISION);
  // Removable; SPC-3; response data format 2; command queuing.
  return new Uint8Array([DEVICE_TYPE_CDROM, 0x80, 0x05, 0x02, 31, 0, 0, 0x02, ...text]);
}

function productData(page: number): Uint8Array {
  const text = new TextEncoder().encode(VENDOR + PRODUCT);
  switch (page) {
    case 0x00: // supported pages
      return new Uint8Array([DEVICE_TYPE_CDROM, page, 0, 2, 0x00, 0x83]);
    case 0x83: // identification: vendor and product, in ASCII, of the logical unit
      return new Uint8Array([
        ...[DEVICE_TYPE_CDROM, page, 0, 4 + text.length],
        ...[0x02, 0x01, 0, text.length, ...text],
      ]);
    default:
      throw illegal(INVALID_FIELD);
  }
}

/** MODE SENSE, SPC-4 6.11 and 7.5: a header of `headerBytes`, no block descriptor, pages. */
function modePages(cdb: DataView, headerBytes: 4 | 8): Uint8Array {
  const wanted = cdb.getUint8(2) & 0x3f;
  const pages = MODE_PAGES.filter(([code]) => wanted === ALL_PAGES || wanted === code);
  if (pages.length === 0) throw illegal(INVALID_FIELD);
  // Nothing can be changed: the mask of what can is zero (page control 01b).
  const isMask = (cdb.getUint8(2) & 0xc0) === 0x40;
  const body = pages.flatMap(([code, ...data]) => {
    return [code, data.length, ...(isMask ? data.map(() => 0) : data)];
  });
  const bytes = new Uint8Array(headerBytes + body.length);
  if (headerBytes === 4) bytes[0] = bytes.length - 1;
  else new DataView(bytes.buffer).setUint16(0, bytes.length - 2);
  bytes.set(body, headerBytes);
  return bytes;
}

const ALL_PAGES = 0x3f;
const MODE_PAGES: readonly (readonly number[])[] = [
  // Read error recovery, MMC-6 7.2: defaults.
  [0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  // Capabilities, MMC-3 5.5.10: reads CD-R, CD-RW and DVD-ROM; modes 2, several sessions; a tray
  // that does not open. Speeds are 8 times that of a CD.
  [0x2a, 0x0b, 0, 0x60, 0, 0x20, 0, 5, 0x84, 0, 0, 0, 0, 5, 0x84, 0, 0, 0, 0, 0, 0],
];

/** START STOP UNIT, MMC-6 6.42: there is nothing to spin, and the disc stays. */
function startStop(cdb: DataView): Uint8Array {
  const operation = cdb.getUint8(4);
  if ((operation & 0x03) === 0x02) throw illegal(REMOVAL_PREVENTED);
  return NO_SENSE;
}

/** GET EVENT STATUS NOTIFICATION, MMC-6 6.6: polled for media events, of which there are none. */
function eventStatus(cdb: DataView): Uint8Array {
  const isPolled = (cdb.getUint8(1) & 0x01) !== 0;
  if (!isPolled) throw illegal(INVALID_FIELD);
  const media = 0x10;
  if ((cdb.getUint8(4) & media) === 0) return new Uint8Array([0, 2, 0x80, media]);
  // Four bytes of event: no change, medium present.
  return new Uint8Array([0, 6, 0x04, media, 0, 0x02, 0, 0]);
}

/** READ DISC INFORMATION, MMC-6 6.22: complete, one session, one track. */
function discInformation(cdb: DataView): Uint8Array {
  if ((cdb.getUint8(1) & 0x07) !== 0) throw illegal(INVALID_FIELD);
  const bytes = new Uint8Array(34);
  bytes.set([0, 32, 0x0e, 1, 1, 1, 1, 0x20]);
  return bytes;
}

interface Feature {
  readonly code: number;
  readonly isCurrent: boolean;
  readonly data: readonly number[];
}

function featuresOf(profile: number): Feature[] {
  const known = [PROFILE_DVDROM, PROFILE_CDROM];
  const profiles = known.flatMap((it) => [0, it, it === profile ? 1 : 0, 0]);
  const isCd = profile === PROFILE_CDROM;
  return [
    { code: 0x0000, isCurrent: true, data: profiles },
    { code: 0x0001, isCurrent: true, data: [0, 0, 0, 1, 1, 0, 0, 0] }, // core, by SCSI
    { code: 0x0003, isCurrent: true, data: [0x20, 0, 0, 0] }, // removable medium: a tray
    // Random readable: blocks of 2048 bytes, one at a time, no page of error recovery.
    { code: 0x0010, isCurrent: true, data: [0, 0, 8, 0, 0, 1, 0, 0] },
    { code: 0x001e, isCurrent: isCd, data: [0, 0, 0, 0] }, // CD read
    { code: 0x001f, isCurrent: !isCd, data: [0, 0, 0, 0] }, // DVD read
  ];
}

/** An address as minutes, seconds and frames, which begin two seconds before block 0. */
function minuteSecondFrame(block: number): number {
  const frames = block + 150;
  const minutes = Math.min(255, Math.floor(frames / 4500));
  return (minutes << 16) | ((Math.floor(frames / 75) % 60) << 8) | (frames % 75);
}

/** What fits into the allocation length of a command. */
function allocated(length: number, data: Uint8Array): Uint8Array {
  return data.subarray(0, length);
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer);
}

/** The first `length` bytes of the buffer, or all. */
function prefix(parts: readonly Uint8Array[], length: number): Uint8Array[] {
  const taken: Uint8Array[] = [];
  let left = length;
  for (const part of parts) {
    if (left === 0) break;
    const piece = part.subarray(0, left);
    taken.push(piece);
    left -= piece.length;
  }
  return taken;
}

/** Puts `data` into the buffer, as far as there is room; returns how much that was. */
function put(into: readonly Uint8Array[], data: Uint8Array): number {
  let done = 0;
  for (const part of prefix(into, data.length)) {
    part.set(data.subarray(done, done + part.length));
    done += part.length;
  }
  return done;
}
