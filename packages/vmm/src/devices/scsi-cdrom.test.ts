// What SPC-4 and MMC-6 say of each command's answer, written down byte by byte.
import { expect, test } from 'vitest';
import type { BlockBackend } from './block-backend.ts';
import { ScsiCdrom } from './scsi-cdrom.ts';

const BLOCKS = 700;

/** A disc whose every block holds its number. */
class Disc implements BlockBackend {
  sectors = BLOCKS * 4;
  readonly readOnly = true;
  isBroken = false;

  async read(offset: number, into: Uint8Array[]): Promise<void> {
    if (this.isBroken) throw new Error('scratched');
    let at = offset;
    for (const part of into) {
      for (let index = 0; index < part.length; index++) part[index] = at++ >> 11;
    }
  }
  write = (): Promise<void> => Promise.reject(new Error('a write to a CD-ROM'));
  flush = (): Promise<void> => Promise.resolve();
  discard = (): Promise<void> => Promise.reject(new Error('a discard on a CD-ROM'));
}

interface Answer {
  readonly data: number[];
  /** Sense key and additional sense code with its qualifier; none after GOOD. */
  readonly sense: readonly [number, number] | undefined;
}

async function ask(
  cdb: readonly number[],
  { disc = new Disc(), room = 4096, unit = 0 } = {},
): Promise<Answer> {
  const first = new Uint8Array(Math.min(room, 10));
  const second = new Uint8Array(room - first.length);
  const drive = new ScsiCdrom(disc);
  const { status, sense, length } = await drive.execute(unit, new Uint8Array(cdb), [first, second]);
  expect(status).toBe(sense.length === 0 ? 0x00 : 0x02);
  return {
    data: [...first, ...second].slice(0, length),
    sense: sense.length === 0 ? undefined : [sense[2], (sense[12] << 8) | sense[13]],
  };
}

const ILLEGAL = 5;

test('INQUIRY says that it is a CD-ROM drive with a removable medium', async () => {
  const { data } = await ask([0x12, 0, 0, 0, 36, 0]);
  expect(data.slice(0, 8)).toEqual([0x05, 0x80, 0x05, 0x02, 31, 0, 0, 0x02]);
  expect(String.fromCharCode(...data.slice(8))).toBe('OpenBSD VMM CD-ROM      001 ');
  expect((await ask([0x12, 0, 0, 0, 5, 0])).data).toHaveLength(5);
});

test('INQUIRY has the pages of product data that it lists, and refuses others', async () => {
  const { data } = await ask([0x12, 1, 0, 0, 255, 0]);
  expect(data).toEqual([0x05, 0x00, 0, 2, 0x00, 0x83]);
  for (const page of data.slice(4)) {
    expect((await ask([0x12, 1, page, 0, 255, 0])).data[1]).toBe(page);
  }
  expect(await ask([0x12, 1, 0xb0, 0, 255, 0])).toEqual({ data: [], sense: [ILLEGAL, 0x2400] });
});

test('READ CAPACITY tells the last block and its size, in both forms', async () => {
  const last = [0, 0, (BLOCKS - 1) >> 8, (BLOCKS - 1) & 0xff, 0, 0, 8, 0];
  expect((await ask([0x25])).data).toEqual(last);
  const { data } = await ask([0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32]);
  expect(data).toHaveLength(32);
  expect(data.slice(4, 12)).toEqual(last);
});

test.each([
  ['READ(6)', [0x08, 0, 1, 4, 2, 0]],
  ['READ(10)', [0x28, 0, 0, 0, 1, 4, 0, 0, 2, 0]],
  ['READ(12)', [0xa8, 0, 0, 0, 1, 4, 0, 0, 0, 2, 0, 0]],
  ['READ(16)', [0x88, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 2, 0, 0]],
])('%s reads blocks of 2048 bytes', async (_, cdb) => {
  const { data, sense } = await ask(cdb, { room: 5000 });
  expect(sense).toBeUndefined();
  expect(data).toEqual([...Array(2048).fill(0x04), ...Array(2048).fill(0x05)]);
});

test('reads end with the disc, at a scratch, and where the buffer does', async () => {
  const beyond = [0x28, 0, 0, 0, (BLOCKS - 1) >> 8, (BLOCKS - 1) & 0xff, 0, 0, 2, 0];
  expect((await ask(beyond)).sense).toEqual([ILLEGAL, 0x2100]);
  const far = [0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0];
  expect((await ask(far)).sense).toEqual([ILLEGAL, 0x2100]);
  const disc = new Disc();
  disc.isBroken = true;
  expect((await ask([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], { disc })).sense).toEqual([3, 0x1100]);
  expect((await ask([0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0], { room: 2560 })).data).toHaveLength(2560);
  expect((await ask([0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0], { room: 100 })).sense).toEqual([
    ILLEGAL,
    0x2400,
  ]);
});

test('READ TOC has one data track and the lead-out, as blocks and as time', async () => {
  const leadOut = [0, 0x14, 0xaa, 0, 0, 0, BLOCKS >> 8, BLOCKS & 0xff];
  expect((await ask([0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0])).data).toEqual([
    ...[0, 18, 1, 1],
    ...[0, 0x14, 1, 0, 0, 0, 0, 0],
    ...leadOut,
  ]);
  // Block 0 is at two seconds, 75 frames each; 700 blocks later it is 11 seconds and 25 frames.
  const { data } = await ask([0x43, 2, 0, 0, 0, 0, 0, 0, 255, 0]);
  expect(data.slice(8, 12)).toEqual([0, 0, 2, 0]);
  expect(data.slice(16, 20)).toEqual([0, 0, 11, 25]);
  const sessions = (await ask([0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40])).data;
  expect(sessions).toEqual([0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0]);
  expect((await ask([0x43, 0, 0, 0, 0, 0, 2, 0, 12, 0])).sense).toEqual([ILLEGAL, 0x2400]);
});

test('MODE SENSE has the capabilities page with its own length', async () => {
  const six = (await ask([0x1a, 8, 0x2a, 0, 255, 0])).data;
  expect([six[0], six[4], six[5]]).toEqual([six.length - 1, 0x2a, six.length - 6]);
  const ten = (await ask([0x5a, 8, 0x2a, 0, 0, 0, 0, 0, 255, 0])).data;
  expect([ten[1], ten[8], ten[9]]).toEqual([ten.length - 2, 0x2a, ten.length - 10]);
  expect((await ask([0x1a, 8, 0x05, 0, 255, 0])).sense).toEqual([ILLEGAL, 0x2400]);
});

test('GET CONFIGURATION tells a CD from a DVD by the size of the disc', async () => {
  const profile = async (blocks: number): Promise<number[]> => {
    const disc = new Disc();
    disc.sectors = blocks * 4;
    const { data } = await ask([0x46, 0, 0, 0, 0, 0, 0, 0, 255, 0], { disc });
    expect(data[3]).toBe(data.length - 4);
    return data.slice(6, 8);
  };
  expect(await profile(BLOCKS)).toEqual([0, 0x08]);
  expect(await profile(2_000_000)).toEqual([0, 0x10]);
});

test('the disc stays in the drive, and nothing else is known', async () => {
  expect((await ask([0x00])).sense).toBeUndefined();
  expect((await ask([0x1b, 0, 0, 0, 1, 0])).sense).toBeUndefined();
  expect((await ask([0x1b, 0, 0, 0, 2, 0])).sense).toEqual([ILLEGAL, 0x5302]);
  expect((await ask([0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0])).sense).toEqual([ILLEGAL, 0x2000]);
});

test('there is one logical unit, which others tell as well', async () => {
  const units = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  for (const unit of [0, 5]) {
    expect((await ask([0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16], { unit })).data).toEqual(units);
  }
  expect((await ask([0x12, 0, 0, 0, 36, 0], { unit: 5 })).data[0]).toBe(0x7f);
  expect((await ask([0x00], { unit: 5 })).sense).toEqual([ILLEGAL, 0x2500]);
});
