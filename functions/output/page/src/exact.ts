// JSON whose numbers keep the digits that they were sent with: a double has 17 of them and ends at 1.8e308.

/** What stands before the digits of a number that reading it as a double would change. Nobody can send it. */
const MARK = `number ${Math.random().toString(36).slice(2)} `;

/** A string, or a number outside of strings. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

const MARKED = new RegExp(`"${MARK}([^"]*)"`, 'g');

/** Reads JSON; a number that a double would change is a text in it, which `isText` tells from others. */
export function parseExact(text: string): unknown {
  const changes = (token: string) => !token.startsWith('"') && String(Number(token)) !== token;
  return JSON.parse(text.replace(TOKENS, (token) => (changes(token) ? `"${MARK}${token}"` : token)));
}

/** What `parseExact` read, with each number as it was sent and each member on a line of its own. */
export function printExact(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(MARKED, '$1');
}

/** Whether a value of `parseExact` was sent as a text. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && !value.startsWith(MARK);
}
