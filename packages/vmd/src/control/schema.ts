// Checks of values that come from outside, by which a message becomes what its type says. A check
// returns the value or refuses it, naming the place; nothing unknown passes.

import { VmmError } from 'vmm/errors';

/** Returns `value` as what it is checked to be; EINVAL names `place` otherwise. */
export type Check<T> = (value: unknown, place: string) => T;

function refuse(place: string, expected: string): never {
  throw new VmmError('EINVAL', `${place}: expected ${expected}`);
}

/** A string of 1 to `bytesMax` bytes, without a NUL, that matches `pattern`. */
export function text(bytesMax: number, pattern?: RegExp): Check<string> {
  return (value, place) => {
    const expected = `a text of at most ${bytesMax} bytes`;
    if (typeof value !== 'string' || value === '') return refuse(place, expected);
    if (Buffer.byteLength(value) > bytesMax || value.includes('\0')) refuse(place, expected);
    if (pattern !== undefined && !pattern.test(value)) refuse(place, `it to match ${pattern}`);
    return value;
  };
}

/** An integer from `min` to `max`. */
export function integer(min: number, max: number): Check<number> {
  return (value, place) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      return refuse(place, `an integer from ${min} to ${max}`);
    }
    return value;
  };
}

/** True or false. */
export const boolean: Check<boolean> = (value, place) =>
  typeof value === 'boolean' ? value : refuse(place, 'true or false');

/** One of some words. */
export function oneOf<T extends string>(words: readonly T[]): Check<T> {
  return (value, place) =>
    words.find((word) => word === value) ?? refuse(place, `one of ${words.join(', ')}`);
}

/** A list of at most `max` items. */
export function list<T>(item: Check<T>, max: number): Check<readonly T[]> {
  return (value, place) => {
    if (!Array.isArray(value) || value.length > max) {
      return refuse(place, `a list of at most ${max}`);
    }
    return value.map((one, index) => item(one, `${place}[${index}]`));
  };
}

/** What `check` takes, or nothing. */
export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value, place) => (value === undefined ? undefined : check(value, place));
}

/** What `check` takes, or null. */
export function nullable<T>(check: Check<T>): Check<T | null> {
  return (value, place) => (value === null ? null : check(value, place));
}

/** What `first` or else `second` takes. */
export function either<A, B>(first: Check<A>, second: Check<B>): Check<A | B> {
  return (value, place) => {
    try {
      return first(value, place);
    } catch {
      return second(value, place);
    }
  };
}

/** An object with these members and no others; those that are undefined may be missing. */
export function record<T extends object>(
  fields: {
    readonly [K in keyof T]-?: Check<T[K]>;
  },
): Check<T> {
  const names = Object.keys(fields) as (keyof T & string)[];
  return (value, place) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return refuse(place, 'an object');
    }
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(fields, name)) refuse(place, `no member ${JSON.stringify(name)}`);
    }
    const given = value as Partial<Record<string, unknown>>;
    const result: Partial<T> = {};
    for (const name of names) {
      const member = Object.hasOwn(given, name) ? given[name] : undefined;
      const checked = fields[name](member, `${place}.${name}`);
      if (checked !== undefined) result[name] = checked;
    }
    return result as T;
  };
}

/** One of several objects, told apart by the member `tag`. */
export function tagged<T extends object>(
  tag: string,
  cases: Readonly<Record<string, Check<T>>>,
): Check<T> {
  return (value, place) => {
    const members = typeof value === 'object' && value !== null ? Object.entries(value) : [];
    const found: unknown = members.find(([name]) => name === tag)?.[1];
    if (typeof found !== 'string' || !Object.hasOwn(cases, found)) {
      return refuse(`${place}.${tag}`, `one of ${Object.keys(cases).join(', ')}`);
    }
    return cases[found]!(value, place);
  };
}
