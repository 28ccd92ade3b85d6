// A page of another origin that sends events itself, as sensors in browsers do: on a deployed stack alone,
// because it is the stack that says which origins may. samconfig.toml allows ALLOWED on the local one.

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launch, target } from './browser.ts';

const ALLOWED = 'https://lms.example';

let browser: Browser;
beforeAll(async () => {
  // The stack may lie on this machine, and the page does not: Chromium would ask whether that is meant.
  browser = await launch('--disable-features=LocalNetworkAccessChecks');
});
afterAll(() => browser.close());

function envelope(): string {
  const at = new Date().toISOString();
  const context = 'http://purl.imsglobal.org/ctx/caliper/v1p2';
  const event = {
    '@context': context,
    id: `urn:uuid:${crypto.randomUUID()}`,
    type: 'ViewEvent',
    actor: { id: 'https://lms.example/users/1', type: 'Person' },
    action: 'Viewed',
    object: { id: 'https://lms.example/pages/1', type: 'WebPage' },
    eventTime: at,
  };
  return JSON.stringify({ sensor: 'https://lms.example/sensors/page', sendTime: at, dataVersion: context, data: [event] });
}

interface Sending {
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: string;
}

interface Seen {
  /** 0 where the browser lets the page see nothing. */
  status: number;
  receipt: string | null;
  accepted: string | null;
  text: string;
}

/** What a page of an origin sees of a request, made as http-browserify makes it for caliper-js: XMLHttpRequest with credentials. */
async function seenBy(origin: string, sending: Sending): Promise<Seen> {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.route(`${origin}/**`, (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>Course</title>' }));
    await page.goto(`${origin}/course`);
    return await page.evaluate(
      ({ url, method, headers, body }) =>
        new Promise<Seen>((resolve) => {
          const request = new XMLHttpRequest();
          request.open(method, url, true);
          request.withCredentials = true;
          for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
          request.onloadend = () =>
            resolve({
              status: request.status,
              receipt: request.getResponseHeader('vernier-receipt'),
              accepted: request.getResponseHeader('vernier-accepted'),
              text: request.responseText,
            });
          request.send(body ?? null);
        }),
      { ...sending, url: new URL(sending.path, target.url).href },
    );
  } finally {
    await context.close();
  }
}

function post(authorization = `Bearer ${target.token}`): Sending {
  const headers = { accept: 'application/json', authorization, 'content-type': 'application/json' };
  return { method: 'POST', path: 'caliper', headers, body: envelope() };
}

describe.runIf(!target.fixture)('a page of another origin', () => {
  test('sends an envelope and sees that it is accepted', async () => {
    const seen = await seenBy(ALLOWED, post());
    expect(seen.status).toBe(200);
    expect(seen.accepted).toBe('1');
    expect(JSON.parse(seen.text)).toMatchObject({ receipt: seen.receipt, accepted: 1 });
  });

  test('sees why it is refused', async () => {
    const unknown = await seenBy(ALLOWED, post('Bearer vrn_unknown'));
    expect(unknown.status).toBe(401);
    expect(JSON.parse(unknown.text).title).toBe('The request needs a valid token');
    const nowhere = await seenBy(ALLOWED, { method: 'GET', path: 'no/such/path', headers: {} });
    expect(nowhere.status).toBe(404);
  });

  test('sees nothing and sends nothing where its origin is not allowed', async () => {
    for (const origin of ['https://evil.example', 'https://lms.example.evil.example']) {
      const seen = await seenBy(origin, post());
      expect(seen).toEqual({ status: 0, receipt: null, accepted: null, text: '' });
    }
  });
});

test.runIf(!target.fixture)('the page works with a slash at its end', async () => {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`${target.url}insights/`);
    await page.getByLabel('Token').fill(target.token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
  } finally {
    await context.close();
  }
});
