// Sets the repository up, then runs a script of it on the best Node there is:
//   node scripts/run.mjs scripts/boot.ts [argument ...]
//   node scripts/run.mjs --check [argument of vitest ...]
// A Node that strips types itself (22.18 on) runs the script as it is; for an older one the scripts
// are compiled first, to scripts/dist.

import { spawn, spawnSync } from 'node:child_process';
import { basename, join } from 'node:path';
import process, { argv, execPath, exit } from 'node:process';
import { chooseNode, fail, ROOT, setup } from './setup.mjs';

const TSC = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
const VITEST = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');

/** The file to give to `node` for the script at `path`. */
function runnable(node, path) {
  const strips = spawnSync(node, ['-p', 'Boolean(process.features.typescript)']);
  if (strips.stdout?.toString().trim() === 'true') return join(ROOT, path);
  const compiled = spawnSync(execPath, [TSC, '-p', join(ROOT, 'scripts')], {
    stdio: ['ignore', 2, 2],
  });
  if (compiled.status !== 0) fail('Cannot compile the scripts: tsc failed.');
  return join(ROOT, 'scripts', 'dist', 'scripts', basename(path).replace(/\.ts$/, '.js'));
}

const [what, ...rest] = argv.slice(2);
if (what === undefined) fail('usage: node scripts/run.mjs script.ts | --check [argument ...]');
const check = what === '--check';
setup(check);
const node = chooseNode();
const words = check ? [VITEST, 'run', ...rest] : [runnable(node, what), ...rest];
const child = spawn(node, words, { cwd: ROOT, stdio: 'inherit' });
// A terminal sends its signals to both; this process only has to outlive the child. Signals from
// elsewhere are passed on.
process.on('SIGINT', () => {});
for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name));
child.on('error', (error) => fail(`Cannot run ${node}: ${error.message}.`));
child.on('exit', (status) => exit(status ?? 1));
