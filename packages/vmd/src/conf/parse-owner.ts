// Owners: a user, a user and a group, a group alone, or the number of a user.

import type { Owner } from './configuration.ts';
import type { Context } from './context.ts';
import { UID_MAX } from './limits.ts';

/** `uid | user | user:group | :group`; without a user it is root, as in vmd(8). */
export function parseOwner({ tokens, accounts }: Context): Owner {
  if (tokens.peek().kind === 'number') {
    return { uid: tokens.number('a user', 0, UID_MAX, 'invalid user id'), gid: null };
  }
  const { text, position } = tokens.string('a user or :group');
  const colon = text.indexOf(':');
  const userName = colon < 0 ? text : text.slice(0, colon);
  const groupName = colon < 0 ? '' : text.slice(colon + 1);
  if (userName === '' && groupName === '') tokens.reject(position, 'owner is empty');
  const user = accounts.users.find(({ name }) => name === userName);
  if (userName !== '' && user === undefined) {
    tokens.reject(position, `failed to get user: ${userName}`);
  }
  const group = accounts.groups.find(({ name }) => name === groupName);
  if (groupName !== '' && group === undefined) {
    tokens.reject(position, `failed to get group: ${groupName}`);
  }
  return { uid: user?.uid ?? 0, gid: group?.gid ?? null };
}
