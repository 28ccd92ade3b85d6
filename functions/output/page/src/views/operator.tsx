// The operator's view: does everything add up, what was rejected and why, what is played back.

import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { may, useAnswer, useShared } from '../context.ts';
import { ChainPanel } from '../parts/chain.tsx';
import { PlaybacksPanel } from '../parts/playbacks.tsx';
import { QuarantinePanel } from '../parts/quarantine.tsx';
import { Through } from '../parts/show.tsx';
import { WindowsPanel } from '../parts/windows.tsx';
import { DAY, untilNow } from '../time.ts';
import type { Seals } from '../types.ts';

/** How often the figures are asked for again, milliseconds: windows change by the minute. */
const RENEW_MILLIS = 30_000;

export function OperatorView(): JSX.Element {
  const { api, me } = useShared();
  const audit = may(me, 'audit:read');
  const seals = useAnswer<Seals | null>('seals', async (signal) =>
    audit ? api.get<Seals>('seals', untilNow(DAY), signal) : null,
  );
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && seals.reload(), RENEW_MILLIS);
    return () => clearInterval(timer);
  }, [seals.reload]);
  const absent = [
    !audit && 'windows and seals need audit:read',
    !may(me, 'events:read') && 'rejected events need events:read',
    !may(me, 'playback') && 'playbacks need playback',
  ].filter(Boolean);
  return (
    <>
      <div class="title">
        <h1>Operator</h1>
      </div>
      <Through reach={seals.data && { complete_through: seals.data.chain.complete_through }} />
      {audit && <WindowsPanel seals={seals.data} />}
      {audit && <ChainPanel answer={seals} />}
      {may(me, 'events:read') && <QuarantinePanel />}
      {may(me, 'playback') && <PlaybacksPanel />}
      {absent.length > 0 && <p class="note">Not shown with this token: {absent.join('; ')}.</p>}
    </>
  );
}
