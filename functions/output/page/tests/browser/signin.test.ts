import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { launch, target, type Visit, visit } from './browser.ts';

let browser: Browser;
let at: Visit;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());
afterEach(async () => {
  expect(at.complaints).toEqual([]);
  await at.close();
});

test('the page comes with a strict policy, and with no parameter', async () => {
  at = await visit(browser);
  const answer = await at.page.goto(`${target.url}insights`);
  const policy = answer?.headers()['content-security-policy'] ?? '';
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "form-action 'none'", "frame-ancestors 'none'"]) {
    expect(policy).toContain(part);
  }
  expect(policy).not.toMatch(/unsafe|\*/);
  await at.page.getByLabel('Token').waitFor();
});

test('an unknown token is refused with what to do', async () => {
  at = await visit(browser);
  await at.signIn(`vrn_${'0'.repeat(12)}`);
  const problem = at.page.getByRole('alert');
  await problem.waitFor();
  expect(await problem.textContent()).toContain('the token is not known');
  expect(await problem.textContent()).toContain('Sign in with a token');
  expect(await at.page.evaluate(() => sessionStorage.getItem('vernier.token'))).toBeNull();
  await at.shot('signin-refused');
});

test.runIf(target.fixture)('a revoked token says so, and one without a scope shows what is missing', async () => {
  at = await visit(browser);
  await at.signIn('fixture_revoked');
  await at.page.getByText('the token was revoked').waitFor();
  await at.page.getByLabel('Token').fill('fixture_sensor');
  await at.page.getByRole('button', { name: 'Sign in' }).click();
  await at.page.getByRole('heading', { name: 'This token shows nothing' }).waitFor();
  expect(await at.page.getByRole('main').textContent()).toContain('events:write');
});

test('signing in outlives a reload; signing out leaves nothing', async () => {
  at = await visit(browser);
  await at.signIn();
  await at.page.getByRole('heading', { level: 1 }).waitFor();
  await at.enter('Activity');
  await at.page.reload();
  await at.page.getByRole('heading', { level: 1, name: 'Activity' }).waitFor();
  await at.page.getByRole('button', { name: 'Sign out' }).click();
  await at.page.getByLabel('Token').waitFor();
  expect(await at.page.evaluate(() => JSON.stringify([sessionStorage, localStorage]))).not.toContain(target.token);
  await at.page.goBack();
  await at.page.getByLabel('Token').waitFor();
});

test.runIf(target.fixture)('a token that ends while it is used leads to the sign-in, with the reason', async () => {
  at = await visit(browser);
  await at.signIn();
  await at.page.getByRole('heading', { level: 1 }).waitFor();
  await at.page.route('**/reports/activity*', (route) =>
    route.fulfill({
      status: 401,
      contentType: 'application/problem+json',
      body: JSON.stringify({ title: 'The request needs a valid token', status: 401, detail: 'the token was revoked at noon' }),
    }),
  );
  await at.page.getByRole('link', { name: 'Activity' }).click();
  await at.page.getByLabel('Token').waitFor();
  await at.page.getByText('the token was revoked at noon').waitFor();
});

test.runIf(target.fixture)('each token sees its own views', async () => {
  at = await visit(browser);
  const views = async (token: string) => {
    await at.signIn(token);
    await at.page.getByRole('button', { name: 'Sign out' }).waitFor();
    const names = await at.page.getByRole('navigation', { name: 'Views' }).getByRole('link').allTextContents();
    await at.page.getByRole('button', { name: 'Sign out' }).click();
    return names;
  };
  expect(await views('fixture_all')).toEqual(['Sections', 'Activity', 'Usage', 'Events', 'Operator']);
  expect(await views('fixture_reports')).toEqual(['Sections', 'Activity', 'Usage']);
  expect(await views('fixture_operator')).toEqual(['Operator']);
  expect(await views('fixture_learner')).toEqual(['Sections', 'Activity', 'Events']);
});
