// What the page shows against a straight computation over the API's raw events.

import { readFile } from 'node:fs/promises';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Grades, Sections } from '../../src/types.ts';
import * as truth from '../truth.ts';
import { allEvents, ask, lastMonth, number, rangeOf } from './api.ts';
import { launch, target, type Visit, visit } from './browser.ts';

let browser: Browser;
let at: Visit;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());
beforeEach(async () => {
  at = await visit(browser);
});
afterEach(async () => {
  expect(at.complaints).toEqual([]);
  await at.close();
});

/** The section with the most events of the last 31 days. */
async function busiest(): Promise<string> {
  const { sections } = await ask<Sections>('reports/sections', lastMonth());
  const named = sections.filter((row) => row.section !== null).sort((a, b) => b.events - a.events);
  expect(named.length).toBeGreaterThan(0);
  return named[0]?.section ?? '';
}

async function openSection(section: string): Promise<void> {
  await at.signIn();
  await at.page.getByLabel('Range', { exact: true }).selectOption({ label: 'Last 31 days' });
  await at.page.locator(`a[title="${section}"]`).click();
  await at.page.getByRole('heading', { level: 1 }).waitFor();
  await at.settled();
}

/** Scores as a reader takes them from a cell: "7.5 / 20" gives 7.5 and 20. */
function scoreOf(text: string | null): (number | null)[] {
  const found = /([\d,.]+)(?:\s*\/\s*([\d,.]+))?/.exec(text ?? '');
  return found ? [number(found[1]), found[2] === undefined ? null : number(found[2])] : [null, null];
}

test('sections: events, active learners and their order', async () => {
  const query = await at.asked('reports/sections', () => at.signIn());
  await at.settled();
  const expected = truth.sections(await allEvents(rangeOf(query)));
  expect(expected.length).toBeGreaterThan(0);
  const rows = at.page.locator('table tbody tr');
  expect(await rows.count()).toBe(expected.length);
  for (const row of expected) {
    const shown = row.section === null ? rows.filter({ hasText: 'Events of no section' }) : rows.filter({ has: at.page.locator(`a[title="${row.section}"]`) });
    const cells = await shown.locator('td').allTextContents();
    expect([number(cells[0]), number(cells[1])]).toEqual([row.events, row.active_learners]);
  }
  const order = (await rows.locator('td:nth-child(2)').allTextContents()).map(number);
  expect(order).toEqual([...order].sort((a, b) => b - a));
});

test('grades: every cell, the means, sorting, and the CSV', async () => {
  const section = await busiest();
  const events = await allEvents({ ...lastMonth(), group: section });
  const expected = truth.grades(truth.attempts(events, section));
  expect(expected.learners.length).toBeGreaterThan(0);
  await openSection(section);
  const heads = await at.page.locator('table.grades thead th button').evaluateAll((all) => all.map((one) => one.getAttribute('title')));
  const columns = heads.filter((title) => title !== null);
  expect([...columns].sort()).toEqual(expected.assignments);
  const rows = at.page.locator('table.grades tbody tr');
  expect(await rows.count()).toBe(expected.learners.length);
  for (const { learner, grades } of expected.learners) {
    const row = rows.filter({ has: at.page.locator(`a[title="${learner}"]`) });
    const cells = await row.locator('td').allTextContents();
    const wanted = columns.map((id) => grades[expected.assignments.indexOf(id ?? '')] ?? null);
    expect(cells.slice(1).map(scoreOf)).toEqual(wanted.map((grade) => (grade?.score == null ? [null, null] : [grade.score, grade.maximum])));
    const shares = grades.flatMap((grade) => grade?.percent ?? []);
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    if (shares.length > 0) expect(Math.abs(number(cells[0]) - mean)).toBeLessThan(0.051);
  }
  await at.page.getByRole('button', { name: 'Mean' }).click();
  const means = (await rows.locator('td.mean').allTextContents()).filter((text) => /\d/.test(text)).map(number);
  expect(means).toEqual([...means].sort((a, b) => b - a));

  const [download] = await Promise.all([at.page.waitForEvent('download'), at.page.getByRole('button', { name: 'Save as CSV' }).click()]);
  expect(download.suggestedFilename()).toBe('grades.csv');
  const saved = await readFile(await download.path(), 'utf8');
  const direct = await fetch(new URL(`reports/grades?section=${encodeURIComponent(section)}`, target.url), {
    headers: { Authorization: `Bearer ${target.token}`, Accept: 'text/csv' },
  });
  expect(saved).toBe(await direct.text());
  for (const { learner } of expected.learners) expect(saved).toContain(learner);
});

test('the head and the names of the grade table stay in sight', async () => {
  await at.page.setViewportSize({ width: 390, height: 500 });
  await openSection(await busiest());
  await at.page.locator('.scroll.tall').scrollIntoViewIfNeeded();
  const head = at.page.locator('table.grades thead th').first();
  const before = await head.boundingBox();
  const moved = await at.page.locator('.scroll.tall').evaluate((box) => {
    box.scrollTop = box.scrollHeight;
    box.scrollLeft = box.scrollWidth;
    return box.scrollTop + box.scrollLeft;
  });
  const after = await head.boundingBox();
  if (target.fixture) expect(moved).toBeGreaterThan(200);
  expect([after?.x, after?.y]).toEqual([before?.x, before?.y]);
});

test('a learner: attempts, scores, times, and how a score came to be', async () => {
  const section = await busiest();
  const grades = await ask<Grades>('reports/grades', { section });
  const all = truth.attempts(
    await allEvents({ ...lastMonth(), group: section }),
    section,
  );
  // Who took most attempts shows most.
  const tries = (learner: string) => all.filter((one) => one.learner === learner && one.partOf === null).length;
  const learner = grades.learners.map((row) => row.learner).sort((a, b) => tries(b) - tries(a))[0] ?? '';
  const expected = truth.assignments(all, learner);
  await openSection(section);
  await at.page.locator(`table.grades a[title="${learner}"]`).click();
  await at.page.getByText('Mean score').waitFor();
  await at.settled();
  expect(await at.page.locator('.cards > .card').count()).toBe(expected.length);
  for (const { assignment, attempts } of expected) {
    const card = at.page.locator('.card').filter({ has: at.page.locator(`h2[title="${assignment}"]`) });
    const items = card.locator('.attempts > li');
    expect(await items.count()).toBe(attempts.length);
    for (const [nth, attempt] of attempts.entries()) {
      const item = items.nth(nth);
      const figures = await item.locator('.attempt-head .figures').allTextContents();
      expect(scoreOf(figures[0] ?? null).slice(0, 2)).toEqual(attempt.score === null ? [null, null] : [attempt.score, attempt.maximum]);
      const times = await item.locator('.facts time').evaluateAll((all) => all.map((one) => Date.parse(one.getAttribute('datetime') ?? '')));
      const wanted = [attempt.started_at, attempt.submitted_at, attempt.scored_at].flatMap((time) => (time === null ? [] : [Date.parse(time)]));
      expect(times).toEqual(wanted);
      expect(await item.locator('.parts li').count()).toBe(attempt.parts?.length ?? 0);
    }
  }
  const first = expected[0]?.attempts[0];
  await at.page.getByRole('button', { name: 'History of this score' }).first().click();
  await at.page.locator('.history li').first().waitFor();
  const changes = truth.history(all, learner, expected[0]?.assignment ?? null, first?.attempt ?? null);
  const shown = await at.page.locator('.history li > p:first-child time').evaluateAll((all) => all.map((one) => Date.parse(one.getAttribute('datetime') ?? '')));
  expect(shown).toEqual(changes.map((change) => Date.parse(change.event_time ?? '')));
  const scores = await at.page.locator('.history li .figures').allTextContents();
  expect(scores.map(scoreOf)).toEqual(changes.filter((change) => change.score !== null).map((change) => [change.score, change.maximum]));
});

test('activity: every cell in two zones, and a cell leads to its events', async () => {
  await at.signIn();
  for (const zone of ['Europe/Berlin', 'America/St_Johns']) {
    const query = await at.asked('reports/activity', async () => {
      await at.enter('Activity');
      await at.page.getByLabel('Times and hours in').selectOption(zone);
    });
    await at.page.getByText(`Hours in ${zone.replaceAll('_', ' ')}.`).waitFor();
    const expected = truth.activity(await allEvents(rangeOf(query)), zone);
    const labels = await at.page.locator('button.heat').evaluateAll((all) => all.map((one) => [one.getAttribute('data-cell'), one.getAttribute('aria-label')]));
    expect(labels.length).toBe(168);
    const shown = Object.fromEntries(labels.map(([cell, label]) => [cell, number(/, (.*) event/.exec(label ?? '')?.[1])]));
    expected.events.forEach((row, day) => row.forEach((value, hour) => expect(shown[`${day}-${hour}`], `${day}-${hour}`).toBe(value)));
    await at.enter('Sections');
  }
});

test('a heat-map cell leads to just its events', async () => {
  await at.signIn();
  const query = await at.asked('reports/activity', () => at.enter('Activity'));
  await at.settled();
  const zone = query.get('zone') ?? '';
  const events = await allEvents(rangeOf(query));
  const table = truth.activity(events, zone).events;
  const most = Math.max(...table.flat());
  const day = table.findIndex((row) => row.includes(most));
  const hour = table[day]?.indexOf(most) ?? 0;
  await at.page.locator(`[data-cell="${day}-${hour}"]`).click();
  await at.page.getByTestId('found').getByText(String(most), { exact: true }).waitFor();
  await at.settled();
  expect(await at.page.locator('ul.events > li').count()).toBe(most);
  const expected = events.filter((view) => String(truth.onClocks(truth.happened(view), zone)) === String([day, hour]));
  const shown = await at.page.locator('ul.events summary .when time').evaluateAll((all) => all.map((one) => Date.parse(one.getAttribute('datetime') ?? '')));
  expect(shown.sort()).toEqual(expected.map(truth.happened).sort());
  await at.shot('cell');
  await at.page.getByRole('button', { name: 'Back to the heat map' }).click();
  await at.page.getByRole('heading', { level: 1, name: 'Activity' }).waitFor();
});

test('usage: every figure, by day and by hour, and something is drawn', async () => {
  await at.signIn();
  await at.asked('reports/usage', () => at.enter('Usage'));
  for (const bucket of ['hour', 'day'] as const) {
    const query = await at.asked('reports/usage', async () => {
      await at.page.getByLabel('By', { exact: true }).selectOption(bucket === 'day' ? 'hour' : 'day');
      await at.settled();
      await at.page.getByLabel('By', { exact: true }).selectOption(bucket);
    }).then(async (last) => {
      await at.settled();
      return last;
    });
    const range = rangeOf(query);
    const details = at.page.locator('.figures-table');
    if ((await details.getAttribute('open')) === null) await details.locator('summary').click();
    const rows = await details.locator('tbody tr').evaluateAll((all) => all.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent)));
    const starts = truth.bucketStarts(Date.parse(range.from), Date.parse(range.to), bucket, query.get('zone') ?? 'UTC');
    const expected = truth.usage(await allEvents(range), starts);
    expect(rows.length).toBe(expected.length);
    const sum = (of: Record<string, number>) => Object.values(of).reduce((all, one) => all + one, 0);
    rows.forEach((cells, nth) => {
      const figures = cells.map(number);
      expect(figures.at(-1)).toBe(expected[nth]?.active_learners);
      expect(figures.slice(0, -1).reduce((all, one) => all + one, 0)).toBe(sum(expected[nth]?.events ?? {}));
    });
  }
  await at.page.waitForFunction(() => {
    const canvas = document.querySelector('canvas');
    const pixels = canvas?.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels !== undefined && new Set(new Uint32Array(pixels.buffer)).size > 8;
  });
});
