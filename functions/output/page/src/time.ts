// Ranges and time zones. Instants are RFC 3339 in UTC; a zone only decides how they are shown,
// where a day begins and which hour an event falls in.

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

/** The most that the API answers for at once. */
export const RANGE_DAYS_MAX = 31;

export type Preset = '1h' | '24h' | '7d' | '31d';

/** What the reader chose: a time back from now, or days (both included) in the zone. */
export type RangeChoice = { preset: Preset } | { first: string; last: string };

export interface Range {
  from: string;
  to: string;
}

const PRESET_MILLIS: Record<Preset, number> = { '1h': HOUR, '24h': DAY, '7d': 7 * DAY, '31d': 31 * DAY };

const parts = new Map<string, Intl.DateTimeFormat>();

function partsIn(zone: string): Intl.DateTimeFormat {
  let format = parts.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    });
    parts.set(zone, format);
  }
  return format;
}

/** What clocks in the zone show, as milliseconds of a day without zone. */
export function wallClock(instant: number, zone: string): number {
  const said = Object.fromEntries(partsIn(zone).formatToParts(instant).map((part) => [part.type, Number(part.value)]));
  const at = (name: string) => said[name] ?? 0;
  return Date.UTC(at('year'), at('month') - 1, at('day'), at('hour'), at('minute'), at('second'));
}

/** The instant at which clocks in the zone show this; the first where they show it twice. */
export function instantOf(wall: number, zone: string): number {
  const offset = (instant: number) => wallClock(instant, zone) - instant;
  const early = wall - offset(wall - DAY);
  const late = wall - offset(wall + DAY);
  const fits = [early, late].filter((instant) => wallClock(instant, zone) === wall);
  // A time that clocks leave out: what they would have shown without the change.
  return fits.length > 0 ? Math.min(...fits) : early;
}

/** The day that clocks in the zone show, YYYY-MM-DD. */
export function dayIn(instant: number, zone: string): string {
  return new Date(wallClock(instant, zone)).toISOString().slice(0, 10);
}

/** `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM` in the zone; not a number when it is neither. */
export function parseLocal(text: string, zone: string): number {
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d)?$/.test(text)) return Number.NaN;
  const wall = Date.parse(`${text.length === 10 ? `${text}T00:00` : text}Z`);
  return Number.isNaN(wall) ? wall : instantOf(wall, zone);
}

/** The instants of a choice, or why there are none. */
export function resolve(choice: RangeChoice, zone: string, now: number): Range | string {
  if ('preset' in choice) {
    return { from: iso(now - PRESET_MILLIS[choice.preset]), to: iso(now) };
  }
  const first = parseLocal(choice.first, zone);
  const last = Date.parse(`${choice.last}T00:00Z`);
  if (Number.isNaN(first) || Number.isNaN(last)) return 'Choose a first and a last day.';
  const end = instantOf(last + DAY, zone);
  if (end <= first) return 'The last day lies before the first.';
  if (end - first > RANGE_DAYS_MAX * DAY) {
    return `These are more than ${RANGE_DAYS_MAX} days (in which a clock change may add an hour). Choose fewer.`;
  }
  return { from: iso(first), to: iso(end) };
}

export function iso(instant: number): string {
  return new Date(instant).toISOString();
}

/** The parameters of a range that ends now. The clock is read once: read twice, the range may be a millisecond
 * longer than the service takes. */
export function untilNow(millis: number): { from: string; to: string } {
  const now = Date.now();
  return { from: iso(now - millis), to: iso(now) };
}

/** All zones that the browser knows, the reader's own and UTC first. */
export function zones(own: string): string[] {
  const known = Intl.supportedValuesOf('timeZone');
  return [...new Set([own, 'UTC', ...known])];
}
