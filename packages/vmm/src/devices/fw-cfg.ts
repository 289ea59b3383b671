// QEMU's firmware configuration device, by which firmware and kernels learn of the machine. Follows
// "QEMU Firmware Configuration (fw_cfg) Device" (docs/specs/fw_cfg.rst). Modelled: selector, data
// and DMA registers in port space, signature, interface id, file directory, items by key and files
// by name. Not modelled: writing of items (refused with the error bit, as vmd does) and files whose
// contents are made when they are read.

import { assert } from '../base/assert.ts';
import { type SavedValue, savedFields, u16, u32 } from '../base/saved-state.ts';
import type { GuestMemory } from '../bus/guest-memory.ts';
import type { PortDevice, PortSize } from '../bus/port-bus.ts';

// Offsets from port 0x510.
const SELECTOR = 0;
const DATA = 1;
const DMA_HIGH = 4;
const DMA_LOW = 8;

/** Keys of fixed meaning. */
export const FW_CFG_SIGNATURE = 0x00;
/** Interface features: traditional and DMA. */
export const FW_CFG_ID = 0x01;
/** A 16-bit flag: there is no graphics. */
export const FW_CFG_NOGRAPHIC = 0x04;
/** The directory of files. */
export const FW_CFG_FILE_DIR = 0x19;
const FILE_FIRST = 0x20;
const FILES_MAX = 0x1000;

const ID_TRADITIONAL = 1;
const ID_DMA = 2;
/** What the DMA address register reads: "QEMU CFG", in two big-endian halves. */
const DMA_SIGNATURE_HIGH = 0x51454d55;
const DMA_SIGNATURE_LOW = 0x20434647;

/** FWCfgDmaAccess: control, length and address, big-endian. */
const DMA_DESCRIPTOR_BYTES = 16;
const DMA_ERROR = 1;
const DMA_READ = 2;
const DMA_SKIP = 4;
const DMA_SELECT = 8;
const DMA_WRITE = 16;

const NAME_BYTES = 56;
const ENTRY_BYTES = 64;

/** What a suspension keeps of {@link FwCfg}: the items are the machine's to add again. */
const FW_CFG_STATE = savedFields({ key: u16, offset: u32, dmaHigh: u32 });

interface File {
  readonly name: string;
  readonly content: Uint8Array;
}

/** The device: twelve ports at 0x510. */
export class FwCfg implements PortDevice {
  readonly name = 'fw_cfg';
  readonly portSizeMax = 4;
  private readonly memory: GuestMemory;
  /** Transient: the machine adds them. */
  private readonly items = new Map<number, Uint8Array>();
  /** Transient: likewise. */
  private readonly files: File[] = [];
  private key = 0;
  private offset = 0;
  private dmaHigh = 0;

  constructor(memory: GuestMemory) {
    this.memory = memory;
    this.addItem(FW_CFG_SIGNATURE, new TextEncoder().encode('QEMU'));
    this.addItem(FW_CFG_ID, new Uint8Array([ID_TRADITIONAL | ID_DMA, 0, 0, 0]));
    this.addItem(FW_CFG_NOGRAPHIC, new Uint8Array([1, 0]));
    this.makeDirectory();
  }

  /** Sets the item of a fixed key. */
  addItem(key: number, content: Uint8Array): void {
    this.items.set(key, content);
  }

  /** Adds or replaces a file; names have 55 ASCII characters at most. Keys go in order of names. */
  addFile(name: string, content: Uint8Array): void {
    assert(name.length > 0 && name.length < NAME_BYTES, `fw_cfg file name "${name}"`);
    const existing = this.files.findIndex((file) => file.name === name);
    if (existing >= 0) this.files.splice(existing, 1);
    assert(this.files.length < FILES_MAX, 'fw_cfg has too many files');
    this.files.push({ name, content });
    this.files.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const [index, file] of this.files.entries()) {
      this.items.set(FILE_FIRST + index, file.content);
    }
    this.makeDirectory();
  }

  /** Power-on: the signature is selected. */
  reset(): void {
    this.key = this.offset = this.dmaHigh = 0;
  }

  readPort(offset: number, size: PortSize): number {
    // The data register is one byte wide; the bus's wider accesses end in the registers beside it.
    if (offset === DATA) {
      const item = this.items.get(this.key);
      const value = item?.[this.offset] ?? 0;
      this.offset++;
      return size === 1 ? value : value | 0xffffff00;
    }
    if (offset === DMA_HIGH && size === 4) return swap(DMA_SIGNATURE_HIGH);
    if (offset === DMA_LOW && size === 4) return swap(DMA_SIGNATURE_LOW);
    return 0xffffffff;
  }

  writePort(offset: number, size: PortSize, value: number): void {
    if (offset === SELECTOR && size === 2) this.select(value);
    else if (offset === DMA_HIGH && size === 4) this.dmaHigh = swap(value);
    else if (offset === DMA_LOW && size === 4) {
      const address = this.dmaHigh * 2 ** 32 + swap(value);
      this.dmaHigh = 0;
      this.transfer(address);
    }
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    return FW_CFG_STATE.save(this);
  }

  /** Takes back what {@link save} gave. */
  load(saved: SavedValue, where: string): void {
    FW_CFG_STATE.load(this, saved, where);
  }

  private select(key: number): void {
    this.key = key;
    this.offset = 0;
  }

  /** The directory: a count, then size, key and name of each file, big-endian. */
  private makeDirectory(): void {
    const directory = new Uint8Array(4 + this.files.length * ENTRY_BYTES);
    const view = new DataView(directory.buffer);
    view.setUint32(0, this.files.length);
    for (const [index, file] of this.files.entries()) {
      const at = 4 + index * ENTRY_BYTES;
      view.setUint32(at, file.content.length);
      view.setUint16(at + 4, FILE_FIRST + index);
      directory.set(new TextEncoder().encode(file.name), at + 8);
    }
    this.items.set(FW_CFG_FILE_DIR, directory);
  }

  /** Carries out the request at `address`; the control word then says 0 for done or the error. */
  private transfer(address: number): void {
    const at = this.memory.offset(address, DMA_DESCRIPTOR_BYTES);
    if (at < 0) return;
    const { view } = this.memory;
    const control = view.getUint32(at);
    const length = view.getUint32(at + 4);
    const target = view.getUint32(at + 8) * 2 ** 32 + view.getUint32(at + 12);
    if ((control & DMA_SELECT) !== 0) this.select(control >>> 16);
    let error = false;
    if ((control & DMA_READ) !== 0) error = !this.readTo(target, length);
    else if ((control & DMA_WRITE) !== 0) error = true;
    else if ((control & DMA_SKIP) !== 0) this.offset += length;
    view.setUint32(at, error ? DMA_ERROR : 0);
    this.memory.written(address, 4);
  }

  /** Reads into guest memory; beyond the item's end there are zeroes. */
  private readTo(target: number, length: number): boolean {
    if (length === 0) return true;
    const to = this.memory.offset(target, length);
    if (to < 0) return false;
    const item = this.items.get(this.key) ?? new Uint8Array(0);
    const part = item.subarray(this.offset, this.offset + length);
    this.memory.bytes.set(part, to);
    this.memory.bytes.fill(0, to + part.length, to + length);
    this.offset += length;
    this.memory.written(target, length);
    return true;
  }
}

/** The registers are big-endian on a little-endian bus. */
function swap(value: number): number {
  const bytes = ((value & 0xff) << 24) | ((value & 0xff00) << 8);
  return (bytes | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}
