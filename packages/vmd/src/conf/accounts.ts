// Users and groups, as the host's passwd(5) and group(5) name them. A function of the two files:
// other sources, such as directories on the network, are not asked.

/** A user. */
export interface User {
  readonly name: string;
  readonly uid: number;
  /** The primary group. */
  readonly gid: number;
}

/** A group. */
export interface Group {
  readonly name: string;
  readonly gid: number;
  /** Names of the users who have it as a secondary group. */
  readonly members: readonly string[];
}

/** Users and groups to look up; where files disagree with themselves, the first entry holds. */
export interface Accounts {
  readonly users: readonly User[];
  readonly groups: readonly Group[];
}

const isId = (text: string | undefined): text is string => /^\d{1,10}$/.test(text ?? '');

/** The entries of a file: not comments, nor the "+" and "-" of the NIS, nor broken lines. */
function entries(text: string, fieldCount: number): string[][] {
  return text
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= fieldCount && /^[^#+\-\s]/.test(fields[0]!));
}

/** Reads the texts of passwd(5) and group(5). */
export function parseAccounts(passwd: string, group: string): Accounts {
  const users: User[] = [];
  for (const [name, , uid, gid] of entries(passwd, 4)) {
    if (isId(uid) && isId(gid)) users.push({ name: name!, uid: Number(uid), gid: Number(gid) });
  }
  const groups: Group[] = [];
  for (const [name, , gid, list = ''] of entries(group, 3)) {
    const members = list.split(',').map((member) => member.trim());
    if (isId(gid)) groups.push({ name: name!, gid: Number(gid), members: members.filter(Boolean) });
  }
  return { users, groups };
}

/** Whether a user, known or not, has the group `gid` as the primary or a secondary one. */
export function isMember(accounts: Accounts, uid: number, gid: number): boolean {
  const user = accounts.users.find((candidate) => candidate.uid === uid);
  if (user === undefined) return false;
  if (user.gid === gid) return true;
  return accounts.groups.some((group) => group.gid === gid && group.members.includes(user.name));
}
