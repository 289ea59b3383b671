// Options of a command line as getopt(3) and getopt_long(3) read them: clusters of single letters,
// an argument joined to its letter or in the next word, long options with their argument after "="
// or in the next word, "--" to end the options. As in POSIX, the first operand ends them too.

import { VmmError } from 'vmm/errors';

/** What a shell may offer for an argument. */
export type Choices = 'path' | readonly string[];

/** An option that a command has. */
export interface Option {
  /** One letter, as `m`, or a word, as `exit-port`. */
  readonly name: string;
  /** What to call its argument in the usage; absent when it takes none. */
  readonly argument?: string;
  /** The option before this one, of which only one or the other may be given. */
  readonly insteadOf?: string;
  /** The option may be given more than once. */
  readonly repeats?: boolean;
  /** What its argument may be, for completion: a path, or one of some words. */
  readonly choices?: Choices;
}

/** The options found, in order, and the operands. */
export interface Parsed {
  readonly options: readonly { readonly name: string; readonly value: string }[];
  readonly operands: readonly string[];
}

/**
 * Splits `words` into options, which must be among `known`, and operands; EINVAL says what is
 * wrong.
 */
export function getopt(words: readonly string[], known: readonly Option[]): Parsed {
  const options: { name: string; value: string }[] = [];
  const add = (option: Option, value: string): void => {
    if (option.repeats !== true && options.some(({ name }) => name === option.name)) {
      throw new VmmError('EINVAL', `option given more than once: ${optionText(option)}`);
    }
    options.push({ name: option.name, value });
  };
  let index = 0;
  const nextWord = (option: Option): string => {
    const word = words[index++];
    if (word !== undefined) return word;
    throw new VmmError('EINVAL', `option requires an argument: ${optionText(option)}`);
  };
  while (index < words.length) {
    const word = words[index]!;
    if (word === '-' || !word.startsWith('-')) break;
    index++;
    if (word === '--') break;
    if (word.startsWith('--')) parseLong(word, known, add, nextWord);
    else parseCluster(word, known, add, nextWord);
  }
  return { options, operands: words.slice(index) };
}

type Add = (option: Option, value: string) => void;
type NextWord = (option: Option) => string;

function parseLong(word: string, known: readonly Option[], add: Add, nextWord: NextWord): void {
  const equals = word.indexOf('=');
  const name = word.slice(2, equals < 0 ? undefined : equals);
  const option = name.length > 1 ? known.find((candidate) => candidate.name === name) : undefined;
  if (option === undefined) throw new VmmError('EINVAL', `unknown option: --${name}`);
  if (option.argument === undefined) {
    if (equals >= 0) throw new VmmError('EINVAL', `option takes no argument: --${name}`);
    add(option, '');
  } else {
    add(option, equals >= 0 ? word.slice(equals + 1) : nextWord(option));
  }
}

function parseCluster(word: string, known: readonly Option[], add: Add, nextWord: NextWord): void {
  for (let index = 1; index < word.length; index++) {
    const name = word[index]!;
    const option = known.find((candidate) => candidate.name === name);
    if (option === undefined) throw new VmmError('EINVAL', `unknown option: -${name}`);
    if (option.argument !== undefined) {
      const joined = word.slice(index + 1);
      add(option, joined === '' ? nextWord(option) : joined);
      return;
    }
    add(option, '');
  }
}

/** An option as it is typed: `-m` or `--exit-port`. */
export function optionText(option: Option): string {
  return option.name.length === 1 ? `-${option.name}` : `--${option.name}`;
}
