// The sockets that the system's vmd has for its users: one for each who has any rights, be it as
// the socket's owner, a machine's, or as one who may make instances, in a folder beside root's.

import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { VmmError } from 'vmm/errors';
import { type Accounts, isMember } from '../conf/accounts.ts';
import type { GlobalConfig, Owner } from '../conf/configuration.ts';
import { userFolder, userSocket } from '../control/socket-place.ts';
import type { ControlServer } from './control-server.ts';
import type { Log } from './log.ts';
import type { VirtualMachine } from './virtual-machine.ts';

/** As many users as have a socket at most: the others are logged. */
const USERS_MAX = 256;

/** The users, but root, who have rights by `owners`. */
export function usersOf(accounts: Accounts, owners: readonly (Owner | null)[]): number[] {
  const uids = new Set<number>();
  for (const owner of owners) {
    if (owner === null) continue;
    uids.add(owner.uid);
    const { gid } = owner;
    // Root's own group has no rights but the ones that a file gives it by name.
    if (gid === null || gid === 0) continue;
    for (const { uid } of accounts.users) if (isMember(accounts, uid, gid)) uids.add(uid);
  }
  uids.delete(0);
  return [...uids];
}

/** The users' sockets of one vmd of root's. */
export class UserSockets {
  private readonly server: ControlServer;
  private readonly path: string;
  private readonly log: Log;

  /** `path` is that of root's own socket. */
  constructor(server: ControlServer, path: string, log: Log) {
    this.server = server;
    this.path = path;
    this.log = log;
  }

  /** Makes the sockets that there should be, and removes those that there should not. */
  open(accounts: Accounts, global: GlobalConfig, vms: readonly VirtualMachine[]): void {
    const owners = vms.flatMap(({ config }) => [config.owner, config.allow.owner]);
    const uids = usersOf(accounts, [global.socketOwner, ...owners]);
    if (uids.length > USERS_MAX) {
      this.log.info(`${uids.length} users have rights: only ${USERS_MAX} have a socket`);
    }
    const wanted = new Map(
      uids.slice(0, USERS_MAX).map((uid) => [userSocket(this.path, uid), uid]),
    );
    for (const path of this.server.paths) {
      if (path !== this.path && !wanted.has(path)) this.server.close(path);
    }
    if (wanted.size > 0) this.makeFolder();
    for (const [path, uid] of wanted) {
      if (this.server.paths.includes(path)) continue;
      this.server.listen(path, { uid, isAdmin: false }, uid).catch((error: Error) => {
        this.log.info(`no socket for user ${uid}: ${error.message}`);
      });
    }
  }

  /** Removes what a vmd that was killed has left. Before the first {@link open}. */
  clear(): void {
    rmSync(userFolder(this.path), { recursive: true, force: true });
  }

  /** All may pass through it, and nobody but root may change it. */
  private makeFolder(): void {
    const folder = userFolder(this.path);
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    const stats = lstatSync(folder);
    if (!stats.isDirectory() || stats.uid !== 0) {
      throw new VmmError('EPERM', `${folder} is not a folder of root's.`);
    }
    chmodSync(folder, 0o755);
  }
}
