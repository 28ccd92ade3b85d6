// What every view needs to know, and the hook that asks the API.

import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useRef, useState } from 'preact/hooks';
import { type Api, Problem } from './api.ts';
import type { Me } from './types.ts';

export interface Shared {
  api: Api;
  me: Me;
  zone: string;
  setZone: (zone: string) => void;
  signOut: (why?: Problem) => void;
  /** Says something to those who do not see the page. */
  announce: (text: string) => void;
}

export const SharedContext = createContext<Shared | null>(null);

export function useShared(): Shared {
  const shared = useContext(SharedContext);
  if (!shared) throw new Error('outside of the signed-in page');
  return shared;
}

export function may(me: Me, scope: string): boolean {
  return me.scopes.includes(scope);
}

export interface Answer<T> {
  data: T | null;
  problem: Problem | null;
  loading: boolean;
  reload: () => void;
}

/**
 * Asks when `key` changes, and again on `reload`. What was there stays while the same is asked
 * again; another key begins empty, so that no number stands under another's name.
 */
export function useAnswer<T>(key: string, ask: (signal: AbortSignal) => Promise<T>): Answer<T> {
  const [state, setState] = useState<{ key: string; data: T | null; problem: Problem | null; loading: boolean }>({
    key,
    data: null,
    problem: null,
    loading: true,
  });
  const [tries, setTries] = useState(0);
  const asked = useRef(ask);
  asked.current = ask;
  useEffect(() => {
    const control = new AbortController();
    setState((old) => ({ key, data: old.key === key ? old.data : null, problem: null, loading: true }));
    asked.current(control.signal).then(
      (data) => {
        if (!control.signal.aborted) setState({ key, data, problem: null, loading: false });
      },
      (error: unknown) => {
        if (!control.signal.aborted) setState({ key, data: null, problem: problemOf(error), loading: false });
      },
    );
    return () => control.abort();
  }, [key, tries]);
  const reload = useCallback(() => setTries((tries) => tries + 1), []);
  const current = state.key === key;
  return {
    data: current ? state.data : null,
    problem: current ? state.problem : null,
    loading: current ? state.loading : true,
    reload,
  };
}

/** A fault of the page itself is shown like any other. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, 'The page failed', error instanceof Error ? error.message : String(error));
}
