// Reports by a straight computation over raw events as GET /events answers them: what the page
// must show. It knows nothing of how the service comes to its answers, nor of the page's code.

import type {
  Activity,
  Assignment,
  Attempt,
  Change,
  EventView,
  GradeRow,
  SectionRow,
  UsageBucket,
} from '../src/types.ts';

type Entity = Record<string, unknown>;

export const HOUR = 3_600_000;

export function idOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  const id = (value as Entity | null | undefined)?.['id'];
  return typeof id === 'string' ? id : null;
}

export function happened(view: EventView): number {
  const said = view.event['eventTime'];
  return typeof said === 'string' ? Date.parse(said) : Date.parse(view.received_at);
}

export function groupOf(view: EventView): string | null {
  const membership = view.event['membership'];
  const organization = typeof membership === 'object' && membership !== null ? (membership as Entity)['organization'] : null;
  return idOf(view.event['group']) ?? idOf(organization);
}

export function actorOf(view: EventView): string | null {
  return idOf(view.event['actor']);
}

const WEEKDAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const clocks = new Map<string, Intl.DateTimeFormat>();

/** The weekday and hour on clocks of the zone, as the runtime's own tables have it. */
export function onClocks(at: number, zone: string): [number, number] {
  let clock = clocks.get(zone);
  if (!clock) {
    clock = new Intl.DateTimeFormat('en-US', { timeZone: zone, weekday: 'short', hour: '2-digit', hourCycle: 'h23' });
    clocks.set(zone, clock);
  }
  const parts = clock.formatToParts(at);
  const said = (type: string) => parts.find((part) => part.type === type)?.value ?? '';
  return [WEEKDAYS.indexOf(said('weekday')), Number(said('hour'))];
}

export function activity(events: EventView[], zone: string): Pick<Activity, 'events' | 'total'> {
  const table = WEEKDAYS.map(() => new Array<number>(24).fill(0));
  for (const view of events) {
    const [weekday, hour] = onClocks(happened(view), zone);
    const row = table[weekday];
    if (row) row[hour] = (row[hour] ?? 0) + 1;
  }
  return { events: table, total: events.length };
}

export function sections(events: EventView[]): SectionRow[] {
  const rows = new Map<string | null, { events: EventView[] }>();
  for (const view of events) {
    const section = groupOf(view);
    const row = rows.get(section) ?? { events: [] };
    row.events.push(view);
    rows.set(section, row);
  }
  return [...rows].map(([section, { events }]) => ({
    section,
    events: events.length,
    active_learners: new Set(events.flatMap((view) => actorOf(view) ?? [])).size,
    last_event_at: new Date(Math.max(...events.map(happened))).toISOString(),
  }));
}

/** Where buckets begin: whole hours in UTC, or midnights of the zone. */
export function bucketStarts(from: number, to: number, bucket: 'hour' | 'day', zone: string): number[] {
  const starts: number[] = [];
  const first = Math.floor(from / HOUR) * HOUR;
  for (let at = first; at < to; at += HOUR) {
    if (bucket === 'hour' || onClocks(at, zone)[1] === 0) starts.push(at);
  }
  // The day in which the range begins began before it.
  if (bucket === 'day' && (starts[0] === undefined || starts[0] > from)) {
    let midnight = first;
    while (onClocks(midnight, zone)[1] !== 0) midnight -= HOUR;
    starts.unshift(midnight);
  }
  return starts;
}

/** What a bucket holds, by the time of receipt. */
export function usage(events: EventView[], starts: number[]): UsageBucket[] {
  const buckets = starts.map((start) => ({ start, types: new Map<string, number>(), actors: new Set<string>() }));
  for (const view of events) {
    const at = Date.parse(view.received_at);
    const bucket = buckets.findLast(({ start }) => start <= at);
    if (!bucket) continue;
    const type = String(view.event['type'] ?? '');
    bucket.types.set(type, (bucket.types.get(type) ?? 0) + 1);
    const actor = actorOf(view);
    if (actor !== null) bucket.actors.add(actor);
  }
  return buckets.map(({ start, types, actors }) => ({
    start: new Date(start).toISOString(),
    events: Object.fromEntries(types),
    active_learners: actors.size,
  }));
}

// ---- results

/** What an event says of an attempt. */
interface Saying {
  view: EventView;
  at: number;
  learner: string;
  assignment: string | null;
  attempt: string | null;
  partOf: string | null;
  values: Partial<Pick<Attempt, 'count' | 'score' | 'maximum' | 'scored_by' | 'started_at' | 'submitted_at' | 'time_spent_seconds' | 'status'>>;
}

function seconds(duration: unknown): number | null {
  const found = /^PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?$/.exec(String(duration));
  return found ? Number(found[1] ?? 0) * 3600 + Number(found[2] ?? 0) * 60 + Number(found[3] ?? 0) : null;
}

const asNumber = (value: unknown) => (typeof value === 'number' ? value : null);
const asText = (value: unknown) => (typeof value === 'string' ? value : null);

function sayingOf(view: EventView): Saying | null {
  const { event } = view;
  const graded = event['type'] === 'GradeEvent';
  if (!graded && event['type'] !== 'AssessmentEvent') return null;
  const attempt = (graded ? event['object'] : event['generated']) as Entity | undefined;
  if (typeof attempt !== 'object' || attempt === null) return null;
  const learner = idOf(attempt['assignee']);
  if (learner === null) return null;
  const score = (graded ? event['generated'] : undefined) as Entity | undefined;
  const scores = score ? { score: asNumber(score['scoreGiven']), maximum: asNumber(score['maxScore']), scored_by: idOf(score['scoredBy']) ?? actorOf(view) } : {};
  return {
    view,
    at: happened(view),
    learner,
    assignment: idOf(attempt['assignable']),
    attempt: idOf(attempt),
    partOf: idOf(attempt['isPartOf']),
    values: {
      ...scores,
      count: asNumber(attempt['count']),
      started_at: asText(attempt['startedAtTime']),
      submitted_at: asText(attempt['endedAtTime']),
      time_spent_seconds: seconds(attempt['duration']),
      status: asText(event['action']),
    },
  };
}

const EMPTY: Attempt = {
  attempt: null,
  count: null,
  status: null,
  score: null,
  maximum: null,
  percent: null,
  scored_by: null,
  scored_at: null,
  started_at: null,
  submitted_at: null,
  time_spent_seconds: null,
};

interface Kept extends Attempt {
  learner: string;
  assignment: string | null;
  partOf: string | null;
  sayings: Saying[];
}

/** Attempts of a section: of each value the last word holds, by event time and then event id. */
export function attempts(events: EventView[], section: string): Kept[] {
  const said = events.filter((view) => groupOf(view) === section).flatMap((view) => sayingOf(view) ?? []);
  said.sort((a, b) => a.at - b.at || String(a.view.event['id']).localeCompare(String(b.view.event['id'])));
  const kept = new Map<string, Kept>();
  for (const saying of said) {
    const { learner, assignment, attempt } = saying;
    const key = JSON.stringify([learner, assignment, attempt]);
    const old = kept.get(key) ?? { ...EMPTY, attempt, learner, assignment, partOf: null, sayings: [] };
    const values = Object.entries(saying.values).filter(([, value]) => value !== null);
    const next: Kept = { ...old, ...Object.fromEntries(values), partOf: saying.partOf ?? old.partOf };
    if (saying.values.score != null) {
      next.scored_at = new Date(saying.at).toISOString();
      next.percent = next.maximum ? ((next.score ?? 0) / next.maximum) * 100 : null;
    }
    next.sayings = [...old.sayings, saying];
    kept.set(key, next);
  }
  return [...kept.values()];
}

function asAttempt({ learner: _, assignment: _a, partOf: _p, sayings: _s, ...attempt }: Kept): Attempt {
  return attempt;
}

export function assignments(all: Kept[], learner: string): Assignment[] {
  const own = all.filter((one) => one.learner === learner);
  const whole = own.filter((one) => one.partOf === null);
  const ids = [...new Set(whole.map((one) => one.assignment))].sort();
  return ids.map((assignment) => ({
    assignment,
    attempts: whole
      .filter((one) => one.assignment === assignment)
      .sort((a, b) => (a.count ?? 0) - (b.count ?? 0))
      .map((one) => ({ ...asAttempt(one), parts: own.filter((part) => part.partOf === one.attempt).map(asAttempt) })),
  }));
}

export function grades(all: Kept[]): { assignments: string[]; learners: GradeRow[] } {
  const whole = all.filter((one) => one.partOf === null && one.assignment !== null);
  const ids = [...new Set(whole.map((one) => one.assignment ?? ''))].sort();
  const learners = [...new Set(whole.map((one) => one.learner))].sort();
  const grade = (learner: string, assignment: string) => {
    const tries = whole.filter((one) => one.learner === learner && one.assignment === assignment);
    if (tries.length === 0) return null;
    const last = (of: Kept[], at: (one: Kept) => string | null) =>
      of.reduce((best, one) => ((at(one) ?? '') >= (at(best) ?? '') ? one : best));
    const scored = tries.filter((one) => one.score !== null);
    const counts = scored.length > 0 ? last(scored, (one) => one.scored_at) : last(tries, (one) => one.submitted_at ?? one.started_at);
    const { score, maximum, percent, status, submitted_at } = counts;
    return { score, maximum, percent, attempts: tries.length, status, submitted_at };
  };
  return {
    assignments: ids,
    learners: learners.map((learner) => ({ learner, grades: ids.map((id) => grade(learner, id)) })),
  };
}

const REGISTERS = [
  ['score', ['score']],
  ['status', ['status']],
  ['started', ['started_at']],
  ['submitted', ['submitted_at', 'time_spent_seconds']],
  ['count', ['count']],
] as const;

/** Changes of a learner's attempts, in order; of each register the last to speak of it won. */
export function history(all: Kept[], learner: string, assignment: string | null, attempt: string | null): Change[] {
  const chosen = all.filter(
    (one) =>
      one.learner === learner &&
      (assignment === null || one.assignment === assignment) &&
      (attempt === null || one.attempt === attempt),
  );
  const changes = chosen.flatMap(({ sayings }) =>
    sayings.map((saying): Change & { at: number } => {
      const speaks = (one: Saying, fields: readonly string[]) =>
        fields.some((field) => one.values[field as keyof Saying['values']] != null);
      const won = REGISTERS.filter(([, fields]) => sayings.findLast((one) => speaks(one, fields)) === saying);
      const { view, values } = saying;
      return {
        at: saying.at,
        event_time: new Date(saying.at).toISOString(),
        received_at: view.received_at,
        receipt: view.receipt,
        index: view.index,
        id: asText(view.event['id']),
        type: asText(view.event['type']),
        action: asText(view.event['action']),
        actor: actorOf(view),
        disposition: view.disposition,
        score: values.score ?? null,
        maximum: values.maximum ?? null,
        scored_by: values.scored_by ?? null,
        started_at: values.started_at ?? null,
        submitted_at: values.submitted_at ?? null,
        time_spent_seconds: values.time_spent_seconds ?? null,
        changed: won.map(([name]) => name),
      };
    }),
  );
  return changes.sort((a, b) => a.at - b.at).map(({ at: _, ...change }) => change);
}
