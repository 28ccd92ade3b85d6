// Where the page lies: INSIGHTS_URL and INSIGHTS_TOKEN name a deployed stack; otherwise the
// fixture server is started, and ended, here.

import type { TestProject } from 'vitest/node';
import { start } from '../fixture/server.ts';

export interface Target {
  /** The API's stage, with a slash at its end. */
  url: string;
  token: string;
  /** Whether it is the fixture, whose further tokens and faults tests may use. */
  fixture: boolean;
}

declare module 'vitest' {
  export interface ProvidedContext {
    target: Target;
  }
}

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const url = process.env['INSIGHTS_URL'];
  if (url !== undefined && url !== '') {
    const token = process.env['INSIGHTS_TOKEN'] ?? '';
    project.provide('target', { url: url.endsWith('/') ? url : `${url}/`, token, fixture: false });
    return undefined;
  }
  const fixture = await start();
  project.provide('target', { url: fixture.url, token: 'fixture_all', fixture: true });
  return fixture.close;
}
