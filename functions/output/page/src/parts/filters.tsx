// The explorer's form. What it asks for is set by the Search button, not while somebody types.

import type { JSX } from 'preact';
import { useShared } from '../context.ts';

export type Filters = Record<string, string>;

const TEXTS: { name: string; label: string; hint?: string; more?: boolean }[] = [
  { name: 'type', label: 'Type', hint: 'GradeEvent' },
  { name: 'action', label: 'Action', hint: 'Submitted' },
  { name: 'actor', label: 'Actor', hint: 'id' },
  { name: 'group', label: 'Section', hint: 'id' },
  { name: 'sensor', label: 'Sensor', more: true },
  { name: 'id', label: 'Event id', more: true },
  { name: 'deviation', label: 'Deviates from rule', hint: 'event.id', more: true },
];

const TYPES = [
  'AnnotationEvent',
  'AssessmentEvent',
  'AssessmentItemEvent',
  'AssignableEvent',
  'FeedbackEvent',
  'ForumEvent',
  'GradeEvent',
  'MediaEvent',
  'MessageEvent',
  'NavigationEvent',
  'QuestionnaireEvent',
  'QuestionnaireItemEvent',
  'ResourceManagementEvent',
  'SearchEvent',
  'SessionEvent',
  'SurveyEvent',
  'SurveyInvitationEvent',
  'ThreadEvent',
  'ToolLaunchEvent',
  'ToolUseEvent',
  'ViewEvent',
];

const CHOICES: { name: string; label: string; options: [string, string][] }[] = [
  {
    name: 'disposition',
    label: 'Disposition',
    options: [
      ['', 'stored'],
      ['duplicate', 'duplicate'],
      ['conflict', 'conflict'],
      ['rejected', 'rejected'],
      ['all', 'all'],
    ],
  },
  {
    name: 'sort',
    label: 'Sorted by',
    options: [
      ['', 'time of receipt'],
      ['event_time', 'time of the event'],
    ],
  },
  {
    name: 'order',
    label: 'First',
    options: [
      ['', 'newest'],
      ['oldest', 'oldest'],
    ],
  },
];

/** Filled-in fields only, by name. */
function read(form: HTMLFormElement): Filters {
  const found: Filters = {};
  for (const [name, value] of new FormData(form)) {
    const text = String(value).trim();
    if (text !== '') found[name] = text;
  }
  return found;
}

export function EventFilters({ filters, search }: { filters: Filters; search: (filters: Filters) => void }): JSX.Element {
  const { me } = useShared();
  const submit = (event: Event) => {
    event.preventDefault();
    search(read(event.currentTarget as HTMLFormElement));
  };
  const texts = TEXTS.filter(({ name }) => name !== 'actor' || me.learner === null);
  const field = ({ name, label, hint }: (typeof TEXTS)[number]) => (
    <label key={name}>
      <span>{label}</span>
      <input
        name={name}
        defaultValue={filters[name] ?? ''}
        placeholder={hint}
        list={name === 'type' ? 'types' : undefined}
        autoComplete="off"
        spellcheck={false}
        maxLength={2048}
      />
    </label>
  );
  const hidden = ['sensor', 'id', 'deviation', 'event_from', 'event_to', 'sort'].some((name) => filters[name]);
  return (
    <form class="filters" onSubmit={submit} role="search" aria-label="Events">
      <div class="fields">
        {texts.filter(({ more }) => !more).map(field)}
        {CHOICES.filter(({ name }) => name !== 'sort').map((choice) => (
          <Choice key={choice.name} {...choice} value={filters[choice.name] ?? ''} />
        ))}
      </div>
      <details open={hidden}>
        <summary>More filters</summary>
        <div class="fields">
          {texts.filter(({ more }) => more).map(field)}
          <When name="event_from" label="Happened from" value={filters['event_from']} />
          <When name="event_to" label="Happened before" value={filters['event_to']} />
          {CHOICES.filter(({ name }) => name === 'sort').map((choice) => (
            <Choice key={choice.name} {...choice} value={filters[choice.name] ?? ''} />
          ))}
        </div>
      </details>
      <datalist id="types">
        {TYPES.map((type) => (
          <option key={type} value={type} />
        ))}
      </datalist>
      <p class="actions">
        <button type="submit" class="main">
          Search
        </button>
        {Object.keys(filters).length > 0 && (
          <button type="button" onClick={() => search({})}>
            Clear the filters
          </button>
        )}
      </p>
    </form>
  );
}

function When({ name, label, value }: { name: string; label: string; value: string | undefined }): JSX.Element {
  return (
    <label>
      <span>{label}</span>
      <input type="datetime-local" name={name} defaultValue={value ?? ''} />
    </label>
  );
}

function Choice({ name, label, options, value }: (typeof CHOICES)[number] & { value: string }): JSX.Element {
  return (
    <label>
      <span>{label}</span>
      <select name={name} defaultValue={value}>
        {options.map(([key, text]) => (
          <option key={key} value={key} selected={key === value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
