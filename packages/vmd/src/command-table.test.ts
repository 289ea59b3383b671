import { expect, test } from 'vitest';
import { type Command, findCommand, parseArguments, synopsis, usage } from './command-table.ts';

function command(name: string, operands: string[] = []): Command {
  const options = [
    { name: 'f' },
    { name: 'w' },
    { name: 'm', argument: 'size' },
    { name: 'dry-run' },
  ];
  return { name, operands, options, run: async () => 0 };
}
const COMMANDS = [command('start', ['name']), command('status', ['[id]']), command('stop')];

test('findCommand() takes names and unambiguous prefixes', () => {
  expect(findCommand(COMMANDS, 'stop').name).toBe('stop');
  expect(findCommand(COMMANDS, 'sto').name).toBe('stop');
  expect(findCommand([...COMMANDS, command('stopall')], 'stop').name).toBe('stop');
});

test("findCommand() refuses others in vmctl(8)'s words", () => {
  expect(() => findCommand(COMMANDS, 'sta')).toThrow('ambiguous argument: sta');
  expect(() => findCommand(COMMANDS, 'boot')).toThrow('unknown argument: boot');
  expect(() => findCommand([command('stop')], '')).toThrow('unknown argument: ');
});

// The commands of OpenBSD 7.4's vmctl(8), and for each its shortest abbreviations, by hand.
const ABBREVIATIONS = {
  console: 'co',
  create: 'cr',
  load: 'loa',
  log: 'log',
  pause: 'p',
  receive: 'rec',
  reload: 'rel',
  reset: 'res',
  send: 'se',
  show: 'sh',
  start: 'star',
  status: 'stat',
  stop: 'sto',
  unpause: 'u',
  wait: 'w',
};

test('abbreviations are those of vmctl(8), whatever is added unabbreviated', () => {
  const added = { ...command('completion'), unabbreviated: true };
  const commands = [...Object.keys(ABBREVIATIONS).map((name) => command(name)), added];
  for (const [name, shortest] of Object.entries(ABBREVIATIONS)) {
    for (let length = 1; length <= name.length; length++) {
      const word = name.slice(0, length);
      const find = (): string => findCommand(commands, word).name;
      if (length >= shortest.length) expect(find()).toBe(name);
      else expect(find).toThrow(`ambiguous argument: ${word}`);
    }
  }
  expect(findCommand(commands, 'completion')).toBe(added);
  expect(() => findCommand(commands, 'com')).toThrow('unknown argument: com');
  expect(() => findCommand(commands, '')).toThrow('ambiguous argument: ');
});

test('parseArguments() checks the number of operands', () => {
  expect(parseArguments(COMMANDS[0]!, ['-f', 'a']).operands).toEqual(['a']);
  expect(parseArguments(COMMANDS[1]!, []).operands).toEqual([]);
  expect(() => parseArguments(COMMANDS[0]!, [])).toThrow('missing argument: name');
  expect(() => parseArguments(COMMANDS[2]!, ['a'])).toThrow('too many arguments: a');
});

test('synopsis() and usage() are printed from the table', () => {
  expect(synopsis(COMMANDS[1]!)).toBe('status [-fw] [-m size] [--dry-run] [id]');
  const options = [
    { name: 'b', argument: 'base' },
    { name: 'i', argument: 'disk', insteadOf: 'b' },
    { name: 's', argument: 'size' },
  ];
  expect(synopsis({ ...command('create', ['disk']), options })).toBe(
    'create [-b base | -i disk] [-s size] disk',
  );
  expect(usage('vmctl', COMMANDS.slice(0, 1))).toBe(
    'usage: vmctl [-v] [-s socket] command [arg ...]\n' +
      '       vmctl start [-fw] [-m size] [--dry-run] name\n',
  );
});
