// The characters of a configuration: files that include each other, macros expanded in front of the
// rest of the text, lines that go on after a backslash.

import type { Position } from './diagnostics.ts';

interface Input {
  readonly name: string;
  /** What is to be told from other files, whatever they are called. */
  readonly identity: string;
  readonly text: string;
  at: number;
  line: number;
  /** The text of a macro, which comes before the rest of `text`. */
  expansion: string;
  expansionAt: number;
  /** The newline after the last line has been given, which the file may lack. */
  ended: boolean;
  /** The next character had a backslash, which is gone. */
  escaped: boolean;
}

/** The end of all input. */
export const END = '';

/** Reads characters, one at a time with one ahead. */
export class CharReader {
  readonly #inputs: Input[] = [];

  /** Whether the file that is `identity` is being read, be it by an include further out. */
  isOpen(identity: string): boolean {
    return this.#inputs.some((input) => input.identity === identity);
  }

  /** Reads a file before the rest of the current one. */
  open(name: string, identity: string, text: string): void {
    this.#inputs.push({
      name,
      identity,
      text,
      at: 0,
      line: 1,
      expansion: '',
      expansionAt: 0,
      ended: false,
      escaped: false,
    });
  }

  /** Reads the text of a macro before the rest of the file. */
  expand(text: string): void {
    const input = this.#input;
    input.expansion = text;
    input.expansionAt = 0;
  }

  /** Whether the next character is of a macro's text. */
  get isExpanding(): boolean {
    const input = this.#input;
    return input.expansionAt < input.expansion.length;
  }

  get position(): Position {
    const { name, line } = this.#input;
    return { file: name, line };
  }

  /**
   * The next character, without taking it: a newline at the end of each file, {@link END} after the
   * last. A backslash is dropped, and a newline after it as well: there the line goes on.
   */
  peek(): string {
    for (;;) {
      const character = this.peekRaw();
      if (character === '\\' && !this.#input.escaped) {
        this.takeRaw();
        if (this.peekRaw() === '\n') this.takeRaw();
        else this.#input.escaped = true;
      } else if (character !== END) {
        return character;
      } else if (!this.#input.ended) {
        return '\n';
      } else if (this.#inputs.length === 1) {
        return END;
      } else {
        this.#inputs.pop();
      }
    }
  }

  /** Takes what {@link peek} gives. */
  take(): string {
    const character = this.peek();
    this.#input.escaped = false;
    if (this.peekRaw() === END) this.#input.ended = true;
    else this.takeRaw();
    return character;
  }

  /** The next character of the file as it is, {@link END} at the end of the file. */
  peekRaw(): string {
    const { text, at, expansion, expansionAt } = this.#input;
    return expansion[expansionAt] ?? text[at] ?? END;
  }

  /** Takes what {@link peekRaw} gives. */
  takeRaw(): string {
    const input = this.#input;
    const character = this.peekRaw();
    if (this.isExpanding) {
      input.expansionAt++;
    } else if (character !== END) {
      input.at++;
      if (character === '\n') input.line++;
    }
    return character;
  }

  get #input(): Input {
    return this.#inputs[this.#inputs.length - 1]!;
  }
}
