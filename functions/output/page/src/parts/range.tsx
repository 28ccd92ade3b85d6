// Choosing a range: back from now, or days.

import type { JSX } from 'preact';
import { useEffect, useId, useMemo, useState } from 'preact/hooks';
import { useShared } from '../context.ts';
import { DAY, dayIn, type Preset, type Range, type RangeChoice, resolve } from '../time.ts';

const NAMES: Record<Preset, string> = {
  '1h': 'Last hour',
  '24h': 'Last 24 hours',
  '7d': 'Last 7 days',
  '31d': 'Last 31 days',
};

export interface Chosen {
  choice: RangeChoice;
  /** None while the days make no range. */
  range: Range | null;
  why: string | null;
  choose: (choice: RangeChoice) => void;
  /** Moves a range that ends now up to now. */
  renew: () => void;
}

export function useRange(first: RangeChoice): Chosen {
  const { zone } = useShared();
  const [choice, choose] = useState(first);
  const [now, setNow] = useState(Date.now);
  const found = useMemo(() => resolve(choice, zone, now), [choice, zone, now]);
  const range = typeof found === 'string' ? null : found;
  const why = typeof found === 'string' ? found : null;
  return { choice, range, why, choose, renew: () => setNow(Date.now()) };
}

export function RangePicker({
  chosen,
  presets = ['24h', '7d', '31d'],
}: {
  chosen: Chosen;
  presets?: Preset[];
}): JSX.Element {
  const { zone } = useShared();
  const id = useId();
  const { choice, choose, why } = chosen;
  const own = !('preset' in choice);
  const [days, setDays] = useState(own ? choice : null);
  useEffect(() => {
    if (!('preset' in choice)) setDays(choice);
  }, [choice]);
  const pick = (value: string) => {
    if (value !== 'own') {
      chosen.renew();
      choose({ preset: value as Preset });
      return;
    }
    const last = dayIn(Date.now(), zone);
    choose(days ?? { first: dayIn(Date.now() - 6 * DAY, zone), last });
  };
  const edit = (part: 'first' | 'last', value: string) => {
    if (!own) return;
    choose({ ...choice, [part]: value });
  };
  return (
    <div class="range" role="group" aria-label="Time range">
      <label for={`${id}-range`}>Range</label>
      <select id={`${id}-range`} value={own ? 'own' : choice.preset} onChange={(e) => pick(e.currentTarget.value)}>
        {presets.map((preset) => (
          <option key={preset} value={preset}>
            {NAMES[preset]}
          </option>
        ))}
        <option value="own">Days of your choice</option>
      </select>
      {own && (
        <>
          <label for={`${id}-first`}>from</label>
          <input id={`${id}-first`} type="date" value={choice.first} onChange={(e) => edit('first', e.currentTarget.value)} />
          <label for={`${id}-last`}>to</label>
          <input id={`${id}-last`} type="date" value={choice.last} onChange={(e) => edit('last', e.currentTarget.value)} />
        </>
      )}
      {why !== null && (
        <p class="field-problem" role="alert">
          {why}
        </p>
      )}
    </div>
  );
}
