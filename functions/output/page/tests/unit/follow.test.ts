import { expect, test } from 'vitest';
import { merged } from '../../src/parts/follow.ts';
import { semester } from '../fixture/semester.ts';

test('what is followed has each event once, as it was said last, the newest first', () => {
  const { events } = semester(5, Date.parse('2026-11-21T12:00:00Z'));
  const newest = [...events].sort((a, b) => Date.parse(b.received_at) - Date.parse(a.received_at));
  const known = newest.slice(40, 90);
  const sealed = newest.slice(30, 60).map((view) => ({ ...view, provisional: false }));
  const list = merged(known, sealed);
  const keys = list.map((view) => `${view.receipt} ${view.index}`);
  expect(new Set(keys).size).toBe(keys.length);
  expect(keys.length).toBe(60);
  expect(list.filter((view) => sealed.some((own) => own.receipt === view.receipt && own.index === view.index)).every((view) => !view.provisional)).toBe(true);
  const times = list.map((view) => Date.parse(view.received_at));
  expect(times).toEqual([...times].sort((a, b) => b - a));
});

test('no more is kept than somebody can look through', () => {
  const { events } = semester(5, Date.parse('2026-11-21T12:00:00Z'));
  expect(events.length).toBeGreaterThan(200);
  expect(merged(events, events)).toHaveLength(200);
});
