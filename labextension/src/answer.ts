import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Kernel } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { Panel } from '@lumino/widgets';

import { Actions, type Rerun } from './actions';
import { unanswered } from './approval';
import { AnswerBody, type ILook } from './body';
import { Cards, type Decide } from './cards';
import type { CellEdit } from './edit';
import { attach } from './link';
import { listen } from './listen';
import {
  type Bundle,
  type CellChange,
  type Delta,
  type Facts,
  MIME,
  type SentTurn,
  misfit
} from './protocol';
import { offerSent } from './sent';
import { StreamState } from './stream';

const MARKDOWN = 'text/markdown';

function textOf(data: Bundle): string {
  const text = data[MARKDOWN];
  return typeof text === 'string' ? text : Array.isArray(text) ? text.join('') : '';
}

/** What an answer needs of its page. */
export interface IPlace {
  /** The kernel that may still be writing the answer, once the page has found it. */
  kernel(): Promise<Kernel.IKernelConnection | null>;
  /** Put the bundle into the notebook's file, for a page that hears no more of the output itself. */
  keep(id: string, bundle: Bundle): void;
  /** Show a change of a cell; `decide` hears what somebody says to it. `null`: there is no such cell. */
  propose(change: CellChange, decide: Decide): Promise<CellEdit | null>;
  /** Say in words that an answer has ended, for those who listen. */
  announce(state: string, codeBlocks: number): void;
  readonly look: ILook;
  /** Show what a turn was sent with; `null` where there is no place for it. */
  readonly showSent: ((turn: SentTurn) => void) | null;
  /** Run the cell of this answer once more, or one that continues it. */
  rerun(id: string, what: Rerun): void;
  /** Add to a rendered block what stands around its code; not `isWhole` while more of it may come. */
  dress(block: HTMLElement, answer: AnswerRenderer, isWhole: boolean): void;
  /** What stands below an answer whose kernel has ended. */
  readonly lost: string;
  readonly trans: TranslationBundle;
}

/**
 * One answer: its finished blocks are rendered once, and the open one again as it grows.
 *
 * While the answer streams the pieces come from the kernel itself; what the output holds then is where it began.
 */
export class AnswerRenderer extends Panel implements IRenderMime.IRenderer {
  constructor(private readonly place: IPlace) {
    super();
    this.addClass('jp-codex-answer');
    this.body = new AnswerBody(place.look, (block, isLast) => {
      offerSent(block, place.trans, place.showSent && ((): void => place.showSent?.(this.turn)));
      place.dress(block, this, !this.isOpen || !isLast);
    });
    this.cards = new Cards(place.trans, (change, decide) => place.propose(change, decide));
    this.actions = new Actions(place.trans, (id, what) => place.rerun(id, what));
    this.addWidget(this.body);
    this.addWidget(this.cards);
    this.addWidget(this.actions);
    this.node.setAttribute('aria-busy', 'false');
  }

  /** The id of the answer, and the text it shows, while it streams. */
  get streaming(): { id: string; text: string } | null {
    return this.id_ && this.isLive ? { id: this.id_, text: this.stream.text } : null;
  }

  /** The id of the answer, and whether the output it stands in is trusted. */
  get origin(): { id: string; isTrusted: boolean } {
    return this.origin_;
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const facts = (model.data[MIME] ?? {}) as Facts;
    const text = textOf(model.data);
    this.origin_ = { id: facts.id ?? '', isTrusted: model.trusted };
    this.turn = { thread: facts.thread ?? '', turn: facts.turn ?? facts.id ?? '' };
    this.isOpen = facts.state === 'streaming';
    if (facts.state !== 'streaming') {
      await this.conclude(model.data);
    } else if (!this.isLive) {
      await this.body.set(text, true);
      if (this.id_ !== (facts.id ?? '')) {
        this.id_ = facts.id ?? '';
        this.stream = new StreamState();
      }
      if (!this.isPlain) {
        await this.follow();
      }
    }
    this.body.dressAll();
  }

  override dispose(): void {
    this.end();
    super.dispose();
  }

  /** Ask the kernel for the answer so far and the rest; a kernel that knows nothing of it writes it no more. */
  private async follow(tries = 3): Promise<void> {
    const id = this.id_;
    const kernel = await this.place.kernel();
    if (!kernel || !this.isOf(id)) {
      return;
    }
    this.listening ??= listen(kernel, {
      delta: delta => this.hear(delta),
      reconnected: () => void this.follow(),
      ended: () => this.lose()
    });
    const reply = await attach(kernel, id);
    if (!this.isOf(id)) {
      return;
    }
    this.isPlain = reply !== null && misfit(reply) !== null;
    if (this.isPlain) {
      this.node.setAttribute('aria-busy', 'true'); // its output brings all of it
    } else if (reply?.bundle) {
      this.finish(reply.bundle);
    } else if (reply?.ok) {
      this.isLive = true;
      this.node.setAttribute('aria-busy', 'true');
      this.actions.live(kernel, id);
      this.cards.follow(kernel, id, reply.asks ?? false);
      this.stream.reset(reply.n ?? 0, reply.text ?? '');
      this.body.draw(this.stream.text, 0);
    } else if (reply?.protocol !== undefined || (reply && tries <= 1)) {
      this.lose(); // it refuses, or is silent again and again, as a kernel without codex_magic is
    } else if (tries > 1) {
      await this.follow(tries - 1); // it was lost on its way, or the kernel is late; else the next piece will tell
    }
  }

  /** Whether it still waits for the rest of that answer. */
  private isOf(id: string): boolean {
    return !this.isDisposed && id !== '' && this.id_ === id;
  }

  private hear(delta: Delta): void {
    if (delta.id !== this.id_ || this.isPlain) {
      return;
    }
    if (delta.bundle) {
      this.finish(delta.bundle);
      return;
    }
    if (delta.bundle === null) {
      void this.follow(); // else the output would have brought the end
      return;
    }
    if (delta.asks !== undefined) {
      this.cards.hear(delta.asks);
    }
    const changed = this.stream.push(delta);
    if (changed === 'gap') {
      void this.follow();
    } else if (changed !== 'old' && this.isLive) {
      this.body.draw(this.stream.text, changed);
    }
  }

  /** Take the end from the kernel. The output is updated as well, unless the page was loaded again meanwhile. */
  private finish(bundle: Bundle): void {
    const id = this.id_;
    void this.conclude(bundle);
    this.place.keep(id, bundle);
  }

  /** Say that nothing more comes. */
  private lose(): void {
    const { id_: id } = this;
    if (!id) {
      return;
    }
    const rest = `${unanswered(this.body.text).trimEnd()}\n\n${this.place.lost}\n`;
    const bundle = { [MIME]: { v: 1, id, state: 'interrupted' }, [MARKDOWN]: rest, 'text/plain': rest };
    void this.conclude(bundle);
    this.place.keep(id, bundle);
  }

  /** Show the last state, and tell those who do not see it that there is one. */
  private async conclude(bundle: Bundle): Promise<void> {
    const wasLive = this.isLive;
    this.end(bundle);
    await this.body.set(textOf(bundle), wasLive);
    this.body.rest();
    if (wasLive) {
      this.place.announce((bundle[MIME] as Facts).state ?? '', this.body.codeBlocks);
    }
  }

  private end(bundle?: Bundle): void {
    this.cards.end();
    if (bundle) {
      this.actions.over(bundle, this.origin_.isTrusted);
    }
    this.listening?.dispose();
    this.listening = null;
    this.isLive = this.isOpen = false;
    this.id_ = '';
    this.node.setAttribute('aria-busy', 'false');
  }

  /** The text; what else belongs to an answer stands below it. */
  private readonly body: AnswerBody;
  private readonly cards: Cards;
  private readonly actions: Actions;
  private stream = new StreamState();
  /** The turn it answers, by the answer's own id until the output brings another. */
  private turn: SentTurn = { thread: '', turn: '' };
  private origin_ = { id: '', isTrusted: false };
  private isOpen = false;
  private id_ = '';
  private isLive = false;
  /** Whether its kernel speaks another version of the messages. */
  private isPlain = false;
  private listening: IDisposable | null = null;
}
