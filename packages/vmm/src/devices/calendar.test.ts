// The oracle is the host language's own calendar (ECMA-262, time values).

import { expect, test } from 'vitest';
import { calendarFrom, daysFrom } from './calendar.ts';

test('calendarFrom() and daysFrom() agree with Date, over 400 years and odd moments', () => {
  for (let day = -100 * 366; day < 300 * 366; day += 13) {
    const seconds = day * 86400 + ((((day * 7919) % 86400) + 86400) % 86400);
    const date = new Date(seconds * 1000);
    const time = calendarFrom(seconds);
    expect(time).toEqual({
      year: date.getUTCFullYear(),
      month: date.getUTCMonth() + 1,
      day: date.getUTCDate(),
      weekday: date.getUTCDay(),
      hour: date.getUTCHours(),
      minute: date.getUTCMinutes(),
      second: date.getUTCSeconds(),
    });
    expect(daysFrom(time.year, time.month, time.day)).toBe(Math.floor(seconds / 86400));
  }
});

test('daysFrom() counts on from months and days out of range', () => {
  expect(daysFrom(2024, 13, 1)).toBe(daysFrom(2025, 1, 1));
  expect(daysFrom(2024, 0, 31)).toBe(daysFrom(2023, 12, 31));
  expect(daysFrom(2023, 2, 29)).toBe(daysFrom(2023, 3, 1));
});
