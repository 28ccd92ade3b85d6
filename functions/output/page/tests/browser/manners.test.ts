// How the page behaves, whatever it shows: addresses, states, keyboard, contrast, sizes.

import { createRequire } from 'node:module';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launch, type Scheme, type Size, target, type Visit, visit } from './browser.ts';

const axe = createRequire(import.meta.url).resolve('axe-core');

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

async function withVisit(options: Parameters<typeof visit>[1], go: (at: Visit) => Promise<void>): Promise<void> {
  const at = await visit(browser, options);
  try {
    await go(at);
    expect(at.complaints).toEqual([]);
  } finally {
    await at.close();
  }
}

/** Goes through every view that an instructor and an operator come to. */
async function tour(at: Visit, stop: (name: string) => Promise<void>): Promise<void> {
  await at.open();
  await at.page.getByLabel('Token').waitFor();
  await stop('signin');
  await at.signIn();
  await at.page.getByRole('heading', { level: 1, name: 'Sections' }).waitFor();
  await at.settled();
  await stop('sections');
  await at.page.locator('table a').first().click();
  await at.page.locator('table.grades').waitFor();
  await stop('grades');
  await at.page.getByRole('navigation', { name: 'Of this section' }).getByRole('link', { name: 'Usage' }).click();
  await at.page.locator('canvas').waitFor();
  await at.page.waitForTimeout(500);
  await stop('section-usage');
  await at.page.getByRole('navigation', { name: 'Of this section' }).getByRole('link', { name: 'Grades' }).click();
  await at.page.locator('table.grades tbody a').nth(1).click();
  await at.page.getByText('Mean score').waitFor();
  await at.page.getByRole('button', { name: 'History of this score' }).first().click();
  await at.page.locator('.history li').first().waitFor();
  await stop('learner');
  for (const view of ['Activity', 'Usage', 'Events', 'Operator']) {
    await at.enter(view);
    await at.settled();
    if (view === 'Usage') await at.page.waitForTimeout(500);
    if (view === 'Events') await at.page.locator('ul.events summary').first().click();
    await stop(view.toLowerCase());
  }
}

test('no address, no history entry and no request for the page holds an id or the token', async () => {
  await withVisit({}, async (at) => {
    const states: unknown[] = [];
    await tour(at, async () => {
      states.push(await at.page.evaluate(() => history.state));
      at.addresses.push(at.page.url());
    });
    const base = new URL(target.url).pathname;
    for (const address of at.addresses.filter((address) => address !== 'about:blank')) {
      const { pathname, search, hash } = new URL(address);
      expect(pathname).toBe(`${base}insights`);
      expect(search).toBe('');
      expect(hash).toMatch(/^(#\/[a-z]+)?$/);
    }
    for (const request of at.requests) {
      expect(request).not.toContain(target.token);
      if (new URL(request).pathname.startsWith(`${base}insights`)) expect(new URL(request).search).toBe('');
      expect(new URL(request).origin).toBe(new URL(target.url).origin);
    }
    expect(JSON.stringify(states)).not.toMatch(/https?:|users|sections|urn:/);
  });
});

const CASES: { size: Size; scheme: Scheme }[] = [
  { size: 'desktop', scheme: 'light' },
  { size: 'desktop', scheme: 'dark' },
  { size: 'phone', scheme: 'light' },
  { size: 'phone', scheme: 'dark' },
];

// Colours and sizes are the page's own, whatever data it shows: over a deployed stack's the two that have least in common.
describe.each(target.fixture ? CASES : CASES.filter(({ size, scheme }) => (size === 'phone') === (scheme === 'dark')))('$size, $scheme', ({ size, scheme }) => {
  test('every view fits, has contrast, names and order, and says how far its data goes', async () => {
    await withVisit({ size, scheme }, async (at) => {
      await tour(at, async (name) => {
        await at.shot(`${name}-${size}-${scheme}`);
        if (name !== 'event') await at.shot(`${name}-${size}-${scheme}-full`);
        const wide = await at.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        expect(wide, `${name} is wider than the window`).toBeLessThanOrEqual(0);
        if (name !== 'signin') {
          expect(await at.page.getByTestId('through').first().textContent(), name).toContain('Complete through');
        }
        if (!(await at.page.evaluate(() => 'axe' in window))) await at.page.evaluate(await source());
        const found = await at.page.evaluate(async () => {
          const { violations } = await (window as unknown as { axe: { run: () => Promise<{ violations: Found[] }> } }).axe.run();
          return violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).slice(0, 3).join('; ')}`);
        });
        expect(found, name).toEqual([]);
      });
    });
  });
});

interface Found {
  id: string;
  nodes: { target: string[]; failureSummary: string }[];
}

async function source(): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  return readFile(axe, 'utf8');
}

test('the keyboard alone: skip link, navigation, heat map', async () => {
  await withVisit({}, async (at) => {
    const { page } = at;
    await at.signIn();
    await page.getByRole('heading', { level: 1, name: 'Sections' }).waitFor();
    await at.settled();
    await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    await page.reload();
    await page.getByRole('heading', { level: 1, name: 'Sections' }).waitFor();
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('main');
    for (let presses = 0; presses < 40; presses += 1) {
      await page.keyboard.press('Shift+Tab');
      if ((await page.evaluate(() => document.activeElement?.textContent)) === 'Activity') break;
    }
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle);
    expect(outline).toBe('solid');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Activity' }).waitFor();
    await page.locator('button.heat').first().waitFor();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('main');
    for (let presses = 0; presses < 40; presses += 1) {
      await page.keyboard.press('Tab');
      if (await page.evaluate(() => document.activeElement?.classList.contains('heat'))) break;
    }
    const cell = () => page.evaluate(() => document.activeElement?.getAttribute('data-cell'));
    expect(await cell()).toBe('0-0');
    for (const key of ['ArrowDown', 'ArrowRight', 'ArrowRight', 'ArrowLeft', 'End', 'ArrowRight', 'Home']) await page.keyboard.press(key);
    expect(await cell()).toBe('1-0');
    const filled = await page.locator('button.heat:not([aria-disabled="true"])').first().getAttribute('data-cell');
    const [day = 0, hour = 0] = (filled ?? '0-0').split('-').map(Number);
    for (let step = 0; step < 7; step += 1) await page.keyboard.press('ArrowUp');
    for (let step = 0; step < day; step += 1) await page.keyboard.press('ArrowDown');
    for (let step = 0; step < hour; step += 1) await page.keyboard.press('ArrowRight');
    expect(await cell()).toBe(filled);
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Back to the heat map' }).waitFor();
  });
});

test.runIf(target.fixture)('a busy service, a broken answer and no connection are shown with a way out', async () => {
  await withVisit({}, async (at) => {
    const { page } = at;
    await at.signIn();
    await at.settled();
    await page.route('**/reports/activity*', (route) =>
      route.fulfill({
        status: 503,
        headers: { 'retry-after': '2' },
        contentType: 'application/problem+json',
        body: JSON.stringify({ title: 'The service cannot answer now', status: 503, detail: 'a store did not answer in time; try again' }),
      }),
    );
    await at.enter('Activity');
    const problem = page.getByRole('alert');
    await problem.waitFor();
    expect(await problem.textContent()).toContain('a store did not answer in time');
    expect(await problem.textContent()).toContain('Try again in 2 seconds');
    await at.shot('problem');
    await page.unroute('**/reports/activity*');
    await problem.getByRole('button', { name: 'Try again' }).click();
    await page.locator('button.heat').first().waitFor();
    await page.route('**/reports/usage*', (route) => route.fulfill({ status: 200, contentType: 'application/json', body: '{"bucket' }));
    await at.enter('Usage');
    await page.getByText('The answer cannot be read').waitFor();
    await page.route('**/reports/sections*', (route) => route.abort());
    await at.enter('Sections');
    await page.getByText('The service cannot be reached').waitFor();
  });
});

test.runIf(target.fixture)('waiting shows, and what was there stays while it is asked again', async () => {
  await withVisit({}, async (at) => {
    await at.signIn();
    await at.settled();
    let free = () => {};
    const held = new Promise<void>((resolve) => {
      free = resolve;
    });
    await at.page.route('**/reports/usage*', async (route) => {
      await held;
      await route.continue();
    });
    await at.enter('Usage');
    await at.page.getByText('Loading…').waitFor();
    free();
    await at.page.locator('canvas').waitFor();

    await at.enter('Operator');
    await at.settled();
    const table = at.page.getByRole('table', { name: 'Windows' });
    await at.page.route('**/windows*', () => {
      // No answer: it stays asked for.
    });
    await at.page.getByRole('button', { name: 'Refresh' }).click();
    await at.page.locator('[aria-busy="true"]').first().waitFor();
    expect(await table.isVisible()).toBe(true);
  });
});

test.runIf(target.fixture)('a learner sees the own sections, performance and events, and nobody else', async () => {
  await withVisit({ size: 'phone' }, async (at) => {
    const { page } = at;
    await at.signIn('fixture_learner');
    await page.getByRole('heading', { level: 1, name: 'My sections' }).waitFor();
    await at.settled();
    await at.shot('learner-own-sections-phone');
    await page.locator('table a').first().click();
    await page.getByRole('heading', { level: 1, name: 'My performance' }).waitFor();
    await page.getByText('Mean score').waitFor();
    await at.shot('learner-own-phone');
    await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Activity' }).click();
    await page.locator('button.heat').first().waitFor();
    await page.locator('button.heat:not([aria-disabled="true"])').first().click();
    await page.getByTestId('found').waitFor();
    await at.settled();
    const actors = await page.locator('ul.events summary .actor').evaluateAll((all) => all.map((one) => one.getAttribute('title')));
    expect(new Set(actors).size).toBe(1);
  });
});
