import { expect, test } from 'vitest';
import { createVmMemory, RAM_BYTES_MAX } from './vm-memory.ts';

const MB = 1 << 20;

test('createVmMemory() is shared, as large as asked for, and can grow for the engine', () => {
  const memory = createVmMemory(16 * MB);
  expect(memory.buffer).toBeInstanceOf(SharedArrayBuffer);
  expect(memory.buffer.byteLength).toBe(16 * MB);
  memory.grow((44 * MB) / 65536);
  expect(memory.buffer.byteLength).toBe(60 * MB);
});

test('createVmMemory() refuses more than WebAssembly can address', () => {
  const refusal = expect.objectContaining({ code: 'ENOMEM' });
  expect(() => createVmMemory(RAM_BYTES_MAX + MB)).toThrow(refusal);
  expect(() => createVmMemory(RAM_BYTES_MAX + MB)).toThrow(/4017 MB is more than .*: 4016 MB/);
});

test('createVmMemory() refuses more than the host has', () => {
  const { availableMemory } = process;
  process.availableMemory = () => 100 * MB;
  try {
    expect(() => createVmMemory(101 * MB)).toThrow(
      /101 MB is more than this host can give.*100 MB/,
    );
  } finally {
    process.availableMemory = availableMemory;
  }
});
