// vm.conf(5): a configuration file and those that it includes, as the daemon wants them. Follows
// the manual page of OpenBSD 7.8 and what its vmd(8) takes; where this differs, and why, is in
// docs/RATIONALE.md.
//
// Mistakes are diagnostics, all that a run can find. Nothing here throws for what a file says.

import { VmmError } from 'vmm/errors';
import type { Accounts } from './accounts.ts';
import { CharReader } from './char-reader.ts';
import type { ConfFiles } from './conf-files.ts';
import type {
  Configuration,
  GlobalConfig,
  InterfaceConfig,
  SwitchConfig,
  VmConfig,
} from './configuration.ts';
import type { Context } from './context.ts';
import { type Diagnostic, Diagnostics, type Position } from './diagnostics.ts';
import { makeInstance } from './instances.ts';
import { Lexer } from './lexer.ts';
import { INCLUDES_MAX } from './limits.ts';
import { Macros } from './macros.ts';
import { GLOBAL_DEFAULT, globalRule } from './parse-global.ts';
import { type ParsedSwitch, parseSwitch } from './parse-switch.ts';
import { type ParsedVm, parseVm } from './parse-vm.ts';
import { TokenStream } from './token-stream.ts';
import { checkVm, completeVm, type VmDraft } from './vm-draft.ts';

/** What a configuration is read from. */
export interface ConfSource {
  /** The file. */
  readonly path: string;
  /** That there is no such file is no mistake: it is as if it were empty. */
  readonly isOptional: boolean;
  /** Macros of the command line, by name. */
  readonly macros: ReadonlyMap<string, string>;
  readonly files: ConfFiles;
  readonly accounts: Accounts;
}

/** A configuration, or null if there are errors among the diagnostics. */
export interface ConfResult {
  readonly configuration: Configuration | null;
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads and checks a configuration. */
export function parseConfiguration(source: ConfSource): ConfResult {
  const parser = new Parser(source);
  const configuration = parser.parse(source.path, source.isOptional);
  const { list, hasErrors } = parser.diagnostics;
  return { configuration: hasErrors ? null : configuration, diagnostics: list };
}

class Parser {
  readonly diagnostics = new Diagnostics();
  readonly #context: Context;
  readonly #reader = new CharReader();
  readonly #macros: Macros;
  #includeCount = 0;
  #global: GlobalConfig = GLOBAL_DEFAULT;
  readonly #switches = new Map<string, SwitchConfig>();
  readonly #vms = new Map<string, { vm: VmConfig; position: Position }>();
  /** Names of vms with mistakes, so that their instances are not reported for lack of a parent. */
  readonly #rejected = new Set<string>();

  constructor({ macros, files, accounts }: ConfSource) {
    this.#macros = new Macros(macros);
    const lexer = new Lexer(this.#reader, this.#macros, this.diagnostics);
    this.#context = { tokens: new TokenStream(lexer, this.diagnostics), files, accounts };
  }

  parse(path: string, isOptional: boolean): Configuration {
    const { files, tokens } = this.#context;
    try {
      this.#reader.open(path, files.realpath(path), files.read(path));
    } catch (error) {
      if (!(error instanceof VmmError)) throw error;
      const message = `failed to open ${path}: ${error.message}`;
      if (isOptional && error.code === 'ENOENT') this.diagnostics.note(null, message);
      else this.diagnostics.error(null, message);
      return this.#finish();
    }
    while (tokens.peek().kind !== 'end') {
      const isGood = tokens.attempt(() => this.#statement());
      // A brace that closes nothing would be met again and again.
      if (!isGood) tokens.accept('}');
    }
    this.#macros.warnUnused(this.diagnostics);
    return this.#finish();
  }

  /** A statement and the end of its line; or an empty line. */
  #statement(): void {
    const context = this.#context;
    const { tokens } = context;
    const { kind, text } = tokens.peek();
    if (tokens.at('include')) {
      this.#include();
      return;
    }
    if (kind === 'string') {
      this.#macro();
    } else if (tokens.at('switch')) {
      this.#addSwitch(parseSwitch(context));
    } else if (tokens.at('vm')) {
      this.#addVm(parseVm(context));
    } else if (kind === 'keyword' && globalRule(text) !== undefined) {
      this.#global = { ...this.#global, ...globalRule(text)!(context) };
    } else if (kind !== 'newline') {
      tokens.unexpected('a macro, a global setting, a switch or a vm');
    }
    this.#endOfLine();
  }

  #endOfLine(): void {
    const { tokens } = this.#context;
    if (tokens.peek().kind !== 'newline') tokens.unexpected('the end of the line');
    tokens.take();
  }

  /** `include "path"`. The file is read before the line that follows. */
  #include(): void {
    const { tokens, files } = this.#context;
    tokens.expect('include');
    const { text: path, position } = tokens.strings('a path');
    this.#endOfLine();
    const complaint = `failed to include file ${path}`;
    this.#includeCount++;
    if (this.#includeCount === INCLUDES_MAX + 1) {
      this.diagnostics.error(position, `${complaint}: more than ${INCLUDES_MAX} are included`);
    }
    if (this.#includeCount > INCLUDES_MAX) return;
    try {
      const identity = files.realpath(path);
      if (this.#reader.isOpen(identity)) {
        this.diagnostics.error(position, `${complaint}: it includes itself`);
        return;
      }
      this.#reader.open(path, identity, files.read(path));
    } catch (error) {
      if (!(error instanceof VmmError)) throw error;
      this.diagnostics.error(position, `${complaint}: ${error.message}`);
    }
  }

  /** `name = "value"`. */
  #macro(): void {
    const { tokens } = this.#context;
    const { text: name, position } = tokens.take();
    if (!tokens.at('=')) tokens.unexpected(`'=' after the name of a macro, "${name}"`);
    tokens.take();
    const { text: value } = tokens.string('the value of the macro, in quotes');
    if (/\s/.test(name)) tokens.reject(position, 'macro name cannot contain whitespace');
    this.#macros.define(name, value, position);
  }

  #addSwitch(parsed: ParsedSwitch | undefined): void {
    if (parsed === undefined) return;
    const { config, enabled, closing } = parsed;
    const called = `switch "${config.name}"`;
    if (!enabled) {
      this.diagnostics.note(closing, `${called} skipped (disabled)`);
    } else if (this.#switches.has(config.name)) {
      this.diagnostics.warn(closing, `${called} skipped (already exists)`);
    } else {
      this.#switches.set(config.name, config);
      this.diagnostics.note(closing, `${called} registered`);
    }
  }

  #addVm({ draft, isGood, closing }: ParsedVm): void {
    const called = `vm "${draft.name}"`;
    if (!isGood || (draft.parent !== null && this.#rejected.has(draft.parent))) {
      this.#rejected.add(draft.name);
      return;
    }
    if (draft.parent === null && this.#vms.has(draft.name)) {
      this.diagnostics.warn(closing, `${called} skipped (already exists)`);
      return;
    }
    try {
      const vm = this.#register(draft);
      this.#vms.set(draft.name, { vm, position: closing });
      const state = vm.enabled ? 'enabled' : 'disabled';
      this.diagnostics.note(closing, `${called} registered (${state})`);
    } catch (error) {
      if (!(error instanceof VmmError)) throw error;
      this.diagnostics.error(closing, `${called} failed: ${error.message}`);
      this.#rejected.add(draft.name);
    }
  }

  /** What vmd(8) checks when a vm is added to those it knows; VmmError for what it refuses. */
  #register(draft: VmDraft): VmConfig {
    const vm = draft.parent === null ? completeVm(draft) : this.#instance(draft, draft.parent);
    checkVm(vm, draft);
    return vm;
  }

  #instance(draft: VmDraft, parent: string): VmConfig {
    const found = this.#vms.get(parent);
    if (found === undefined) throw new VmmError('ENOENT', `invalid template: ${parent}`);
    if (this.#vms.has(draft.name)) throw new VmmError('EALREADY', 'vm already exists');
    // Root's file may do all that a parent allows, and more.
    return makeInstance(found.vm, draft, 0, this.#context.accounts);
  }

  /** Interfaces and the switches that they are in know each other only at the end. */
  #finish(): Configuration {
    // A switch that is missed may be one with a mistake in it.
    if (!this.diagnostics.hasErrors) this.#warnOfSwitches();
    const vms = [...this.#vms.values()].map(({ vm }) => ({
      ...vm,
      interfaces: vm.interfaces.map((one) => this.#connect(one)),
    }));
    return { global: this.#global, switches: [...this.#switches.values()], vms };
  }

  #warnOfSwitches(): void {
    for (const { vm, position } of this.#vms.values()) {
      for (const { switch: name } of vm.interfaces) {
        if (name === null || this.#switches.has(name)) continue;
        this.diagnostics.warn(position, `vm "${vm.name}": there is no switch "${name}"`);
      }
    }
  }

  /** The interface with what its switch says: its own routing domain goes first. */
  #connect(one: InterfaceConfig): InterfaceConfig {
    const found = one.switch === null ? undefined : this.#switches.get(one.switch);
    if (found === undefined) return one;
    const { locked, rdomain } = found;
    return { ...one, locked: one.locked || locked, rdomain: one.rdomain ?? rdomain };
  }
}
