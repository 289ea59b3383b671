// KVM's internal errors in words: Linux, Documentation/virt/kvm/api.rst, KVM_EXIT_INTERNAL_ERROR.

import { KVM_CONSTANT } from './ioctl-numbers.ts';
import { RUN, RUN_EMULATION_FAILURE } from './struct-layouts.ts';

/** What the guest did, by KVM_INTERNAL_ERROR_*. */
const TEXTS: Readonly<Record<number, string>> = {
  1: 'executes an instruction, or uses memory, in a way that KVM cannot emulate',
  2: 'caused exceptions at once that KVM cannot deliver',
  3: 'made its processor leave while it delivered an event',
  4: 'made its processor leave for a reason that KVM does not know',
};
const EMULATION = 1;

/** The instruction that KVM could not emulate, where it tells. */
function instructionText(run: DataView): string {
  const at = RUN.internal;
  const flags = run.getBigUint64(at + RUN_EMULATION_FAILURE.flags, true);
  const flag = KVM_CONSTANT.KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
  if ((flags & BigInt(flag)) === 0n) return '';
  const size = run.getUint8(at + RUN_EMULATION_FAILURE.insn_size);
  const bytes = Array.from({ length: Math.min(size, 15) }, (_, i) =>
    run.getUint8(at + RUN_EMULATION_FAILURE.insn_bytes + i),
  );
  return `, where its code is ${bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}`;
}

/** One sentence for the error that `run`, a struct kvm_run, tells of. */
export function internalErrorText(run: DataView): string {
  const suberror = run.getUint32(RUN.internal + RUN_EMULATION_FAILURE.suberror, true);
  const instruction = suberror === EMULATION ? instructionText(run) : '';
  const text = TEXTS[suberror] ?? `brought KVM to its internal error ${suberror}`;
  return `The guest ${text}${instruction}.`;
}
