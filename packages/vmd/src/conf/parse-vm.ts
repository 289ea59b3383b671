// `vm "name" { ... }` and `vm "parent" instance "name" { ... }`: the block of a virtual machine.

import { VmmError } from 'vmm/errors';
import { BOOT_DEVICES } from 'vmm-node/options';
import { scanScaled } from '../scan-scaled.ts';
import { type DiskFormat, INSTANCE_OPTIONS, type InstanceOption } from './configuration.ts';
import { byteLength, type Context, realPath } from './context.ts';
import type { Position } from './diagnostics.ts';
import {
  DISKS_MAX,
  INTERFACES_MAX,
  MEMORY_MAX_BYTES,
  MEMORY_UNIT_BYTES,
  NAME_BYTES_MAX,
  PATH_BYTES_MAX,
} from './limits.ts';
import { parseInterface } from './parse-interface.ts';
import { parseOwner } from './parse-owner.ts';
import { emptyDraft, type VmDraft } from './vm-draft.ts';
import { VM_EXTENSIONS } from './vm-extensions.ts';

/** A vm of a file. */
export interface ParsedVm {
  readonly draft: VmDraft;
  /** There are no mistakes in it; those that there are have been reported. */
  readonly isGood: boolean;
  /** Where its block ends. */
  readonly closing: Position;
}

/** Parses a vm. */
export function parseVm(context: Context): ParsedVm {
  const { tokens } = context;
  tokens.expect('vm');
  const first = tokens.strings('the name of the vm');
  const second = tokens.accept('instance') ? tokens.strings('the name of the instance') : undefined;
  const { text: name, position } = second ?? first;
  const parent = second === undefined ? null : first.text;
  let isGood = true;
  if (parent !== null && byteLength(parent) > NAME_BYTES_MAX) {
    tokens.diagnostics.error(first.position, `vm ${parent} name too long`);
    isGood = false;
  }
  if (byteLength(name) > NAME_BYTES_MAX) {
    tokens.diagnostics.error(position, 'vm name too long');
    isGood = false;
  }
  const draft = emptyDraft(name, parent);
  const { closing, isClean } = tokens.block(() => parseOption(context, draft));
  return { draft, isGood: isGood && isClean, closing };
}

type Rule = (context: Context, draft: VmDraft) => void;

/** The options, by the keyword that they start with. */
const OPTIONS: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['enable', parseEnable],
  ['disable', parseEnable],
  ['allow', parseAllow],
  ['boot', parseBoot],
  ['cdrom', parseCdrom],
  ['disk', parseDisk],
  ['local', parseNetwork],
  ['interface', parseNetwork],
  ['interfaces', parseInterfaceCount],
  ['memory', parseMemory],
  ['owner', parseVmOwner],
  ['sev', parseSev],
  ['seves', parseSev],
]);

function parseOption(context: Context, draft: VmDraft): void {
  const { tokens } = context;
  const { kind, text } = tokens.peek();
  const rule = kind === 'keyword' ? OPTIONS.get(text) : undefined;
  const extension = kind === 'string' ? VM_EXTENSIONS.get(text) : undefined;
  if (rule !== undefined) {
    rule(context, draft);
  } else if (extension !== undefined) {
    tokens.take();
    extension(context, draft);
  } else {
    tokens.unexpected(text === '}' ? 'at least one option' : 'an option of a vm');
  }
}

function parseEnable({ tokens }: Context, draft: VmDraft): void {
  draft.enabled = tokens.take().text === 'enable';
}

/** `allow instance option` or `allow instance { option[,] ... }`. */
function parseAllow(context: Context, draft: VmDraft): void {
  const { tokens } = context;
  tokens.expect('allow');
  tokens.expect('instance');
  draft.allowOptions ??= new Set();
  if (!tokens.at('{')) {
    parseAllowed(context, draft, draft.allowOptions);
    return;
  }
  const { allowOptions } = draft;
  tokens.braced(() => {
    tokens.skipNewlines();
    for (;;) {
      parseAllowed(context, draft, allowOptions);
      const isSeparated = tokens.accept(',');
      const isNewLine = tokens.peek().kind === 'newline';
      tokens.skipNewlines();
      if (tokens.at('}') && !isSeparated) return;
      if (!isSeparated && !isNewLine) tokens.unexpected("',', a new line or '}'");
    }
  });
}

function parseAllowed(context: Context, draft: VmDraft, options: Set<InstanceOption>): void {
  const { tokens } = context;
  if (tokens.accept('owner')) {
    draft.allowOwner = parseOwner(context);
    return;
  }
  const found = INSTANCE_OPTIONS.find((candidate) => tokens.at(candidate));
  const option = found ?? tokens.unexpected('an option of instances');
  tokens.take();
  options.add(option);
}

/** `boot path` or `boot device name`. */
function parseBoot(context: Context, draft: VmDraft): void {
  const { tokens } = context;
  tokens.expect('boot');
  if (tokens.accept('device')) {
    const found = BOOT_DEVICES.find((candidate) => tokens.at(candidate));
    const device = found ?? tokens.unexpected("'cdrom', 'disk' or 'net'");
    tokens.take();
    draft.bootDevice = device;
    return;
  }
  const { text, position } = tokens.strings("a path or 'device'");
  if (draft.boot !== undefined) tokens.reject(position, 'kernel specified more than once');
  const path = realPath(context, text, position, 'kernel path not found');
  if (byteLength(path) > PATH_BYTES_MAX) tokens.reject(position, 'kernel name too long');
  draft.boot = path;
}

/** `cdrom path`: whether it exists is seen when the vm starts, as media come and go. */
function parseCdrom({ tokens, files }: Context, draft: VmDraft): void {
  tokens.expect('cdrom');
  const { text, position } = tokens.strings('a path');
  if (draft.cdrom !== undefined) tokens.reject(position, 'cdrom specified more than once');
  if (byteLength(text) > PATH_BYTES_MAX) tokens.reject(position, 'cdrom name too long');
  draft.cdrom = files.resolve(text);
}

const DISK_FORMATS: readonly DiskFormat[] = ['raw', 'qcow2'];

/** `disk path [format name]`. */
function parseDisk(context: Context, draft: VmDraft): void {
  const { tokens } = context;
  tokens.expect('disk');
  const { text, position } = tokens.strings('a path');
  let format: DiskFormat = 'auto';
  if (tokens.accept('format')) {
    const { text: word, position: place } = tokens.strings('a format');
    const found = DISK_FORMATS.find((candidate) => candidate === word.toLowerCase());
    format = found ?? tokens.reject(place, `unrecognized disk format ${word}`);
  }
  const complaint = `failed to parse disks: ${text}`;
  if (draft.disks.length === DISKS_MAX) tokens.reject(position, `${complaint}: too many disks`);
  const path = realPath(context, text, position, complaint);
  if (byteLength(path) > PATH_BYTES_MAX) {
    tokens.reject(position, `${complaint}: disk path too long`);
  }
  draft.disks.push({ path, format });
}

function parseNetwork(context: Context, draft: VmDraft): void {
  const { position } = context.tokens.peek();
  const parsed = parseInterface(context);
  const count = draft.interfaces.length + 1;
  if (count > INTERFACES_MAX) context.tokens.reject(position, `too many interfaces: ${count}`);
  draft.interfaces.push(parsed);
}

/** `interfaces count`: how many there are at least; once, but that 0 counts as not said. */
function parseInterfaceCount({ tokens }: Context, draft: VmDraft): void {
  const { position } = tokens.expect('interfaces');
  const count = tokens.number('a number', 0, INTERFACES_MAX, 'too many interfaces');
  if (draft.interfaceCount) tokens.reject(position, 'interfaces specified more than once');
  draft.interfaceCount = count;
}

/** `memory size`: bytes, with or without a scale, rounded down to megabytes. */
function parseMemory({ tokens }: Context, draft: VmDraft): void {
  tokens.expect('memory');
  const token = tokens.peek();
  const { text, position } = token;
  if (token.kind !== 'number' && token.kind !== 'string') tokens.unexpected('a size');
  tokens.take();
  if (draft.memoryBytes !== undefined) tokens.reject(position, 'memory specified more than once');
  const reject = (reason: string): never =>
    tokens.reject(position, `failed to parse size: ${text}: ${reason}`);
  const scanned = token.kind === 'number' ? Number(token.value) : scanMemory(text);
  const bytes = scanned ?? reject('invalid memory size');
  if (bytes < MEMORY_UNIT_BYTES) reject('memory size must be at least 1MB');
  if (bytes > MEMORY_MAX_BYTES) {
    reject(`memory size too large (limit is ${MEMORY_MAX_BYTES / 1024 ** 3}G)`);
  }
  const megabytes = Math.floor(bytes / MEMORY_UNIT_BYTES);
  draft.memoryBytes = megabytes * MEMORY_UNIT_BYTES;
  if (draft.memoryBytes !== bytes) {
    tokens.diagnostics.note(position, `memory size rounded to ${megabytes}M`);
  }
}

function scanMemory(text: string): number | undefined {
  try {
    return scanScaled(text, 'memory size');
  } catch (error) {
    if (error instanceof VmmError) return undefined;
    throw error;
  }
}

function parseVmOwner(context: Context, draft: VmDraft): void {
  context.tokens.expect('owner');
  draft.owner = parseOwner(context);
}

/** `sev` or `seves`, of which the second includes the first. */
function parseSev({ tokens }: Context, draft: VmDraft): void {
  const word = tokens.take().text === 'seves' ? 'seves' : 'sev';
  if (draft.sev !== 'seves') draft.sev = word;
}
