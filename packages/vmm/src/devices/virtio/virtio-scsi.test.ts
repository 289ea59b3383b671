// From virtio 1.2, section 5.6; sizes of structures from <linux/virtio_scsi.h>.
import { expect, test } from 'vitest';
import type { BlockBackend } from '../block-backend.ts';
import { ScsiCdrom } from '../scsi-cdrom.ts';
import { type Descriptor, TestDriver } from './test-driver.ts';
import { virtioScsi } from './virtio-scsi.ts';

const VERSION_1 = 1n << 32n;
const RESPONSE_BYTES = 108;
const REQUESTS = 2;

/** A disc that answers when it is told to. */
class Disc implements BlockBackend {
  readonly sectors = 64;
  readonly readOnly = true;
  waiting: (() => void)[] | undefined;

  async read(_offset: number, into: Uint8Array[]): Promise<void> {
    if (this.waiting !== undefined) await new Promise<void>((go) => this.waiting!.push(go));
    for (const part of into) part.fill(0x5a);
  }
  write = (): Promise<void> => Promise.reject(new Error('a write to a CD-ROM'));
  flush = (): Promise<void> => Promise.resolve();
  discard = (): Promise<void> => Promise.reject(new Error('a discard on a CD-ROM'));
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

class Setup {
  readonly disc = new Disc();
  readonly driver: TestDriver;

  constructor() {
    this.driver = new TestDriver((memory) =>
      virtioScsi('vioscsi0', memory, new ScsiCdrom(this.disc)),
    );
    this.driver.start(VERSION_1);
  }

  /** Makes a request; the response and the data are the buffers returned. */
  send(cdb: readonly number[], dataBytes: number, lun = [1, 0, 0x40, 0]): Descriptor[] {
    const request = new Uint8Array(51);
    request.set(lun);
    request.set(cdb, 19);
    const response = this.driver.room(RESPONSE_BYTES);
    const data = dataBytes > 0 ? [this.driver.room(dataBytes)] : [];
    this.driver.queues[REQUESTS].add([this.driver.buffer(request)], [response, ...data]);
    this.driver.kick(REQUESTS);
    return [response, ...data];
  }

  /** The parts of a response: sense_len, residual, status, response. */
  answer(response: Descriptor): [number, number, number, number] {
    const bytes = new Uint8Array(this.driver.bytes(response));
    const view = new DataView(bytes.buffer);
    return [view.getUint32(0, true), view.getUint32(4, true), bytes[10], bytes[11]];
  }
}

test('the device has vmd’s ids and three queues of 128 (5.6.1, 5.6.2)', () => {
  const { driver } = new Setup();
  expect(driver.config(0, 4)).toBe(0x10041af4);
  expect(driver.config(0x2c, 4)).toBe(0x00080b5d);
  expect(driver.queues.map((queue) => queue.size)).toEqual([128, 128, 128]);
  const word = (offset: number): number => driver.ports.read(driver.at.device + offset, 4);
  // num_queues, sense_size, cdb_size, max_channel and max_target, max_lun
  expect([0, 20, 24, 28, 32].map(word)).toEqual([1, 96, 32, 0, 0]);
});

test('a read is answered with its data, and tells how much there is none of', async () => {
  const setup = new Setup();
  const { driver } = setup;
  const [response, data] = setup.send([0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0], 3000);
  await settle();
  expect(setup.answer(response)).toEqual([0, 3000 - 2048, 0, 0]);
  const bytes = driver.bytes(data);
  expect(bytes.slice(0, 2048).every((byte) => byte === 0x5a)).toBe(true);
  expect(bytes[2048]).toBe(0xee);
  expect(driver.queues[REQUESTS].collect()[0].length).toBe(RESPONSE_BYTES + 2048);
});

test('a command that is refused is answered with its sense data', async () => {
  const setup = new Setup();
  const [response] = setup.send([0x2a], 0);
  await settle();
  expect(setup.answer(response)).toEqual([18, 0, 0x02, 0]);
  expect(setup.driver.bytes(response).slice(12, 15)).toEqual([0x70, 0, 0x05]);
});

test('a request to another target is answered with BAD_TARGET', async () => {
  const setup = new Setup();
  const [response] = setup.send([0x00], 0, [1, 1, 0x40, 0]);
  await settle();
  expect(setup.answer(response)[3]).toBe(3);
});

test('a task management function is done when the tasks before it are', async () => {
  const setup = new Setup();
  const { driver, disc } = setup;
  disc.waiting = [];
  setup.send([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 2048);
  const answer = driver.room(1);
  driver.queues[0].add([driver.buffer(new Uint8Array(24))], [answer]);
  driver.kick(0);
  await settle();
  expect(driver.queues[0].collect()).toEqual([]);
  for (const go of disc.waiting) go();
  await settle();
  expect(driver.queues[REQUESTS].collect()).toHaveLength(1);
  expect(driver.queues[0].collect()).toHaveLength(1);
  expect(driver.bytes(answer)).toEqual([0]);
});

test('a reset waits for what is in flight, which then answers nobody', async () => {
  const setup = new Setup();
  const { driver, disc } = setup;
  disc.waiting = [];
  const [response] = setup.send([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 2048);
  await settle();
  driver.status = 0;
  expect(driver.status).not.toBe(0);
  for (const go of disc.waiting) go();
  await settle();
  expect(driver.status).toBe(0);
  expect(driver.bytes(response).every((byte) => byte === 0xee)).toBe(true);
});

test('a request without room for its response puts the device out of order', () => {
  const { driver } = new Setup();
  driver.queues[REQUESTS].add([driver.buffer(new Uint8Array(51))], [driver.room(100)]);
  driver.kick(REQUESTS);
  expect(driver.status & 0x40).toBe(0x40);
});
