/**
 * How often live pages ask, and when they stop: the only place where polling is decided.
 * A hidden tab asks nothing: TanStack Query pauses intervals in the background, and asks at once on return.
 */

/** A second: what "live" means on a page. An unchanged answer costs a 304 without a body. */
const MOVING_MS = 1000;

/** A `refetchInterval`: each second while something moves, never when nothing does. */
export function pollWhile(isMoving: boolean | undefined): number | false {
  return isMoving ? MOVING_MS : false;
}

/** For pages on which something may begin to move by itself: slower while all is still. */
export function pollSlowlyUnless(isMoving: boolean | undefined, stillMs: number): number {
  return isMoving ? MOVING_MS : stillMs;
}
