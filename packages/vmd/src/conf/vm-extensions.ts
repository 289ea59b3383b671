// Options of a vm that OpenBSD does not have: "initrd", "cmdline", "engine", "jit", "cpu",
// "forward".
//
// None of these words is reserved. They are options only where a line of a vm's block starts, and
// there OpenBSD's grammar has no word that is not reserved; so no file of OpenBSD's changes its
// meaning, and macros and names may be called like this.

import { isIP } from 'node:net';
import { CPU_MODELS, ENGINES, JIT_MODES } from 'vmm-node/options';
import type { Forward } from './configuration.ts';
import { byteLength, type Context, realPath } from './context.ts';
import { COMMAND_LINE_BYTES_MAX, FORWARDS_MAX } from './limits.ts';
import type { VmDraft } from './vm-draft.ts';

type Rule = (context: Context, draft: VmDraft) => void;

/** The options, by the word that they start with. The word has been taken. */
export const VM_EXTENSIONS: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['initrd', parseInitrd],
  ['cmdline', parseCmdline],
  ['engine', parseEngine],
  ['jit', parseJit],
  ['cpu', parseCpu],
  ['forward', parseForward],
]);

/** `initrd path`: a file to load beside the kernel. */
function parseInitrd(context: Context, draft: VmDraft): void {
  const { tokens } = context;
  const { text, position } = tokens.strings('a path');
  if (draft.initrd !== undefined) tokens.reject(position, 'initrd specified more than once');
  draft.initrd = realPath(context, text, position, 'initrd path not found');
}

/** `cmdline text`: the kernel's command line. */
function parseCmdline({ tokens }: Context, draft: VmDraft): void {
  const { text, position } = tokens.strings('a command line');
  if (draft.cmdline !== undefined) tokens.reject(position, 'cmdline specified more than once');
  if (byteLength(text) > COMMAND_LINE_BYTES_MAX) tokens.reject(position, 'cmdline too long');
  draft.cmdline = text;
}

/** `engine name`. */
function parseEngine({ tokens }: Context, draft: VmDraft): void {
  const { text, position } = tokens.string('an engine');
  const engine = ENGINES.find((candidate) => candidate === text);
  if (draft.engine !== undefined) tokens.reject(position, 'engine specified more than once');
  draft.engine =
    engine ?? tokens.reject(position, `unknown engine: ${text} (there is: ${ENGINES.join(', ')})`);
}

/** `jit mode`. */
function parseJit({ tokens }: Context, draft: VmDraft): void {
  const { text, position } = tokens.string('a mode');
  const mode = JIT_MODES.find((candidate) => candidate === text);
  if (draft.jit !== undefined) tokens.reject(position, 'jit specified more than once');
  draft.jit =
    mode ?? tokens.reject(position, `unknown mode: ${text} (one of: ${JIT_MODES.join(', ')})`);
}

/** `cpu model`. */
function parseCpu({ tokens }: Context, draft: VmDraft): void {
  const { text, position } = tokens.string('a model');
  const model = CPU_MODELS.find((candidate) => candidate === text);
  if (draft.cpu !== undefined) tokens.reject(position, 'cpu specified more than once');
  draft.cpu =
    model ?? tokens.reject(position, `unknown model: ${text} (one of: ${CPU_MODELS.join(', ')})`);
}

/** `forward [address:]port:port[/protocol]`. */
function parseForward({ tokens }: Context, draft: VmDraft): void {
  const { text, position } = tokens.strings('[address:]port:port');
  const forward = readForward(text) ?? tokens.reject(position, `invalid forward: ${text}`);
  const isSame = (other: Forward): boolean =>
    other.protocol === forward.protocol &&
    other.hostAddress === forward.hostAddress &&
    other.hostPort === forward.hostPort;
  if (draft.forwards.some(isSame)) {
    tokens.reject(position, `forward specified more than once: ${text}`);
  }
  if (draft.forwards.length === FORWARDS_MAX) {
    tokens.reject(position, `too many forwards: ${FORWARDS_MAX + 1}`);
  }
  draft.forwards.push(forward);
}

/** An IPv6 address is in brackets. Without an address it is the host's own, 127.0.0.1. */
function readForward(text: string): Forward | undefined {
  const pattern = /^(?:(?:\[([\da-f:.]+)\]|([\d.]+)):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/i;
  const [, v6, v4, host, guest, protocol = 'tcp'] = pattern.exec(text) ?? [];
  const [hostPort, guestPort] = [Number(host), Number(guest)];
  const isPort = (port: number): boolean => port >= 1 && port <= 65535;
  if (!isPort(hostPort) || !isPort(guestPort)) return undefined;
  const hostAddress = v6 ?? v4 ?? '127.0.0.1';
  if (isIP(hostAddress) !== (v6 === undefined ? 4 : 6)) return undefined;
  return {
    protocol: protocol.toLowerCase() === 'udp' ? 'udp' : 'tcp',
    hostAddress: hostAddress.toLowerCase(),
    hostPort,
    guestPort,
  };
}
