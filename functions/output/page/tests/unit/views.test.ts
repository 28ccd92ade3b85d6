import { expect, test } from 'vitest';
import { entries } from '../../src/app.tsx';
import { Problem, wayOut } from '../../src/api.ts';
import { standingOf } from '../../src/parts/windows.tsx';
import { rulesOf } from '../../src/parts/quarantine.tsx';
import type { Attempt, Seals, WindowView } from '../../src/types.ts';
import { parametersOf } from '../../src/views/events.tsx';
import { mean } from '../../src/views/grades.tsx';
import { counting } from '../../src/views/learner.tsx';
import { seriesOf, totals } from '../../src/views/usage.tsx';

const me = { tenant: 't', sensor: 's', token_id: 'i', learner: null };

test('the views of a token are those of its scopes', () => {
  expect(entries({ ...me, scopes: [] })).toEqual([]);
  expect(entries({ ...me, scopes: ['playback'] })).toEqual(['operator']);
  expect(entries({ ...me, scopes: ['reports:read'], learner: 'l' })).toEqual(['sections', 'activity']);
  expect(entries({ ...me, scopes: ['events:read', 'audit:read'], learner: 'l' })).toEqual(['events']);
});

test('every problem has a way out', () => {
  for (const status of [0, 400, 401, 403, 404, 429, 500, 503]) expect(wayOut(new Problem(status, 't', 'd'))).not.toBe('');
});

const attempt: Attempt = {
  attempt: 'a',
  count: 1,
  status: null,
  score: null,
  maximum: null,
  percent: null,
  scored_by: null,
  scored_at: null,
  started_at: null,
  submitted_at: null,
  time_spent_seconds: null,
};

test('the attempt with the latest score counts, without a score the latest', () => {
  const early = { ...attempt, attempt: 'early', score: 9, scored_at: '2026-01-01T00:00:00Z', submitted_at: '2026-01-03T00:00:00Z' };
  const late = { ...attempt, attempt: 'late', score: 2, scored_at: '2026-01-02T00:00:00Z' };
  const open = { ...attempt, attempt: 'open', started_at: '2026-02-01T00:00:00Z' };
  expect(counting([late, early, open])?.attempt).toBe('late');
  expect(counting([open, { ...open, attempt: 'older', started_at: '2026-01-01T00:00:00Z' }])?.attempt).toBe('open');
  expect(counting([])).toBeNull();
});

test('a mean is of what is scored', () => {
  const grade = { score: 1, maximum: 2, percent: 50, attempts: 1, status: null, submitted_at: null };
  expect(mean([grade, null, { ...grade, percent: 100 }, { ...grade, percent: null }])).toBe(75);
  expect(mean([null])).toBeNull();
});

test('what is drawn adds up to what there is, however many types there are', () => {
  const types = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I'];
  const buckets = [0, 1, 2].map((start) => ({
    start: String(start),
    events: Object.fromEntries(types.map((type, at) => [type, at * (start + 1)])),
    active_learners: 1,
  }));
  const series = seriesOf(buckets);
  expect(series.length).toBe(7);
  const sum = (values: number[]) => values.reduce((all, one) => all + one, 0);
  expect(sum(series.map((one) => one.events))).toBe(sum(totals(buckets).map((one) => one.events)));
  for (const one of series) expect(sum(one.values)).toBe(one.events);
});

const seals: Seals = {
  chain: { seals: 2, head: 'h', complete_through: '2026-01-01T01:00:00Z', passed_over: [{ start: Date.parse('2026-01-01T00:15:00Z'), end: Date.parse('2026-01-01T00:30:00Z') }] },
  seals: [],
};

function windowAt(start: string, complete = true): WindowView {
  const side = { events: 1, digest: '' };
  return {
    start,
    end: new Date(Date.parse(start) + 15 * 60_000).toISOString(),
    state: complete ? 'complete' : 'incomplete',
    complete,
    received: { ...side, envelopes: 1, unacknowledged: 0 },
    accounted: { ...side, stored: 1, duplicate: 0, conflict: 0, rejected: 0 },
    missing_count: 0,
    missing: [],
  };
}

test('a window whose seal says what is missing is short, whatever the chain says', () => {
  expect(standingOf({ ...windowAt('2026-01-01T00:00:00Z', false), state: 'short' }, seals)).toBe('short');
});

test('a window is sealed when the chain has passed it and did not pass it over', () => {
  expect(standingOf(windowAt('2026-01-01T00:00:00Z'), seals)).toBe('sealed');
  expect(standingOf(windowAt('2026-01-01T00:15:00Z', false), seals)).toBe('does not add up');
  expect(standingOf(windowAt('2026-01-01T01:00:00Z'), seals)).toBe('adds up');
  expect(standingOf(windowAt('2026-01-01T00:00:00Z'), null)).toBe('adds up');
  expect(standingOf({ ...windowAt('2026-01-01T01:00:00Z', false), state: 'open' }, seals)).toBe('open');
});

test('rules come one a row', () => {
  const sensor = { sensor: 's', events: 3, rejected: 2, deviating: 1, strict_rejected: 3, rules: [{ rule: 'event.id', problems: 2, deviations: 1 }] };
  expect(rulesOf({ from: '', to: '', complete_through: null, sensors: [sensor], refused: [] })).toEqual([{ rule: 'event.id', sensor: 's', rejected: 2, passed: 1 }]);
});

test('the form’s local times become instants, what is empty is not asked', () => {
  const range = { from: 'f', to: 't' };
  expect(parametersOf({ type: 'A', actor: '', event_from: '2026-07-01T12:00' }, range, 'Europe/Berlin')).toEqual({
    from: 'f',
    to: 't',
    type: 'A',
    event_from: '2026-07-01T10:00:00.000Z',
  });
});
