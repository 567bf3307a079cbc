/** Of requests that follow each other, only the newest one's answer counts. Pure. */

import type { Suggestion } from './protocol';

type Waiting = { id: string; close: () => void; resolve: (suggestion: Suggestion | null) => void };

export class Newest {
  /** Wait for the answer of this id, and for no earlier one; `null` where `drop` comes first, which calls `close`. */
  wait(id: string, close: () => void): Promise<Suggestion | null> {
    this.drop();
    return new Promise(resolve => {
      this.waiting = { id, close, resolve };
    });
  }

  /** Take an answer, in whatever order they come. */
  take(suggestion: Suggestion): void {
    if (this.waiting?.id === suggestion.id) {
      const { resolve } = this.waiting;
      this.waiting = null;
      resolve(suggestion);
    }
  }

  /** The answer is not wanted any more: that of `id`, or whichever is waited for. */
  drop(id?: string): void {
    const { waiting } = this;
    if (waiting && (id === undefined || waiting.id === id)) {
      this.waiting = null;
      waiting.close();
      waiting.resolve(null);
    }
  }

  private waiting: Waiting | null = null;
}
