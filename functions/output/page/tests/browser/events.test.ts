import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Deviations, Events, Seals, Windows, WindowView } from '../../src/types.ts';
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

test.runIf(target.fixture)('following shows what comes in, and asks nothing while nobody sees it', async () => {
  const { page } = at;
  await page.clock.install();
  const { data } = await at.answered<Events>('events', () => at.enter('Events'));
  await at.settled();
  const [first] = data.events;
  if (!first) throw new Error('the fixture has events');
  let questions = 0;
  let fails = true;
  const from: string[] = [];
  await page.route('**/v1/events?*', async (route) => {
    questions += 1;
    from.push(new URL(route.request().url()).searchParams.get('from') ?? '');
    if (fails) {
      fails = false;
      await route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify({ title: 'The service cannot answer now', status: 503 }) });
      return;
    }
    const fresh = { ...first, receipt: `${first.receipt.slice(0, -4)}${1000 + questions}`, received_at: new Date(Date.parse(first.received_at) + questions * 1000).toISOString() };
    await route.fulfill({ status: 200, contentType: 'application/json', body: JSON.stringify({ ...data, events: [fresh, first], next_cursor: null }) });
  });
  const passes = async (millis: number) => {
    await page.clock.runFor(millis);
    await page.waitForLoadState('networkidle');
  };
  await page.getByLabel('Follow what comes in').check();
  await passes(6_000);
  await page.getByText('The service cannot answer now').waitFor();
  await passes(6_000);
  await page.getByText('1 came in since.').waitFor();
  expect(questions).toBe(2);
  // From a minute before the newest event that was there on, so that little is read.
  expect(Date.parse(from[1] ?? '')).toBe(Date.parse(first.received_at) - 60_000);
  await page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
  });
  await passes(60_000);
  expect(questions).toBe(2);
  await page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { value: 'visible', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await page.getByText('2 came in since.').waitFor();
  await at.shot('follow');
  await page.getByLabel('Follow what comes in').uncheck();
  await passes(30_000);
  expect(questions).toBe(3);
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
  let seals: Seals | undefined;
  let report: Deviations | undefined;
  const { query, data } = await at.answered<Windows>('windows', async () => {
    const first = at.answered<Seals>('seals', () => Promise.resolve());
    const second = at.answered<Deviations>('deviations', () => Promise.resolve());
    await at.enter('Operator');
    [seals, report] = [(await first).data, (await second).data];
  });
  await at.settled();
  const { windows } = data;
  const columns: ((window: WindowView) => number | null)[] = [
    (window) => window.received.events,
    (window) => window.accounted.stored,
    (window) => window.accounted.duplicate,
    (window) => window.accounted.conflict,
    (window) => window.accounted.rejected,
    (window) => window.missing_count,
  ];
  const table = at.page.getByRole('table', { name: 'Windows' });
  const sums = await table.locator('tfoot td').allTextContents();
  columns.forEach((of, column) => {
    const counted = windows.every((window) => of(window) !== null);
    if (counted) expect(number(sums[column]), `column ${column}`).toBe(windows.reduce((all, window) => all + (of(window) ?? 0), 0));
    else expect(sums[column]).toBe('–');
  });
  const wrong = windows.filter((window) => window.state === 'incomplete').length;
  expect(await table.getByText('does not add up').count()).toBe(wrong);
  // Against the events themselves, where nothing comes in meanwhile. The first and the last window reach beyond the
  // range, and count whole.
  if (target.fixture) {
    const { from, to } = rangeOf(query);
    const starts = [from, ...windows.map((window) => window.start)].sort();
    const ends = [to, ...windows.map((window) => window.end)].sort();
    const all = await allEvents({ from: starts[0] ?? from, to: ends.at(-1) ?? to, disposition: 'rejected' });
    expect(number(sums[4])).toBe(all.length);
    expect(wrong).toBe(1);
  }
  const text = (await at.page.getByRole('main').textContent()) ?? '';
  expect(text).toContain(seals?.chain.head ?? 'Seals in the chain0');
  const rules = report?.sensors.flatMap((sensor) => sensor.rules) ?? [];
  for (const { rule, problems, deviations } of rules) {
    const row = at.page.getByRole('table', { name: 'Rules that events broke' }).getByRole('row').filter({ hasText: rule });
    const shown = (await row.locator('td').allTextContents()).map(number);
    expect(shown.join(' ')).toContain(`${problems} ${deviations}`);
  }
  for (const { rule: broken, envelopes } of report?.refused ?? []) {
    const row = at.page.getByRole('table', { name: 'Envelopes refused whole' }).getByRole('row').filter({ hasText: broken });
    expect((await row.locator('td').allTextContents()).join(' ')).toContain(`${envelopes}`);
  }
  const rule = rules.find((one) => one.problems > 0)?.rule;
  if (target.fixture) expect(rule).toBeDefined();
  if (rule !== undefined) {
    await at.page.getByRole('button', { name: rule, exact: true }).first().click();
    await at.page.getByRole('heading', { name: `The latest that broke ${rule}` }).waitFor();
    await at.settled();
    expect(new Set(await at.page.locator('ul.events .tag').allTextContents())).toEqual(new Set(['rejected']));
  }
  if (target.fixture) expect(await at.page.getByRole('progressbar').count()).toBe(3);
});
