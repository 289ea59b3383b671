// Where the repository is: the scripts run both as they are and compiled, from another folder.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The repository's folder: the nearest one above this file with package-lock.json in it. */
export function root(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package-lock.json'))) {
    if (dirname(folder) === folder) throw new Error('The repository has no package-lock.json.');
    folder = dirname(folder);
  }
  return folder;
}
