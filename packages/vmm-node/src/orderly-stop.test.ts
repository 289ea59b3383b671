import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { OrderlyStop, SHUTDOWN_MS_MAX } from './orderly-stop.ts';

let stop: OrderlyStop;
let asked: number;
beforeEach(() => {
  vi.useFakeTimers();
  stop = new OrderlyStop();
  asked = 0;
});
afterEach(() => vi.useRealTimers());

function start(heard: boolean): void {
  stop.started({
    pause: () => Promise.resolve(),
    unpause: () => {},
    suspend: () => Promise.resolve(),
    requestShutdown: () => {
      asked++;
      return Promise.resolve(heard);
    },
  });
}

test('a guest that has heard gets its time, and is then ended', async () => {
  start(true);
  expect(await stop.request()).toBe(true);
  vi.advanceTimersByTime(SHUTDOWN_MS_MAX - 1);
  expect(stop.signal.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect([stop.signal.aborted, asked]).toEqual([true, 1]);
});

test('a guest that does not listen, or is not there yet, is ended at once', async () => {
  expect(await stop.request()).toBe(false);
  expect(stop.signal.aborted).toBe(true);
  stop = new OrderlyStop();
  start(false);
  expect(await stop.request()).toBe(false);
  expect(stop.signal.aborted).toBe(true);
});

test('the second request ends the machine, also while the first is not answered', async () => {
  start(true);
  const first = stop.request();
  expect(await stop.request()).toBe(false);
  expect([stop.signal.aborted, await first, asked]).toEqual([true, false, 1]);
});
