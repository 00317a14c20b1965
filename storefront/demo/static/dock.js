/** The row at the bottom makes room while the shopper scrolls by hand, and is back a moment later. */

const BACK_MS = 450;
const BY_HAND_MS = 150; // between a wheel or a finger and the scrolling that it causes

/** `dock`: what steps aside. It stays while the pointer or the focus is in it. */
export function giveWay(dock) {
  let waiting;
  let touchedAt = -Infinity;

  const back = () => dock.classList.remove("is-away");
  for (const hand of ["wheel", "touchmove"]) addEventListener(hand, () => (touchedAt = performance.now()), { passive: true });

  addEventListener("scroll", () => {
    const isByHand = performance.now() - touchedAt < BY_HAND_MS || dock.classList.contains("is-away"); // it glides on
    if (!isByHand || dock.matches(":hover, :focus-within")) return;
    clearTimeout(waiting);
    waiting = setTimeout(back, BACK_MS);
    dock.classList.add("is-away");
  }, { passive: true });
  dock.addEventListener("focusin", back);
}
