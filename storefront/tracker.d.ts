/** Types of tracker.js. What events may hold is in schemas/json of the repository. */

export type EventType =
  | "view_item_list" | "select_item" | "view_item" | "add_to_cart" | "remove_from_cart" | "add_to_wishlist"
  | "begin_checkout" | "purchase" | "search" | "dismiss_item";

export interface Line {
  product_id: string;
  quantity?: number;
  price?: number;
}

export interface EventFields {
  product_id?: string;
  items?: Line[];
  order_id?: string;
  value?: number;
  currency?: string;
  list_id?: string;
  recommendation_id?: string;
  query?: string;
  user_id?: string;
  context?: Record<string, string>;
}

export interface TrackedEvent extends EventFields {
  event_id: string;
  type: EventType;
  occurred_at: number;
}

export interface Visitor {
  visitor_id: string;
  token: string;
  expires_at?: number;
}

export interface Tracker {
  /** The visitor; with a token that was refused, another one. */
  visitor(refused?: string): Promise<Visitor>;
  /** Joins the visitor to a user; `userHash`, the shop's signature, proves it. Whether ingest has taken it. */
  identify(userId: string, userHash?: string): Promise<boolean>;
  /** Forgets the visitor and what waits, in this browser. */
  forget(): void;
  /** Queues an event, sends it at once, and returns its id. */
  track(type: EventType, fields?: EventFields): string;
  flush(): Promise<void>;
  listenToDataLayer(layer?: unknown[]): void;
  /** How many events wait. */
  queued(): number;
}

export interface TrackerOptions {
  /** Where ingest answers. */
  ingest: string;
  prefix?: string;
  queueMax?: number;
  /** Of requests for events so many, 0 to 1, ask for a trace of their way to the page. */
  traceShare?: number;
  onTracked?(event: TrackedEvent): void;
}

export function createTracker(options: TrackerOptions): Tracker;
export function backoff(failures: number, lastMs?: number): number;
export function fromGA4(entry: unknown, known?: Record<string, unknown>): [EventType, EventFields] | null;
