// The words after `npm run bench --`.

import { parseArgs } from 'node:util';
import { VmmError } from '../../packages/vmm/src/base/errors.ts';
import { CONTENDERS, type Contender } from './contenders.ts';

/** How to use it; the first line is the synopsis. */
export const USAGE = `usage: npm run bench [-- option ...]
  --only NAME,...           these items only; "boot" is one of them
  --contenders NAME,...     of: ${CONTENDERS.join(', ')}
  --rounds [NAME=]NUMBER    how often each takes its turn (3; interp, which has to be named, 1)
  --scale [NAME=]FACTOR     of the work (1; interp, which has to be named, 0.1)
  --append WORDS            for the kernel's command line, as "mitigations=off"
  --json FILE               writes all results
  --against FILE            compares ours with such a file of before
  --list                    lists the items
  -v                        says each result when it comes
`;

/** What is to be run. */
export interface Settings {
  /** Items; none for all. */
  readonly only: readonly string[];
  readonly contenders: readonly Contender[];
  readonly rounds: Readonly<Record<Contender, number>>;
  /** The work in thousandths. */
  readonly permille: Readonly<Record<Contender, number>>;
  /** Words for the kernel's command line. */
  readonly append: string;
  readonly json?: string;
  /** What --json wrote earlier. */
  readonly against?: string;
  readonly list: boolean;
  readonly verbose: boolean;
}

const CONTENDERS_DEFAULT: readonly Contender[] = ['native', 'qemu', 'jit', 'interp'];
const ROUNDS_DEFAULT = 3;
/** The interpreter takes minutes for what others do in seconds. */
const INTERPRETER = { rounds: 1, permille: 100 };

/** Settings from words; EINVAL with a sentence for words that make no sense. */
export function parseSettings(words: readonly string[]): Settings {
  const { values } = parse(words);
  return {
    only: list(values.only),
    contenders: values.contenders ? list(values.contenders).map(contenderOf) : CONTENDERS_DEFAULT,
    rounds: perContender('rounds', values.rounds, ROUNDS_DEFAULT, INTERPRETER.rounds, (text) =>
      /^[1-9]\d{0,2}$/.test(text) ? Number(text) : undefined,
    ),
    permille: perContender('scale', values.scale, 1000, INTERPRETER.permille, (text) => {
      const value = /^(\d+\.?\d*|\.\d+)$/.test(text) ? Math.round(Number(text) * 1000) : 0;
      return value >= 1 && value <= 1_000_000 ? value : undefined;
    }),
    append: values.append ?? '',
    ...(values.against === undefined ? {} : { against: values.against }),
    ...(values.json === undefined ? {} : { json: values.json }),
    list: values.list ?? false,
    verbose: values.verbose ?? false,
  };
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      options: {
        only: { type: 'string' },
        contenders: { type: 'string' },
        rounds: { type: 'string', multiple: true },
        scale: { type: 'string', multiple: true },
        append: { type: 'string' },
        against: { type: 'string' },
        json: { type: 'string' },
        list: { type: 'boolean' },
        verbose: { type: 'boolean', short: 'v' },
      },
    });
  } catch (cause) {
    const [sentence] = (cause as Error).message.split('. ');
    throw new VmmError('EINVAL', `${sentence!.replace(/\.$/, '')}.`, { cause });
  }
}

function list(text: string | undefined): string[] {
  return (text ?? '').split(',').filter((word) => word !== '');
}

function contenderOf(name: string): Contender {
  const found = CONTENDERS.find((contender) => contender === name);
  if (found !== undefined) return found;
  throw new VmmError(
    'EINVAL',
    `There is no contender ${name}; there are ${CONTENDERS.join(', ')}.`,
  );
}

/** Values such as "3" for all and "interp=1" for one; what comes later wins. */
function perContender(
  option: string,
  words: readonly string[] | undefined,
  usual: number,
  interpreter: number,
  read: (text: string) => number | undefined,
): Record<Contender, number> {
  const values: Record<Contender, number> = {
    native: usual,
    qemu: usual,
    jit: usual,
    interp: interpreter,
    'jit-node20': usual,
  };
  for (const word of words ?? []) {
    const [text, name] = word.split('=').reverse();
    const value = read(text!);
    if (value === undefined) {
      throw new VmmError('EINVAL', `The value ${text} of --${option} is no number for it.`);
    }
    if (name !== undefined) values[contenderOf(name)] = value;
    // One value for all is for those that are alike; the interpreter is named when meant.
    else for (const each of CONTENDERS) if (each !== 'interp') values[each] = value;
  }
  return values;
}
