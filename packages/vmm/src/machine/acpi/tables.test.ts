// The ACPI tables, as a system finds them in memory and as firmware puts them together, against
// ACPICA's compiler and disassembler, iasl(8).
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FlatMemory } from '../../bus/flat-memory.ts';
import { placeTables } from './place-tables.ts';
import { acpiFirmwareFiles } from './table-loader.ts';
import { acpiTables } from './tables.ts';

const HARDWARE = {
  pmBase: 0x600,
  sciIrq: 9,
  resetPort: 0xcf9,
  pciBase: 0xcf8,
  routes: [
    { device: 1, irq: 3 },
    { device: 2, irq: 5 },
    { device: 17, irq: 15 },
  ],
};

/** The same, as somebody would write it. */
const DSDT = `
DefinitionBlock ("", "DSDT", 2, "VMM", "VMMPC", 1) {
  Name (\\_S5, Package () { 5, 0, 0, 0 })
  Scope (\\_SB) {
    Device (PCI0) {
      Name (_HID, EisaId ("PNP0A03"))
      Name (_UID, 0)
      Name (_BBN, 0)
      Name (_CRS, ResourceTemplate () {
        WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
        IO (Decode16, 0xCF8, 0xCF8, 1, 8)
        WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
          0, 0x1000, 0xFFFF, 0, 0xF000)
        DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
          0, 0xF0000000, 0xFFBFFFFF, 0, 0x0FC00000)
      })
      Name (_PRT, Package () {
        Package () { 0x0001FFFF, 0, 0, 3 },
        Package () { 0x0002FFFF, 0, 0, 5 },
        Package () { 0x0011FFFF, 0, 0, 15 }
      })
    }
  }
}`;

const missing = spawnSync('iasl', ['-v']).error !== undefined;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'acpi-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What iasl(8) makes of a table; a warning is a failure. */
function disassembled(name: string, table: Uint8Array): string {
  writeFileSync(join(folder, name), table);
  const { status, stdout, stderr } = spawnSync('iasl', ['-d', name], {
    cwd: folder,
    encoding: 'utf8',
  });
  const said = `${stdout}${stderr}`;
  expect(status).toBe(0);
  expect(said).not.toMatch(/error|warning|invalid|incorrect/i);
  return readFileSync(join(folder, `${name}.dsl`), 'utf8');
}

interface Found {
  readonly rsdp: Uint8Array;
  /** By signature; RSDT and XSDT too. */
  readonly tables: ReadonlyMap<string, Uint8Array>;
}

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0) & 0xff;

/** Finds the tables in memory as ACPI 6.5, 5.2.5 to 5.2.9, says, by both of the root tables. */
function find(memory: Uint8Array): Found {
  const view = new DataView(memory.buffer, memory.byteOffset);
  const text = (at: number, length: number): string =>
    String.fromCharCode(...memory.subarray(at, at + length));
  let root = 0xe0000;
  while (text(root, 8) !== 'RSD PTR ') root += 16;
  expect(root).toBeLessThan(0x100000);
  const rsdp = memory.slice(root, root + 36);
  expect([sum(rsdp.subarray(0, 20)), sum(rsdp), rsdp[15]]).toEqual([0, 0, 2]);
  const tables = new Map<string, Uint8Array>();
  const take = (at: number): string => {
    const signature = text(at, 4);
    tables.set(signature, memory.slice(at, at + view.getUint32(at + 4, true)));
    return signature;
  };
  const wide = (at: number): number => Number(view.getBigUint64(at, true));
  const rsdt = view.getUint32(root + 16, true);
  const xsdt = wide(root + 24);
  expect([take(rsdt), take(xsdt)]).toEqual(['RSDT', 'XSDT']);
  const fadt = wide(xsdt + 36);
  expect(view.getUint32(rsdt + 36, true)).toBe(fadt);
  expect(take(fadt)).toBe('FACP');
  const facs = view.getUint32(fadt + 36, true);
  expect(facs % 64).toBe(0);
  expect(take(facs)).toBe('FACS');
  const dsdt = view.getUint32(fadt + 40, true);
  expect(wide(fadt + 140)).toBe(dsdt);
  expect(take(dsdt)).toBe('DSDT');
  for (const [signature, table] of tables) if (signature !== 'FACS') expect(sum(table)).toBe(0);
  return { rsdp, tables };
}

function placed(): Found {
  const memory = new FlatMemory(0x10_0000, { shared: false });
  expect(placeTables(memory, acpiTables(HARDWARE))).toBe(0xe0000);
  return find(memory.bytes);
}

test('the tables are found from the RSDP on, and their sums are zero', () => {
  expect([...placed().tables.keys()]).toEqual(['RSDT', 'XSDT', 'FACP', 'FACS', 'DSDT']);
});

test.skipIf(missing)('the DSDT is what iasl compiles of its ASL (skipped without iasl)', () => {
  writeFileSync(join(folder, 'dsdt.asl'), DSDT);
  const { status, stdout, stderr } = spawnSync('iasl', ['-on', 'dsdt.asl'], {
    cwd: folder,
    encoding: 'utf8',
  });
  expect({ status, said: `${stdout}${stderr}` }).toMatchObject({
    status: 0,
    said: expect.stringContaining(' 0 Errors, 0 Warnings'),
  });
  const theirs = readFileSync(join(folder, 'dsdt.aml')).subarray(36);
  expect([...placed().tables.get('DSDT')!.subarray(36)]).toEqual([...theirs]);
});

test.skipIf(missing)('iasl reads all tables without a complaint (skipped without iasl)', () => {
  const { tables } = placed();
  for (const signature of ['XSDT', 'RSDT', 'FACS', 'DSDT']) {
    disassembled(signature.toLowerCase(), tables.get(signature)!);
  }
  const text = disassembled('fadt', tables.get('FACP')!);
  const fields: readonly (readonly [string, string])[] = [
    ['SCI Interrupt', '0009'],
    ['SMI Command Port', '00000000'],
    ['PM1A Event Block Address', '00000600'],
    ['PM1A Control Block Address', '00000604'],
    ['PM Timer Block Address', '00000000'],
    ['GPE0 Block Address', '00000000'],
    ['PM1 Event Block Length', '04'],
    ['PM1 Control Block Length', '02'],
    ['C2 Latency', '0065'],
    ['C3 Latency', '03E9'],
    ['RTC Century Index', '32'],
    ['Legacy Devices Supported \\(V2\\)', '1'],
    ['8042 Present on ports 60/64 \\(V2\\)', '0'],
    ['VGA Not Present \\(V4\\)', '1'],
    ['MSI Not Supported \\(V4\\)', '1'],
    ['Control Method Power Button \\(V1\\)', '0'],
    ['Control Method Sleep Button \\(V1\\)', '1'],
    ['Reset Register Supported \\(V2\\)', '1'],
    ['Hardware Reduced \\(V5\\)', '0'],
    ['Value to cause reset', '06'],
  ];
  for (const [field, value] of fields) expect(text).toMatch(new RegExp(`${field} : ${value}\\n`));
  const reset = /Reset Register : (?:.*\n){6}/.exec(text)![0];
  expect(reset).toMatch(/Space ID : 01 \[SystemIO\][\s\S]*Bit Width : 08[\s\S]*Address : 0+CF9\n/);
});

/** Follows the loader's script: what SeaBIOS's description of it says, in our own words. */
function asFirmware(memory: Uint8Array): void {
  const files = new Map(
    acpiFirmwareFiles(acpiTables(HARDWARE)).map(({ name, content }) => [name, content]),
  );
  const script = files.get('etc/table-loader')!;
  expect(script.length % 128).toBe(0);
  const addresses = new Map<string, number>();
  // Places that are not those of placeTables().
  let high = 0x8_1001;
  let low = 0xf_1230;
  for (let at = 0; at < script.length; at += 128) {
    const view = new DataView(script.buffer, at, 128);
    const u32 = (offset: number): number => view.getUint32(offset, true);
    const text = (offset: number): string =>
      new TextDecoder().decode(script.subarray(at + offset, at + offset + 56)).replace(/\0+$/, '');
    switch (u32(0)) {
      case 1: {
        const content = files.get(text(4))!;
        const zone = script[at + 64];
        const from = Math.ceil((zone === 2 ? low : high) / u32(60)) * u32(60);
        memory.set(content, from);
        addresses.set(text(4), from);
        if (zone === 2) low = from + content.length;
        else high = from + content.length;
        break;
      }
      case 2: {
        const field = new DataView(memory.buffer, addresses.get(text(4))! + u32(116));
        const to = addresses.get(text(60))!;
        if (script[at + 120] === 4) field.setUint32(0, field.getUint32(0, true) + to, true);
        else field.setBigUint64(0, field.getBigUint64(0, true) + BigInt(to), true);
        break;
      }
      case 3: {
        const file = addresses.get(text(4))!;
        const range = memory.subarray(file + u32(64), file + u32(64) + u32(68));
        memory[file + u32(60)] -= sum(range);
        break;
      }
      default:
        throw new Error(`no such command: ${u32(0)}`);
    }
  }
}

test('firmware that follows the loader’s script gets the same tables elsewhere', () => {
  const memory = new Uint8Array(0x10_0000);
  asFirmware(memory);
  const theirs = find(memory);
  const ours = placed();
  expect(theirs.tables.get('DSDT')).toEqual(ours.tables.get('DSDT'));
  expect(theirs.tables.get('FACS')).toEqual(ours.tables.get('FACS'));
  expect(theirs.tables.get('FACP')!.subarray(44, 140)).toEqual(
    ours.tables.get('FACP')!.subarray(44, 140),
  );
});
