/** What was selected when somebody asked about it, by the id of the cell that asks. Pure. */

/** So many questions are remembered; one that is forgotten says that nothing is selected. */
const MOST = 100;

export class Selections {
  set(cell: string, text: string): void {
    this.texts.delete(cell);
    this.texts.set(cell, text);
    const [oldest] = this.texts.keys();
    if (this.texts.size > MOST && oldest !== undefined) {
      this.texts.delete(oldest);
    }
  }

  get(cell: string): string | undefined {
    return this.texts.get(cell);
  }

  private readonly texts = new Map<string, string>();
}

/** Those of this page. */
export const selections = new Selections();
