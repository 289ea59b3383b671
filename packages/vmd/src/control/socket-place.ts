// Where vmd(8) and vmctl(8) meet, and whom they trust there.
//
// Node cannot ask a socket who is at its other end. Who may connect is therefore the file system's
// business, which checks it for every connection: the system's vmd, root's, has its own socket,
// and beside it one for each user who has any rights, which only that user can open. Any other
// user's vmd has one in a folder of that user's. So the socket that a connection comes in by says
// who made it.

import { lstatSync, mkdirSync, realpathSync, type Stats } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { VmmError } from 'vmm/errors';

/** The control socket of the system's vmd. */
export const SYSTEM_SOCKET = '/var/run/vmd.sock';
/** sun_path has 104 bytes on BSD and macOS and 108 on Linux, with the terminating zero. */
const SOCKET_PATH_BYTES_MAX = 103;
const S_IWOTH_S_IWGRP = 0o022;
const S_ISVTX = 0o1000;

/** The socket of the user `uid` at a vmd of root's that listens at `path`. */
export function userSocket(path: string, uid: number): string {
  return join(userFolder(path), String(uid));
}

/** The folder of the users' sockets at a vmd of root's that listens at `path`. */
export function userFolder(path: string): string {
  return `${path}.d`;
}

/** The socket of the vmd of the user `uid`, when no other is named. */
export function ownSocket(uid: number, environment: NodeJS.ProcessEnv): string {
  if (uid === 0) return SYSTEM_SOCKET;
  const runtime = environment.XDG_RUNTIME_DIR;
  const folder = runtime ? join(runtime, 'vmd') : join(tmpdir(), `vmd-${uid}`);
  return join(folder, 'vmd.sock');
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

/**
 * The socket that vmctl(8) is to connect to: at the vmd that is named, else the system's, if it has
 * one for this user, else the user's own.
 */
export function chooseSocket(
  uid: number,
  named: string | undefined,
  environment: NodeJS.ProcessEnv,
): string {
  if (uid === 0) return named ?? SYSTEM_SOCKET;
  const shared = userSocket(named ?? SYSTEM_SOCKET, uid);
  if (statOf(shared) !== undefined) return shared;
  return named ?? ownSocket(uid, environment);
}

/** Refuses a socket that is not this user's or root's: somebody may be waiting there for others. */
export function checkSocket(path: string, uid: number): void {
  const stats = statOf(path);
  if (stats === undefined) return;
  if (!stats.isSocket()) throw new VmmError('EINVAL', `${path} is not a socket.`);
  if (stats.uid !== uid && stats.uid !== 0) {
    throw new VmmError('EPERM', `${path} belongs to user ${stats.uid}: it is not connected to.`);
  }
}

/**
 * Prepares the folder of a socket of the user `uid`: makes it for this user alone when it is not
 * there, and refuses one in which others could replace the socket.
 */
export function prepareFolder(path: string, uid: number): void {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    throw new VmmError('EINVAL', `The path of a socket is too long: ${path}`);
  }
  const folder = dirname(path);
  try {
    mkdirSync(folder, { mode: 0o700, recursive: true });
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new VmmError('EACCES', `Cannot make the folder ${folder}: ${reason}.`, { cause });
  }
  // It may be a link to a folder, as /var/run is; both must be in the right hands.
  for (const place of [folder, realpathSync(folder)]) checkFolder(place, uid);
}

function checkFolder(folder: string, uid: number): void {
  const stats = lstatSync(folder);
  if (stats.uid !== uid && stats.uid !== 0) {
    throw new VmmError('EPERM', `The folder ${folder} belongs to user ${stats.uid}.`);
  }
  if (stats.isSymbolicLink()) return;
  if (!stats.isDirectory()) throw new VmmError('ENOTDIR', `${folder} is not a folder.`);
  if ((stats.mode & S_IWOTH_S_IWGRP) !== 0 && (stats.mode & S_ISVTX) === 0) {
    throw new VmmError('EPERM', `Others can write to the folder ${folder}.`);
  }
}
