// Links within the page: the address names the view, what is selected travels beside it.

import type { ComponentChildren, JSX } from 'preact';
import { go, type Selection, type View } from '../place.ts';

export interface GoProps {
  view: View;
  selection?: Selection;
  current?: boolean;
  title?: string;
  class?: string;
  children: ComponentChildren;
}

export function Go({ view, selection = {}, current = false, title, children, class: name }: GoProps): JSX.Element {
  const follow = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(view, selection);
  };
  return (
    <a href={`#/${view}`} onClick={follow} aria-current={current ? 'page' : undefined} title={title} class={name}>
      {children}
    </a>
  );
}

/** Where a view lies: sections, a section, a learner. */
export function Way({ selection, learnerOnly }: { selection: Selection; learnerOnly: boolean }): JSX.Element {
  const { section, learner } = selection;
  return (
    <nav class="way" aria-label="Where you are">
      <ol>
        <li>
          <Go view="sections">{learnerOnly ? 'My sections' : 'Sections'}</Go>
        </li>
        {section !== undefined && (
          <li>
            {learnerOnly ? (
              <Go view="learner" selection={{ section }}>
                Section
              </Go>
            ) : (
              <Go view="grades" selection={{ section }}>
                Section
              </Go>
            )}
          </li>
        )}
        {learner !== undefined && !learnerOnly && (
          <li>
            <Go view="learner" selection={{ section, learner }}>
              Learner
            </Go>
          </li>
        )}
      </ol>
    </nav>
  );
}

const TABS: { view: View; name: string }[] = [
  { view: 'grades', name: 'Grades' },
  { view: 'usage', name: 'Usage' },
  { view: 'activity', name: 'Activity' },
];

/** A section's views beside each other. */
export function SectionTabs({ section, view }: { section: string; view: View }): JSX.Element {
  return (
    <nav class="tabs" aria-label="Of this section">
      <ul>
        {TABS.map((tab) => (
          <li key={tab.view}>
            <Go view={tab.view} selection={{ section }} current={tab.view === view}>
              {tab.name}
            </Go>
          </li>
        ))}
      </ul>
    </nav>
  );
}
