// A Chromium of the machine's own, watched: what breaks the policy, what the console complains of,
// which addresses the page takes.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { inject } from 'vitest';

export const target = inject('target');

const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
export type Size = keyof typeof SIZES;
export type Scheme = 'light' | 'dark';

export function launch(...more: string[]): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'];
  if (executablePath === undefined) throw new Error('CHROMIUM names no browser: run scripts/page.py');
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...more,
    ],
  });
}

export class Visit {
  readonly page: Page;
  /** What the console complained of, and breaches of the policy. */
  readonly complaints: string[] = [];
  /** Every address that the page had. */
  readonly addresses: string[] = [];
  /** Every request that it made. */
  readonly requests: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on('console', (message) => {
      // Chromium reports each refused request, which tests provoke on purpose.
      const provoked = /Failed to load resource/.test(message.text());
      if (message.type() === 'error' && !provoked) this.complaints.push(message.text());
    });
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('request', (request) => this.requests.push(request.url()));
    page.on('framenavigated', (frame) => this.addresses.push(frame.url()));
  }

  async open(): Promise<void> {
    await this.page.goto(`${target.url}insights`);
  }

  async signIn(token = target.token): Promise<void> {
    await this.open();
    await this.page.getByLabel('Token').fill(token);
    await this.page.getByRole('button', { name: 'Sign in' }).click();
  }

  async enter(view: string): Promise<void> {
    await this.page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: view, exact: true }).click();
    await this.page.getByRole('heading', { level: 1, name: view }).waitFor();
  }

  /** The parameters of the request that an action makes. */
  async asked(path: string, act: () => Promise<unknown>): Promise<URLSearchParams> {
    return (await this.answered(path, act)).query;
  }

  /** The same, with the answer that the page got: what a busy stack says changes by the second. */
  async answered<T>(path: string, act: () => Promise<unknown>): Promise<{ query: URLSearchParams; data: T }> {
    const route = new URL(path, target.url).pathname;
    const [request] = await Promise.all([
      this.page.waitForRequest((request) => new URL(request.url()).pathname === route),
      act(),
    ]);
    const answer = await request.response();
    await answer?.finished();
    return { query: new URL(request.url()).searchParams, data: (await answer?.json()) as T };
  }

  /** Nothing loads any more. */
  async settled(): Promise<void> {
    await this.page.locator('.loading').first().waitFor({ state: 'detached' });
    await this.page.locator('[aria-busy="true"]').first().waitFor({ state: 'detached' });
  }

  /** A picture for people, where INSIGHTS_SHOTS names a folder. */
  async shot(name: string): Promise<void> {
    const folder = process.env['INSIGHTS_SHOTS'];
    if (!folder) return;
    mkdirSync(folder, { recursive: true });
    await this.page.screenshot({ path: join(folder, `${name}.png`), fullPage: name.endsWith('-full') });
  }

  async close(): Promise<void> {
    await this.page.context().close();
  }
}

export async function visit(
  browser: Browser,
  { size = 'desktop', scheme = 'light', zone = 'Europe/Berlin' }: { size?: Size; scheme?: Scheme; zone?: string } = {},
): Promise<Visit> {
  const context: BrowserContext = await browser.newContext({
    viewport: SIZES[size],
    colorScheme: scheme,
    timezoneId: zone,
    locale: 'en-GB',
    acceptDownloads: true,
    hasTouch: size === 'phone',
  });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  return new Visit(page);
}
