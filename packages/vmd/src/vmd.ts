// vmd(8): from its command line to a daemon, in the foreground or the background; or the check of a
// configuration, -n. As in OpenBSD, everything is said on standard error until it is in the
// background.

import { homedir } from 'node:os';
import { join } from 'node:path';
import { VmmError } from 'vmm/errors';
import { hostFiles } from './conf/conf-files.ts';
import { diagnosticText } from './conf/diagnostics.ts';
import { hostAccounts } from './conf/host-accounts.ts';
import { parseDefinition } from './conf/macros.ts';
import { parseConfiguration } from './conf/parse-configuration.ts';
import { ownSocket } from './control/socket-place.ts';
import { runInBackground, tellParent } from './daemon/background.ts';
import { ConfigurationError, Daemon } from './daemon/daemon.ts';
import { backgroundSink, Log, stderrSink } from './daemon/log.ts';
import { getopt, type Option } from './getopt.ts';

const PROGRAM = 'vmd';
const USAGE = `usage: ${PROGRAM} [-dnv] [-D macro=value] [-f file] [-s socket] [--on-demand]`;
const OPTIONS: readonly Option[] = [
  { name: 'd' },
  { name: 'n' },
  { name: 'v', repeats: true },
  { name: 'D', argument: 'macro=value', repeats: true },
  { name: 'f', argument: 'file' },
  { name: 's', argument: 'socket' },
  { name: 'on-demand' },
];

function say(line: string): void {
  process.stderr.write(`${line}\n`);
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

/** Root has the system's configuration, and everybody else their own. */
function defaultConfiguration(uid: number): string {
  if (uid === 0) return '/etc/vm.conf';
  const folder = process.env.XDG_CONFIG_HOME ?? join(homedir(), '.config');
  return join(folder, 'vmd', 'vm.conf');
}

interface Settings {
  readonly configurationPath: string;
  readonly isOptional: boolean;
  readonly macros: ReadonlyMap<string, string>;
  readonly verbose: boolean;
}

/** Checks a configuration: "vmd -n". Returns the exit status. */
function check({ configurationPath, isOptional, macros, verbose }: Settings): number {
  const { configuration, diagnostics } = parseConfiguration({
    path: configurationPath,
    isOptional,
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

/** Is the daemon, until it is told to stop. Returns the exit status. */
async function serve(
  settings: Settings,
  socketPath: string,
  uid: number,
  foreground: boolean,
  onDemand: boolean,
): Promise<number> {
  process.title = PROGRAM;
  const log = new Log(
    foreground ? stderrSink : backgroundSink(`${socketPath}.log`),
    settings.verbose,
  );
  const daemon = new Daemon({ ...settings, socketPath, log, uid, onDemand });
  const onStop = (): void => {
    // A second signal does not wait for guests: their processes end when this one does.
    process.once('SIGTERM', () => process.exit(1));
    process.once('SIGINT', () => process.exit(1));
    void daemon.stop();
  };
  process.once('SIGTERM', onStop);
  process.once('SIGINT', onStop);
  process.on('SIGHUP', () => {
    try {
      daemon.reload();
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      log.info('the configuration is left as it was');
    }
  });
  // Whatever goes wrong in here, machines that run shall not end for it.
  process.stderr.on('error', () => {});
  process.on('uncaughtException', (error) => log.info(`A defect: ${error.stack ?? error}`));
  await daemon.run();
  tellParent({ ready: true });
  log.info(`listening at ${socketPath}`);
  await daemon.done;
  return 0;
}

async function main(words: readonly string[]): Promise<number> {
  try {
    const { options, operands } = getopt(words, OPTIONS);
    if (operands.length > 0) throw new VmmError('EINVAL', `too many arguments: ${operands[0]}`);
    const values = (name: string): string[] =>
      options.filter((option) => option.name === name).map(({ value }) => value);
    const has = (name: string): boolean => values(name).length > 0;
    const uid = process.getuid?.() ?? 0;
    const file = values('f')[0];
    const settings: Settings = {
      configurationPath: file ?? defaultConfiguration(uid),
      isOptional: file === undefined,
      macros: macrosOf(values('D')),
      verbose: has('v'),
    };
    if (has('n')) return check(settings);
    const foreground = has('d');
    if (!foreground && !process.send) return await runInBackground(words, say);
    const socketPath = values('s')[0] ?? ownSocket(uid, process.env);
    return await serve(settings, socketPath, uid, foreground, has('on-demand'));
  } catch (error) {
    if (!(error instanceof VmmError)) throw error;
    tellParent({ error: error.message });
    if (error instanceof ConfigurationError) return 1;
    say(`${PROGRAM}: ${error.message}`);
    if (error.code === 'EINVAL') say(USAGE);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
