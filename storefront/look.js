/**
 * How <eddy-recommendations> looks where the shop says nothing. Colours follow the page's own `color`, and so its
 * dark mode. A shop sets the custom properties below on the element, or styles its parts. Ours
 * are seen on the element, too, so they have names that no shop takes: `--eddy-line: var(--line)` is to work.
 */

const CSS = `
:host {
  --eddy-own-width: var(--eddy-card-width, clamp(9.25rem, 40vw, 12.5rem));
  --eddy-own-gap: var(--eddy-gap, 1rem);
  --eddy-own-radius: var(--eddy-radius, .75rem);
  --eddy-own-soft: var(--eddy-soft, color-mix(in srgb, currentColor 74%, transparent));
  --eddy-own-line: var(--eddy-line, color-mix(in srgb, currentColor 24%, transparent));
  --eddy-own-shade: var(--eddy-shade, color-mix(in srgb, currentColor 7%, transparent));
  --eddy-own-focus: var(--eddy-focus, currentColor);
  --eddy-own-ratio: var(--eddy-picture-ratio, 1);
  display: block;
  min-width: 0;
  max-width: 100%;
}
:host([hidden]), [hidden] { display: none !important; }
*, ::before, ::after { box-sizing: border-box; }
[data-empty] { visibility: hidden; }
.head { display: flex; align-items: center; gap: 1rem; min-height: 2.75rem; }
.sub { min-height: 1.3em; margin-bottom: .6rem; color: var(--eddy-own-soft); font-size: .875rem; line-height: 1.3; }
.line { margin: 0; }
.line em, .line a { color: inherit; font-style: italic; text-underline-offset: .15em; text-decoration-thickness: 1px; }
.heading { flex: 1; min-width: 0; font-size: 1.25rem; font-weight: 600; line-height: 1.25; }
.heading h2 { font: inherit; margin: 0; }
.heading ::slotted(*) { font: inherit; margin: 0; }
.buttons { display: flex; gap: .5rem; }
.buttons button { display: grid; place-items: center; width: 2.75rem; height: 2.75rem; padding: 0; color: inherit; background: none; border: 1px solid var(--eddy-own-line); border-radius: 50%; cursor: pointer; }
.buttons button:hover { background: var(--eddy-own-shade); }
.buttons button::before { content: ""; width: .6rem; height: .6rem; border: solid currentColor; border-width: 2px 0 0 2px; translate: .12rem 0; rotate: -45deg; }
button.next::before { translate: -.12rem 0; rotate: 135deg; }
button[aria-disabled=true] { cursor: default; color: color-mix(in srgb, currentColor 40%, transparent); background: none; }
.list { display: grid; grid-auto-flow: column; grid-auto-columns: var(--eddy-own-width); justify-content: start; gap: var(--eddy-own-gap); margin: -.35rem; padding: .35rem; list-style: none; overflow-x: auto; overscroll-behavior-x: contain; scroll-behavior: smooth; scroll-padding-inline: .35rem; scrollbar-width: thin; scrollbar-color: var(--eddy-own-line) transparent; }
.card { position: relative; min-width: 0; }
.link { display: flex; flex-direction: column; height: 100%; color: inherit; text-decoration: none; border-radius: var(--eddy-own-radius); }
.picture { display: block; aspect-ratio: var(--eddy-own-ratio); overflow: hidden; background: var(--eddy-own-shade); border-radius: var(--eddy-own-radius); }
.picture img { display: block; width: 100%; height: 100%; object-fit: cover; transition: transform .4s; }
.link:hover img { transform: scale(1.03); }
.text { display: flex; flex-direction: column; gap: .1rem; padding: .6rem .1rem .25rem; }
.name { min-height: 2.6em; font-weight: 500; line-height: 1.3; overflow-wrap: anywhere; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
.name::first-letter, .why::first-letter, .line::first-letter { text-transform: uppercase; }
.link:hover .name { text-decoration: underline; text-underline-offset: .15em; }
.brand { min-height: 1.5em; color: var(--eddy-own-soft); font-size: .875rem; line-height: 1.5; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.price { min-height: 1.5em; font-weight: 600; line-height: 1.5; font-variant-numeric: tabular-nums; }
.why { min-height: 2.6em; color: var(--eddy-own-soft); font-size: .8125rem; line-height: 1.3; margin-top: .2rem; overflow-wrap: anywhere; }
.ask { position: absolute; top: 0; right: 0; width: 3.75rem; height: 2.75rem; padding: .5rem; border: 0; background: none; color: CanvasText; font-family: inherit; font-size: .75rem; font-weight: 600; line-height: 1.75rem; cursor: pointer; }
.ask::before { content: ""; position: absolute; z-index: -1; inset: .5rem; border-radius: 1rem; background: Canvas; opacity: .92; }
.ask { isolation: isolate; }
.ask:hover::before { opacity: 1; }
@media (hover: hover) { .card:not(:hover, :focus-within) .ask { opacity: 0; } }
.placeholder .picture, .placeholder .name { background: var(--eddy-own-shade); }
.placeholder .name { border-radius: .3rem; }
.waiting { overflow: hidden; }
.badge { position: absolute; top: .5rem; left: .5rem; padding: .1rem .6rem; font-size: .78rem; font-weight: 600; color: CanvasText; background: Canvas; border-radius: 1rem; }
.card.sold-out img { filter: saturate(.35); opacity: .55; }
.notice { margin: 0; }
.debug { margin-top: .75rem; padding: .75rem 1rem; border: 1px dashed var(--eddy-own-line); border-radius: var(--eddy-own-radius); font: .75rem/1.5 ui-monospace, Menlo, monospace; overflow-wrap: anywhere; }
.debug dl { display: grid; grid-template-columns: auto 1fr; gap: 0 1rem; margin: 0; }
.debug dd { margin: 0; }
.status { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
:focus-visible { outline: 2px solid var(--eddy-own-focus); outline-offset: 2px; }
@media (prefers-reduced-motion: reduce) {
  *, ::before, ::after { transition: none !important; animation: none !important; scroll-behavior: auto !important; }
  .link:hover img { transform: none; }
}
`;

let sheet;

/** The style sheet, one for all elements. Constructed, so that `style-src 'self'` lets it be. */
export function look() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
