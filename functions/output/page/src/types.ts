// The answers of the API as the page reads them. Times are RFC 3339, ids are IRIs.

export interface Me {
  tenant: string;
  sensor: string;
  token_id: string;
  scopes: string[];
  learner: string | null;
}

/** How far an answer reaches; in every one of them. */
export interface Reach {
  complete_through: string | null;
  live_through?: string | null;
  provisional?: boolean;
  resends_counted?: boolean;
}

export interface SectionRow {
  section: string | null;
  events: number;
  active_learners: number;
  last_event_at: string;
}

export interface Sections extends Reach {
  sections: SectionRow[];
}

export interface Grade {
  score: number | null;
  maximum: number | null;
  percent: number | null;
  attempts: number;
  status: string | null;
  submitted_at: string | null;
}

export interface GradeRow {
  learner: string;
  grades: (Grade | null)[];
}

export interface Grades extends Reach {
  section: string;
  assignments: string[];
  learners: GradeRow[];
  more: boolean;
}

export interface Attempt {
  attempt: string | null;
  count: number | null;
  status: string | null;
  score: number | null;
  maximum: number | null;
  percent: number | null;
  scored_by: string | null;
  scored_at: string | null;
  started_at: string | null;
  submitted_at: string | null;
  time_spent_seconds: number | null;
  parts?: Attempt[];
}

export interface Assignment {
  assignment: string | null;
  attempts: Attempt[];
}

export interface Assignments extends Reach {
  section: string | null;
  learner: string;
  assignments: Assignment[];
}

export interface Activity extends Reach {
  zone: string;
  /** Seven rows from Monday, each of 24 hours. */
  events: number[][];
  total: number;
}

export interface UsageBucket {
  start: string;
  events: Record<string, number>;
  active_learners: number;
}

export interface Usage extends Reach {
  bucket: 'hour' | 'day';
  buckets: UsageBucket[];
}

export interface Change {
  event_time: string | null;
  received_at: string;
  receipt: string;
  index: number;
  id: string | null;
  type: string | null;
  action: string | null;
  actor: string | null;
  disposition: string;
  score?: number | null;
  maximum?: number | null;
  scored_by?: string | null;
  started_at?: string | null;
  submitted_at?: string | null;
  time_spent_seconds?: number | null;
  changed: string[];
}

export interface History extends Reach {
  changes: Change[];
}

export interface Finding {
  rule?: string;
  pointer?: string;
  message?: string;
}

export interface EventView {
  receipt: string;
  index: number;
  received_at: string;
  sensor: string;
  disposition: string;
  provisional: boolean;
  /** None of an erased event. */
  fingerprint: string | null;
  erased?: boolean;
  problems?: Finding[];
  deviations?: Finding[];
  event: Record<string, unknown>;
}

export interface Events extends Reach {
  events: EventView[];
  next_cursor: string | null;
}

export interface WindowView {
  start: string;
  end: string;
  state: 'open' | 'settling' | 'complete' | 'incomplete' | 'short';
  complete: boolean;
  received: { envelopes: number; unacknowledged: number; events: number; digest: string };
  accounted: {
    events: number;
    /** These three are null where the range is too large to count, or a segment of the window is gone or damaged. */
    stored: number | null;
    duplicate: number | null;
    conflict: number | null;
    rejected: number;
    digest: string;
  };
  missing_count: number;
  missing: { receipt: string; slices: number[]; cause: string; sensor?: string; events?: number; sent_again?: string }[];
  /** What the seal of a short window says of it. */
  shortfall?: { cause: 'time' | 'operator'; since: string | null; reason: string } | null;
}

export interface Windows {
  windows: WindowView[];
}

export interface SealView {
  sequence: number;
  kind: 'window' | 'backfill' | 'idle' | 'day';
  start: string;
  end: string;
  events: number;
  rejected: number;
  digest: string;
  sha256: string;
  sealed_at: string;
  missing_count?: number;
}

export interface Seals {
  chain: {
    seals: number;
    head: string | null;
    complete_through: string | null;
    /** Instants are RFC 3339, or milliseconds since 1970. */
    passed_over: { start: string | number; end: string | number; held_since?: string | null; reason?: string | null }[];
  };
  seals: SealView[];
}

export interface Deviations extends Reach {
  from: string;
  to: string;
  sensors: {
    sensor: string;
    events: number;
    rejected: number;
    deviating: number;
    strict_rejected: number;
    rules: { rule: string; problems: number; deviations: number }[];
  }[];
  refused: { sensor: string; rule: string; envelopes: number }[];
}

export interface Playback {
  id: string;
  state: 'queued' | 'running' | 'paused' | 'done' | 'cancelled' | 'failed';
  reason: string | null;
  request: Record<string, unknown>;
  created_at: string;
  updated_at: string;
  progress: {
    seals: number;
    seals_done: number;
    events: number;
    events_passed: number;
    events_played: number;
    writes: number;
    envelopes: number;
    rejected_again: number;
  };
  diff: { created: number; changed: number; same: number } | null;
  cost: { write_units: number; usd: number; prices_as_of: string };
}

export interface Playbacks {
  playbacks: Playback[];
}
