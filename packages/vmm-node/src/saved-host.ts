// What of the host a suspended machine needs again, as a section of its file: disks and kernel by
// their paths, the networks of its interfaces. Whoever restores it may take this, or know better.

import { resolve } from 'node:path';
import type { SavedValue } from 'vmm';
import {
  bytes,
  flag,
  later,
  list,
  type SavedFields,
  savedFields,
  text,
  u16,
  u32,
  whole,
} from 'vmm/saved-state';
import type { OpenInterface } from './local-network.ts';
import type { RunForward, RunNetwork, RunNumbering, RunOptions } from './run-options.ts';

const PATH_LENGTH_MAX = 4096;
const TEXT_LENGTH_MAX = 65536;
const MAC_BYTES = 6;
const DEVICES_MAX = 32;
const FORWARDS_MAX = 1024;

/** A disk, by reference. */
export interface SavedDisk {
  readonly path: string;
  /** Empty when it is found out from the image. */
  readonly format: string;
  readonly readOnly: boolean;
}

interface SavedForward {
  readonly isUdp: boolean;
  readonly address: readonly number[];
  readonly port: number;
  readonly guestPort: number;
}

interface SavedNetwork {
  readonly prefix: readonly number[];
  readonly prefixLength: number;
  readonly vmId: number;
  /** Empty without IPv6. */
  readonly prefix6: readonly number[];
  readonly nat: boolean;
  readonly inet6: boolean;
  readonly hostLoopback: boolean;
  readonly forwards: readonly SavedForward[];
}

interface SavedInterface {
  readonly mac: Uint8Array;
  /** None when the cable is unplugged. */
  readonly network: readonly SavedNetwork[];
}

/** The section. */
export interface SavedHost {
  readonly disks: readonly SavedDisk[];
  /** The disc in the CD-ROM drive, by its path; none without a drive. */
  readonly cdrom: readonly string[];
  readonly bootDevice: string;
  readonly interfaces: readonly SavedInterface[];
  /** What a reset boots. */
  readonly kernel: string;
  /** The strings of the modules, which begin with their paths. */
  readonly modules: readonly string[];
  readonly commandLine: string;
  readonly exitPort: boolean;
  readonly noReboot: boolean;
}

const ADDRESS = list(whole(0, 255), 0, 16);

const NETWORK: SavedFields<SavedNetwork> = savedFields<SavedNetwork>({
  prefix: ADDRESS,
  prefixLength: whole(0, 128),
  vmId: u32,
  prefix6: ADDRESS,
  nat: flag,
  inet6: flag,
  hostLoopback: flag,
  forwards: list(
    savedFields<SavedForward>({ isUdp: flag, address: ADDRESS, port: u16, guestPort: u16 }),
    0,
    FORWARDS_MAX,
  ),
});

const HOST: SavedFields<SavedHost> = savedFields<SavedHost>({
  disks: list(
    savedFields<SavedDisk>({ path: text(PATH_LENGTH_MAX), format: text(16), readOnly: flag }),
    0,
    DEVICES_MAX,
  ),
  cdrom: later(list(text(PATH_LENGTH_MAX), 0, 1), []),
  bootDevice: later(text(16), 'auto'),
  interfaces: list(
    savedFields<SavedInterface>({ mac: bytes(MAC_BYTES), network: list(NETWORK, 0, 1) }),
    0,
    DEVICES_MAX,
  ),
  kernel: text(PATH_LENGTH_MAX),
  modules: list(text(TEXT_LENGTH_MAX), 0, DEVICES_MAX),
  commandLine: text(TEXT_LENGTH_MAX),
  exitPort: flag,
  noReboot: flag,
});

/** The section of a machine that runs with `options`. */
export function saveHost(options: RunOptions, interfaces: readonly OpenInterface[]): SavedValue {
  return HOST.encode({
    disks: options.disks.map(({ path, format = '', readOnly }) => {
      return { path: resolve(path), format, readOnly };
    }),
    cdrom: options.cdrom === undefined ? [] : [resolve(options.cdrom)],
    bootDevice: options.bootDevice ?? 'auto',
    interfaces: interfaces.map(({ mac, network, numbering }) => ({
      mac,
      network: network && numbering ? [savedNetwork(network, numbering)] : [],
    })),
    kernel: options.kernelPath === '' ? '' : resolve(options.kernelPath),
    modules: options.modules.map(({ commandLine }) => commandLine),
    commandLine: options.commandLine,
    exitPort: options.exitPort,
    noReboot: options.noReboot,
  });
}

/** What a section says. EINVAL when it makes no sense. */
export function loadHost(saved: SavedValue): SavedHost {
  return HOST.decode(saved, 'Section "~host"');
}

function savedNetwork(network: RunNetwork, numbering: RunNumbering): SavedNetwork {
  const { nat, inet6, hostLoopback, forwards } = network;
  return {
    prefix: [...numbering.prefix.address],
    prefixLength: numbering.prefix.length,
    vmId: numbering.vmId,
    prefix6: [...(numbering.prefix6 ?? [])],
    nat,
    inet6,
    hostLoopback,
    forwards: forwards.map(({ protocol, at, guestPort }) => {
      const isUdp = protocol === 'udp';
      return { isUdp, address: [...at.address], port: at.port, guestPort };
    }),
  };
}

/** By what the guest knows its local interface; undefined for one that had no network. */
export function savedNumbering({ network: [network] }: SavedInterface): RunNumbering | undefined {
  if (network === undefined) return undefined;
  const { prefix, prefixLength, vmId, prefix6 } = network;
  return {
    prefix: { address: new Uint8Array(prefix), length: prefixLength },
    vmId,
    ...(prefix6.length === 16 && { prefix6: new Uint8Array(prefix6) }),
  };
}

/** A network as it was when the machine was saved. */
export function restoredNetwork(saved: SavedInterface): RunNetwork | undefined {
  const [network] = saved.network;
  const numbering = savedNumbering(saved);
  if (network === undefined || numbering === undefined) return undefined;
  const { nat, inet6, hostLoopback } = network;
  const forwards = network.forwards.map(({ isUdp, address, port, guestPort }): RunForward => {
    const at = { address: new Uint8Array(address), port };
    return { protocol: isUdp ? 'udp' : 'tcp', at, guestPort };
  });
  return { numbering, nat, inet6, hostLoopback, forwards };
}
