// Numbers, times and names as people read them.

const formats = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();

function kept<F extends Intl.NumberFormat | Intl.DateTimeFormat>(key: string, make: () => F): F {
  let format = formats.get(key) as F | undefined;
  if (!format) {
    format = make();
    formats.set(key, format);
  }
  return format;
}

export const NONE = '–';

export function count(value: number): string {
  return kept('count', () => new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 })).format(value);
}

/** For small places: 12K. */
export function shortCount(value: number): string {
  return kept('short', () => new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 0 })).format(value);
}

export function score(value: number): string {
  return kept('score', () => new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 })).format(value);
}

/** Of a value from 0 to 100. */
export function percent(value: number): string {
  const format = kept('percent', () => new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 1 }));
  return format.format(value / 100);
}

export function dollars(value: number): string {
  const format = kept(
    'usd',
    () => new Intl.NumberFormat(undefined, { style: 'currency', currency: 'USD', maximumSignificantDigits: 3 }),
  );
  return format.format(value);
}

export function time(at: string | number, zone: string): string {
  const format = kept(
    `time ${zone}`,
    () => new Intl.DateTimeFormat(undefined, { timeZone: zone, dateStyle: 'medium', timeStyle: 'short' }),
  );
  return format.format(new Date(at));
}

export function exactTime(at: string | number, zone: string): string {
  const format = kept(
    `exact ${zone}`,
    () => new Intl.DateTimeFormat(undefined, { timeZone: zone, dateStyle: 'full', timeStyle: 'long' }),
  );
  return format.format(new Date(at));
}

export function day(at: string | number, zone: string): string {
  const format = kept(
    `day ${zone}`,
    () => new Intl.DateTimeFormat(undefined, { timeZone: zone, weekday: 'short', day: 'numeric', month: 'short' }),
  );
  return format.format(new Date(at));
}

export function clock(at: string | number, zone: string): string {
  const format = kept(
    `clock ${zone}`,
    () => new Intl.DateTimeFormat(undefined, { timeZone: zone, hour: '2-digit', minute: '2-digit' }),
  );
  return format.format(new Date(at));
}

/** From Monday, 0. */
export function weekday(number: number, style: 'long' | 'short' = 'long'): string {
  const format = kept(`weekday ${style}`, () => new Intl.DateTimeFormat(undefined, { timeZone: 'UTC', weekday: style }));
  // 2024-01-01 was a Monday.
  return format.format(Date.UTC(2024, 0, 1 + number));
}

export function hours(hour: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${two(hour)}:00–${two((hour + 1) % 24)}:00`;
}

export function duration(seconds: number): string {
  const unit = (value: number, name: 'hour' | 'minute' | 'second') =>
    kept(name, () => new Intl.NumberFormat(undefined, { style: 'unit', unit: name, unitDisplay: 'short' })).format(value);
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (h > 0) return m > 0 ? `${unit(h, 'hour')} ${unit(m, 'minute')}` : unit(h, 'hour');
  if (m > 0) return s > 0 && m < 10 ? `${unit(m, 'minute')} ${unit(s, 'second')}` : unit(m, 'minute');
  return unit(s, 'second');
}

/**
 * Ends of ids that tell them apart, as short as that goes: people know `users/7`, not the whole
 * IRI. `least` is how many parts each keeps anyway.
 */
export function shortNames(ids: Iterable<string>, least = 1): Map<string, string> {
  const names = new Map<string, string>();
  let open = [...new Set(ids)];
  for (let parts = least; open.length > 0; parts += 1) {
    const ends = new Map(open.map((id) => [id, ending(id, parts)]));
    const often = new Map<string, number>();
    for (const end of ends.values()) often.set(end, (often.get(end) ?? 0) + 1);
    const rest: string[] = [];
    for (const id of open) {
      const end = ends.get(id) ?? id;
      if (often.get(end) === 1 || end === id) names.set(id, end);
      else rest.push(id);
    }
    open = rest;
  }
  return names;
}

export function shortName(id: string): string {
  return ending(id, 1);
}

/** Sections are often numbered within their course: `bio-110/sections/1`. */
export const SECTION_PARTS = 2;

export function sectionName(id: string): string {
  return ending(id, SECTION_PARTS);
}

/** The last parts of an id. A bare number says little, so the word before it belongs to it. */
function ending(id: string, parts: number): string {
  const cuts = [...id.matchAll(/[/#:]+(?=[^/#:])/g)].map((cut) => cut.index + cut[0].length);
  const bare = /^\d{1,6}[/#:]*$/.test(id.slice(cuts.at(-1) ?? 0));
  const wanted = parts + (bare ? 1 : 0);
  return wanted > cuts.length ? id : id.slice(cuts[cuts.length - wanted]);
}
