/** A proposed text for one cell, and what there is to decide about it. Pure. */

/**
 * - `proposed`: to be applied or rejected
 * - `same`: the cell has this text already
 * - `changed`: the user has edited the cell since it was compared; nothing is overwritten
 * - `gone`: the cell was deleted
 * - `applied`: can be undone; `kept`: applied, and edited since
 * - `rejected`, `undone`, `inserted`: over
 */
export type EditState =
  'proposed' | 'same' | 'changed' | 'gone' | 'applied' | 'kept' | 'rejected' | 'undone' | 'inserted';

export class Proposal {
  /** `base`: what the cell held when the two were compared; `text`: what it should hold. */
  constructor(
    public base: string,
    readonly text: string
  ) {}

  /** Return where things stand for a cell that holds `current`, `null` if it was deleted. */
  state(current: string | null): EditState {
    if (this.end === 'applied') {
      return current === this.text ? 'applied' : 'kept';
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

  /** Compare with what the cell holds by now. */
  compare(current: string): void {
    this.base = current;
  }

  decide(end: 'applied' | 'rejected' | 'undone' | 'inserted'): void {
    this.end = end;
  }

  private end: 'applied' | 'rejected' | 'undone' | 'inserted' | null = null;
}
