import { expect, test } from 'vitest';
import { duration, sectionName, shortName, shortNames } from '../../src/format.ts';
import { heat, LEVELS } from '../../src/parts/heatmap.tsx';
import { done } from '../../src/parts/playbacks.tsx';
import { sorted } from '../../src/parts/table.tsx';

test('names are ends of ids, as short as tells them apart', () => {
  const ids = ['https://a.example/x/users/7', 'https://a.example/y/users/7', 'https://a.example/x/users/8', 'urn:uuid:1b', 'plain'];
  const names = shortNames(ids);
  expect(names.get('https://a.example/x/users/8')).toBe('users/8');
  expect(names.get('https://a.example/x/users/7')).toBe('x/users/7');
  expect(names.get('https://a.example/y/users/7')).toBe('y/users/7');
  expect(names.get('urn:uuid:1b')).toBe('1b');
  expect(names.get('plain')).toBe('plain');
  expect(new Set(names.values()).size).toBe(ids.length);
});

test('names end, also where one id is the end of another', () => {
  const names = shortNames(['b', 'a/b', 'x/a/b', '7', 'u/7', '', '/', 'b/']);
  expect(new Set(names.keys()).size).toBe(8);
  expect(shortName('https://a.example/users/7')).toBe('users/7');
  expect(sectionName('https://a.example/courses/bio-110/sections/1')).toBe('bio-110/sections/1');
  expect(shortName('7')).toBe('7');
});

test('durations', () => {
  expect(duration(0)).toMatch(/^0/);
  expect(duration(59)).toMatch(/^59/);
  expect(duration(3_600)).not.toMatch(/min/);
  expect(duration(4_347)).toMatch(/1.*12/);
});

test('a cell has colour if and only if it has events, and the most has the most', () => {
  expect(heat(0, 100)).toBe(0);
  expect(heat(1, 1_000_000)).toBe(1);
  expect(heat(100, 100)).toBe(LEVELS);
  for (let value = 1; value < 100; value += 1) expect(heat(value + 1, 100)).toBeGreaterThanOrEqual(heat(value, 100));
});

test('sorting puts what is missing last, either way', () => {
  const rows = [3, null, 1, 2];
  expect(sorted(rows, (row) => row, true)).toEqual([1, 2, 3, null]);
  expect(sorted(rows, (row) => row, false)).toEqual([3, 2, 1, null]);
  expect(sorted(['a10', 'a9'], (row) => row, true)).toEqual(['a9', 'a10']);
});

test('progress of a playback without events', () => {
  const progress = { seals: 0, seals_done: 0, events: 0, events_passed: 0, events_played: 0, writes: 0, envelopes: 0, rejected_again: 0 };
  expect(done({ state: 'done', progress })).toBe(100);
  expect(done({ state: 'queued', progress })).toBe(0);
  expect(done({ state: 'running', progress: { ...progress, events: 8, events_passed: 2 } })).toBe(25);
});
