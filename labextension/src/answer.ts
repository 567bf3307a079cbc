import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Kernel } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { MimeModel } from '@jupyterlab/rendermime';
import type { IDisposable } from '@lumino/disposable';
import { Panel } from '@lumino/widgets';

import { Actions, type Rerun } from './actions';
import { unanswered } from './approval';
import { Cards } from './cards';
import { attach, listen } from './link';
import { type Bundle, type Delta, type Facts, MIME } from './protocol';
import { Blocks } from './splitter';
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
  /** Run the cell of this answer once more, or one that continues it. */
  rerun(id: string, what: Rerun): void;
  /** Make the renderer of one block. */
  block(): IRenderMime.IRenderer;
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
    this.cards = new Cards(place.trans);
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
    this.isOpen = facts.state === 'streaming';
    if (facts.state !== 'streaming') {
      this.end(model.data);
      await this.display(text);
    } else if (!this.isLive) {
      await this.display(text);
      this.id_ = facts.id ?? '';
      await this.follow();
    }
    this.dress(0);
  }

  override dispose(): void {
    this.end();
    super.dispose();
  }

  /** Ask the kernel for the answer so far and the rest; a kernel that knows nothing of it writes it no more. */
  private async follow(tries = 2): Promise<void> {
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
    if (reply?.bundle) {
      this.finish(reply.bundle);
    } else if (reply?.ok) {
      this.isLive = true;
      this.node.setAttribute('aria-busy', 'true');
      this.actions.live(kernel, id);
      this.cards.follow(kernel, id, reply.asks ?? false);
      this.stream.reset(reply.n ?? 0, reply.text ?? '');
      this.draw(0);
    } else if (reply) {
      this.lose();
    } else if (tries > 1) {
      await this.follow(tries - 1); // it was lost on its way, or the kernel is late; else the next piece will tell
    }
  }

  /** Whether it still waits for the rest of that answer. */
  private isOf(id: string): boolean {
    return !this.isDisposed && id !== '' && this.id_ === id;
  }

  private hear(delta: Delta): void {
    if (delta.id !== this.id_) {
      return;
    }
    if (delta.bundle) {
      this.finish(delta.bundle);
      return;
    }
    if (delta.asks !== undefined) {
      this.cards.hear(delta.asks);
    }
    const changed = this.stream.push(delta);
    if (changed === 'gap') {
      void this.follow();
    } else if (changed !== 'old' && this.isLive) {
      this.draw(changed);
    }
  }

  /** Take the end from the kernel. The output is updated as well, unless the page was loaded again meanwhile. */
  private finish(bundle: Bundle): void {
    const id = this.id_;
    this.end(bundle);
    void this.display(textOf(bundle));
    this.place.keep(id, bundle);
  }

  /** Say that nothing more comes. */
  private lose(): void {
    const { id_: id, text } = this;
    if (!id) {
      return;
    }
    const rest = `${unanswered(text).trimEnd()}\n\n${this.place.lost}\n`;
    const bundle = { [MIME]: { v: 1, id, state: 'interrupted' }, [MARKDOWN]: rest, 'text/plain': rest };
    this.end(bundle);
    void this.display(rest);
    this.place.keep(id, bundle);
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

  /** Draw with the next frame: pieces that come within one are drawn together. */
  private draw(changed: number): void {
    this.changed = Math.min(this.changed, changed);
    this.text = this.stream.text;
    this.frame ||= window.requestAnimationFrame(() => {
      this.frame = 0;
      void this.paint();
    });
  }

  /** Show this text, once all that was to be shown before is. */
  private async display(text: string): Promise<void> {
    let same = 0;
    while (same < text.length && text.charCodeAt(same) === this.text.charCodeAt(same)) {
      same++;
    }
    this.changed = Math.min(this.changed, same);
    this.text = text;
    window.cancelAnimationFrame(this.frame);
    this.frame = 0;
    await this.paint();
  }

  private paint(): Promise<void> {
    this.painting = this.painting.then(() => this.paintNow()).catch(reason => console.error(reason));
    return this.painting;
  }

  private async paintNow(): Promise<void> {
    if (this.isDisposed || this.changed === Infinity) {
      return;
    }
    const first = this.blocks.update(this.text, this.changed);
    this.changed = Infinity;
    for (let index = first; index < this.blocks.length; index++) {
      const text = this.blocks.at(index);
      if (this.drawn[index] === text) {
        continue;
      }
      this.drawn[index] = text;
      const { widgets } = this.body;
      const widget = (widgets[index] as IRenderMime.IRenderer | undefined) ?? this.place.block();
      if (index >= widgets.length) {
        this.body.addWidget(widget);
      }
      await widget.renderModel(new MimeModel({ trusted: false, data: { [MARKDOWN]: text } }));
    }
    while (this.body.widgets.length > this.blocks.length) {
      this.body.widgets.at(-1)?.dispose();
    }
    this.drawn.length = this.blocks.length;
    this.dress(first);
  }

  /** Dress the blocks from `first` on; the last one of an answer that streams may grow. */
  private dress(first: number): void {
    for (let index = first; index < this.body.widgets.length; index++) {
      const isWhole = !this.isOpen || index < this.body.widgets.length - 1;
      this.place.dress((this.body.widgets[index] as IRenderMime.IRenderer).node, this, isWhole);
    }
  }

  /** The blocks of the text; what else belongs to an answer stands below them. */
  private readonly body = new Panel();
  private readonly cards: Cards;
  private readonly actions: Actions;
  private readonly stream = new StreamState();
  private readonly blocks = new Blocks();
  private readonly drawn: string[] = [];
  private origin_ = { id: '', isTrusted: false };
  private isOpen = false;
  private id_ = '';
  private isLive = false;
  private text = '';
  private changed = Infinity;
  private frame = 0;
  private painting = Promise.resolve();
  private listening: IDisposable | null = null;
}
