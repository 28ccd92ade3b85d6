import { expect, test } from 'vitest';
import { apiBase } from '../../src/api.ts';

test('the API is found from the page, with and without a slash at its end', () => {
  for (const page of ['https://api.example/v1/insights', 'https://api.example/v1/insights/', 'https://api.example/v1/insights/#/events']) {
    expect(apiBase(page).href).toBe('https://api.example/v1/');
  }
  expect(apiBase('http://127.0.0.1:4566/_aws/execute-api/abc/v1/insights/').pathname).toBe('/_aws/execute-api/abc/v1/');
});
