import { describe, expect, test } from 'vitest';
import { DAY, dayIn, HOUR, instantOf, iso, parseLocal, resolve, wallClock } from '../../src/time.ts';

const at = (text: string) => Date.parse(text);

describe('clocks', () => {
  test('around each change, an instant comes back from its clock, but for the time that is shown twice', () => {
    for (const zone of ['Europe/Berlin', 'America/St_Johns', 'Australia/Lord_Howe']) {
      const offset = (instant: number) => wallClock(instant, zone) - instant;
      let changes = 0;
      for (let day = at('2026-01-01T00:00:00Z'); day < at('2027-01-01T00:00:00Z'); day += DAY) {
        if (offset(day) === offset(day + DAY)) continue;
        changes += 1;
        for (let instant = day - DAY; instant < day + 2 * DAY; instant += HOUR / 4) {
          const back = instantOf(wallClock(instant, zone), zone);
          expect(wallClock(back, zone)).toBe(wallClock(instant, zone));
          expect(back <= instant && instant - back <= HOUR).toBe(true);
        }
      }
      expect(changes).toBe(2);
    }
  });

  test('a time that clocks leave out is taken as if they had not changed', () => {
    expect(iso(parseLocal('2026-03-29T02:30', 'Europe/Berlin'))).toBe('2026-03-29T01:30:00.000Z');
  });

  test('a day is a day of the zone', () => {
    expect(dayIn(at('2026-11-21T23:30:00Z'), 'Europe/Berlin')).toBe('2026-11-22');
    expect(iso(parseLocal('2026-11-22', 'Europe/Berlin'))).toBe('2026-11-21T23:00:00.000Z');
    expect(parseLocal('22.11.2026', 'UTC')).toBeNaN();
  });
});

describe('ranges', () => {
  const now = at('2026-11-21T12:00:00Z');

  test('a preset ends now', () => {
    expect(resolve({ preset: '7d' }, 'UTC', now)).toEqual({ from: iso(now - 7 * DAY), to: iso(now) });
  });

  test('days are whole ones, a changing clock or not', () => {
    expect(resolve({ first: '2026-10-25', last: '2026-10-25' }, 'Europe/Berlin', now)).toEqual({
      from: '2026-10-24T22:00:00.000Z',
      to: '2026-10-25T23:00:00.000Z',
    });
  });

  test('what makes no range says why', () => {
    expect(resolve({ first: '', last: '2026-10-25' }, 'UTC', now)).toContain('Choose a first');
    expect(resolve({ first: '2026-10-26', last: '2026-10-25' }, 'UTC', now)).toContain('before the first');
    expect(resolve({ first: '2026-10-01', last: '2026-10-31' }, 'UTC', now)).toEqual({
      from: '2026-10-01T00:00:00.000Z',
      to: '2026-11-01T00:00:00.000Z',
    });
    expect(resolve({ first: '2026-10-01', last: '2026-11-01' }, 'UTC', now)).toContain('more than 31 days');
  });
});
