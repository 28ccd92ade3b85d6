// Activity by weekday and hour: a table whose cells are buttons. Colour is only a hint, every cell
// says its number. One stop of the Tab key; the arrows move inside.

import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { count, hours, shortCount, weekday } from '../format.ts';

const DAYS = [0, 1, 2, 3, 4, 5, 6];
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);

/** Steps of colour beside none. */
export const LEVELS = 6;

/** The step of a count; by its square root, since few hours hold most of the events. */
export function heat(value: number, most: number): number {
  if (value <= 0 || most <= 0) return 0;
  return Math.max(1, Math.ceil(Math.sqrt(value / most) * LEVELS));
}

/** Where 24 columns of figures do not fit, hours go down and weekdays across. */
const NARROW = '(max-width: 60rem)';

function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const query = matchMedia(NARROW);
    const change = () => setNarrow(query.matches);
    query.addEventListener('change', change);
    return () => query.removeEventListener('change', change);
  }, []);
  return narrow;
}

export function HeatMap({
  events,
  choose,
}: {
  events: number[][];
  choose?: ((weekday: number, hour: number) => void) | undefined;
}): JSX.Element {
  const narrow = useNarrow();
  const [at, setAt] = useState<[number, number]>([0, 0]);
  const table = useRef<HTMLTableElement>(null);
  const most = Math.max(...events.flat());

  const move = (event: KeyboardEvent) => {
    const step = stepOf(event.key, narrow);
    if (!step) return;
    event.preventDefault();
    const day = Math.min(6, Math.max(0, at[0] + step[0]));
    const hour = Math.min(23, Math.max(0, at[1] + step[1]));
    setAt([day, hour]);
    table.current?.querySelector<HTMLButtonElement>(`[data-cell="${day}-${hour}"]`)?.focus();
  };

  const cell = (day: number, hour: number) => {
    const value = events[day]?.[hour] ?? 0;
    return (
      <td key={`${day}-${hour}`}>
        <button
          type="button"
          class={`heat heat-${heat(value, most)}`}
          data-cell={`${day}-${hour}`}
          tabIndex={at[0] === day && at[1] === hour ? 0 : -1}
          aria-label={`${weekday(day)} ${hours(hour)}, ${count(value)} ${value === 1 ? 'event' : 'events'}`}
          aria-disabled={choose === undefined || value === 0}
          onFocus={() => setAt([day, hour])}
          onClick={() => value > 0 && choose?.(day, hour)}
        >
          {value === 0 ? '' : shortCount(value)}
        </button>
      </td>
    );
  };

  return (
    <div class="heatmap">
      <table ref={table} onKeyDown={move} class={narrow ? 'down' : 'across'}>
        <caption class="unseen">Events by weekday and hour. Arrow keys move, Enter lists a cell’s events.</caption>
        <thead>
          <tr>
            <td />
            {(narrow ? DAYS : HOURS).map((head) => (
              <th key={head} scope="col">
                {narrow ? <abbr title={weekday(head)}>{weekday(head, 'short')}</abbr> : head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {(narrow ? HOURS : DAYS).map((head) => (
            <tr key={head}>
              <th scope="row">{narrow ? head : <abbr title={weekday(head)}>{weekday(head, 'short')}</abbr>}</th>
              {narrow ? DAYS.map((day) => cell(day, head)) : HOURS.map((hour) => cell(head, hour))}
            </tr>
          ))}
        </tbody>
      </table>
      <p class="scale" aria-hidden="true">
        Few
        {HOURS.slice(0, LEVELS + 1).map((step) => (
          <span key={step} class={`heat heat-${step}`} />
        ))}
        Many ({count(most)})
      </p>
    </div>
  );
}

/** Weekdays and hours that a key moves by. */
function stepOf(key: string, narrow: boolean): [number, number] | null {
  const right = narrow ? ([1, 0] as const) : ([0, 1] as const);
  const down = narrow ? ([0, 1] as const) : ([1, 0] as const);
  switch (key) {
    case 'ArrowRight':
      return [...right];
    case 'ArrowLeft':
      return [-right[0], -right[1]];
    case 'ArrowDown':
      return [...down];
    case 'ArrowUp':
      return [-down[0], -down[1]];
    case 'Home':
      return [-right[0] * 24, -right[1] * 24];
    case 'End':
      return [right[0] * 24, right[1] * 24];
    default:
      return null;
  }
}
