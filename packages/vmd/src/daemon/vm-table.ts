// The virtual machines that vmd(8) knows. Their numbers count from 1; a name of an owner keeps its
// number for as long as vmd runs, whether the machine comes and goes or the configuration is read
// anew.

import { VmmError } from 'vmm/errors';
import type { VmConfig } from '../conf/configuration.ts';
import { type Target, VMS_MAX } from '../control/protocol.ts';
import { VirtualMachine, type VmContext } from './virtual-machine.ts';

/** All virtual machines. */
export class VmTable {
  private readonly vms = new Map<number, VirtualMachine>();
  private readonly ids = new Map<string, number>();
  private lastId = 0;

  /** In the order of their numbers. */
  get list(): readonly VirtualMachine[] {
    return [...this.vms.values()].sort((a, b) => a.id - b.id);
  }

  find(target: Target): VirtualMachine | undefined {
    if (typeof target === 'number') return this.vms.get(target);
    return this.list.find(({ name }) => name === target);
  }

  /** The machine that `target` means; ENOENT when there is none. */
  get(target: Target): VirtualMachine {
    const vm = this.find(target);
    if (vm === undefined) throw new VmmError('ENOENT', 'vm not found');
    return vm;
  }

  /** Adds a machine. EALREADY when there is one of its name, ENOMEM when there are too many. */
  add(config: VmConfig, isTransient: boolean, context: VmContext): VirtualMachine {
    if (this.find(config.name) !== undefined) {
      throw new VmmError('EALREADY', `vm "${config.name}" already exists.`);
    }
    if (this.vms.size >= VMS_MAX) {
      throw new VmmError('ENOMEM', `There are ${VMS_MAX} virtual machines already.`);
    }
    const key = `${config.owner.uid}/${config.name}`;
    const id = this.ids.get(key) ?? ++this.lastId;
    this.ids.set(key, id);
    const vm = new VirtualMachine(id, config, isTransient, context);
    this.vms.set(id, vm);
    return vm;
  }

  remove(vm: VirtualMachine): void {
    if (this.vms.get(vm.id) === vm) this.vms.delete(vm.id);
  }
}
