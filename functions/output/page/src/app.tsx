// The shell: signed in or not, the navigation, which view is open.

import type { JSX } from 'preact';
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Api, apiBase, type Problem } from './api.ts';
import { may, SharedContext, useShared } from './context.ts';
import { Go } from './parts/go.tsx';
import { here, onPlace, type Place, type View } from './place.ts';
import { forget, keepToken, keepZone, readToken, readZone } from './session.ts';
import { zones } from './time.ts';
import type { Me } from './types.ts';
import { ActivityView } from './views/activity.tsx';
import { EventsView } from './views/events.tsx';
import { GradesView } from './views/grades.tsx';
import { LearnerView } from './views/learner.tsx';
import { OperatorView } from './views/operator.tsx';
import { SectionsView } from './views/sections.tsx';
import { SignIn } from './views/signin.tsx';
import { UsageView } from './views/usage.tsx';

interface Session {
  token: string;
  me: Me;
}

export function App(): JSX.Element {
  const [session, setSession] = useState<Session | null>(null);
  const [why, setWhy] = useState<Problem | null>(null);

  const signOut = useCallback((problem?: Problem) => {
    forget();
    history.replaceState(null, '', location.pathname);
    setWhy(problem ?? null);
    setSession(null);
  }, []);

  const signIn = useCallback((token: string, me: Me) => {
    keepToken(token);
    setWhy(null);
    setSession({ token, me });
  }, []);

  if (!session) return <SignIn kept={readToken()} why={why} onSignedIn={signIn} onForget={signOut} />;
  return <Signed token={session.token} me={session.me} signOut={signOut} />;
}

function Signed({ token, me, signOut }: Session & { signOut: (why?: Problem) => void }): JSX.Element {
  const [zone, setZoneState] = useState(readZone);
  const [said, announce] = useState('');
  const api = useMemo(() => new Api(token, apiBase(), signOut), [token, signOut]);
  const setZone = useCallback((zone: string) => {
    keepZone(zone);
    setZoneState(zone);
  }, []);
  const shared = useMemo(
    () => ({ api, me, zone, setZone, signOut, announce }),
    [api, me, zone, setZone, signOut],
  );
  return (
    <SharedContext.Provider value={shared}>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <Frame />
      <div class="unseen" role="status">
        {said}
      </div>
    </SharedContext.Provider>
  );
}

/** The fragment is the view's: the link must not change it. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

const NAMES: Record<View, string> = {
  sections: 'Sections',
  grades: 'Grades',
  learner: 'Learner',
  usage: 'Usage',
  activity: 'Activity',
  operator: 'Operator',
  events: 'Events',
};

/** The views that a token leads to by itself, in order; others are reached from them. */
export function entries(me: Me): View[] {
  const reports = may(me, 'reports:read');
  const events = may(me, 'events:read');
  if (me.learner !== null) {
    return [...(reports ? (['sections', 'activity'] as const) : []), ...(events ? (['events'] as const) : [])];
  }
  return [
    ...(reports ? (['sections', 'activity', 'usage'] as const) : []),
    ...(events ? (['events'] as const) : []),
    ...(may(me, 'audit:read') || may(me, 'playback') ? (['operator'] as const) : []),
  ];
}

/** Whether the token may see a view at all. */
function open(me: Me, view: View): boolean {
  if (view === 'grades') return may(me, 'reports:read') && me.learner === null;
  if (view === 'learner') return may(me, 'reports:read');
  return entries(me).includes(view);
}

function Frame(): JSX.Element {
  const { me, signOut } = useShared();
  const [place, setPlace] = useState<Place>(here);
  useEffect(() => onPlace(() => setPlace(here())), []);
  const known = entries(me);
  const view = place.view !== null && open(me, place.view) ? place.view : (known[0] ?? null);
  const main = useRef<HTMLElement>(null);
  const seen = useRef(false);
  useEffect(() => {
    document.title = view === null ? 'Insights' : `${NAMES[view]} · Insights`;
    // A new view begins at its top, also for the keyboard; the first one is the browser's to place.
    if (seen.current) {
      main.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    seen.current = true;
  }, [view, place.selection.section, place.selection.learner, place.selection.cell]);
  return (
    <>
      <header class="top">
        <p class="brand">
          <Mark /> Insights
        </p>
        <nav aria-label="Views">
          <ul>
            {known.map((name) => (
              <li key={name}>
                <Go view={name} current={isUnder(view, name)}>
                  {NAMES[name]}
                </Go>
              </li>
            ))}
          </ul>
        </nav>
        <div class="who">
          <span class="tenant" title={`Token ${me.token_id} of ${me.sensor}`}>
            {me.tenant}
          </span>
          <button type="button" class="quiet" onClick={() => signOut()}>
            Sign out
          </button>
        </div>
      </header>
      <main id="main" tabIndex={-1} ref={main}>
        {view === null ? <NothingToSee me={me} /> : <Shown view={view} place={place} />}
      </main>
      <Foot />
    </>
  );
}

/** Which entry of the navigation a view belongs to. */
function isUnder(view: View | null, entry: View): boolean {
  return view === entry || (entry === 'sections' && (view === 'grades' || view === 'learner'));
}

function Mark(): JSX.Element {
  return (
    <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true" class="mark">
      <path d="M5 6v20h22" />
      <path d="M11 21v-5M17 21V9M23 21v-8" class="bars" />
    </svg>
  );
}

function Shown({ view, place }: { view: View; place: Place }): JSX.Element {
  const { selection } = place;
  switch (view) {
    case 'sections':
      return <SectionsView />;
    case 'grades':
      return <GradesView key={selection.section} selection={selection} />;
    case 'learner':
      return <LearnerView key={`${selection.section} ${selection.learner}`} selection={selection} />;
    case 'usage':
      return <UsageView key={selection.section} selection={selection} />;
    case 'activity':
      return <ActivityView key={`${selection.section} ${selection.learner}`} selection={selection} />;
    case 'operator':
      return <OperatorView />;
    case 'events':
      return <EventsView key={JSON.stringify(selection)} selection={selection} />;
  }
}

function NothingToSee({ me }: { me: Me }): JSX.Element {
  return (
    <section class="notice">
      <h1>This token shows nothing</h1>
      <p>
        It has {me.scopes.length === 0 ? 'no scope' : `the scope ${me.scopes.join(', ')}`}. The page needs reports:read
        for sections and grades, events:read for events, audit:read or playback for the operator’s view.
      </p>
      <p>Ask whoever issued it for one with such a scope, and sign in with that.</p>
    </section>
  );
}

function Foot(): JSX.Element {
  const { zone, setZone } = useShared();
  const all = useMemo(() => zones(readZone()), []);
  return (
    <footer class="foot">
      <label>
        Times and hours in{' '}
        <select value={zone} onChange={(event) => setZone(event.currentTarget.value)}>
          {all.map((name) => (
            <option key={name} value={name}>
              {name.replaceAll('_', ' ')}
            </option>
          ))}
        </select>
      </label>
    </footer>
  );
}
