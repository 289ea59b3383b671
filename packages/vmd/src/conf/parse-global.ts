// The global settings: "local prefix", "local inet6", "socket owner", "staggered start", "agentx".
// A later setting replaces an earlier one.

import type { GlobalConfig } from './configuration.ts';
import { byteLength, type Context } from './context.ts';
import {
  AGENTX_CONTEXT_BYTES_MAX,
  AGENTX_PATH_BYTES_MAX,
  AGENTX_PATH_DEFAULT,
  LOCAL_PREFIX_DEFAULT,
  STAGGERED_MAX,
} from './limits.ts';
import { parseOwner } from './parse-owner.ts';
import { type PrefixResult, parsePrefix4, parsePrefix6 } from './prefixes.ts';

/** What holds unless a file says otherwise. */
export const GLOBAL_DEFAULT: GlobalConfig = {
  localPrefix: LOCAL_PREFIX_DEFAULT,
  localInet6: null,
  socketOwner: { uid: 0, gid: 0 },
  staggeredStart: null,
  agentx: null,
};

type Setting = Partial<GlobalConfig>;

const RULES: Readonly<Record<string, (context: Context) => Setting>> = {
  local: parseLocal,
  socket: parseSocket,
  staggered: parseStaggered,
  agentx: parseAgentx,
};

/** The rule of the setting that starts with the keyword `word`; undefined for other words. */
export function globalRule(word: string): ((context: Context) => Setting) | undefined {
  return Object.hasOwn(RULES, word) ? RULES[word] : undefined;
}

function parseLocal(context: Context): Setting {
  const { tokens } = context;
  tokens.expect('local');
  if (tokens.accept('prefix')) {
    return { localPrefix: parsePrefix(context, 'local prefix', parsePrefix4) };
  }
  if (!tokens.accept('inet6')) tokens.unexpected("'prefix' or 'inet6'");
  if (!tokens.accept('prefix')) return { localInet6: { prefix: null } };
  return { localInet6: { prefix: parsePrefix(context, 'local inet6 prefix', parsePrefix6) } };
}

function parsePrefix(
  { tokens }: Context,
  what: string,
  parse: (text: string) => PrefixResult,
): GlobalConfig['localPrefix'] {
  const { text, position } = tokens.string('address/length');
  const prefix = parse(text);
  if (!('reason' in prefix)) return prefix;
  return tokens.reject(position, `invalid ${what}: ${text}: ${prefix.reason}`);
}

function parseSocket(context: Context): Setting {
  context.tokens.expect('socket');
  context.tokens.expect('owner');
  const { uid, gid } = parseOwner(context);
  return { socketOwner: { uid, gid: gid ?? 0 } };
}

function parseStaggered({ tokens }: Context): Setting {
  tokens.expect('staggered');
  tokens.expect('start');
  tokens.expect('parallel');
  const parallel = tokens.number('a number', 1, STAGGERED_MAX, 'invalid parallelism');
  tokens.expect('delay');
  const delaySeconds = tokens.number('a number', 0, STAGGERED_MAX, 'invalid delay');
  return { staggeredStart: { parallel, delaySeconds } };
}

function parseAgentx({ tokens }: Context): Setting {
  tokens.expect('agentx');
  let context = '';
  let path = AGENTX_PATH_DEFAULT;
  for (;;) {
    if (tokens.accept('context')) {
      const { text, position } = tokens.string('a context');
      if (byteLength(text) > AGENTX_CONTEXT_BYTES_MAX) {
        tokens.reject(position, 'agentx context too large');
      }
      context = text;
    } else if (tokens.accept('path')) {
      const { text, position } = tokens.string('a path');
      if (byteLength(text) > AGENTX_PATH_BYTES_MAX) {
        tokens.reject(position, 'agentx path too large');
      }
      if (!text.startsWith('/')) tokens.reject(position, 'agentx path is not absolute');
      path = text;
    } else {
      return { agentx: { context, path } };
    }
  }
}
