// vmd(8). So far it checks a configuration, -n; the daemon itself is not there yet. As in OpenBSD,
// everything is said on standard error.

import { readFileSync } from 'node:fs';
import { VmmError } from 'vmm/errors';
import { type Accounts, parseAccounts } from './conf/accounts.ts';
import { hostFiles } from './conf/conf-files.ts';
import { diagnosticText } from './conf/diagnostics.ts';
import { parseDefinition } from './conf/macros.ts';
import { parseConfiguration } from './conf/parse-configuration.ts';
import { getopt, type Option } from './getopt.ts';

const PROGRAM = 'vmd';
const USAGE = `usage: ${PROGRAM} -n [-v] [-D macro=value] [-f file]`;
const CONFIGURATION_DEFAULT = '/etc/vm.conf';
const OPTIONS: readonly Option[] = [
  { name: 'n' },
  { name: 'v', repeats: true },
  { name: 'D', argument: 'macro=value', repeats: true },
  { name: 'f', argument: 'file' },
];

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** The users and groups of the host; none on a host that has no such files. */
function hostAccounts(): Accounts {
  const text = (path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  };
  return parseAccounts(text('/etc/passwd'), text('/etc/group'));
}

/** Macros of the command line; of several definitions of one the first holds, as in vmd(8). */
function macrosOf(definitions: readonly string[]): Map<string, string> {
  const macros = new Map<string, string>();
  for (const word of definitions) {
    const definition = parseDefinition(word);
    if (definition === undefined) {
      throw new VmmError('EINVAL', `could not parse macro definition ${word}`);
    }
    if (!macros.has(definition[0])) macros.set(...definition);
  }
  return macros;
}

/** Checks a configuration: "vmd -n". Returns the exit status. */
function check(
  path: string | undefined,
  macros: ReadonlyMap<string, string>,
  verbose: boolean,
): number {
  const { configuration, diagnostics } = parseConfiguration({
    path: path ?? CONFIGURATION_DEFAULT,
    isOptional: path === undefined,
    macros,
    files: hostFiles,
    accounts: hostAccounts(),
  });
  for (const diagnostic of diagnostics) {
    if (verbose || diagnostic.severity !== 'note') say(diagnosticText(diagnostic));
  }
  if (configuration === null) return 1;
  say('configuration OK');
  return 0;
}

function main(words: readonly string[]): number {
  try {
    const { options, operands } = getopt(words, OPTIONS);
    if (operands.length > 0) throw new VmmError('EINVAL', `too many arguments: ${operands[0]}`);
    const values = (name: string): string[] =>
      options.filter((option) => option.name === name).map(({ value }) => value);
    if (values('n').length === 0) {
      say(`${PROGRAM}: There is no daemon yet: only -n works, which checks a configuration.`);
      return 1;
    }
    return check(values('f')[0], macrosOf(values('D')), values('v').length > 0);
  } catch (error) {
    if (!(error instanceof VmmError)) throw error;
    say(`${PROGRAM}: ${error.message}`);
    say(USAGE);
    return 1;
  }
}

process.exitCode = main(process.argv.slice(2));
