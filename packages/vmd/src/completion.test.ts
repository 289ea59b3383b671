// The scripts in the shells themselves. For bash and zsh, keys are typed at an interactive shell on
// a pseudo-terminal of script(1), in which vmctl is a function that prints what it was given; fish
// is asked what it would offer.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Command } from './command-table.ts';
import { completionCommand } from './completion.ts';

const command = (name: string, rest: Partial<Command> = {}): Command => {
  return { name, options: [], operands: [], run: async () => 0, ...rest };
};
const COMMANDS: readonly Command[] = [
  command('start', {
    options: [
      { name: 'c' },
      { name: 'm', argument: 'size' },
      { name: 'd', argument: 'disk', choices: 'path' },
      { name: 'e', argument: 'engine', choices: ['soft', 'hard'] },
      { name: 'jit', argument: 'mode', choices: ['off', 'always'] },
    ],
    operands: ['name'],
  }),
  command('status'),
  command('log', { operands: ['how'], operandChoices: ['brief', 'verbose'] }),
  completionCommand(
    'vmctl',
    () => COMMANDS,
    () => {},
  ),
];

async function scriptFor(shell: string): Promise<string> {
  let script = '';
  const row = completionCommand(
    'vmctl',
    () => COMMANDS,
    (text) => {
      script += text;
    },
  );
  await row.run({ options: [], operands: [shell] });
  return script;
}

/** Why a test is skipped: the first of `programs` that is missing; undefined if none is. */
function missing(...programs: string[]): string | undefined {
  const program = programs.find((name) => spawnSync(name, ['--version']).status !== 0);
  return program === undefined ? undefined : `${program} is not installed`;
}
const NO_BASH = missing('bash', 'script');
const NO_ZSH = missing('zsh', 'script');
const NO_FISH = missing('fish');

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'completion-'));
  writeFileSync(join(folder, 'a disk.img'), '');
  for (const shell of ['bash', 'zsh', 'fish']) {
    writeFileSync(join(folder, `script.${shell}`), await scriptFor(shell));
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What vmctl is given when each of `lines` is typed at an interactive shell. */
function type(shellCommand: string, setup: string, lines: readonly string[]): string[] {
  const input = [setup, 'vmctl() { printf "<%s>" "$@"; echo; }', ...lines, 'exit'];
  const { stdout } = spawnSync('script', ['-qec', shellCommand, '/dev/null'], {
    input: `${input.join('\n')}\n`,
    encoding: 'utf8',
    cwd: folder,
    timeout: 30_000,
    env: { ...process.env, TERM: 'dumb', HOME: folder, PS1: '', HISTFILE: '' },
  });
  return stdout.split(/\r*\n/).filter((line) => /^<.*>$/.test(line));
}

/** Typed keys, and the arguments that they come to. */
const TYPED: readonly (readonly [keys: string, result: string])[] = [
  ['vmctl lo\tv\t', '<log><verbose>'],
  ['vmctl sta\tr\t-e s\t', '<start><-e><soft>'],
  ['vmctl star --jit al\t', '<star><--jit><always>'],
  ['vmctl start --jit=al\t', '<start><--jit=always>'],
  ['vmctl start --j\toff', '<start><--jit><off>'],
  ['vmctl start -d a\t', '<start><-d><a disk.img>'],
  ['vmctl -v s\trt', '<-v><start>'],
  ['vmctl sta -e s', '<sta><-e><s>'],
  ['vmctl com\tf\t', '<completion><fish>'],
];

test('bash completes what is typed', ({ skip }) => {
  skip(NO_BASH !== undefined, NO_BASH);
  const keys = TYPED.map(([line]) => line);
  const results = type('bash --norc --noprofile -i', '. ./script.bash', keys);
  expect(results).toEqual(TYPED.map(([, result]) => result));
});

test('bash has the function registered, which names all that fits', ({ skip }) => {
  skip(NO_BASH !== undefined, NO_BASH);
  const ask = (...words: string[]): string[] => {
    const text = `. ./script.bash; complete -p vmctl; COMP_WORDS=(vmctl "$@"); COMP_CWORD=$#
      _vmctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = spawnSync('bash', ['-c', text, 'bash', ...words], {
      encoding: 'utf8',
      cwd: folder,
    });
    const [registered, ...offers] = stdout.split('\n').filter(Boolean);
    expect(registered).toBe('complete -F _vmctl vmctl');
    return offers;
  };
  expect(ask('')).toEqual(['start', 'status', 'log', 'completion', '-v']);
  expect(ask('st')).toEqual(['start', 'status']);
  expect(ask('start', '-')).toEqual(['-c', '-m', '-d', '-e', '--jit']);
  expect(ask('start', '-m', '')).toEqual([]);
  expect(ask('start', '')).toEqual([]);
  expect(ask('l', '')).toEqual(['brief', 'verbose']);
  // Two commands begin like this, and "completion" has to be written out.
  expect(ask('sta', '-')).toEqual([]);
  expect(ask('compl', '')).toEqual([]);
});

test('zsh completes what is typed', ({ skip }) => {
  skip(NO_ZSH !== undefined, NO_ZSH);
  const setup = 'PS1= PROMPT_SP=; unsetopt zle_bracketed_paste prompt_sp; autoload -U compinit';
  const keys = TYPED.map(([line]) => line);
  const results = type('zsh -f -i', `${setup}; compinit -u -D; . ./script.zsh`, keys);
  expect(results).toEqual(TYPED.map(([, result]) => result));
});

describe('fish', () => {
  test.for<[line: string, offers: string[]]>([
    ['vmctl ', ['completion', 'log', 'start', 'status']],
    ['vmctl -v sta', ['start', 'status']],
    ['vmctl log ', ['brief', 'verbose']],
    ['vmctl lo ', ['brief', 'verbose']],
    ['vmctl start -e ', ['hard', 'soft']],
    ['vmctl star --jit=', ['--jit=always', '--jit=off']],
    ['vmctl start -m ', []],
    ['vmctl start -d a', ['a disk.img']],
    ['vmctl start --', ['--jit']],
    ['vmctl sta -e ', []],
  ])('offers for "%s" %j', ([line, offers], { skip }) => {
    skip(NO_FISH !== undefined, NO_FISH);
    const text = 'source script.fish; complete -C "$argv[1]"';
    const { stdout } = spawnSync('fish', ['--no-config', '-c', text, line], {
      encoding: 'utf8',
      cwd: folder,
      env: { ...process.env, HOME: folder },
    });
    const found = stdout.split('\n').map((offer) => offer.split('\t')[0]!);
    expect(found.filter(Boolean).sort()).toEqual(offers);
  });
});
