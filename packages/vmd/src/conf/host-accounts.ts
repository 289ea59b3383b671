// The users and groups of this host.

import { readFileSync } from 'node:fs';
import { type Accounts, parseAccounts } from './accounts.ts';

/** The users and groups of the host; none on a host that has no such files. */
export function hostAccounts(): Accounts {
  const text = (path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  };
  return parseAccounts(text('/etc/passwd'), text('/etc/group'));
}
