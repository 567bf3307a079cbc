import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Kernel } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { Panel } from '@lumino/widgets';

import { AnswerBody, type ILook } from './body';
import { attach, listen } from './link';
import { type Bundle, type Delta, type Facts, MIME } from './protocol';
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
  readonly look: ILook;
  /** What stands below an answer whose kernel has ended. */
  readonly lost: string;
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
    this.body = new AnswerBody(place.look);
    this.addWidget(this.body);
    this.node.setAttribute('aria-busy', 'false');
  }

  /** The id of the answer, and the text it shows, while it streams. */
  get streaming(): { id: string; text: string } | null {
    return this.id_ && this.isLive ? { id: this.id_, text: this.stream.text } : null;
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const facts = (model.data[MIME] ?? {}) as Facts;
    const text = textOf(model.data);
    if (facts.state !== 'streaming') {
      this.end();
      await this.body.set(text);
    } else if (!this.isLive) {
      await this.body.set(text);
      this.id_ = facts.id ?? '';
      await this.follow();
    }
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
      this.stream.reset(reply.n ?? 0, reply.text ?? '');
      this.body.draw(this.stream.text, 0);
    } else if (reply || kernel.connectionStatus === 'connected') {
      // Where a server stands between them a request can be lost; one that is refused is not asked again.
      await (reply || tries <= 1 ? this.lose() : this.follow(tries - 1));
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
    this.end();
    void this.body.set(textOf(bundle));
    this.place.keep(id, bundle);
  }

  /** Say that nothing more comes. */
  private lose(): void {
    const { id_: id } = this;
    if (!id) {
      return;
    }
    this.end();
    const rest = `${this.body.text.trimEnd()}\n\n${this.place.lost}\n`;
    void this.body.set(rest);
    this.place.keep(id, { [MIME]: { v: 1, id, state: 'interrupted' }, [MARKDOWN]: rest, 'text/plain': rest });
  }

  private end(): void {
    this.listening?.dispose();
    this.listening = null;
    this.isLive = false;
    this.id_ = '';
    this.node.setAttribute('aria-busy', 'false');
  }

  /** The text; what else belongs to an answer stands below it. */
  private readonly body: AnswerBody;
  private readonly stream = new StreamState();
  private id_ = '';
  private isLive = false;
  private listening: IDisposable | null = null;
}
