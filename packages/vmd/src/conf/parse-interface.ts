// `[local] interface [tap[N]] [options]`: a network interface of a vm. Options are in braces, or
// on the rest of the line.

import type { InterfaceConfig } from './configuration.ts';
import { byteLength, type Context } from './context.ts';
import { interfaceDriver, parseGroup, parseRdomain } from './interface-names.ts';
import { INTERFACE_NAME_BYTES_MAX, NAME_BYTES_MAX } from './limits.ts';

/** An interface about which nothing is said. */
export const INTERFACE_DEFAULT: InterfaceConfig = {
  tap: null,
  local: false,
  switch: null,
  group: null,
  lladdr: null,
  locked: false,
  rdomain: null,
  up: true,
};

type Draft = { -readonly [K in keyof InterfaceConfig]: InterfaceConfig[K] };

/** Parses an interface. */
export function parseInterface(context: Context): InterfaceConfig {
  const { tokens } = context;
  const draft: Draft = { ...INTERFACE_DEFAULT, local: tokens.accept('local') };
  tokens.expect('interface');
  if (tokens.peek().kind === 'string') draft.tap = parseTap(context);
  if (tokens.at('{')) parseBraced(context, draft);
  else parseLine(context, draft);
  return draft;
}

/** `tap` for the next one that is free, or the name of one. */
function parseTap({ tokens }: Context): string | null {
  const { text, position } = tokens.string('a tap interface');
  if (text === 'tap') return null;
  if (interfaceDriver(text) !== 'tap') tokens.reject(position, `invalid interface: ${text}`);
  if (byteLength(text) > INTERFACE_NAME_BYTES_MAX) {
    tokens.reject(position, `interface name too long: ${text}`);
  }
  return text;
}

/** `{ option ... }`, where newlines are of no matter. */
function parseBraced(context: Context, draft: Draft): void {
  const { tokens } = context;
  tokens.braced(() => {
    do {
      tokens.skipNewlines();
      if (!parseOption(context, draft)) tokens.unexpected('an option of an interface');
      tokens.skipNewlines();
    } while (!tokens.at('}'));
  });
}

/** Options on the line, with or without commas between them. */
function parseLine(context: Context, draft: Draft): void {
  while (parseOption(context, draft)) context.tokens.accept(',');
}

/** Parses an option; false when there is none. */
function parseOption(context: Context, draft: Draft): boolean {
  const { tokens } = context;
  if (tokens.accept('switch')) {
    const { text, position } = tokens.strings('the name of a switch');
    if (byteLength(text) > NAME_BYTES_MAX) {
      tokens.reject(position, `switch name too long: ${text}`);
    }
    draft.switch = text;
  } else if (tokens.at('group')) {
    draft.group = parseGroup(context);
  } else if (tokens.at('rdomain')) {
    draft.rdomain = parseRdomain(context);
  } else if (tokens.at('up') || tokens.at('down')) {
    draft.up = tokens.take().text === 'up';
  } else if (tokens.at('locked') || tokens.at('lladdr')) {
    if (tokens.accept('locked')) draft.locked = true;
    tokens.expect('lladdr');
    draft.lladdr = parseAddress(context);
  } else {
    return false;
  }
  return true;
}

/** Six octets as ether_aton(3) reads them, written with two digits each; none, or zero, is null. */
function parseAddress({ tokens }: Context): string | null {
  if (tokens.peek().kind !== 'string') return null;
  const { text, position } = tokens.string('an address');
  if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text)) {
    tokens.reject(position, `invalid address: ${text}`);
  }
  const octets = text.split(':').map((octet) => octet.toLowerCase().padStart(2, '0'));
  return octets.every((octet) => octet === '00') ? null : octets.join(':');
}
