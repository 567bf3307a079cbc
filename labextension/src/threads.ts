import { type ISignal, Signal } from '@lumino/signaling';

import type { ThreadRow, ThreadsReply } from './protocol';
import type { ICodexModel } from './tokens';

/** Threads in one page. */
const PAGE = 100;

/** The threads of this notebook and all others, as far as somebody has scrolled; or those that a search finds. */
export class Threads {
  constructor(private readonly model: ICodexModel) {}

  here: readonly ThreadRow[] = [];
  others: readonly ThreadRow[] = [];
  /** Whether this is what the kernel has said, and to these words. */
  isLoaded = false;
  /** Whether there are more than these. */
  get isPart(): boolean {
    return this.cursor !== null;
  }
  /** What is looked for, and whether among the archived ones. */
  search = '';
  archived = false;

  get changed(): ISignal<Threads, void> {
    return this.changed_;
  }

  /** Look for these words; nothing shows all. While the kernel looks for others it is asked once, for the last ones. */
  async find(search: string, archived = false): Promise<void> {
    this.search = search;
    this.archived = archived;
    await this.load();
  }

  async load(): Promise<void> {
    if (this.isLoading) {
      this.isStale = true;
      return;
    }
    this.isLoading = true;
    const { panel } = this.model;
    do {
      this.isStale = false;
      const isSearch = this.search.trim() !== '';
      const [here, page] = await Promise.all([isSearch ? null : this.ask(true), this.ask(false)]);
      if (!this.isStale && page?.ok && panel === this.model.panel) {
        this.here = here?.threads ?? [];
        this.others = page.threads ?? [];
        this.cursor = page.cursor ?? null;
        this.isLoaded = true;
        this.changed_.emit();
      }
    } while (this.isStale);
    this.isLoading = false;
  }

  /** Show a page more, unless there is none. */
  async more(): Promise<void> {
    const { cursor } = this;
    if (cursor === null || this.isLoading) {
      return;
    }
    this.isLoading = true;
    const page = await this.ask(false, cursor);
    this.isLoading = false;
    if (this.isStale) {
      await this.load();
    } else if (page?.ok) {
      this.others = [...this.others, ...(page.threads ?? [])];
      this.cursor = page.cursor ?? null;
      this.changed_.emit();
    }
  }

  private ask(here: boolean, cursor: string | null = null): Promise<ThreadsReply | null> {
    const { search, archived } = this;
    return this.model.ask<ThreadsReply>({ op: 'threads', here, search, archived, cursor, limit: PAGE });
  }

  private cursor: string | null = null;
  private isLoading = false;
  private isStale = false;
  private readonly changed_ = new Signal<this, void>(this);
}
