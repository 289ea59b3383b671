// The lines are those that Linux and its shell write, from real consoles.
import { expect, test } from 'vitest';
import { ConsoleWatcher, classify } from './console-watcher.ts';

test.each([
  '[   12.345678] BUG: unable to handle page fault for address: ffffc90000a3f000',
  '[   12.345678] Oops: 0002 [#1] PREEMPT SMP NOPTI',
  '[   12.345678] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b',
  '[  100.000001] general protection fault, probably for non-canonical address 0x6b6b: 0000',
  '[   40.100000] tcc[207]: segfault at 0 ip 000055d0 sp 00007ffd error 6 in tcc[55d0+1000]',
  '[   40.100000] traps: tcc[99] trap invalid opcode ip:401136 sp:7ffe error:0 in tcc[401000+1000]',
  '[   40.100000] traps: tcc[99] general protection fault ip:401136 sp:7ffe error:0',
  'Segmentation fault',
  'Illegal instruction',
  '[   81.000000] rcu: INFO: rcu_preempt self-detected stall on CPU',
  '[   81.000000] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:',
  '[   81.000000] rcu: rcu_preempt kthread starved for 5250 jiffies! g-1007 f0x0',
  '[   60.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [tcc:123]',
  '[   60.000000] WARNING: CPU: 0 PID: 1 at kernel/sched/core.c:1 foo+0x1/0x2',
  '[  242.000000] INFO: task dd:200 blocked for more than 120 seconds.',
  '[   10.000000] I/O error, dev vda, sector 100 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2',
  '[   10.000000] Out of memory: Killed process 200 (tcc) total-vm:10000kB',
  '[   10.000000]  Call Trace:',
])('classify() takes for a complaint: %s', (line) => {
  expect(classify(line)).toEqual({ kind: 'complaint', line });
});

test.each([
  '[    0.030869] ACPI BIOS Error (bug): A valid RSDP was not found (20220331/tbxfroot-210)',
  '[    0.000000] Kernel command line: console=ttyS0 panic=-1',
  '[    6.625903] x86/mm: Checked W+X mappings: passed, no W+X pages found.',
  '[    0.000000] BIOS-provided physical RAM map:',
  '[    0.180000] Freeing SMP alternatives memory: 36K',
  '[    0.100000] Spectre V2 : Mitigation: Retpolines',
  '[    0.250000] audit: initializing netlink subsys (disabled)',
  '[    1.000000] rcu: Hierarchical SRCU implementation.',
  '[    3.000000] clocksource: Switched to clocksource tsc',
  'soak: load tcc took 5610 ms',
  '',
])('classify() lets pass: %s', (line) => {
  expect(classify(line)).toBeUndefined();
});

test('classify() reads the reports of the driver', () => {
  expect(classify('soak: ready')).toEqual({ kind: 'ready' });
  expect(classify('soak: off')).toEqual({ kind: 'off' });
  const disk = '07a527044c36e3b94a3e2f7abd741af2';
  expect(classify(`soak: round 12 ok uptime 51.30 disk ${disk}`)).toEqual({
    kind: 'round',
    round: 12,
    ok: true,
    uptime: 51.3,
    disk,
  });
  expect(classify('soak: round 1 failed uptime 9.00 disk none')).toMatchObject({
    ok: false,
    disk: undefined,
  });
  const line = 'soak: FAIL round 1 tcc: tcc does not compile integer.c';
  expect(classify(line)).toEqual({ kind: 'mismatch', line });
});

test('a load that quotes a complaint makes no complaint', () => {
  const line = 'soak: got integer: BUG 0000000000000001';
  expect(classify(line)).toEqual({ kind: 'instead', output: 'integer', line });
});

test('push() puts lines together from pieces, and ends them as a terminal does', () => {
  const watcher = new ConsoleWatcher();
  expect(watcher.push('soak: rea')).toEqual([]);
  expect(watcher.push('dy\r\n[    1.0] Oo')).toEqual([{ kind: 'ready' }]);
  expect(watcher.push('ps: 0000\r')).toEqual([]);
  expect(watcher.push('\nsoak: off\r\n')).toEqual([
    { kind: 'complaint', line: '[    1.0] Oops: 0000' },
    { kind: 'off' },
  ]);
  expect(watcher.push('Segmentation fault')).toEqual([]);
  expect(watcher.end()).toEqual([{ kind: 'complaint', line: 'Segmentation fault' }]);
  expect(watcher.end()).toEqual([]);
});

test('recent holds the last lines', () => {
  const watcher = new ConsoleWatcher(2);
  watcher.push('a\nb\nc\nd');
  expect(watcher.recent).toEqual(['b', 'c']);
});
