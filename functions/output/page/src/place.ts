// Where the reader is. The address says the view by name and nothing else (`#/grades`): ids are
// personal data, and addresses end up in histories, logs and screenshots. What is selected lies in
// sessionStorage under a key that the history entry knows.

import { keepSelection, readSelection } from './session.ts';
import type { RangeChoice } from './time.ts';

export const VIEWS = ['sections', 'grades', 'learner', 'usage', 'activity', 'operator', 'events'] as const;
export type View = (typeof VIEWS)[number];

/** One cell of the heat map, with all that its count was made of. */
export interface Cell {
  /** From Monday, 0. */
  weekday: number;
  hour: number;
  zone: string;
  from: string;
  to: string;
  events: number;
}

export interface Selection {
  section?: string | undefined;
  learner?: string | undefined;
  cell?: Cell | undefined;
  filters?: Record<string, string> | undefined;
  range?: RangeChoice | undefined;
}

export interface Place {
  view: View | null;
  selection: Selection;
}

/** Grows, so that the oldest selection has the least key. */
function newKey(): string {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
}

function viewOf(hash: string): View | null {
  const name = hash.replace(/^#\/?/, '');
  return VIEWS.find((view) => view === name) ?? null;
}

export function here(): Place {
  const key = (history.state as { place?: string } | null)?.place;
  const selection = key === undefined ? null : (readSelection(key) as Selection | null);
  return { view: viewOf(location.hash), selection: selection ?? {} };
}

/** Goes there; `replace` where the way back should not lead through here. */
export function go(view: View, selection: Selection = {}, replace = false): void {
  const key = newKey();
  keepSelection(key, selection);
  const method = replace ? 'replaceState' : 'pushState';
  history[method]({ place: key }, '', `#/${view}`);
  dispatchEvent(new Event('place'));
}

/** Remembers what is selected here without leaving. */
export function remember(selection: Selection): void {
  const { view } = here();
  if (view !== null) go(view, selection, true);
}

export function onPlace(listener: () => void): () => void {
  addEventListener('place', listener);
  addEventListener('popstate', listener);
  return () => {
    removeEventListener('place', listener);
    removeEventListener('popstate', listener);
  };
}
