import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VmmError } from 'vmm';
import { envelope, errorReply, openEnvelope, type Request, reply } from './protocol.ts';

const REQUESTS: readonly Request[] = [
  { command: 'status' },
  { command: 'reload' },
  { command: 'load', path: '/etc/vm.conf' },
  { command: 'reset', what: 'vms' },
  { command: 'log', how: 'brief' },
  { command: 'pause', target: 3 },
  { command: 'unpause', target: 'a' },
  { command: 'wait', target: 'web.1' },
  { command: 'console', target: 0xffff_ffff },
  { command: 'stop', target: 1, force: true, wait: false },
  { command: 'start', target: 'x', options: {}, console: false },
  {
    command: 'start',
    target: 'x',
    console: true,
    options: {
      memoryBytes: 1 << 20,
      boot: '/bsd',
      bootDevice: 'net',
      cdrom: '/a.iso',
      disks: [{ path: '/d', format: 'qcow2' }],
      interfaceCount: 4,
      local: true,
      switches: ['uplink'],
      template: 't',
      initrd: '/i',
      cmdline: 'quiet',
      engine: 'soft',
      jit: 'on',
      cpu: 'v2',
    },
  },
];

test.each(REQUESTS)('openEnvelope() takes $command', (request) => {
  expect(openEnvelope(JSON.parse(JSON.stringify(envelope(request))))).toEqual(request);
});

test.each([
  [null, 'request: expected an object'],
  [{ version: 1 }, 'request.command: expected one of'],
  [{ version: 2, body: { command: 'status' } }, 'version 1 of its protocol, and was asked in 2'],
  [{ version: 1, body: { command: 'status' }, extra: 1 }, 'no member "extra"'],
  [{ version: 1, body: { command: 'status', target: 1 } }, 'no member "target"'],
  [{ version: 1, body: { command: 'toString' } }, 'expected one of'],
  [{ version: 1, body: { command: ['status'] } }, 'expected one of'],
  [{ version: 1, body: { command: 'load', path: 'vm.conf' } }, 'request.path'],
  [{ version: 1, body: { command: 'load', path: `/${'a'.repeat(1023)}` } }, 'request.path'],
  [{ version: 1, body: { command: 'load', path: '/a\0b' } }, 'request.path'],
  [{ version: 1, body: { command: 'wait', target: 0 } }, 'request.target'],
  [{ version: 1, body: { command: 'wait', target: 1.5 } }, 'request.target'],
  [{ version: 1, body: { command: 'wait', target: '../x' } }, 'request.target'],
  [{ version: 1, body: { command: 'wait', target: 'a'.repeat(64) } }, 'request.target'],
  [{ version: 1, body: { command: 'stop', target: 1, force: 1, wait: true } }, 'request.force'],
])('openEnvelope(%j) is refused', (value, message) => {
  expect(() => openEnvelope(value)).toThrow(VmmError);
  expect(() => openEnvelope(value)).toThrow(message);
});

test('a member that JSON calls __proto__ is only one more that is unknown', () => {
  const text = '{"version":1,"body":{"command":"status","__proto__":{"command":"reload"}}}';
  expect(() => openEnvelope(JSON.parse(text))).toThrow('no member "__proto__"');
});

test('whatever comes, openEnvelope() and reply() return or throw a VmmError', () => {
  const mutated = fc
    .tuple(fc.constantFrom(...REQUESTS), fc.dictionary(fc.string(), fc.jsonValue()))
    .map(([request, more]) => ({ version: 1, body: { ...request, ...more } }));
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), mutated), (value) => {
      for (const check of [openEnvelope, (it: unknown) => reply(it, 'reply')]) {
        try {
          check(value);
        } catch (error) {
          expect(error).toBeInstanceOf(VmmError);
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test('errorReply() is an answer whatever the error, and tells no defect to a client', () => {
  const long = errorReply(new VmmError('ENOENT', 'x'.repeat(100_000)));
  expect(reply(long, 'reply')).toEqual(long);
  const defect = errorReply(new TypeError('secret'));
  expect(JSON.stringify(reply(defect, 'reply'))).not.toContain('secret');
});
