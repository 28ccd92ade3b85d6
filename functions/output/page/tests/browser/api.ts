// The API as the tests ask it themselves, beside the page.

import type { Events, EventView } from '../../src/types.ts';
import { target } from './browser.ts';

export async function ask<T>(path: string, query: Record<string, string> | URLSearchParams = {}, token = target.token): Promise<T> {
  const address = new URL(path, target.url);
  for (const [name, value] of new URLSearchParams(query)) address.searchParams.set(name, value);
  const answer = await fetch(address, { headers: { Authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

/** All events of a query, page after page. */
export async function allEvents(query: Record<string, string>, token = target.token): Promise<EventView[]> {
  const found: EventView[] = [];
  let cursor: string | null = null;
  do {
    const page: Events = await ask<Events>('events', { ...query, limit: '1000', ...(cursor === null ? {} : { cursor }) }, token);
    found.push(...page.events);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return found;
}

/** The widest range that the API takes: one reading of the clock, since a millisecond more is refused. */
export function lastMonth(): { from: string; to: string } {
  const now = Date.now();
  return { from: new Date(now - 31 * 86_400_000).toISOString(), to: new Date(now).toISOString() };
}

/** The range of a request, as the page asked for it. */
export function rangeOf(query: URLSearchParams): { from: string; to: string } {
  return { from: query.get('from') ?? '', to: query.get('to') ?? '' };
}

export const number = (text: string | null | undefined) => Number((text ?? '').replace(/[^\d.-]/g, ''));
