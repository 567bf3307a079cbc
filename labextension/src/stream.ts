/** An answer as the kernel sends it: a text whose end is replaced, in numbered pieces. Pure. */

import type { Delta } from './protocol';

/** The text so far. Pieces that come twice change nothing; where one is missing, the text is asked for again. */
export class StreamState {
  text = '';
  private last = 0;

  /** Take the whole text as it was after piece `n`, unless later pieces have come meanwhile. */
  reset(n: number, text: string): void {
    if (n >= this.last) {
      this.last = n;
      this.text = text;
    }
  }

  /** Take a piece; return the first place that changed, or what is wrong with it. */
  push({ n, o = this.text.length, t = '' }: Delta): number | 'old' | 'gap' {
    if (n <= this.last) {
      return 'old';
    }
    if (n > this.last + 1 || o > this.text.length) {
      return 'gap';
    }
    this.last = n;
    this.text = this.text.slice(0, o) + t;
    return o;
  }
}
