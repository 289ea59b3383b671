// The conversation of vmctl(8) and vmd(8). A connection is one request and what comes of it: an
// answer, two of them when the request was to wait for something, or a console, whose bytes then go
// both ways until one side closes. Both sides check what they get.

import type { CpuModel, JitMode } from 'vmm';
import { type Errno, VmmError } from 'vmm/errors';
import { BOOT_DEVICES, CPU_MODELS, ENGINES, type EngineName, JIT_MODES } from 'vmm-node/options';
import type { BootDevice, DiskFormat } from '../conf/configuration.ts';
import {
  COMMAND_LINE_BYTES_MAX,
  DISKS_MAX,
  INTERFACES_MAX,
  MEMORY_MAX_BYTES,
  MEMORY_UNIT_BYTES,
  NAME_BYTES_MAX,
  PATH_BYTES_MAX,
  UID_MAX,
  VM_NAME_PATTERN,
} from '../conf/limits.ts';
import {
  boolean,
  type Check,
  either,
  integer,
  list,
  nullable,
  oneOf,
  optional,
  record,
  tagged,
  text,
} from './schema.ts';

/** Changes when an old program would misunderstand a new one. */
export const PROTOCOL_VERSION = 1;

/** VMM_MAX_VCPUS: of all virtual machines of a host. */
export const VMS_MAX = 512;
const ID_MAX = 0xffff_ffff;
const MESSAGE_BYTES_MAX = 4096;
const WARNINGS_MAX = 16;

/** A virtual machine: its number, or its name. */
export type Target = number | string;

/** What "vmctl start" says of a virtual machine; what is undefined is as in vm.conf(5). */
export interface StartOptions {
  readonly memoryBytes?: number | undefined;
  readonly boot?: string | undefined;
  readonly bootDevice?: BootDevice | undefined;
  readonly cdrom?: string | undefined;
  readonly disks?: readonly { readonly path: string; readonly format: DiskFormat }[] | undefined;
  readonly interfaceCount?: number | undefined;
  readonly local?: boolean | undefined;
  readonly switches?: readonly string[] | undefined;
  readonly template?: string | undefined;
  readonly initrd?: string | undefined;
  readonly cmdline?: string | undefined;
  readonly engine?: EngineName | undefined;
  readonly jit?: JitMode | undefined;
  readonly cpu?: CpuModel | undefined;
}

/** What can be reset. */
export const RESET_KINDS = ['all', 'switches', 'vms'] as const;
/** One of {@link RESET_KINDS}. */
export type ResetKind = (typeof RESET_KINDS)[number];
/** How much is logged. */
export const LOG_KINDS = ['brief', 'verbose'] as const;
/** One of {@link LOG_KINDS}. */
export type LogKind = (typeof LOG_KINDS)[number];

/** What vmctl(8) asks. */
export type Request =
  | { readonly command: 'status' }
  | { readonly command: 'reload' }
  | { readonly command: 'load'; readonly path: string }
  | { readonly command: 'reset'; readonly what: ResetKind }
  | { readonly command: 'log'; readonly how: LogKind }
  | {
      readonly command: 'start';
      readonly target: Target;
      readonly options: StartOptions;
      /** Whether the connection becomes the console. */
      readonly console: boolean;
    }
  | {
      readonly command: 'stop';
      readonly target: Target;
      readonly force: boolean;
      /** Whether a second answer says when it has stopped. */
      readonly wait: boolean;
    }
  | {
      readonly command: 'pause' | 'unpause' | 'wait' | 'console' | 'send';
      readonly target: Target;
    }
  | {
      readonly command: 'receive';
      readonly name: string;
      /** What it is, for a machine that there is not yet. */
      readonly options: StartOptions;
    };

const path = text(PATH_BYTES_MAX, /^\//);
const name = text(NAME_BYTES_MAX, VM_NAME_PATTERN);
const target: Check<Target> = either(integer(1, ID_MAX), name);
const DISK_FORMATS: readonly DiskFormat[] = ['auto', 'raw', 'qcow2'];

const startOptions: Check<StartOptions> = record<StartOptions>({
  memoryBytes: optional(integer(MEMORY_UNIT_BYTES, MEMORY_MAX_BYTES)),
  boot: optional(path),
  bootDevice: optional(oneOf(BOOT_DEVICES)),
  cdrom: optional(path),
  disks: optional(list(record({ path, format: oneOf(DISK_FORMATS) }), DISKS_MAX)),
  interfaceCount: optional(integer(0, INTERFACES_MAX)),
  local: optional(boolean),
  switches: optional(list(text(NAME_BYTES_MAX), INTERFACES_MAX)),
  template: optional(name),
  initrd: optional(path),
  cmdline: optional(text(COMMAND_LINE_BYTES_MAX)),
  engine: optional(oneOf(ENGINES)),
  jit: optional(oneOf(JIT_MODES)),
  cpu: optional(oneOf(CPU_MODELS)),
});

const onVm = (command: 'pause' | 'unpause' | 'wait' | 'console' | 'send'): Check<Request> =>
  record<Request & { target: Target }>({ command: oneOf([command]), target });

const request: Check<Request> = tagged<Request>('command', {
  status: record<Request & { command: 'status' }>({ command: oneOf(['status']) }),
  reload: record<Request & { command: 'reload' }>({ command: oneOf(['reload']) }),
  load: record<Request & { command: 'load' }>({ command: oneOf(['load']), path }),
  reset: record<Request & { command: 'reset' }>({
    command: oneOf(['reset']),
    what: oneOf(RESET_KINDS),
  }),
  log: record<Request & { command: 'log' }>({ command: oneOf(['log']), how: oneOf(LOG_KINDS) }),
  start: record<Request & { command: 'start' }>({
    command: oneOf(['start']),
    target,
    options: startOptions,
    console: boolean,
  }),
  stop: record<Request & { command: 'stop' }>({
    command: oneOf(['stop']),
    target,
    force: boolean,
    wait: boolean,
  }),
  pause: onVm('pause'),
  unpause: onVm('unpause'),
  wait: onVm('wait'),
  console: onVm('console'),
  send: onVm('send'),
  receive: record<Request & { command: 'receive' }>({
    command: oneOf(['receive']),
    name,
    options: startOptions,
  }),
});

/** The states of a virtual machine, as "vmctl status" names them. */
export const VM_STATES = [
  'stopped',
  'waiting',
  'running',
  'stopping',
  'paused',
  'sending',
] as const;
/** One of {@link VM_STATES}. */
export type VmState = (typeof VM_STATES)[number];

/** A virtual machine as "vmctl status" shows it. */
export interface VmStatus {
  readonly id: number;
  readonly name: string;
  readonly state: VmState;
  /** The process; null when it does not run. */
  readonly pid: number | null;
  readonly vcpus: number;
  readonly memoryBytes: number;
  /** Resident memory of the process; null when it does not run, or the host does not tell. */
  readonly residentBytes: number | null;
  readonly owner: { readonly uid: number; readonly gid: number | null };
}

/** What became of a virtual machine. */
export const VM_EVENTS = [
  'started',
  'requested',
  'terminated',
  'forced',
  'paused',
  'unpaused',
  'sent',
  'received',
] as const;
/** One of {@link VM_EVENTS}. */
export type VmEvent = (typeof VM_EVENTS)[number];

const ERRNOS: Readonly<Record<Errno, true>> = {
  EPERM: true,
  ENOENT: true,
  EINTR: true,
  EIO: true,
  ENOMEM: true,
  EACCES: true,
  EFAULT: true,
  EBUSY: true,
  EEXIST: true,
  ENODEV: true,
  ENOTDIR: true,
  EISDIR: true,
  EINVAL: true,
  ENOTTY: true,
  EFBIG: true,
  ENOSPC: true,
  ENOEXEC: true,
  EAGAIN: true,
  EALREADY: true,
};
/** An errno name. */
export const errno: Check<Errno> = oneOf(Object.keys(ERRNOS) as Errno[]);
/** A sentence. */
export const sentence: Check<string> = text(MESSAGE_BYTES_MAX);

/** `text` as {@link sentence} takes it: one sentence, however long a path in it is. */
export function asSentence(text: string): string {
  return text.replaceAll('\0', '?').slice(0, MESSAGE_BYTES_MAX / 4) || 'no reason is known';
}

/** What vmd(8) answers. */
export type Reply =
  | { readonly type: 'ok' }
  | { readonly type: 'error'; readonly code: Errno; readonly message: string }
  | { readonly type: 'status'; readonly vms: readonly VmStatus[] }
  | {
      readonly type: 'vm';
      readonly event: VmEvent;
      readonly id: number;
      readonly name: string;
      /** What the user should know besides. */
      readonly warnings: readonly string[];
    }
  /** A machine with this memory follows, in frames of bytes, from who has it to who wants it. */
  | { readonly type: 'transfer'; readonly id: number; readonly memoryBytes: number }
  /** The console is there, or, as its last message, gone. */
  | { readonly type: 'console'; readonly id: number; readonly open: boolean };

const vmStatus: Check<VmStatus> = record<VmStatus>({
  id: integer(1, ID_MAX),
  name,
  state: oneOf(VM_STATES),
  pid: nullable(integer(1, ID_MAX)),
  vcpus: integer(1, VMS_MAX),
  memoryBytes: integer(0, MEMORY_MAX_BYTES),
  residentBytes: nullable(integer(0, Number.MAX_SAFE_INTEGER)),
  owner: record<VmStatus['owner']>({
    uid: integer(0, UID_MAX),
    gid: nullable(integer(0, UID_MAX)),
  }),
});

/** Checks an answer. */
export const reply: Check<Reply> = tagged<Reply>('type', {
  ok: record<Reply & { type: 'ok' }>({ type: oneOf(['ok']) }),
  error: record<Reply & { type: 'error' }>({
    type: oneOf(['error']),
    code: errno,
    message: sentence,
  }),
  status: record<Reply & { type: 'status' }>({
    type: oneOf(['status']),
    vms: list(vmStatus, VMS_MAX),
  }),
  vm: record<Reply & { type: 'vm' }>({
    type: oneOf(['vm']),
    event: oneOf(VM_EVENTS),
    id: integer(1, ID_MAX),
    name,
    warnings: list(sentence, WARNINGS_MAX),
  }),
  transfer: record<Reply & { type: 'transfer' }>({
    type: oneOf(['transfer']),
    id: integer(1, ID_MAX),
    memoryBytes: integer(0, MEMORY_MAX_BYTES),
  }),
  console: record<Reply & { type: 'console' }>({
    type: oneOf(['console']),
    id: integer(1, ID_MAX),
    open: boolean,
  }),
});

/** A request as it is sent. */
export function envelope(body: Request): object {
  return { version: PROTOCOL_VERSION, body };
}

/** The request in what was sent; EINVAL for anything else. */
export function openEnvelope(value: unknown): Request {
  const { version, body } = record<{ version: number; body: unknown }>({
    version: integer(0, ID_MAX),
    body: (it) => it,
  })(value, 'request');
  if (version !== PROTOCOL_VERSION) {
    throw new VmmError(
      'EINVAL',
      `This vmd speaks version ${PROTOCOL_VERSION} of its protocol, and was asked in ${version}.`,
    );
  }
  return request(body, 'request');
}

/** An error as it is answered: one that is no refusal is a defect, and only said to be one. */
export function errorReply(error: unknown): Reply {
  if (!(error instanceof VmmError)) {
    return { type: 'error', code: 'EIO', message: 'vmd met a defect of its own; see its log.' };
  }
  return { type: 'error', code: error.code, message: asSentence(error.message) };
}
