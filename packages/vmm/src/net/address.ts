// Addresses of IPv4 (RFC 791), IPv6 (RFC 4291) and Ethernet: their text, and what kind they are.
// An IP address is an array of 4 or 16 bytes.

import { get16, sameBytes } from './bytes.ts';

/** 4 or 16 bytes. */
export type IpAddress = Uint8Array;

/** Addresses that begin with the same bits. */
export interface Prefix {
  readonly address: IpAddress;
  /** How many bits count. */
  readonly length: number;
}

/** Where a packet goes to or comes from. */
export interface Endpoint {
  readonly address: IpAddress;
  /** 0 to 65535. */
  readonly port: number;
}

const WORDS_IPV6 = 8;

/** The address that `text` is, as RFC 4291, section 2.2, or a dotted quad; else undefined. */
export function parseIp(text: string): IpAddress | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): IpAddress | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  // A leading zero would be octal to some.
  if (!parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) {
    return undefined;
  }
  return new Uint8Array(parts.map(Number));
}

function parseIpv6(text: string): IpAddress | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const words = halves.map((half) => (half === '' ? [] : half.split(':').flatMap(parseWords)));
  const count = words.reduce((total, half) => total + half.length, 0);
  if (words.flat().some((word) => word < 0)) return undefined;
  if (halves.length === 1 ? count !== WORDS_IPV6 : count >= WORDS_IPV6) return undefined;
  const [head, tail = []] = words;
  const all = [...head, ...new Array(WORDS_IPV6 - count).fill(0), ...tail];
  return new Uint8Array(all.flatMap((word) => [word >> 8, word & 0xff]));
}

/** The words of one part between colons: one, two for a dotted quad, or -1. */
function parseWords(part: string): number[] {
  if (/^[0-9a-f]{1,4}$/i.test(part)) return [Number.parseInt(part, 16)];
  const quad = parseIpv4(part);
  return quad === undefined ? [-1] : [get16(quad, 0), get16(quad, 2)];
}

/** The text of an address, IPv6 as RFC 5952 wants it. */
export function formatIp(address: IpAddress): string {
  if (address.length === 4) return address.join('.');
  const words = Array.from({ length: WORDS_IPV6 }, (_, i) => get16(address, i * 2));
  let best = { from: 0, length: 1 };
  for (let from = 0; from < WORDS_IPV6; from++) {
    let length = 0;
    while (words[from + length] === 0) length++;
    if (length > best.length) best = { from, length };
  }
  const hex = (part: number[]): string => part.map((word) => word.toString(16)).join(':');
  if (best.length === 1) return hex(words);
  return `${hex(words.slice(0, best.from))}::${hex(words.slice(best.from + best.length))}`;
}

/** The prefix that `text` is, as `100.64.0.0/10`; undefined unless it is one. */
export function parsePrefix(text: string): Prefix | undefined {
  const [, addressText = '', lengthText = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const address = parseIp(addressText);
  const length = Number(lengthText);
  if (address === undefined || lengthText === '' || length > address.length * 8) return undefined;
  return { address, length };
}

/** Whether the address at `at` of `bytes`, of the family of `prefix`, begins with it. */
export function inPrefix(bytes: Uint8Array, at: number, prefix: Prefix): boolean {
  const whole = prefix.length >> 3;
  if (!sameBytes(bytes, at, prefix.address, 0, whole)) return false;
  const rest = prefix.length & 7;
  if (rest === 0) return true;
  return (bytes[at + whole] ^ prefix.address[whole]) >> (8 - rest) === 0;
}

/** Whether the addresses are the same. */
export function sameIp(a: IpAddress, b: IpAddress): boolean {
  return a.length === b.length && sameBytes(a, 0, b, 0, a.length);
}
