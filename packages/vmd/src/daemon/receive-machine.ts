// The beginning of a machine that comes in: whether it is the one that vmd(8) has planned for, and
// what of it is for this host to know. Disks, networks and forwarded ports are those of the plan,
// for they are what the machine's owner may have; the addresses by which the guest knows its
// network, and that of its interface, are those it was suspended with.

import { type CpuModel, restoredModel, SnapshotReader, VmmError } from 'vmm';
import { loadHost, savedNumbering } from 'vmm-node';
import type { RunInterface, RunUplink } from 'vmm-node/options';
import type { VmPlan } from './run-plan.ts';
import { runInterfaces } from './vm-interfaces.ts';
import type { VmTransfer } from './vm-transfer.ts';

/** A machine that comes in. */
export interface IncomingMachine {
  /** Read up to its memory. */
  readonly reader: SnapshotReader;
  /** Of its processor, whatever the plan says. */
  readonly model: CpuModel;
  readonly interfaces: readonly RunInterface[];
}

/** Asks for the machine, and reads its beginning. EINVAL when it does not fit the plan. */
export async function receiveMachine(
  plan: VmPlan,
  uplinks: readonly (RunUplink | undefined)[],
  transfer: VmTransfer,
): Promise<IncomingMachine> {
  transfer.begin(plan.memoryBytes);
  const reader = await SnapshotReader.open(transfer.received());
  const interfaces = runInterfaces(plan, uplinks);
  const section = await reader.host();
  const model = restoredModel(reader.machine);
  if (section === undefined) return { reader, model, interfaces };
  const saved = loadHost(section);
  checkCount(plan.name, 'disks', plan.disks.length, saved.disks.length);
  checkCount(plan.name, 'interfaces', interfaces.length, saved.interfaces.length);
  return {
    reader,
    model,
    interfaces: interfaces.map(({ network, uplink }, index) => {
      const was = saved.interfaces[index]!;
      const cable = { mac: was.mac, ...(uplink && { uplink }) };
      if (network === undefined) return cable;
      const numbering = savedNumbering(was) ?? network.numbering;
      return { ...cable, network: { ...network, ...(numbering && { numbering }) } };
    }),
  };
}

function checkCount(name: string, what: string, has: number, had: number): void {
  if (has === had) return;
  throw new VmmError(
    'EINVAL',
    `vm "${name}" has ${has} ${what}; the suspended machine had ${had}.`,
  );
}
