// Tokens with one ahead, and what every rule of the grammar needs: to take what it expects, to
// reject what it does not, and to go on after a mistake.
//
// vmd(8) goes on after a mistake only at the top of the file, which leaves the rest of a block
// unchecked or makes new mistakes of it. Here parsing goes on with the next line of the block.

import type { Diagnostics, Position } from './diagnostics.ts';
import type { Lexer, Token } from './lexer.ts';

/** Ends a rule whose text was rejected: the reason has been reported. */
export class Rejected extends Error {
  override readonly name = 'Rejected';
}

/** How to call a token in a message. */
function describe(token: Token): string {
  switch (token.kind) {
    case 'newline':
      return 'the end of the line';
    case 'end':
      return 'the end of the file';
    case 'character':
      return `'${token.text}'`;
    case 'string':
      return `"${token.text.length > 64 ? `${token.text.slice(0, 64)}...` : token.text}"`;
    default:
      return token.text;
  }
}

/** The tokens of a configuration. */
export class TokenStream {
  readonly diagnostics: Diagnostics;
  readonly #lexer: Lexer;
  #ahead: Token | undefined;
  #hasMissedEnd = false;

  constructor(lexer: Lexer, diagnostics: Diagnostics) {
    this.#lexer = lexer;
    this.diagnostics = diagnostics;
  }

  /** The next token, without taking it. */
  peek(): Token {
    this.#ahead ??= this.#lexer.next();
    return this.#ahead;
  }

  /** Takes the next token. */
  take(): Token {
    const token = this.peek();
    this.#ahead = undefined;
    return token;
  }

  /** Reports a mistake and ends the rule. */
  reject(position: Position, message: string): never {
    this.diagnostics.error(position, message);
    throw new Rejected();
  }

  /** Ends the rule: the next token is not `expected`. */
  unexpected(expected: string): never {
    const token = this.peek();
    // The scanner has said why; and that the file ends too early is to be said once.
    if (token.kind === 'invalid' || (token.kind === 'end' && this.#hasMissedEnd)) {
      throw new Rejected();
    }
    this.#hasMissedEnd = token.kind === 'end';
    return this.reject(
      token.position,
      `syntax error: expected ${expected}, found ${describe(token)}`,
    );
  }

  /** Whether the next token is the keyword or the character `text`. */
  at(text: string): boolean {
    const token = this.peek();
    return (token.kind === 'keyword' || token.kind === 'character') && token.text === text;
  }

  /** Takes the keyword or character `text` if it is next. */
  accept(text: string): boolean {
    if (!this.at(text)) return false;
    this.take();
    return true;
  }

  /** Takes the keyword or character `text`, which must be next. */
  expect(text: string): Token {
    if (!this.at(text)) this.unexpected(`'${text}'`);
    return this.take();
  }

  /** Takes one string; `what` names it in the refusal of anything else. */
  string(what: string): Token {
    return this.peek().kind === 'string' ? this.take() : this.unexpected(what);
  }

  /** Takes a string, and joins it with those that follow: adjacent strings are one. */
  strings(what: string): { text: string; position: Position } {
    const { position, text: first } = this.string(what);
    let text = first;
    while (this.peek().kind === 'string') text += this.take().text;
    return { text, position };
  }

  /** Takes a number from `min` to `max`; `invalid` starts the refusal of others. */
  number(what: string, min: number, max: number, invalid: string): number {
    const token = this.peek();
    if (token.kind !== 'number') return this.unexpected(what);
    this.take();
    if (token.value >= BigInt(min) && token.value <= BigInt(max)) return Number(token.value);
    return this.reject(token.position, `${invalid}: ${token.value}`);
  }

  /** Takes empty lines. */
  skipNewlines(): void {
    while (this.peek().kind === 'newline') this.take();
  }

  /**
   * Runs a rule; when its text is rejected, skips to the end of the line, and of the block if the
   * rest of the line opens one. A closing brace that it did not open is left to the block around.
   */
  attempt(rule: () => void): boolean {
    try {
      rule();
      return true;
    } catch (error) {
      if (!(error instanceof Rejected)) throw error;
      for (let depth = 0; ; this.take()) {
        const { kind, text } = this.peek();
        if (kind === 'end' || (kind === 'newline' && depth === 0)) return false;
        if (kind !== 'character') continue;
        if (text === '{') depth++;
        if (text === '}' && --depth < 0) return false;
      }
    }
  }

  /**
   * `{ ... }` within an option: `rule` parses what is between. When that is rejected, skips to the
   * closing brace, so that the lines before it are not taken for those of the block around.
   */
  braced(rule: () => void): void {
    this.expect('{');
    try {
      rule();
      this.expect('}');
    } catch (error) {
      if (!(error instanceof Rejected)) throw error;
      for (let depth = 1; depth > 0 && this.peek().kind !== 'end'; ) {
        const { kind, text } = this.take();
        if (kind !== 'character') continue;
        if (text === '{') depth++;
        if (text === '}') depth--;
      }
      throw error;
    }
  }

  /**
   * A block of options, one a line: `{`, newlines, options, `}`. Returns where it ends. There is at
   * least one option. After the first the newline may be missing, a quirk of the original's grammar
   * that files may depend on.
   */
  block(option: () => void): { closing: Position; isClean: boolean } {
    this.expect('{');
    this.skipNewlines();
    let isClean = true;
    for (let isFirst = true; isFirst || !this.at('}'); isFirst = false) {
      if (this.peek().kind === 'end') this.unexpected("'}'");
      const isGood = this.attempt(() => {
        option();
        const { kind } = this.peek();
        if (!isFirst && kind !== 'newline' && !this.at('}')) this.unexpected('a new line');
      });
      isClean &&= isGood;
      this.skipNewlines();
    }
    return { closing: this.take().position, isClean };
  }
}
