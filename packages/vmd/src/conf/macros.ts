// Macros: names for text that is expanded outside of quotes. Those of the command line stay what
// they are, whatever the file says.

import type { Diagnostics, Position } from './diagnostics.ts';

interface Macro {
  readonly value: string;
  /** Null for one of the command line. */
  readonly position: Position | null;
  used: boolean;
}

/** The macros of one configuration. */
export class Macros {
  readonly #macros = new Map<string, Macro>();

  /** `definitions` are those of the command line. */
  constructor(definitions: ReadonlyMap<string, string>) {
    for (const [name, value] of definitions) {
      this.#macros.set(name, { value, position: null, used: false });
    }
  }

  /** Defines or redefines a macro of the file. */
  define(name: string, value: string, position: Position): void {
    const previous = this.#macros.get(name);
    if (previous !== undefined && previous.position === null) return;
    this.#macros.set(name, { value, position, used: false });
  }

  /** What `name` stands for; undefined when it is not defined. */
  expand(name: string): string | undefined {
    const macro = this.#macros.get(name);
    if (macro !== undefined) macro.used = true;
    return macro?.value;
  }

  /** Warns of macros that nothing has used: misspelt, mostly. */
  warnUnused(diagnostics: Diagnostics): void {
    for (const [name, { used, position }] of this.#macros) {
      if (!used) diagnostics.warn(position, `macro '${name}' not used`);
    }
  }
}

/** Splits the argument of -D, `name=value`; undefined when it is not one. */
export function parseDefinition(word: string): [name: string, value: string] | undefined {
  const equals = word.indexOf('=');
  return equals > 0 ? [word.slice(0, equals), word.slice(equals + 1)] : undefined;
}
