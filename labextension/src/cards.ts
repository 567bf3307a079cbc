import type { Kernel } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { UNREADY_MS, chosen, diffRuns, isPicture, seenRuns } from './approval';
import type { CellEdit } from './edit';
import { element, keepKeys } from './element';
import { askIcon } from './icon';
import { insist } from './link';
import {
  type ApprovalsReply,
  type Card,
  type CellChange,
  type Choice,
  type DecideReply,
  type Passage,
  approvalsRequest,
  decideRequest
} from './protocol';

/** Who types is not interrupted by a card that comes. */
const FIELDS = 'input, textarea, select, [contenteditable=true], [role=textbox]';

/** Hears the answer of that key, which an event by a person's hand has given. */
export type Decide = (key: string, event: Event) => void;

/**
 * The question that the turn of one answer waits for: what the kernel says, as text, and its answers as buttons.
 *
 * The kernel holds the questions; one that is answered elsewhere goes away here.
 */
export class Cards extends Widget {
  /** `propose`: shows a change of a cell as that stands in the notebook; without it the kernel's words are shown. */
  constructor(
    private readonly trans: TranslationBundle,
    private readonly propose: (change: CellChange, decide: Decide) => Promise<CellEdit | null> = () =>
      Promise.resolve(null)
  ) {
    super();
    this.node.append(this.settled);
    this.addClass('jp-codex-cards');
  }

  /** Show what the turn of this answer asks now, and from now on. */
  follow(kernel: Kernel.IKernelConnection, id: string, asks: boolean): void {
    this.kernel = kernel;
    this.id_ = id;
    this.hear(asks);
  }

  /** Hear that something is asked, or something else than before, or nothing any more. */
  hear(asks: boolean): void {
    if (asks) {
      void this.fetch();
    } else {
      this.clear();
    }
  }

  /** Nothing more is asked. */
  end(): void {
    this.kernel = null;
    this.clear();
  }

  private async fetch(): Promise<void> {
    const { kernel } = this;
    const fetching = ++this.fetches;
    const reply = kernel && (await insist<ApprovalsReply>(kernel, approvalsRequest(this.id_)));
    if (this.isDisposed || fetching !== this.fetches || kernel !== this.kernel || !reply?.ok) {
      return;
    }
    if (!reply.card) {
      this.clear();
    } else if (reply.card.question === this.card?.question) {
      this.count(reply.card);
    } else {
      this.draw(reply.card);
    }
  }

  private clear(): void {
    this.fetches++;
    this.card = null;
    const hadFocus = this.node.contains(document.activeElement);
    this.settle();
    this.node.replaceChildren(this.settled);
    if (hadFocus) {
      this.leave();
    }
  }

  /** Keep a change that somebody here has decided about, with what becomes of it. */
  private settle(): void {
    if (this.edit && this.isDecided) {
      this.settled.append(this.edit.node);
    } else {
      this.edit?.dispose();
    }
    this.edit = null;
    this.isDecided = false;
  }

  /** Show a change in the place of the passages, if its cell is there. */
  private async compare(card: Card, node: HTMLElement, change: CellChange): Promise<void> {
    const edit = await this.propose(change, (key, event) => {
      const choice = this.card?.choices.find(each => each.key === key);
      if (choice && this.card === card) {
        this.choose(choice, event);
      }
    });
    if (!edit || this.card !== card || this.isDisposed) {
      edit?.dispose();
      return;
    }
    this.edit = edit;
    node.classList.replace('jp-codex-card', 'jp-codex-proposal');
    node
      .querySelectorAll('.jp-codex-head, .jp-codex-passage, .jp-codex-passage + .jp-codex-hint')
      .forEach(each => each.remove());
    node.prepend(edit.node);
    this.answers.replaceChildren();
    edit.node.focus({ preventScroll: true });
  }

  private draw(card: Card): void {
    this.settle();
    this.card = card;
    this.answers.replaceChildren(...this.buttons(card));
    this.note.textContent = '';
    this.waiting = element('span', 'jp-codex-count');
    this.next = element('p', 'jp-codex-next');
    const title = element('div', 'jp-codex-title', element('span', '', card.title));
    title.tabIndex = -1;
    title.role = 'alert';
    const head = element('div', 'jp-codex-head', title, this.waiting);
    head.prepend(askIcon.element({ tag: 'span', className: 'jp-codex-icon' }));
    const node = element(
      'div',
      'jp-codex-card',
      head,
      ...card.passages.flatMap(passage => this.passage(passage)),
      ...this.pictures(card),
      facts(card),
      this.answers,
      this.note,
      element('div', 'jp-codex-under', this.more(card), this.keys(card))
    );
    keepKeys(node);
    node.addEventListener('keydown', event => this.press(event));
    this.node.replaceChildren(this.settled, node, this.next);
    this.count(card);
    if (card.edit) {
      void this.compare(card, node, card.edit);
    }
    // A page in the background paints, and begins to count, when somebody looks at it.
    this.since = Infinity;
    window.requestAnimationFrame(() => (this.since = performance.now()));
    const active = document.activeElement;
    const notebook = this.node.closest('.jp-Notebook');
    if (!active || active === document.body || (notebook?.contains(active) && !active.matches(FIELDS))) {
      title.focus({ preventScroll: true });
    }
  }

  private count({ waiting, following }: Card): void {
    this.waiting.textContent = waiting > 1 ? this.trans.__('1 of %1', waiting) : '';
    this.next.textContent = following
      ? this.trans.__('Next: %1 All waiting: %codex approvals', following)
      : '';
  }

  private passage({ title, text, language, hint }: Passage): Node[] {
    const lines =
      language === 'diff'
        ? diffRuns(text).map(run => {
            const tag = run.kind === 'added' ? 'ins' : run.kind === 'removed' ? 'del' : 'span';
            return element(tag, '', ...marked(run.text));
          })
        : marked(text);
    const box = element('pre', 'jp-codex-passage', ...lines);
    box.tabIndex = 0;
    box.role = 'region';
    box.ariaLabel = title || (language === 'diff' ? this.trans.__('Diff') : this.trans.__('Command'));
    return [
      ...(title ? [element('p', 'jp-codex-hint', title)] : []),
      box,
      ...(hint ? [element('p', 'jp-codex-hint', hint)] : [])
    ];
  }

  private pictures({ images }: Card): Node[] {
    return images.filter(isPicture).map((address, index) => {
      const image = element('img', 'jp-codex-picture');
      image.src = address;
      image.alt = this.trans.__('Figure %1 of the trial', index + 1);
      return image;
    });
  }

  private buttons(card: Card): Node[] {
    return (['no', 'yes'] as const).map(side => {
      const choices = card.choices.filter(choice => choice.side === side);
      const last = side === 'yes' ? choices.at(-1) : undefined;
      return element('div', '', ...choices.map(choice => this.button(choice, choice === last)));
    });
  }

  private button(choice: Choice, isMain = false): HTMLButtonElement {
    const button = element('button', isMain ? 'cdx-b cdx-pri' : 'cdx-b', choice.label);
    button.type = 'button';
    button.addEventListener('click', event => this.choose(choice, event));
    return button;
  }

  private more(card: Card): Node {
    const buttons = card.choices.filter(choice => choice.side === 'more').map(each => this.button(each));
    const summary = element('summary', '', this.trans.__('More answers'));
    return buttons.length
      ? element('details', 'jp-codex-more', summary, element('div', '', ...buttons))
      : element('span', '');
  }

  private keys(card: Card): Node {
    const keyed = card.choices.filter(choice => choice.side !== 'more');
    const parts = keyed.flatMap((choice, index) => [
      index ? ' · ' : '',
      element('kbd', '', `${choice.side === 'yes' ? 'Shift ' : ''}${choice.key.toUpperCase()}`),
      ` ${choice.short}`
    ]);
    return element('span', 'jp-codex-keys', ...parts);
  }

  private press(event: KeyboardEvent): void {
    const isTyping = (event.target as Element).matches('input');
    if (event.key === 'Escape') {
      event.preventDefault();
      if (isTyping) {
        this.back();
      } else {
        this.leave();
      }
      return;
    }
    const choice = isTyping || !this.card ? undefined : chosen(event, this.card.choices);
    if (choice) {
      event.preventDefault();
      this.choose(choice, event);
    }
  }

  /** Take an answer that a person gives by hand, to what has been there for a moment. */
  private choose(choice: Choice, event: Event): void {
    if (!event.isTrusted || performance.now() - this.since < UNREADY_MS || this.isSending) {
      return;
    }
    if (choice.reason) {
      this.askWhy(choice);
    } else {
      void this.send(choice.key, '');
    }
  }

  private askWhy(choice: Choice): void {
    const field = element('input', 'jp-codex-field');
    const send = element('button', 'cdx-b cdx-pri', this.trans.__('Decline and send'));
    const back = element('button', 'cdx-b', this.trans.__('Back'));
    const label = element('label', 'jp-codex-why', this.trans.__('Tell Codex what to do instead'), field);
    send.addEventListener('click', event => event.isTrusted && void this.send(choice.key, field.value));
    back.addEventListener('click', () => this.back());
    field.addEventListener('keydown', event => {
      if (event.key === 'Enter' && !event.isComposing && event.isTrusted) {
        event.preventDefault();
        void this.send(choice.key, field.value);
      }
    });
    this.answers.replaceChildren(label, element('div', '', back, send));
    field.focus();
  }

  private back(): void {
    if (this.card) {
      this.answers.replaceChildren(...(this.edit ? [] : this.buttons(this.card)));
      this.node.querySelector('button')?.focus();
    }
  }

  private async send(choice: string, reason: string): Promise<void> {
    const { kernel, card } = this;
    if (!kernel || !card || this.isSending) {
      return;
    }
    const { edit } = this;
    if (this.node.contains(document.activeElement)) {
      // What is disabled keeps no focus.
      (edit?.node ?? this.node.querySelector<HTMLElement>('.jp-codex-title'))?.focus({ preventScroll: true });
    }
    this.setSending(true);
    this.note.textContent = this.trans.__('Sending your answer …');
    this.isDecided = true;
    const { question } = card;
    const reply = await insist<DecideReply>(kernel, decideRequest(question, choice, reason));
    this.setSending(false);
    this.isDecided = reply?.holds === true;
    if (reply?.holds) {
      edit?.decide(card.choices.find(({ key }) => key === choice)?.side === 'yes' ? 'approved' : 'rejected');
    } else if (edit !== this.edit) {
      edit?.dispose(); // it was decided elsewhere meanwhile
    }
    if (this.isDisposed || this.card?.question !== question) {
      this.isDecided = false;
      return;
    }
    if (reply) {
      await this.fetch();
    } else {
      this.note.textContent = this.trans.__('The kernel did not answer. Try again.');
    }
  }

  private setSending(isSending: boolean): void {
    this.isSending = isSending;
    this.node.querySelectorAll<HTMLButtonElement>('button, input').forEach(each => {
      each.disabled = isSending;
    });
  }

  /** Give the focus back to the notebook, without an answer. */
  private leave(): void {
    const notebook = this.node.closest<HTMLElement>('.jp-Notebook');
    if (notebook) {
      notebook.focus({ preventScroll: true });
    } else {
      (document.activeElement as HTMLElement | null)?.blur();
    }
  }

  private readonly answers = element('div', 'jp-codex-answers');
  private readonly note = element('p', 'jp-codex-hint');
  private readonly settled = element('div', '');
  private edit: CellEdit | null = null;
  private isDecided = false;
  private waiting = element('span', '');
  private next = element('p', '');
  private kernel: Kernel.IKernelConnection | null = null;
  private id_ = '';
  private card: Card | null = null;
  private since = Infinity;
  private fetches = 0;
  private isSending = false;
}

function facts(card: Card): Node {
  const pairs = card.facts.flatMap(([label, value]) => [element('dt', '', label), element('dd', '', value)]);
  return element('dl', 'jp-codex-facts', ...pairs);
}

/** Text as it is, with what stands for an invisible character set apart. */
function marked(text: string): (Node | string)[] {
  return seenRuns(text).map(run => (run.kind === 'hidden' ? element('mark', '', run.text) : run.text));
}
