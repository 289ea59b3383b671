// "vmctl completion": scripts by which shells complete commands, options and arguments. All that
// they know comes from the table of commands; they start no program when a key is pressed.

import { VmmError } from 'vmm/errors';
import { type Command, findCommand, UsageError } from './command-table.ts';
import { type Choices, type Option, optionText } from './getopt.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

const SCRIPTS: Readonly<Record<Shell, (program: string, commands: readonly Command[]) => string>> =
  { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

/** The row of "completion". `commands` gives the table that it is in. */
export function completionCommand(
  program: string,
  commands: () => readonly Command[],
  print: (text: string) => void,
): Command {
  return {
    name: 'completion',
    options: [],
    operands: ['shell'],
    operandChoices: SHELLS,
    unabbreviated: true,
    async run({ operands: [word] }) {
      const shell = SHELLS.find((candidate) => candidate === word);
      if (shell === undefined) {
        throw new VmmError('EINVAL', `unknown shell: ${word} (one of: ${SHELLS.join(', ')})`);
      }
      print(SCRIPTS[shell](program, commands()));
      return 0;
    },
  };
}

/** The words that mean `command`: its name, and the abbreviations that no other command has. */
function wordsFor(command: Command, commands: readonly Command[]): string[] {
  const prefixes = Array.from(command.name, (_, at) => command.name.slice(0, at + 1));
  return prefixes.filter((prefix) => {
    try {
      return findCommand(commands, prefix) === command;
    } catch (error) {
      if (error instanceof UsageError) return false;
      throw error;
    }
  });
}

const names = (commands: readonly Command[]): string => commands.map(({ name }) => name).join(' ');
const optionNames = ({ options }: Command): string => options.map(optionText).join(' ');

/** `arms` of a shell's case, those with the same body as one. */
function cases(arms: readonly (readonly [pattern: string, body: string])[]): string[] {
  const bodies = new Map<string, string[]>();
  for (const [pattern, body] of arms) {
    bodies.set(body, [...(bodies.get(body) ?? []), pattern]);
  }
  return [...bodies].map(([body, patterns]) => `${patterns.join('|')}) ${body} ;;`);
}

interface ShellWords {
  /** Offers some words. */
  words(list: string): string;
  /** Offers the files there are. */
  readonly files: string;
  /** Offers nothing. */
  readonly nothing: string;
}

/** What bash and zsh do once the command is known: a case over the words for each command. */
function commandCases(commands: readonly Command[], shell: ShellWords): string[] {
  const offer = (choices: Choices | undefined): string => {
    if (choices === undefined) return shell.nothing;
    return choices === 'path' ? shell.files : shell.words(choices.join(' '));
  };
  const rest = (command: Command): string[] => [
    `-*) ${shell.words(optionNames(command))} ;;`,
    `*) ${offer(command.operandChoices)} ;;`,
  ];
  return commands.flatMap((command) => {
    const withArgument = command.options.filter(({ argument }) => argument !== undefined);
    const arms = withArgument.map(
      (option) => [optionText(option), `${offer(option.choices)}; return`] as const,
    );
    const previous = arms.length === 0 ? [] : ['case $previous in', ...indent(cases(arms)), 'esac'];
    return [
      `${wordsFor(command, commands).join('|')})`,
      ...indent([...previous, 'case $word in', ...indent(rest(command)), 'esac', ';;']),
    ];
  });
}

const indent = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);

function bashCompletion(program: string, commands: readonly Command[]): string {
  const shell: ShellWords = {
    words: (list) => `COMPREPLY=($(compgen -W '${list}' -- "$word"))`,
    files: `compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$word")`,
    nothing: 'COMPREPLY=()',
  };
  return `${[
    `# ${program} completion for bash: eval "$(${program} completion bash)"`,
    `_${program}() {`,
    ...indent([
      `local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command= at`,
      '# An equals sign is a word of its own here.',
      'if [[ $word == = ]]; then word=',
      `elif [[ $previous == = ]]; then previous=\${COMP_WORDS[COMP_CWORD-2]}; fi`,
      'for ((at = 1; at < COMP_CWORD; at++)); do',
      `  if [[ \${COMP_WORDS[at]} != -* ]]; then command=\${COMP_WORDS[at]}; break; fi`,
      'done',
      'COMPREPLY=()',
      'case $command in',
      ...indent([`'') ${shell.words(`${names(commands)} -v`)} ;;`]),
      ...indent(commandCases(commands, shell)),
      'esac',
    ]),
    '}',
    `complete -F _${program} ${program}`,
  ].join('\n')}\n`;
}

function zshCompletion(program: string, commands: readonly Command[]): string {
  const shell: ShellWords = {
    words: (list) => `compadd -- ${list}`,
    files: '_files',
    nothing: ':',
  };
  return `${[
    `#compdef ${program}`,
    `# ${program} completion for zsh: eval "$(${program} completion zsh)" after compinit,`,
    `# or a file _${program} in a folder of fpath.`,
    `_${program}() {`,
    ...indent([
      `local word=\${words[CURRENT]} previous=\${words[CURRENT-1]} command= at`,
      '# An option and its argument may be one word.',
      `if [[ $word == --*=* ]]; then previous=\${word%%=*}; compset -P '*='; word=$PREFIX; fi`,
      'for ((at = 2; at < CURRENT; at++)); do',
      `  if [[ \${words[at]} != -* ]]; then command=\${words[at]}; break; fi`,
      'done',
      'case $command in',
      ...indent([`'') ${shell.words(`${names(commands)} -v`)} ;;`]),
      ...indent(commandCases(commands, shell)),
      'esac',
    ]),
    '}',
    '# A file of fpath is the function itself when it is first called.',
    `if [[ $funcstack[1] == _${program} ]]; then _${program}`,
    `else compdef _${program} ${program}; fi`,
  ].join('\n')}\n`;
}

function fishCompletion(program: string, commands: readonly Command[]): string {
  const complete = `complete -c ${program}`;
  const choicesText = (choices: Choices): string =>
    choices === 'path' ? ' -F' : ` -f -a '${choices.join(' ')}'`;
  const optionLine = (condition: string, option: Option): string => {
    const { name, argument, choices = [] } = option;
    const flag = name.length === 1 ? `-s ${name}` : `-l ${name}`;
    const value = argument === undefined ? '' : ` -r${choicesText(choices)}`;
    return `${complete} ${condition} ${flag}${value}`;
  };
  const lines = commands.flatMap((command) => {
    const condition = `-n '__${program}_is ${wordsFor(command, commands).join(' ')}'`;
    const { operandChoices } = command;
    return [
      ...command.options.map((option) => optionLine(condition, option)),
      ...(operandChoices ? [`${complete} ${condition}${choicesText(operandChoices)}`] : []),
    ];
  });
  return `${[
    `# ${program} completion for fish: ${program} completion fish | source`,
    `function __${program}_is --description 'whether the command is one of the arguments'`,
    ...indent([
      'for word in (commandline -opc)[2..-1]',
      "  if not string match -q -- '-*' $word; contains -- $word $argv; return; end",
      'end',
      'test (count $argv) -eq 0',
    ]),
    'end',
    `${complete} -f`,
    `${complete} -n __${program}_is -a '${names(commands)}'`,
    `${complete} -n __${program}_is -s v`,
    ...lines,
  ].join('\n')}\n`;
}
