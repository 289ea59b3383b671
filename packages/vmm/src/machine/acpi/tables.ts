// The ACPI tables of a machine (ACPI 6.5, section 5.2): what it is switched off and reset by, and
// where PCI's interrupts arrive. They are made with all addresses relative, and say themselves what
// is to be made absolute, and summed up, when they have got their place: by us (place-tables.ts) or
// by firmware (table-loader.ts).
//
// There is no MADT. It would describe local and I/O APICs, which this machine has not, and systems
// that find none use the pair of i8259, by the numbers of their inputs. There are no processor
// objects, general purpose events and power management timer either: nothing needs them.

import { assert } from '../../base/assert.ts';
import { PCI_IO_WINDOW, PCI_MEMORY_WINDOW } from '../../bus/pci.ts';
import { PM1_CNT, PM1_EVT, PM1_EVT_BYTES, SLP_TYP_S5 } from '../../devices/acpi-pm.ts';
import { type Aml, buffer, device, eisaId, integer, name, packageOf, scope } from './aml.ts';
import { busNumbers, ioPorts, ioWindow, memoryWindow, resources } from './resources.ts';

/** A piece of the tables that stays together. */
export interface AcpiFile {
  /** Its name among the files of fw_cfg. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** A power of two. */
  readonly alignment: number;
  /** Whether it has to lie where ACPI looks for it, below 1 MiB from 0xE0000 on (5.2.5.1). */
  readonly isRoot: boolean;
}

/** `size` bytes at `offset` of a file, to which the address of file `target` is added. */
export interface AcpiLink {
  readonly file: string;
  readonly offset: number;
  readonly size: 4 | 8;
  readonly target: string;
}

/** The byte at `offset` makes the sum of `length` bytes from `start` on zero. */
export interface AcpiChecksum {
  readonly file: string;
  readonly offset: number;
  readonly start: number;
  readonly length: number;
}

/** The tables of a machine: the links are applied first, then the checksums in their order. */
export interface AcpiTables {
  readonly files: readonly AcpiFile[];
  readonly links: readonly AcpiLink[];
  readonly checksums: readonly AcpiChecksum[];
}

/** What the tables tell of. */
export interface AcpiHardware {
  /** The ports of AcpiPm. */
  readonly pmBase: number;
  /** The input of the i8259 pair that AcpiPm drives; level triggered. */
  readonly sciIrq: number;
  /** The port of the reset control register. */
  readonly resetPort: number;
  /** The ports of PCI's configuration mechanism. */
  readonly pciBase: number;
  /** For each PCI device with an interrupt, the input that its INTA drives. */
  readonly routes: readonly { readonly device: number; readonly irq: number }[];
}

/** The two files, by the names that QEMU's have. */
export const RSDP_FILE = 'etc/acpi/rsdp';
export const TABLES_FILE = 'etc/acpi/tables';

const OEM_ID = 'VMM   ';
const OEM_TABLE_ID = 'VMMPC   ';
const CREATOR_ID = 'VMM ';

/** DESCRIPTION_HEADER, table 5.4. */
const HEADER_BYTES = 36;
const CHECKSUM = 9;

/** FACS, section 5.2.10; the only table with an alignment of its own, and without a checksum. */
const FACS_BYTES = 64;
const FACS_VERSION = 2;
const TABLE_ALIGNMENT = 16;

// RSDP, table 5.3. Its first 20 bytes have a sum of their own, for systems of ACPI 1.0.
const RSDP_BYTES = 36;
const RSDP_V1_BYTES = 20;
const RSDP_REVISION = 2;
const RSDP_ALIGNMENT = 16;

const encoder = new TextEncoder();

/** Bytes of a table with its numbers in little-endian order. */
class Table {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  text(offset: number, text: string): void {
    this.bytes.set(encoder.encode(text), offset);
  }
}

/** A table with a DESCRIPTION_HEADER; its checksum comes with its place. */
function describedTable(signature: string, revision: number, size: number): Table {
  const table = new Table(size);
  table.text(0, signature);
  table.view.setUint32(4, size, true);
  table.bytes[8] = revision;
  table.text(10, OEM_ID);
  table.text(16, OEM_TABLE_ID);
  table.view.setUint32(24, 1, true); // OEM revision
  table.text(28, CREATOR_ID);
  table.view.setUint32(32, 1, true); // creator revision
  return table;
}

/** Makes the tables of a machine. */
export function acpiTables(hardware: AcpiHardware): AcpiTables {
  const facs = facsTable();
  const dsdt = dsdtTable(hardware);
  const fadt = fadtTable(hardware);
  const rsdt = describedTable('RSDT', 1, HEADER_BYTES + 4);
  const xsdt = describedTable('XSDT', 1, HEADER_BYTES + 8);
  const links: AcpiLink[] = [];
  const link = (file: string, at: number, table: Table, field: Field, to: number): void => {
    const { offset, size } = field;
    // The upper half of a wide field is zero, as all tables lie below 4 GiB.
    table.view.setUint32(offset, to, true);
    links.push({ file, offset: at + offset, size, target: TABLES_FILE });
  };
  const places = placesOf([facs, dsdt, fadt, rsdt, xsdt]);
  const [facsAt, dsdtAt, fadtAt, rsdtAt, xsdtAt] = places;
  link(TABLES_FILE, fadtAt, fadt, FADT_FIRMWARE_CTRL, facsAt);
  link(TABLES_FILE, fadtAt, fadt, FADT_DSDT, dsdtAt);
  link(TABLES_FILE, fadtAt, fadt, FADT_X_DSDT, dsdtAt);
  link(TABLES_FILE, rsdtAt, rsdt, { offset: HEADER_BYTES, size: 4 }, fadtAt);
  link(TABLES_FILE, xsdtAt, xsdt, { offset: HEADER_BYTES, size: 8 }, fadtAt);
  const rsdp = rsdpTable();
  link(RSDP_FILE, 0, rsdp, { offset: 16, size: 4 }, rsdtAt);
  link(RSDP_FILE, 0, rsdp, { offset: 24, size: 8 }, xsdtAt);

  const checksums: AcpiChecksum[] = [];
  for (const [index, { bytes }] of [dsdt, fadt, rsdt, xsdt].entries()) {
    const start = places[index + 1];
    checksums.push({ file: TABLES_FILE, offset: start + CHECKSUM, start, length: bytes.length });
  }
  checksums.push({ file: RSDP_FILE, offset: 8, start: 0, length: RSDP_V1_BYTES });
  checksums.push({ file: RSDP_FILE, offset: 32, start: 0, length: RSDP_BYTES });

  const all = new Uint8Array(xsdtAt + xsdt.bytes.length);
  for (const [index, { bytes }] of [facs, dsdt, fadt, rsdt, xsdt].entries()) {
    all.set(bytes, places[index]);
  }
  const root = { name: RSDP_FILE, bytes: rsdp.bytes, alignment: RSDP_ALIGNMENT, isRoot: true };
  const tables = { name: TABLES_FILE, bytes: all, alignment: FACS_BYTES, isRoot: false };
  return { files: [root, tables], links, checksums };
}

/** Where each table begins in their file. */
function placesOf(tables: readonly Table[]): number[] {
  let at = 0;
  return tables.map(({ bytes }) => {
    const place = at;
    at = Math.ceil((at + bytes.length) / TABLE_ALIGNMENT) * TABLE_ALIGNMENT;
    return place;
  });
}

/** Firmware ACPI Control Structure: nobody shares locks with this machine's firmware. */
function facsTable(): Table {
  const table = new Table(FACS_BYTES);
  table.text(0, 'FACS');
  table.view.setUint32(4, FACS_BYTES, true);
  table.bytes[32] = FACS_VERSION;
  return table;
}

function rsdpTable(): Table {
  const table = new Table(RSDP_BYTES);
  table.text(0, 'RSD PTR ');
  table.text(9, OEM_ID);
  table.bytes[15] = RSDP_REVISION;
  table.view.setUint32(20, RSDP_BYTES, true);
  return table;
}

// Fixed ACPI Description Table, table 5.9.
interface Field {
  readonly offset: number;
  readonly size: 4 | 8;
}
const FADT_BYTES = 276;
const FADT_REVISION = 6;
const FADT_MINOR = 3;
const FADT_FIRMWARE_CTRL: Field = { offset: 36, size: 4 };
const FADT_DSDT: Field = { offset: 40, size: 4 };
const FADT_X_DSDT: Field = { offset: 140, size: 8 };

/** IAPC_BOOT_ARCH, table 5.11: there is a serial port; no 8042, no VGA, no MSI. */
const LEGACY_DEVICES = 1 << 0;
const VGA_NOT_PRESENT = 1 << 2;
const MSI_NOT_SUPPORTED = 1 << 3;

/**
 * Flags, table 5.10. That PWR_BUTTON is not among them says that the power button is a fixed one,
 * SLP_BUTTON that there is no fixed sleep button.
 */
const WBINVD = 1 << 0;
const PROC_C1 = 1 << 2;
const SLP_BUTTON = 1 << 5;
const FIX_RTC = 1 << 6;
const RESET_REG_SUP = 1 << 10;

/** More than these microseconds say that the processor does not have the state (table 5.9). */
const P_LVL2_ABSENT = 101;
const P_LVL3_ABSENT = 1001;
const RTC_CENTURY = 0x32;
const RESET_VALUE = 0x06;

/** Generic Address Structure, table 5.1: system I/O, with access by bytes or words. */
const GAS_SYSTEM_IO = 1;
const GAS_ACCESS_BYTE = 1;
const GAS_ACCESS_WORD = 2;

function fadtTable({ pmBase, sciIrq, resetPort }: AcpiHardware): Table {
  const table = describedTable('FACP', FADT_REVISION, FADT_BYTES);
  const { view, bytes } = table;
  const address = (offset: number, bits: number, access: number, port: number): void => {
    bytes.set([GAS_SYSTEM_IO, bits, 0, access], offset);
    view.setUint32(offset + 4, port, true);
  };
  view.setUint16(46, sciIrq, true);
  view.setUint32(56, pmBase + PM1_EVT, true);
  view.setUint32(64, pmBase + PM1_CNT, true);
  bytes[88] = PM1_EVT_BYTES;
  bytes[89] = 2; // PM1_CNT_LEN
  view.setUint16(96, P_LVL2_ABSENT, true);
  view.setUint16(98, P_LVL3_ABSENT, true);
  bytes[108] = RTC_CENTURY;
  view.setUint16(109, LEGACY_DEVICES | VGA_NOT_PRESENT | MSI_NOT_SUPPORTED, true);
  view.setUint32(112, WBINVD | PROC_C1 | SLP_BUTTON | FIX_RTC | RESET_REG_SUP, true);
  address(116, 8, GAS_ACCESS_BYTE, resetPort);
  bytes[128] = RESET_VALUE;
  bytes[131] = FADT_MINOR;
  address(148, PM1_EVT_BYTES * 8, GAS_ACCESS_WORD, pmBase + PM1_EVT);
  address(172, 16, GAS_ACCESS_WORD, pmBase + PM1_CNT);
  return table;
}

/** Differentiated System Description Table. */
function dsdtTable({ pciBase, routes }: AcpiHardware): Table {
  const body = [
    // SLP_TYPa, SLP_TYPb, and two that are reserved (7.4.2).
    ...name('\\_S5', packageOf(integer(SLP_TYP_S5), integer(0), integer(0), integer(0))),
    ...scope('\\_SB', hostBridge(pciBase, routes)),
  ];
  const table = describedTable('DSDT', 2, HEADER_BYTES + body.length);
  table.bytes.set(body, HEADER_BYTES);
  return table;
}

function hostBridge(pciBase: number, routes: AcpiHardware['routes']): Aml {
  const decoded = resources(
    busNumbers(0, 0),
    ioPorts(pciBase, 8),
    ioWindow(PCI_IO_WINDOW.first, PCI_IO_WINDOW.last),
    memoryWindow(PCI_MEMORY_WINDOW.first, PCI_MEMORY_WINDOW.last),
  );
  const routing = routes.map(({ device: number, irq }) => {
    assert(number < 32, 'a PCI bus has 32 devices');
    // Any function, INTA; no source says that what follows is the interrupt's number (6.2.13).
    return packageOf(integer(number * 0x1_0000 + 0xffff), integer(0), integer(0), integer(irq));
  });
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A03')),
    name('_UID', integer(0)),
    name('_BBN', integer(0)),
    name('_CRS', buffer(decoded)),
    name('_PRT', packageOf(...routing)),
  );
}
