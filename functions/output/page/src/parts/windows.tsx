// Windows: received against accounted for, and whether each is sealed.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useAnswer, useShared } from '../context.ts';
import { clock, count, day, NONE } from '../format.ts';
import { HOUR, untilNow } from '../time.ts';
import type { Seals, Windows, WindowView } from '../types.ts';
import { Show } from './show.tsx';

const REACHES = [3, 24] as const;
/** Rows before the reader asks for all: a day of windows of a minute is 1,440. */
const ROWS = 40;

export type Standing = 'open' | 'settling' | 'does not add up' | 'adds up' | 'sealed' | 'short';

/** A window whose instant the chain has passed is sealed, unless it is held; one whose seal says what is missing is short. */
export function standingOf(window: WindowView, seals: Seals | null): Standing {
  if (window.state === 'short') return 'short';
  const [start, end] = [Date.parse(window.start), Date.parse(window.end)];
  if (seals) {
    const { complete_through, passed_over } = seals.chain;
    const over = passed_over.some((one) => instant(one.start) < end && instant(one.end) > start);
    if (complete_through !== null && end <= Date.parse(complete_through) && !over) return 'sealed';
  }
  if (window.state === 'open' || window.state === 'settling') return window.state;
  return window.complete ? 'adds up' : 'does not add up';
}

export function instant(at: string | number): number {
  return typeof at === 'number' ? at : Date.parse(at);
}

export function WindowsPanel({ seals }: { seals: Seals | null }): JSX.Element {
  const { api } = useShared();
  const [reach, setReach] = useState<number>(REACHES[0]);
  const answer = useAnswer(`windows ${reach}`, (signal) =>
    api.get<Windows>('windows', untilNow(reach * HOUR), signal),
  );
  return (
    <section class="panel">
      <div class="panel-head">
        <h2>Windows</h2>
        <div class="range">
          <label for="reach">Last</label>
          <select id="reach" value={reach} onChange={(event) => setReach(Number(event.currentTarget.value))}>
            {REACHES.map((hours) => (
              <option key={hours} value={hours}>
                {hours} hours
              </option>
            ))}
          </select>
          <button type="button" onClick={answer.reload}>
            Refresh
          </button>
        </div>
      </div>
      <Show
        of={answer}
        empty={(data) => (data.windows.length === 0 ? <p>No window touches this range.</p> : null)}
      >
        {(data) => <WindowTable windows={data.windows} seals={seals} />}
      </Show>
    </section>
  );
}

function sum(windows: WindowView[], of: (window: WindowView) => number | null): number | null {
  return windows.reduce<number | null>((all, window) => {
    const one = of(window);
    return all === null || one === null ? null : all + one;
  }, 0);
}

function Figure({ value }: { value: number | null }): JSX.Element {
  return <>{value === null ? NONE : count(value)}</>;
}

const PARTS: [string, (window: WindowView) => number | null][] = [
  ['Received', (window) => window.received.events],
  ['Stored', (window) => window.accounted.stored],
  ['Duplicate', (window) => window.accounted.duplicate],
  ['Conflict', (window) => window.accounted.conflict],
  ['Rejected', (window) => window.accounted.rejected],
];

function WindowTable({ windows, seals }: { windows: WindowView[]; seals: Seals | null }): JSX.Element {
  const { zone } = useShared();
  const [all, setAll] = useState(false);
  const telling = windows.filter((window) => window.received.events > 0 || window.accounted.events > 0 || !window.complete);
  const newest = [...telling].reverse();
  const shown = all ? newest : newest.slice(0, ROWS);
  const sealed = windows.filter((window) => standingOf(window, seals) === 'sealed').length;
  const wrong = windows.filter((window) => standingOf(window, seals) === 'does not add up').length;
  return (
    <>
      <p class="sum">
        {count(windows.length)} windows, {count(windows.length - telling.length)} of them empty; {count(sealed)} sealed;{' '}
        {wrong === 0 ? 'all that are over add up' : <strong class="bad">{wrong === 1 ? '1 does not add up' : `${count(wrong)} do not add up`}</strong>}.
      </p>
      <div class="scroll tall" tabIndex={0} role="region" aria-label="Windows">
        <table>
          <caption class="unseen">Windows: received against accounted for</caption>
          <thead>
            <tr>
              <th scope="col">Window</th>
              {PARTS.map(([name]) => (
                <th key={name} scope="col" class="number">
                  {name}
                </th>
              ))}
              <th scope="col" class="number">
                Missing
              </th>
              <th scope="col">State</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((window) => (
              <tr key={window.start}>
                <th scope="row" class="nowrap">
                  {day(window.start, zone)}, {clock(window.start, zone)}–{clock(window.end, zone)}
                </th>
                {PARTS.map(([name, of]) => (
                  <td key={name} class="number">
                    <Figure value={of(window)} />
                  </td>
                ))}
                <td class="number">{count(window.missing_count)}</td>
                <td>
                  <State standing={standingOf(window, seals)} window={window} />
                </td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">All {count(windows.length)}</th>
              {PARTS.map(([name, of]) => (
                <td key={name} class="number">
                  <Figure value={sum(windows, of)} />
                </td>
              ))}
              <td class="number">
                <Figure value={sum(windows, (window) => window.missing_count)} />
              </td>
              <td />
            </tr>
          </tfoot>
        </table>
      </div>
      {newest.length > shown.length && (
        <p class="actions">
          <button type="button" onClick={() => setAll(true)}>
            Show all {count(newest.length)}
          </button>
        </p>
      )}
    </>
  );
}

const TAGS: Record<Standing, string> = {
  open: '',
  settling: '',
  'does not add up': 'rejected',
  'adds up': 'ok',
  sealed: 'stored',
  short: 'rejected',
};

function State({ standing, window }: { standing: Standing; window: WindowView }): JSX.Element {
  return (
    <>
      <span class={`tag ${TAGS[standing]}`}>{standing}</span>
      {window.shortfall?.reason && <span class="missing">{window.shortfall.reason}</span>}
      {window.missing.slice(0, 3).map((one) => (
        <span key={one.receipt} class="missing">
          <code>{one.receipt}</code> {one.cause}
          {one.sent_again && (
            <>
              , sent again as <code>{one.sent_again}</code>
            </>
          )}
        </span>
      ))}
    </>
  );
}
