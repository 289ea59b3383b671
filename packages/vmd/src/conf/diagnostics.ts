// What there is to say about a configuration: errors, for which vmd(8) refuses it, warnings, and
// notes for those who ask with -v.

/** How much a diagnostic matters. */
export type Severity = 'error' | 'warning' | 'note';

/** A place in a configuration file. */
export interface Position {
  /** The file as it was named. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** Something to say, about a place in a file unless it concerns no line. */
export interface Diagnostic {
  readonly severity: Severity;
  readonly position: Position | null;
  readonly message: string;
}

/** The diagnostics of one run, in the order they were found. */
export class Diagnostics {
  readonly #list: Diagnostic[] = [];

  error(position: Position | null, message: string): void {
    this.#list.push({ severity: 'error', position, message });
  }

  warn(position: Position | null, message: string): void {
    this.#list.push({ severity: 'warning', position, message });
  }

  note(position: Position | null, message: string): void {
    this.#list.push({ severity: 'note', position, message });
  }

  get list(): readonly Diagnostic[] {
    return this.#list;
  }

  get hasErrors(): boolean {
    return this.#list.some(({ severity }) => severity === 'error');
  }
}

/** A diagnostic as vmd(8) prints it: `file:line: message`, on one line whatever it quotes. */
export function diagnosticText({ severity, position, message }: Diagnostic): string {
  const place = position === null ? '' : `${position.file}:${position.line}: `;
  const text = `${place}${severity === 'warning' ? 'warning: ' : ''}${message}`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be printed
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
