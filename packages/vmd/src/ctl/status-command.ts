// "vmctl status" and "vmctl show": the virtual machines as a table with vmctl(8)'s columns, or in
// JSON.

import type { Command } from '../command-table.ts';
import type { Accounts } from '../conf/accounts.ts';
import { hostAccounts } from '../conf/host-accounts.ts';
import type { Target, VmStatus } from '../control/protocol.ts';
import { fmtScaled } from '../fmt-scaled.ts';
import { type ControlContext, parseTarget } from './context.ts';
import { expect } from './conversation.ts';

/** The widths of the columns; a negative one is left-aligned, and 0 as wide as it is. */
const COLUMNS = [
  ['ID', 5],
  ['PID', 5],
  ['VCPUS', 5],
  ['MAXMEM', 7],
  ['CURMEM', 7],
  ['TTY', 7],
  ['OWNER', 12],
  ['STATE', 8],
  ['NAME', 0],
] as const;
const OWNER_LENGTH_MAX = 15;
const NONE = '-';

/** The row of "status" or "show". */
export function statusCommand(name: 'status' | 'show', context: ControlContext): Command {
  return {
    name,
    options: [{ name: 'r' }, { name: 'json' }],
    operands: ['[id]'],
    async run({ options, operands: [word] }) {
      const has = (option: string): boolean => options.some((it) => it.name === option);
      const target = word === undefined ? undefined : parseTarget(word);
      const reply = await context.link.request({ command: 'status' });
      const { vms } = expect(reply, 'status');
      const listed = has('r') ? vms.filter(({ pid }) => pid !== null) : vms;
      const shown = listed.filter((vm) => isMeant(vm, target));
      const accounts = hostAccounts();
      if (has('json')) context.print(statusJson(shown, accounts));
      else context.print(statusTable(shown, accounts));
      // As in OpenBSD, an id that there is not among others is no failure.
      return listed.length > 0 ? 0 : 1;
    },
  };
}

function isMeant({ id, name }: VmStatus, target: Target | undefined): boolean {
  return target === undefined || target === id || target === name;
}

/** The machines as a table with a header, a line each. */
export function statusTable(vms: readonly VmStatus[], accounts: Accounts): string {
  const lines = [COLUMNS.map(([title]) => title as string)];
  for (const vm of vms) {
    lines.push([
      String(vm.id),
      vm.pid === null ? NONE : String(vm.pid),
      String(vm.vcpus),
      fmtScaled(vm.memoryBytes),
      vm.residentBytes === null ? NONE : fmtScaled(vm.residentBytes),
      NONE,
      ownerText(vm, accounts),
      vm.state,
      vm.name,
    ]);
  }
  const line = (cells: readonly string[]): string =>
    cells.map((cell, index) => cell.padStart(COLUMNS[index]![1])).join(' ');
  return lines.map((cells) => `${line(cells)}\n`).join('');
}

function ownerText({ owner: { uid, gid } }: VmStatus, accounts: Accounts): string {
  const user = accounts.users.find((candidate) => candidate.uid === uid)?.name ?? String(uid);
  if (gid === null) return user.slice(0, OWNER_LENGTH_MAX);
  const group = accounts.groups.find((candidate) => candidate.gid === gid)?.name ?? String(gid);
  return `${user}:${group}`.slice(0, OWNER_LENGTH_MAX);
}

/** The machines in JSON: an array of objects, names of members as in the table, sizes in bytes. */
export function statusJson(vms: readonly VmStatus[], accounts: Accounts): string {
  const list = vms.map((vm) => ({
    id: vm.id,
    name: vm.name,
    state: vm.state,
    pid: vm.pid,
    vcpus: vm.vcpus,
    maxmem: vm.memoryBytes,
    curmem: vm.residentBytes,
    owner: ownerText(vm, accounts),
  }));
  return `${JSON.stringify(list, null, 2)}\n`;
}
