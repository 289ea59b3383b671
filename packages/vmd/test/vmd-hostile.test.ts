// Clients of vmd(8) that do not keep to the protocol: whatever they send, vmd goes on.
import { createConnection, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bytesFrame, messageFrame } from '../src/control/frame.ts';
import { envelope, type Request } from '../src/control/protocol.ts';
import { VmdProcess } from './vmd-process.ts';

let vmd: VmdProcess;
beforeAll(async () => {
  vmd = new VmdProcess();
  vmd.configure(vmd.vm('a', 'echo'), vmd.vm('b', 'idle', 'disable'));
  await vmd.start();
  await vmd.logged(/\(a\) started/);
});
afterAll(() => vmd.dispose());

/** Sends, and perhaps goes; resolves with what comes until the other side closes. */
function converse(pieces: readonly Uint8Array[], goes = false): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection(vmd.socket);
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
    for (const piece of pieces) socket.write(piece);
    if (goes) socket.end();
  });
}

async function isWell(): Promise<void> {
  const { status, stdout } = await vmd.ctl('status');
  expect([status, stdout.split('\n').length]).toEqual([0, 4]);
  expect(vmd.process!.exitCode).toBe(null);
  expect(vmd.log).not.toContain('defect');
}

test('vmd answers what it does not understand, and goes on', async () => {
  const sent = (value: object): Promise<string> => converse([messageFrame(value)]);
  expect(await sent({ version: 1, body: { command: 'explode' } })).toContain('"type":"error"');
  expect(await sent({ version: 99, body: {} })).toContain('and was asked in 99');
  expect(await sent([])).toContain('expected an object');
  expect(await converse([bytesFrame(new Uint8Array(3))])).toContain('begins with one request');
  const status = messageFrame(envelope({ command: 'status' }));
  expect(await converse([Buffer.concat([status, status])])).toContain('begins with one request');
  const tooLong = Buffer.from([0xff, 0xff, 0xff, 0xff, 0]);
  expect(await converse([tooLong])).toContain('a frame is too long');
  const deep = '['.repeat(30_000);
  expect(await converse([Buffer.from([0, 0, 0x75, 0x30, 0]), Buffer.from(deep)])).toContain('JSON');
  await isWell();
});

test('random frames, requests and cuts do vmd no harm', async () => {
  const request: fc.Arbitrary<unknown> = fc.record({
    version: fc.constantFrom(1, 0),
    body: fc.record(
      {
        command: fc.constantFrom('status', 'pause', 'unpause', 'console', 'log', 'load', 'start'),
        // Not the machine that other tests look at.
        target: fc
          .oneof(fc.constantFrom<unknown>(2, 'b', 'none'), fc.jsonValue())
          .filter((it) => it !== 1 && it !== 'a'),
        options: fc.oneof(fc.constant({}), fc.jsonValue()),
        console: fc.oneof(fc.boolean(), fc.jsonValue()),
        how: fc.constantFrom('verbose', 'loud'),
        path: fc.oneof(fc.constant('/none'), fc.string()),
      },
      { requiredKeys: ['command'] },
    ),
  });
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    request.map((value) => messageFrame(value as object)),
    fc.jsonValue().map((value) => messageFrame({ value })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 4 }), async (pieces) => {
      await converse(pieces, true);
    }),
    { numRuns: 300 },
  );
  await isWell();
});

test('many who say nothing, or only a part of it, do not keep others out for long', async () => {
  const half = messageFrame(envelope({ command: 'status' })).subarray(0, 20);
  const sockets: Socket[] = [];
  for (let i = 0; i < 300; i++) {
    const socket = createConnection(vmd.socket);
    socket.on('error', () => {});
    if (i % 2 === 0) socket.write(half);
    sockets.push(socket);
  }
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.on('close', resolve))));
  await isWell();
}, 30_000);

test('a console that is fed nonsense is closed, and the machine lives', async () => {
  const attach: Request = { command: 'console', target: 'a' };
  await new Promise<void>((resolve) => {
    const socket = createConnection(vmd.socket);
    socket.write(messageFrame(envelope(attach)));
    socket.once('data', () => socket.write(Buffer.alloc(1000, 0xff)));
    socket.on('error', () => {});
    socket.on('close', () => resolve());
  });
  await isWell();
  expect(await vmd.state('a')).toBe('running');
});

test('one who waits and goes is forgotten', async () => {
  const socket = createConnection(vmd.socket);
  socket.write(messageFrame(envelope({ command: 'wait', target: 'a' })));
  socket.destroySoon();
  await new Promise((resolve) => socket.on('close', resolve));
  expect((await vmd.ctl('stop', 'a')).status).toBe(0);
  await isWell();
});
