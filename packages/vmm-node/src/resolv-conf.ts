// The host's resolvers: the "nameserver" lines of resolv.conf(5).

import { readFileSync } from 'node:fs';
import { type Endpoint, type IpAddress, parseIp } from 'vmm';

const DNS_PORT = 53;
/** resolv.conf(5): MAXNS; more lines are not used. */
const NAMESERVERS_MAX = 3;
/** The file changes when the host moves from one network to another. */
const AGE_MS_MAX = 5000;

/** The addresses that `text` names, in order. */
export function parseResolvConf(text: string): IpAddress[] {
  const addresses: IpAddress[] = [];
  for (const line of text.split('\n')) {
    const word = /^\s*nameserver\s+([^\s#;]+)/.exec(line)?.[1];
    // A zone after "%" is for link-local addresses, which need it; there is no place for it here.
    const address = word === undefined || word.includes('%') ? undefined : parseIp(word);
    if (address !== undefined) addresses.push(address);
  }
  return addresses.slice(0, NAMESERVERS_MAX);
}

/** The resolvers of the file at `path`, read again when it may be out of date. */
export class ResolvConf {
  private readonly path: string;
  private readMs = Number.NEGATIVE_INFINITY;
  private endpoints: readonly Endpoint[] = [];

  constructor(path = '/etc/resolv.conf') {
    this.path = path;
  }

  /** In order of preference; the local host's when the file names none, as the C library does. */
  nameservers(): readonly Endpoint[] {
    const nowMs = performance.now();
    if (nowMs - this.readMs < AGE_MS_MAX) return this.endpoints;
    this.readMs = nowMs;
    let addresses: IpAddress[] = [];
    try {
      addresses = parseResolvConf(readFileSync(this.path, 'utf8'));
    } catch {
      // As if it were empty.
    }
    if (addresses.length === 0) addresses.push(new Uint8Array([127, 0, 0, 1]));
    this.endpoints = addresses.map((address) => ({ address, port: DNS_PORT }));
    return this.endpoints;
  }
}
