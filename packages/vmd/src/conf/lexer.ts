// The words of a configuration. Which characters make a word is as in every configuration file of
// OpenBSD's daemons: a word starts with a letter, a digit, "_", "/" or ":" and goes on over most
// punctuation; everything else needs quotes. Macros are expanded where a word starts, never inside.

import { type CharReader, END } from './char-reader.ts';
import type { Diagnostics, Position } from './diagnostics.ts';
import { KEYWORDS } from './keywords.ts';
import { STRING_LENGTH_MAX } from './limits.ts';
import type { Macros } from './macros.ts';

/** A word, or what stands between words. */
export type Token = (
  | { readonly kind: 'keyword'; readonly text: string }
  /** Quoted or not; quotes and escapes are gone. */
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'number'; readonly text: string; readonly value: bigint }
  /** One character that is no word: a brace, a comma, or one that belongs nowhere. */
  | { readonly kind: 'character'; readonly text: string }
  | { readonly kind: 'newline'; readonly text: '\n' }
  | { readonly kind: 'end'; readonly text: '' }
  /** What was no token, and has been reported. */
  | { readonly kind: 'invalid'; readonly text: string }
) & { readonly position: Position };

const LLONG_MIN = -(2n ** 63n);
const LLONG_MAX = 2n ** 63n - 1n;

const isDigit = (character: string): boolean => /^[0-9]$/.test(character);
const startsWord = (character: string): boolean => /^[A-Za-z0-9:_/]$/.test(character);
/** Letters, digits and the punctuation of ASCII but for `( ) { } ! = # ,`. */
const continuesWord = (character: string): boolean => /^(?![(){}!=#,])[\x21-\x7e]$/.test(character);
const endsNumber = (character: string): boolean =>
  character === END || /^[\s),/}=]$/.test(character);

/** Takes characters and gives tokens. */
export class Lexer {
  readonly #reader: CharReader;
  readonly #macros: Macros;
  readonly #diagnostics: Diagnostics;

  constructor(reader: CharReader, macros: Macros, diagnostics: Diagnostics) {
    this.#reader = reader;
    this.#macros = macros;
    this.#diagnostics = diagnostics;
  }

  /** The next token. What cannot be one is reported, and is an `invalid` token. */
  next(): Token {
    const reader = this.#reader;
    for (;;) {
      while (/^[ \t]$/.test(reader.peek())) reader.take();
      if (reader.peek() === '#') this.#skipComment();
      const character = reader.peek();
      const { position, isExpanding } = reader;
      if (character === '$' && !isExpanding) {
        const failure = this.#expandMacro(position);
        if (failure !== undefined) return failure;
        continue;
      }
      if (character === END) return { kind: 'end', text: '', position };
      if (character === '\n') {
        reader.take();
        return { kind: 'newline', text: '\n', position };
      }
      if (character === '"' || character === "'") return this.#quoted(position);
      if (isDigit(character) || character === '-') return this.#number(position);
      if (startsWord(character)) return this.#word(reader.take(), position);
      return { kind: 'character', text: reader.take(), position };
    }
  }

  /** A comment goes to the end of the line, and on with the line after a backslash. */
  #skipComment(): void {
    while (this.#reader.peek() !== '\n' && this.#reader.peek() !== END) this.#reader.take();
  }

  #expandMacro(position: Position): Token | undefined {
    this.#reader.take();
    let name = '';
    while (/^[A-Za-z0-9_]$/.test(this.#reader.peek())) {
      name += this.#reader.take();
    }
    if (name.length > STRING_LENGTH_MAX) return this.#invalid(position, 'string too long');
    const text = this.#macros.expand(name);
    if (text === undefined) return this.#invalid(position, `macro '${name}' not defined`);
    this.#reader.expand(text);
    return undefined;
  }

  #quoted(position: Position): Token {
    const reader = this.#reader;
    const quote = reader.take();
    let text = '';
    for (;;) {
      let character = reader.takeRaw();
      if (character === quote) break;
      if (character === END) {
        return this.#invalid(position, 'reached end of file while parsing quoted string');
      }
      // A line that ends within quotes leaves no trace.
      if (character === '\n') continue;
      if (character === '\\') {
        const next = reader.peekRaw();
        if (next === '\n') {
          reader.takeRaw();
          continue;
        }
        if (next === quote || next === ' ' || next === '\t') character = reader.takeRaw();
      }
      text += character;
    }
    if (text.includes('\0')) return this.#invalid(position, 'syntax error: NUL in a string');
    return this.#string(text, position);
  }

  /** Digits are a number if what follows may end one; else they are the start of a word. */
  #number(position: Position): Token {
    const reader = this.#reader;
    let text = reader.take();
    while (isDigit(reader.peek())) text += reader.take();
    if (text.length > STRING_LENGTH_MAX) return this.#invalid(position, 'string too long');
    const isDash = text.startsWith('-');
    if (text === '-' || !endsNumber(reader.peek())) {
      return isDash ? { kind: 'character', text: '-', position } : this.#word(text, position);
    }
    const value = BigInt(text);
    if (value < LLONG_MIN) return this.#invalid(position, `"${text}" invalid number: too small`);
    if (value > LLONG_MAX) return this.#invalid(position, `"${text}" invalid number: too large`);
    return { kind: 'number', text, value, position };
  }

  #word(start: string, position: Position): Token {
    let text = start;
    while (continuesWord(this.#reader.peek())) text += this.#reader.take();
    if (KEYWORDS.has(text)) return { kind: 'keyword', text, position };
    return this.#string(text, position);
  }

  #string(text: string, position: Position): Token {
    if (text.length > STRING_LENGTH_MAX) return this.#invalid(position, 'string too long');
    return { kind: 'string', text, position };
  }

  #invalid(position: Position, message: string): Token {
    this.#diagnostics.error(position, message);
    return { kind: 'invalid', text: '', position };
  }
}
