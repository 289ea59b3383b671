import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkSocket, chooseSocket, ownSocket, prepareFolder, userSocket } from './socket-place.ts';

const UID = process.getuid!();
const OTHER = UID + 1;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'socket-place-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('root has the system\u2019s socket, others one in their runtime folder', () => {
  expect(ownSocket(0, { XDG_RUNTIME_DIR: '/run/user/0' })).toBe('/var/run/vmd.sock');
  expect(ownSocket(7, { XDG_RUNTIME_DIR: '/run/user/7' })).toBe('/run/user/7/vmd/vmd.sock');
  expect(ownSocket(7, {})).toBe(join(tmpdir(), 'vmd-7', 'vmd.sock'));
});

test('a user who has a socket at a vmd of root\u2019s uses that one', () => {
  const system = join(folder, 'vmd.sock');
  expect(chooseSocket(7, system, {})).toBe(system);
  mkdirSync(`${system}.d`);
  writeFileSync(userSocket(system, 7), '');
  expect(chooseSocket(7, system, {})).toBe(`${system}.d/7`);
  expect(chooseSocket(8, system, {})).toBe(system);
  expect(chooseSocket(0, system, {})).toBe(system);
});

test('prepareFolder() makes a folder for its user alone', () => {
  const path = join(folder, 'new', 'vmd.sock');
  prepareFolder(path, UID);
  prepareFolder(path, UID);
});

test('prepareFolder() refuses a folder in which others could replace the socket', () => {
  const open = join(folder, 'open');
  mkdirSync(open);
  chmodSync(open, 0o777);
  expect(() => prepareFolder(join(open, 's'), UID)).toThrow('Others can write to the folder');
  chmodSync(open, 0o1777);
  prepareFolder(join(open, 's'), UID);
  symlinkSync(open, join(folder, 'link'));
  prepareFolder(join(folder, 'link', 's'), UID);
  chmodSync(open, 0o777);
  expect(() => prepareFolder(join(folder, 'link', 's'), UID)).toThrow('Others can write');
  if (UID !== 0) expect(() => prepareFolder(join(open, 's'), OTHER)).toThrow('belongs to user');
});

test('prepareFolder() and checkSocket() refuse what is none', () => {
  writeFileSync(join(folder, 'file'), '');
  expect(() => prepareFolder(join(folder, 'file', 's'), UID)).toThrow(/Cannot make|not a folder/);
  expect(() => prepareFolder(`/${'a'.repeat(104)}`, UID)).toThrow('too long');
  expect(() => checkSocket(join(folder, 'file'), UID)).toThrow('is not a socket');
  checkSocket(join(folder, 'none'), UID);
});
