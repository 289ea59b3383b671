// The ACPI tables as firmware takes them from fw_cfg: the files, and "etc/table-loader", a script
// of commands that say how they are to be placed, linked and summed up. Follows the description of
// BIOSLinkerLoader that QEMU's firmware shares (SeaBIOS, src/fw/romfile_loader.h): commands of 128
// bytes, numbers little-endian, names of 56 bytes.

import type { AcpiTables } from './tables.ts';

/** A file for fw_cfg. */
export interface FirmwareFile {
  readonly name: string;
  readonly content: Uint8Array;
}

const LOADER_FILE = 'etc/table-loader';

const COMMAND_BYTES = 128;
const COMMAND_ALLOCATE = 1;
const COMMAND_ADD_POINTER = 2;
const COMMAND_ADD_CHECKSUM = 3;
const ZONE_HIGH = 1;
const ZONE_FSEG = 2;

const NAME_BYTES = 56;
const FIRST = 4;
const AFTER_ONE_NAME = FIRST + NAME_BYTES;
const AFTER_TWO_NAMES = AFTER_ONE_NAME + NAME_BYTES;

/** The files that hand `tables` to firmware. */
export function acpiFirmwareFiles(tables: AcpiTables): FirmwareFile[] {
  const { files, links, checksums } = tables;
  const commands: Uint8Array[] = [];
  for (const { name, alignment, isRoot } of files) {
    const { bytes, view } = command(COMMAND_ALLOCATE, name);
    view.setUint32(AFTER_ONE_NAME, alignment, true);
    bytes[AFTER_ONE_NAME + 4] = isRoot ? ZONE_FSEG : ZONE_HIGH;
    commands.push(bytes);
  }
  for (const { file, offset, size, target } of links) {
    const { bytes, view } = command(COMMAND_ADD_POINTER, file, target);
    view.setUint32(AFTER_TWO_NAMES, offset, true);
    bytes[AFTER_TWO_NAMES + 4] = size;
    commands.push(bytes);
  }
  for (const { file, offset, start, length } of checksums) {
    const { bytes, view } = command(COMMAND_ADD_CHECKSUM, file);
    view.setUint32(AFTER_ONE_NAME, offset, true);
    view.setUint32(AFTER_ONE_NAME + 4, start, true);
    view.setUint32(AFTER_ONE_NAME + 8, length, true);
    commands.push(bytes);
  }
  const script = new Uint8Array(commands.length * COMMAND_BYTES);
  for (const [index, bytes] of commands.entries()) script.set(bytes, index * COMMAND_BYTES);
  const contents = files.map(({ name, bytes }) => ({ name, content: bytes }));
  return [...contents, { name: LOADER_FILE, content: script }];
}

function command(code: number, ...names: string[]): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(COMMAND_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, code, true);
  for (const [index, name] of names.entries()) {
    bytes.set(new TextEncoder().encode(name), FIRST + index * NAME_BYTES);
  }
  return { bytes, view };
}
