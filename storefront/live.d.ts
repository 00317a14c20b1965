/** Types of live.js, and of the element that it defines. Messages are those of schemas/live.py. */

import type { EventFields, EventType, Tracker, Visitor } from "./tracker.js";

export type SlotKind =
  | "for_you" | "similar" | "popular" | "also_liked" | "complement_topic" | "complement_type" | "search" | "products";
export type PageType = "home" | "category" | "product" | "search" | "cart" | "checkout" | "order" | "other";
export type ReasonKind =
  | "co_visited" | "complement" | "alike" | "content" | "due" | "search" | "popular" | "pinned" | "named" | "relaxed";
export type Status = "connecting" | "live" | "polling" | "offline" | "closed";

export interface PageContext {
  type?: PageType;
  category?: string;
}

export interface Slot {
  name: string;
  kind: SlotKind;
  k?: number;
  product_id?: string;
  product_ids?: string[];
  query?: string;
  category?: string;
  page?: PageContext;
  objective?: string;
  distinct?: boolean;
  debug?: boolean;
}

export interface Cause {
  type: EventType;
  product_id: string;
  occurred_at: number;
}

export interface Reason {
  kind: ReasonKind;
  strength?: number;
  cause?: Cause;
  product_id?: string;
  visits?: number;
  query?: string;
}

export interface CauseProduct {
  name: string;
  price: number;
  currency: string;
  brand?: string;
  type?: string;
  url?: string;
}

export interface Item {
  product_id: string;
  score: number;
  source: "content" | "behaviour" | "popular" | "relaxed" | "rule" | "named";
  why: string;
  name: string;
  price: number;
  currency: string;
  availability: "in_stock" | "out_of_stock" | "preorder";
  category?: string[];
  brand?: string;
  image_url?: string;
  url?: string;
  cause?: Cause;
  parts?: Record<string, number>;
  rules?: string[];
  reason?: Reason;
}

export interface Funnel {
  sources?: Record<string, number>;
  left?: Record<string, number>;
  ms?: Record<string, number>;
}

export interface Recommendations {
  slot: string;
  seq?: number;
  items: Item[];
  models: Record<string, string>;
  caused_by?: string;
  timing?: { pushed_at: number; accepted_at?: number; folded_at?: number };
  /** W3C trace context of the row, where its event's way is traced: a page's own OpenTelemetry goes on from it. */
  traceparent?: string;
  recommendation_id?: string;
  fallback?: string;
  notice?: string;
  experiments?: Record<string, string>;
  causes?: Record<string, CauseProduct>;
  funnel?: Funnel;
}

export interface ConnectOptions {
  recommender: string;
  visitor(refused?: string): Promise<Visitor>;
  slots?: Slot[];
  onRecommendations(message: Recommendations): void;
  onStatus?(status: Status): void;
  pollEveryMs?: number;
}

export interface Live {
  subscribe(slots: Slot[]): void;
  close(): void;
}

export function connect(options: ConnectOptions): Live;

/** Texts in the shop's language; those that are missing stay as they are. */
export interface Texts {
  previous?: string;
  next?: string;
  sold_out?: string;
  changed?(heading: string, why: string): string;
  ask?: string;
  dismissed?: string;
  headings?: Partial<Record<SlotKind, string>>;
  /** Of sentences.js. */
  reasons?: Record<string, unknown>;
  /** Of popover.js. */
  popover?: Record<string, unknown>;
}

export interface Settings {
  recommender?: string;
  ingest?: string;
  tracker?: Pick<Tracker, "visitor"> & { track(type: EventType, fields?: EventFields): unknown };
  visitor?(refused?: string): Promise<Visitor>;
  href?(item: Item): string | undefined;
  picture?(item: Item): string | undefined;
  srcset?(item: Item): string | undefined;
  money?(amount: number, currency: string): string;
  onStatus?(status: Status): void;
  page?: PageContext;
  profile?: string;
  texts?: Texts;
}

export interface Member {
  wish(): (Omit<Slot, "name"> & { name?: string; recommender?: string; ingest?: string }) | null;
  assigned(slot: Slot | undefined): void;
  receive(message: Recommendations): void;
  dismissed?(): void;
  told?(): void;
}

export function configure(settings: Settings): void;
/** Adds a row of one's own to the page's subscription; returns what takes it away again. */
export function join(member: Member): () => void;
/** Opens what "Why?" shows, for a card of one's own. */
export function ask(asked: {
  item: Item;
  card: Element;
  slot?: Slot;
  recommender?: string;
  recommendation_id?: string;
  sentences: string[];
  lang?: string;
  dismiss?(): void;
}): Promise<void>;
/** The products that the shopper wanted less like, on this page. */
export const dismissed: ReadonlySet<string>;
/** To be called when a member's wish changes. */
export function arrange(): void;

export interface SelectDetail {
  item: Item;
  slot: string | undefined;
  recommendation_id: string | undefined;
  position: number;
  href: string;
}

export interface ErrorDetail {
  service: "ingest" | "recommender";
  url: string;
  reason: "origin" | "token" | "other" | "unreachable";
  setting: string;
  message: string;
}

export interface EddyRecommendationsElement extends HTMLElement {
  readonly items: Item[];
}

declare global {
  interface HTMLElementTagNameMap {
    "eddy-recommendations": EddyRecommendationsElement;
  }
  interface GlobalEventHandlersEventMap {
    "eddy-select": CustomEvent<SelectDetail>;
    "eddy-update": CustomEvent<{ slot: string | undefined; message: Recommendations }>;
    "eddy-error": CustomEvent<ErrorDetail>;
  }
}
