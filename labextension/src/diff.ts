/** A proposed text for one cell, and what there is to decide about it. Pure. */

/**
 * - `proposed`: to be applied or rejected
 * - `same`: the cell has this text already
 * - `changed`: the user has edited the cell since it was compared; nothing is overwritten
 * - `gone`: the cell was deleted
 * - `applied`: can be undone; `kept`: applied, and edited since
 * - `approved`: the kernel has the user's yes, and says who applies it
 * - `conflict`: it was not applied, since the cell had changed by then
 * - `rejected`, `undone`, `inserted`: over
 */
export type EditState =
  | 'proposed'
  | 'same'
  | 'changed'
  | 'gone'
  | 'approved'
  | 'conflict'
  | 'applied'
  | 'kept'
  | 'rejected'
  | 'undone'
  | 'inserted';

type End = 'approved' | 'conflict' | 'applied' | 'rejected' | 'undone' | 'inserted';

export class Proposal {
  /** `base`: what the cell held when the two were compared; `text`: what it should hold. */
  constructor(
    public base: string,
    public text: string
  ) {}

  /** Return where things stand for a cell that holds `current`, `null` if it was deleted. */
  state(current: string | null): EditState {
    if (this.end === 'applied') {
      return current === this.text ? 'applied' : 'kept';
    }
    if (this.end === 'approved') {
      return current === this.text ? 'same' : 'approved';
    }
    if (this.end) {
      return this.end;
    }
    if (current === null) {
      return 'gone';
    }
    if (current === this.text) {
      return 'same';
    }
    return current === this.base ? 'proposed' : 'changed';
  }

  /** Compare with what the cell holds by now; `text`: what it should hold then. */
  compare(current: string, text = this.text): void {
    this.base = current;
    this.text = text;
  }

  /** Whether it can be applied to a cell that holds `current`, as it was compared. */
  fits(current: string | null): boolean {
    return current !== null && (current === this.base || current === this.text);
  }

  /** Note an end; that it was approved is old news where it was applied. */
  decide(end: End): void {
    this.end = end === 'approved' ? (this.end ?? end) : end;
  }

  private end: End | null = null;
}

/** Return the text with `next` in the place of `old`; `null` unless `old` is in it once. */
export function replaced(text: string, old: string, next: string): string | null {
  const at = text.indexOf(old);
  const isOnce = old !== '' && at >= 0 && text.indexOf(old, at + 1) < 0;
  return isOnce ? text.slice(0, at) + next + text.slice(at + old.length) : null;
}
