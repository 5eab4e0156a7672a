/** How long a page was visible, focused and used, and whether somebody touched it. */

const IDLE_MS = 3e4; // so long after the last movement somebody is taken to be reading

export let hasInteraction = false;

let engaged = 0;
let told = 0;
// a clock that is put forward counts as a pause, one that is put back takes time away: neither can add any
let last = Date.now();
let isFocused = document.hasFocus();
let isOn = false;

/** Count the time since the last observation, if the page was in use then. */
const tick = (): void => {
  const now = Date.now();
  if (isOn) engaged += Math.min(now - last, IDLE_MS);
  last = now;
  isOn = isFocused && !document.hidden;
};

/** Tell how many milliseconds the page was in use, unless it is hardly more than was told before. */
export const report = (tell: (type: string, fields: Record<string, unknown>) => void): void => {
  tick();
  if (engaged - told > 999) tell("session", { time_on_page_ms: (told = engaged | 0) });
};

/** Begin a page anew. */
export const reset = (): void => {
  engaged = told = 0;
};

/** Take notice of what the visitor, or the window, does. */
export const notice = (event: Event): void => {
  if (/^([bfv]|pa)/.test(event.type)) isFocused = document.hasFocus();
  else if (event.isTrusted) {
    hasInteraction = true;
    // some web views never say that they have the focus, but where somebody presses, there it is
    isFocused = isFocused || /n$/.test(event.type);
  }
  tick();
};
