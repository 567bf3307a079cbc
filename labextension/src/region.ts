import type { TranslationBundle } from '@jupyterlab/translation';

import { type Box, overlaps } from './capture';
import { element, keepKeys } from './element';

/** Less is a click, and no region. */
const LEAST_PIXELS = 8;

const STEP_PIXELS = 10;

type Side = 'left' | 'top' | 'width' | 'height';

/** How the arrow keys move a region, and with Shift change its size. */
const MOVES: Record<string, [Side, Side, number]> = {
  ArrowLeft: ['left', 'width', -1],
  ArrowRight: ['left', 'width', 1],
  ArrowUp: ['top', 'height', -1],
  ArrowDown: ['top', 'height', 1]
};

/** Return the rectangle moved, or with another size, and within `area`. */
export function moved(box: Box, key: string, isSize: boolean, area: Box): Box {
  const [place, size, way] = MOVES[key] ?? ['left', 'width', 0];
  const next = { ...box };
  const end = area[place] + area[size];
  if (isSize) {
    next[size] = Math.min(Math.max(box[size] + way * STEP_PIXELS, LEAST_PIXELS), end - box[place]);
  } else {
    next[place] = Math.min(Math.max(box[place] + way * STEP_PIXELS, area[place]), end - box[size]);
  }
  return next;
}

/**
 * Let a person mark a region of an output, by dragging over it or with the keyboard; `null` where they leave it.
 *
 * Without a mouse it begins as the whole output, which Enter takes.
 */
export function markRegion(area: HTMLElement, trans: TranslationBundle): Promise<Box | null> {
  const whole = area.getBoundingClientRect();
  const hint = trans.__(
    'Drag over what you mean. Arrow keys move it, with Shift its size; Enter asks, Esc leaves.'
  );
  const frame = element('div', 'cdx-region-frame');
  const overlay = element('div', {
    class: 'cdx-region',
    role: 'application',
    tabindex: '0',
    'aria-label': hint
  });
  overlay.append(frame, element('div', 'cdx-region-hint', hint));
  keepKeys(overlay);
  const { left, top, width, height } = whole;
  let box: Box = { left, top, width, height };
  const show = (): void => {
    // The output may have been scrolled meanwhile.
    const now = overlay.getBoundingClientRect();
    frame.style.left = `${box.left - now.left}px`;
    frame.style.top = `${box.top - now.top}px`;
    frame.style.width = `${box.width}px`;
    frame.style.height = `${box.height}px`;
  };
  const before = document.activeElement;
  area.classList.add('cdx-region-area');
  area.append(overlay);
  overlay.style.height = `${area.scrollHeight}px`; // an output that scrolls is higher than what is seen of it
  show();
  overlay.focus({ preventScroll: true });
  return new Promise(resolve => {
    const ends = new AbortController();
    const { signal } = ends;
    const end = (marked: Box | null): void => {
      ends.abort();
      overlay.remove();
      area.classList.remove('cdx-region-area');
      (before as HTMLElement | null)?.focus?.({ preventScroll: true });
      resolve(marked && overlaps(marked, area.getBoundingClientRect()) ? marked : null);
    };
    let start: PointerEvent | null = null;
    const dragged = (event: PointerEvent): Box => ({
      left: Math.min(start?.clientX ?? 0, event.clientX),
      top: Math.min(start?.clientY ?? 0, event.clientY),
      width: Math.abs(event.clientX - (start?.clientX ?? 0)),
      height: Math.abs(event.clientY - (start?.clientY ?? 0))
    });
    const listen = <Type extends keyof HTMLElementEventMap>(
      type: Type,
      hear: (event: HTMLElementEventMap[Type]) => void
    ): void => overlay.addEventListener(type, hear, { signal });
    listen('pointerdown', event => {
      start = event;
      overlay.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    listen('pointermove', event => {
      if (start) {
        box = dragged(event);
        show();
      }
    });
    listen('pointerup', event => {
      const marked = dragged(event);
      const isRegion = start && Math.min(marked.width, marked.height) >= LEAST_PIXELS;
      start = null;
      if (isRegion) {
        end(marked);
      }
    });
    listen('keydown', event => {
      if (event.key === 'Escape') {
        end(null);
      } else if (event.key === 'Enter') {
        end(box);
      } else if (event.key in MOVES) {
        box = moved(box, event.key, event.shiftKey, overlay.getBoundingClientRect());
        show();
      } else {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
    });
    listen('blur', () => end(null));
  });
}
