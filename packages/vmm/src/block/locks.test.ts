import { expect, test } from 'vitest';
import { type Hold, Mutex, RangeLocks } from './locks.ts';

test('Mutex runs one task at a time, in order, also after one has failed', async () => {
  const mutex = new Mutex();
  const log: string[] = [];
  const task = (name: string) => async (): Promise<string> => {
    log.push(`${name} begins`);
    await Promise.resolve();
    log.push(`${name} ends`);
    if (name === 'b') throw new Error('b failed');
    return name;
  };
  const results = await Promise.allSettled(['a', 'b', 'c'].map((name) => mutex.run(task(name))));
  expect(log).toEqual(['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]));
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
});

test('RangeLocks.acquire() gives at once what nobody has, or all share', () => {
  const locks = new RangeLocks();
  for (const [first, last, exclusive] of [
    [0, 9, false],
    [5, 20, false],
    [21, 21, true],
    [22, Infinity, true],
  ] as const) {
    expect(locks.acquire(first, last, exclusive)).not.toBeInstanceOf(Promise);
  }
});

test('RangeLocks.acquire() waits for all in the way, those that wait included', async () => {
  const locks = new RangeLocks();
  const log: string[] = [];
  const one = locks.acquire(0, 3, false) as Hold;
  const two = locks.acquire(4, 7, true) as Hold;
  const ask = async (name: string, ...range: [number, number, boolean]): Promise<Hold> => {
    const hold = await locks.acquire(...range);
    log.push(name);
    return hold;
  };
  const writer = ask('writer', 2, 5, true);
  const reader = ask('reader', 0, 2, false);
  const elsewhere = ask('elsewhere', 8, 9, true);
  await elsewhere;
  locks.release(one);
  await Promise.resolve();
  expect(log).toEqual(['elsewhere']);
  locks.release(two);
  locks.release(await writer);
  await reader;
  expect(log).toEqual(['elsewhere', 'writer', 'reader']);
});
