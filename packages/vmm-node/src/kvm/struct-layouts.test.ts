// The C compiler's word on every number: requests, constants, offsets, sizes.
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { KVM_CAP, KVM_CONSTANT, KVM_EXIT, KVM_REQUEST } from './ioctl-numbers.ts';
import * as layouts from './struct-layouts.ts';

const HEAD = '#include <linux/kvm.h>\n#include <stddef.h>\n';

/** Compiles declarations, and answers what the compiler says of them. */
function compile(body: string): string {
  const args = ['-fsyntax-only', '-x', 'c', '-'];
  const { stderr, error } = spawnSync('gcc', args, { input: HEAD + body, encoding: 'utf8' });
  return error ? error.message : stderr;
}

const absence = compile('');
const assertion = (expression: string, value: number): string =>
  `_Static_assert((unsigned long)(${expression}) == ${value}ul, "${expression}");`;

/** Members whose names here are not C's: nested ones, and elements. */
const MEMBERS: Readonly<Record<string, string>> = {
  exception_injected: 'exception.injected',
  exception_nr: 'exception.nr',
  exception_has_error_code: 'exception.has_error_code',
  exception_error_code: 'exception.error_code',
  exception_pending: 'exception.pending',
  interrupt_injected: 'interrupt.injected',
  interrupt_shadow: 'interrupt.shadow',
  nmi_injected: 'nmi.injected',
};

const offsets = (
  struct: string,
  layout: Readonly<Record<string, number>>,
  within = '',
): string[] => {
  const base = within === '' ? '' : ` - offsetof(${struct}, ${within})`;
  const prefix = within === '' ? '' : `${within}.`;
  return Object.entries(layout).map(([name, at]) =>
    assertion(`offsetof(${struct}, ${prefix}${MEMBERS[name] ?? name})${base}`, at),
  );
};

test.skipIf(absence !== '')(
  `numbers and layouts are those of <linux/kvm.h>${absence && ' (no gcc, or no linux-libc-dev)'}`,
  () => {
    const l = layouts;
    const lines = [
      ...[KVM_REQUEST, KVM_CAP, KVM_EXIT, KVM_CONSTANT].flatMap((table) =>
        Object.entries(table).map(([name, value]) => assertion(name, value)),
      ),
      ...Object.entries(l.SIZE).map(([name, size]) => assertion(`sizeof(struct ${name})`, size)),
      ...offsets('struct kvm_run', l.RUN),
      ...offsets('struct kvm_run', l.RUN_IO, 'io'),
      ...offsets('struct kvm_run', l.RUN_MMIO, 'mmio'),
      ...offsets('struct kvm_run', l.RUN_MSR, 'msr'),
      ...offsets('struct kvm_run', l.RUN_EMULATION_FAILURE, 'emulation_failure'),
      ...offsets('struct kvm_regs', l.REGS),
      ...offsets('struct kvm_segment', l.SEGMENT),
      ...offsets('struct kvm_dtable', l.DTABLE),
      ...offsets('struct kvm_sregs', l.SREGS),
      ...offsets('struct kvm_debugregs', l.DEBUGREGS),
      ...offsets('struct kvm_fpu', l.FPU),
      ...offsets('struct kvm_vcpu_events', l.EVENTS),
      ...offsets('struct kvm_userspace_memory_region', l.REGION),
      ...offsets('struct kvm_msrs', l.MSRS),
      ...offsets('struct kvm_msr_entry', l.MSR_ENTRY),
      ...offsets('struct kvm_cpuid2', l.CPUID),
      ...offsets('struct kvm_cpuid_entry2', l.CPUID_ENTRY),
      ...offsets('struct kvm_translation', l.TRANSLATION),
      ...offsets('struct kvm_enable_cap', l.ENABLE_CAP),
      ...offsets('struct kvm_msr_filter', l.MSR_FILTER),
      ...offsets('struct kvm_msr_filter_range', l.MSR_FILTER_RANGE),
    ];
    expect(lines.length).toBeGreaterThan(150);
    expect(compile(lines.join('\n'))).toBe('');
    expect(compile(assertion('KVM_EXIT_IO', 3))).toContain('static assertion failed');
  },
);
