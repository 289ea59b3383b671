// The Gregorian calendar in UTC, without leap seconds, as clock chips keep it. The day numbers are
// counted in years that begin in March, so that the leap day is a year's last.

/** A moment as a clock chip's registers tell it. */
export interface CalendarTime {
  readonly year: number;
  /** 1..12 */
  readonly month: number;
  /** 1..31 */
  readonly day: number;
  /** 0..6 from Sunday */
  readonly weekday: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

/** Days from 0000-03-01 to 1970-01-01. */
const EPOCH_DAYS = 719468;
const DAYS_PER_400_YEARS = 146097;
const DAY_SECONDS = 86400;

/** Days before the month of this number, 0 for March. */
const daysBefore = (month: number): number => Math.floor((153 * month + 2) / 5);

/** The day's number from 1970-01-01; months and days beyond their ranges count on. */
export function daysFrom(year: number, month: number, day: number): number {
  const sinceMarch = month + 9;
  const marchYear = year - 1 + Math.floor(sinceMarch / 12);
  const leaps = Math.floor(marchYear / 4) - Math.floor(marchYear / 100);
  const years = marchYear * 365 + leaps + Math.floor(marchYear / 400);
  return years + daysBefore(sinceMarch % 12) + day - 1 - EPOCH_DAYS;
}

/** The calendar at `seconds` after 1970-01-01 00:00:00 UTC. */
export function calendarFrom(seconds: number): CalendarTime {
  const days = Math.floor(seconds / DAY_SECONDS);
  const within = seconds - days * DAY_SECONDS;
  const shifted = days + EPOCH_DAYS;
  const era = Math.floor(shifted / DAYS_PER_400_YEARS);
  const dayOfEra = shifted - era * DAYS_PER_400_YEARS;
  // A year's number is its days, less the leap days before it, by 365.
  const leaps =
    Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36524) + Math.floor(dayOfEra / 146096);
  const yearOfEra = Math.floor((dayOfEra - leaps) / 365);
  const yearStart = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  const dayOfYear = dayOfEra - yearStart;
  const fromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  return {
    year: era * 400 + yearOfEra + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - daysBefore(fromMarch) + 1,
    weekday: (((days + 4) % 7) + 7) % 7,
    hour: Math.floor(within / 3600),
    minute: Math.floor(within / 60) % 60,
    second: within % 60,
  };
}
