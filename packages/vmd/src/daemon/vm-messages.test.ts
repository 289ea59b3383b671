import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VmmError } from 'vmm';
import { type FromVm, fromVm } from './vm-messages.ts';

const MESSAGES: readonly FromVm[] = [
  { kind: 'ready' },
  { kind: 'running' },
  { kind: 'paused' },
  { kind: 'restarted' },
  { kind: 'shutdown', asked: false },
  { kind: 'refused', code: 'ENOEXEC', message: 'No.' },
  { kind: 'ended', end: 'halt', message: null },
  { kind: 'ended', end: 'error', message: 'The guest cannot go on.' },
];

test.each(MESSAGES)('fromVm() takes $kind', (message) => {
  expect(fromVm(structuredClone(message), 'message')).toEqual(message);
});

test('fromVm() refuses everything else with a VmmError', () => {
  const mutated = fc
    .tuple(fc.constantFrom(...MESSAGES), fc.string(), fc.jsonValue())
    .map(([message, name, value]) => ({ ...message, [name]: value }));
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), mutated), (value) => {
      try {
        expect(MESSAGES.map(({ kind }) => kind)).toContain(fromVm(value, 'message').kind);
      } catch (error) {
        expect(error).toBeInstanceOf(VmmError);
      }
    }),
    { numRuns: 1000 },
  );
  expect(() => fromVm({ kind: 'refused', code: 'EWHAT', message: 'x' }, 'm')).toThrow('m.code');
  const long = { kind: 'ended', end: 'error', message: 'x'.repeat(5000) };
  expect(() => fromVm(long, 'm')).toThrow('m.message');
});
