// A host for the tests of the configuration: files that are there by their names, a few accounts.

import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { VmmError } from 'vmm';
import { type Accounts, parseAccounts } from '../src/conf/accounts.ts';
import type { ConfFiles } from '../src/conf/conf-files.ts';

/** The accounts: alice and bob, and staff, in which bob is. */
export const TEST_ACCOUNTS: Accounts = parseAccounts(
  'root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n' +
    'bob:x:1001:1001::/home/bob:/bin/sh\n',
  'root:x:0:\nwheel:x:10:alice\nstaff:x:50:bob\nalice:x:1000:\nbob:x:1001:\n',
);

function absent(): VmmError {
  return new VmmError('ENOENT', 'there is no such file');
}

/**
 * Files under `folder` can be read. As for the rest, relative paths are those of /srv, what has
 * "missing" in its path is not there, and /img/link is a symbolic link to /img/target.
 */
export function testFiles(folder: string): ConfFiles {
  const absolute = (path: string): string => posix.resolve('/srv', path);
  return {
    read(path) {
      try {
        return readFileSync(join(folder, path), 'utf8');
      } catch {
        throw absent();
      }
    },
    realpath(path) {
      if (path === '' || path.includes('missing')) throw absent();
      return absolute(path) === '/img/link' ? '/img/target' : absolute(path);
    },
    resolve: absolute,
  };
}
