import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Deviations, Events, Seals, Windows } from '../../src/types.ts';
import { allEvents, ask, number, rangeOf } from './api.ts';
import { launch, target, type Visit, visit } from './browser.ts';

let browser: Browser;
let at: Visit;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());
beforeEach(async () => {
  at = await visit(browser);
  await at.signIn();
});
afterEach(async () => {
  expect(at.complaints).toEqual([]);
  await at.close();
});

test('the explorer pages through all that pass its filters, each once', async () => {
  await at.enter('Events');
  await at.settled();
  await at.page.getByLabel('Type').fill('GradeEvent');
  const query = await at.asked('events', () => at.page.getByRole('button', { name: 'Search' }).click());
  await at.settled();
  const expected = await allEvents({ ...rangeOf(query), type: 'GradeEvent' });
  expect(expected.length).toBeGreaterThan(50);
  const seen: string[] = [];
  for (;;) {
    await at.settled();
    const texts = await at.page.locator('ul.events pre').allTextContents();
    seen.push(...texts.map((text) => JSON.parse(text).id as string));
    const next = at.page.getByRole('button', { name: 'Next page' });
    if ((await next.count()) === 0 || (await next.isDisabled()) || seen.length >= 400) break;
    const page = await at.page.locator('.sum').textContent();
    await next.click();
    await at.page.waitForFunction((old) => document.querySelector('.sum')?.textContent !== old && !document.querySelector('.loading'), page);
  }
  expect(seen).toEqual(expected.slice(0, seen.length).map((view) => view.event['id']));
  if (expected.length < 400) expect(seen.length).toBe(expected.length);
});

test('an event opens to what is known of it and to its raw form, as it was sent', async () => {
  const query = await at.asked('events', () => at.enter('Events'));
  await at.settled();
  const first = (await ask<Events>('events', { ...rangeOf(query), limit: '1' })).events[0];
  await at.page.locator('ul.events summary').first().click();
  const item = at.page.locator('ul.events > li').first();
  expect(JSON.parse((await item.locator('pre').textContent()) ?? '')).toEqual(first?.event);
  expect(await item.textContent()).toContain(first?.receipt);
  expect(await item.textContent()).toContain(first?.fingerprint);
  await at.shot('event-open');
  await item.getByRole('link', { name: 'All with this id' }).click();
  await at.settled();
  const again = await at.page.locator('ul.events pre').allTextContents();
  expect(new Set(again.map((text) => JSON.parse(text).id))).toEqual(new Set([first?.event['id']]));
});

test('no such event, and a filter that is refused, say what to do', async () => {
  await at.enter('Events');
  await at.page.getByLabel('Actor').fill('https://nobody.example/1');
  await at.page.getByRole('button', { name: 'Search' }).click();
  await at.page.getByRole('heading', { name: 'No such event' }).waitFor();
  await at.page.getByLabel('Range', { exact: true }).selectOption('own');
  await at.page.getByLabel('from', { exact: true }).fill('2026-01-01');
  await at.page.getByText('Choose fewer').waitFor();
});

test('the operator sees windows, seals, the quarantine by rule and playbacks as the API has them', async () => {
  const query = await at.asked('windows', () => at.enter('Operator'));
  await at.settled();
  const { windows } = await ask<Windows>('windows', rangeOf(query));
  const table = at.page.getByRole('table', { name: 'Windows' });
  const sums = (await table.locator('tfoot td').allTextContents()).map(number);
  const settledWindows = windows.filter((window) => window.state !== 'open');
  const sum = (of: (window: (typeof windows)[number]) => number | null) => settledWindows.reduce((all, window) => all + (of(window) ?? 0), 0);
  if (target.fixture) {
    const parts = [sum((w) => w.received.events), sum((w) => w.accounted.stored), sum((w) => w.accounted.duplicate), sum((w) => w.accounted.conflict), sum((w) => w.accounted.rejected)];
    const open = windows.filter((window) => window.state === 'open');
    parts[0] = (parts[0] ?? 0) + open.reduce((all, window) => all + window.received.events, 0);
    parts[1] = (parts[1] ?? 0) + open.reduce((all, window) => all + (window.accounted.stored ?? 0), 0);
    expect(sums.slice(0, 2)).toEqual(parts.slice(0, 2));
    expect(await table.textContent()).toContain('does not add up');
  }
  const { chain } = await ask<Seals>('seals');
  const text = (await at.page.getByRole('main').textContent()) ?? '';
  if (target.fixture) expect(text).toContain(chain.head);
  const report = await ask<Deviations>('deviations');
  for (const rule of new Set(report.sensors.flatMap((sensor) => sensor.rules.map((one) => one.rule)))) expect(text).toContain(rule);
  if (target.fixture) {
    const rule = report.sensors[0]?.rules[0]?.rule ?? '';
    await at.page.getByRole('button', { name: rule }).first().click();
    await at.page.getByRole('heading', { name: `The latest that broke ${rule}` }).waitFor();
    await at.settled();
    expect(await at.page.locator('ul.events .tag').allTextContents()).not.toContain('stored');
    expect(await at.page.getByRole('progressbar').count()).toBe(3);
  }
});
