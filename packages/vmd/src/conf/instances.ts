// Instances: vms made after another one, by root or by those whom "allow instance" of the other one
// names. What an instance does not say it inherits, but for what only one vm can have: disks, tap
// interfaces and link layer addresses, and forwarded ports, which are an extension.

import { VmmError } from 'vmm/errors';
import { type Accounts, isMember } from './accounts.ts';
import type { InstanceOption, InterfaceConfig, Owner, VmConfig } from './configuration.ts';
import { padInterfaces, type VmDraft } from './vm-draft.ts';

/** Whether the user `uid` has the rights of `owner`: root, the user, or one of the group. */
export function hasRights(accounts: Accounts, owner: Owner | null, uid: number): boolean {
  if (uid === 0) return true;
  if (owner === null) return false;
  return owner.uid === uid || (owner.gid !== null && isMember(accounts, uid, owner.gid));
}

/**
 * The vm that `draft` describes as an instance of `parent`, made by the user `uid`. EPERM for what
 * the parent does not allow, EBUSY for what the parent has and cannot be had twice.
 */
export function makeInstance(
  parent: VmConfig,
  draft: VmDraft,
  uid: number,
  accounts: Accounts,
): VmConfig {
  if (!hasRights(accounts, parent.allow.owner, uid)) {
    throw new VmmError('EPERM', 'no permission to create vm instance');
  }
  checkAllowed(parent, draft, uid);
  checkExclusive(parent, draft);
  const passesOn = parent.allow.options.includes('instance');
  return {
    name: draft.name,
    parent: parent.name,
    enabled: draft.enabled,
    owner: instanceOwner(parent, draft, uid),
    allow: passesOn ? parent.allow : { options: [], owner: null },
    memoryBytes: draft.memoryBytes ?? parent.memoryBytes,
    boot: draft.boot ?? parent.boot,
    bootDevice: draft.bootDevice ?? parent.bootDevice,
    cdrom: draft.cdrom ?? parent.cdrom,
    disks: draft.disks,
    interfaces: instanceInterfaces(parent, draft),
    sev: draft.sev ?? parent.sev,
    initrd: draft.initrd ?? parent.initrd,
    cmdline: draft.cmdline ?? parent.cmdline,
    engine: draft.engine ?? parent.engine,
    jit: draft.jit ?? parent.jit,
    cpu: draft.cpu ?? parent.cpu,
    forwards: draft.forwards,
  };
}

/** Refuses what the parent does not let a user other than root set. */
function checkAllowed(parent: VmConfig, draft: VmDraft, uid: number): void {
  // Not even root: an instance has its parent's permissions, or none.
  if (draft.allowOptions !== undefined || draft.allowOwner !== undefined) {
    throw new VmmError('EPERM', 'cannot change instance permissions');
  }
  if (uid === 0) return;
  const check = (option: InstanceOption, isSet: boolean, what: string): void => {
    if (!isSet || parent.allow.options.includes(option)) return;
    throw new VmmError('EPERM', `no permission to set ${what}`);
  };
  const { interfaces, interfaceCount, forwards, boot, initrd, cmdline, bootDevice } = draft;
  const network = interfaces.length + forwards.length > 0 || interfaceCount !== undefined;
  const image = [boot, initrd, cmdline, bootDevice].some((setting) => setting !== undefined);
  check('memory', draft.memoryBytes !== undefined, 'memory');
  check('disk', draft.disks.length > 0, 'disks');
  check('interface', network, 'interfaces');
  check('boot', image, 'boot image');
  check('cdrom', draft.cdrom !== undefined, 'cdrom');
}

/** Refuses what the parent has already. */
function checkExclusive(parent: VmConfig, draft: VmDraft): void {
  for (const { path } of draft.disks) {
    if (parent.disks.some((disk) => disk.path === path)) {
      throw new VmmError('EBUSY', `disk ${path} cannot be reused`);
    }
  }
  for (const { lladdr, tap } of draft.interfaces) {
    if (lladdr !== null && parent.interfaces.some((other) => other.lladdr === lladdr)) {
      throw new VmmError('EBUSY', `lladdr ${lladdr} cannot be reused`);
    }
    if (tap !== null && parent.interfaces.some((other) => other.tap === tap)) {
      throw new VmmError('EBUSY', `${tap} cannot be reused`);
    }
  }
}

/** The parent's owner, unless root names another or a user names themself. */
function instanceOwner(parent: VmConfig, { owner }: VmDraft, uid: number): Owner {
  if (owner === undefined) return parent.owner;
  if (uid === 0) return owner;
  if (owner.uid !== uid && owner.uid !== parent.owner.uid) {
    throw new VmmError('EPERM', 'user mismatch');
  }
  if (owner.gid !== null && owner.gid !== parent.owner.gid) {
    throw new VmmError('EPERM', 'group mismatch');
  }
  return owner;
}

/** The draft's interfaces, then those that the parent has more. */
function instanceInterfaces(parent: VmConfig, draft: VmDraft): InterfaceConfig[] {
  const inherited = parent.interfaces.slice(draft.interfaces.length);
  const copies = inherited.map((original) => ({ ...original, tap: null, lladdr: null }));
  return padInterfaces([...draft.interfaces, ...copies], draft.interfaceCount ?? 0);
}
