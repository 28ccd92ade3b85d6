import { expect, test } from 'vitest';
import { isText, parseExact, printExact } from '../../src/exact.ts';

const NUMBERS = ['0', '-0', '-0.0', '1.0', '0.10', '9007199254740993', '12345678901234567890123', '1.0e400', '-1E-7', '5e-324', `1${'0'.repeat(399)}`];

test.each(NUMBERS)('%s is shown as it was sent', (number) => {
  const text = `{\n  "n": [\n    ${number}\n  ],\n  "s": "${number}"\n}`;
  expect(printExact(parseExact(text))).toBe(text);
});

test('texts are left alone, whatever stands in them', () => {
  for (const said of ['1.0', '"1.0"', '\\', '\\"1.0', 'number 1.0', '', '\u0000 1e400,', '\u{1F600}']) {
    const read = parseExact(JSON.stringify({ [said]: said })) as Record<string, unknown>;
    expect(read).toEqual({ [said]: said });
    expect(isText(read[said])).toBe(true);
    expect(JSON.parse(printExact(read))).toEqual({ [said]: said });
  }
});

test('a number that a double keeps is a number, another is no text', () => {
  const read = parseExact('[1.5, 1.0, "1.0"]') as unknown[];
  expect(read[0]).toBe(1.5);
  expect(read.map(isText)).toEqual([false, false, true]);
});

test('a long text takes no stack', () => {
  const long = 'x\\n"'.repeat(500_000);
  expect(parseExact(JSON.stringify([long, 1]))).toEqual([long, 1]);
});
