// `switch "name" { ... }`: a virtual switch, by the name of the host's interface that it is.

import type { SwitchConfig } from './configuration.ts';
import { byteLength, type Context } from './context.ts';
import type { Position } from './diagnostics.ts';
import { interfaceDriver, parseGroup, parseRdomain } from './interface-names.ts';
import { INTERFACE_NAME_BYTES_MAX, NAME_BYTES_MAX } from './limits.ts';

/** The drivers whose interfaces are switches: bridge(4) and veb(4). */
const SWITCH_DRIVERS: readonly string[] = ['bridge', 'veb'];

/** A switch of a file. */
export interface ParsedSwitch {
  readonly config: SwitchConfig;
  readonly enabled: boolean;
  /** Where its block ends. */
  readonly closing: Position;
}

/** Parses a switch; undefined when there are mistakes in it, which have been reported. */
export function parseSwitch(context: Context): ParsedSwitch | undefined {
  const { tokens } = context;
  tokens.expect('switch');
  const { text: name, position } = tokens.strings('the name of the switch');
  // A longer name could not be given to an interface.
  const isNameGood = byteLength(name) <= NAME_BYTES_MAX;
  if (!isNameGood) tokens.diagnostics.error(position, `switch name too long: ${name}`);
  const draft: Draft = {
    enabled: true,
    interface: undefined,
    group: null,
    locked: false,
    rdomain: null,
    up: true,
  };
  const { closing, isClean } = tokens.block(() => parseOption(context, draft));
  const { enabled, interface: device, ...options } = draft;
  if (device === undefined) {
    // Its line may have been one of those that were wrong.
    if (isClean) {
      tokens.diagnostics.error(closing, `switch "${name}" is missing interface name`);
    }
    return undefined;
  }
  if (!isClean || !isNameGood) return undefined;
  return { enabled, closing, config: { name, interface: device, ...options } };
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };
interface Draft extends Writable<Omit<SwitchConfig, 'name' | 'interface'>> {
  enabled: boolean;
  interface: string | undefined;
}

function parseOption(context: Context, draft: Draft): void {
  const { tokens } = context;
  const { text } = tokens.peek();
  if (tokens.at('enable') || tokens.at('disable')) {
    draft.enabled = tokens.take().text === 'enable';
  } else if (tokens.at('up') || tokens.at('down')) {
    draft.up = tokens.take().text === 'up';
  } else if (tokens.at('group')) {
    draft.group = parseGroup(context);
  } else if (tokens.at('rdomain')) {
    draft.rdomain = parseRdomain(context);
  } else if (tokens.at('interface')) {
    draft.interface = parseInterface(context);
  } else if (tokens.accept('locked')) {
    tokens.expect('lladdr');
    draft.locked = true;
  } else {
    tokens.unexpected(text === '}' ? 'at least one option' : 'an option of a switch');
  }
}

function parseInterface({ tokens }: Context): string {
  tokens.expect('interface');
  const { text, position } = tokens.strings('the name of an interface');
  if (!SWITCH_DRIVERS.includes(interfaceDriver(text) ?? '')) {
    tokens.reject(position, `invalid switch interface: ${text}`);
  }
  if (byteLength(text) > INTERFACE_NAME_BYTES_MAX) {
    tokens.reject(position, `switch interface too long: ${text}`);
  }
  return text;
}
