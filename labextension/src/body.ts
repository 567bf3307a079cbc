import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { MimeModel, hardenAnchorLinks } from '@jupyterlab/rendermime';
import { Widget } from '@lumino/widgets';

import { End } from './scroll';
import { Blocks } from './splitter';
import { drawSteps } from './steps';

/** A page that has drawn for one millisecond rests for this many: drawing takes a twentieth of its time at most. */
const REST = 19;
/** Milliseconds between two drawings: a floor, as often as pieces come, and what a slow page makes of it at most. */
const LEAST_MS = 50;
const MOST_MS = 1000;
/** Milliseconds of work after which a long text lets the page do other things. */
const SLICE_MS = 40;

/** How the kernel's own quiet lines begin. */
const QUIET = '<small';

/** What may be a formula. */
const MATH = /[$\\]/;

/** Blocks whose formulas are set at once: each time measures the page, and more of them would take a while. */
const MOST_SET = 8;

/** How a block stands in the page: its marker, what follows it, and how that looked before it was typeset. */
type Drawn = { text: string; marker: Comment; live: ChildNode[]; source: ChildNode[] };

/** What the text of an answer needs of its page. */
export interface ILook {
  /** JupyterLab's own renderer of Markdown; it draws apart from the page. */
  renderer: IRenderMime.IRenderer;
  typesetter: IRenderMime.ILatexTypesetter | null;
  /** Whether a reader who is at the end stays there. */
  followsEnd(): boolean;
}

/**
 * The text of an answer, in the page as JupyterLab renders it in one piece, and drawn block by block.
 *
 * A finished block is rendered once. The open one is rendered again as it grows, and of it only that is exchanged which
 * has become another: what is selected or unfolded in the rest stays so.
 */
export class AnswerBody extends Widget {
  /** `dress` adds to a block what is not in its text. */
  constructor(
    private readonly look: ILook,
    private readonly dress: (block: HTMLElement, isLast: boolean) => void
  ) {
    super();
    this.node.className = look.renderer.node.className;
    this.node.dataset.mimeType = 'text/markdown';
  }

  /** What is drawn, or soon will be. */
  get text(): string {
    return this.text_;
  }

  /** How many blocks of code it has, without those of steps. */
  get codeBlocks(): number {
    return [...this.node.querySelectorAll('pre > code')].filter(each => !each.closest('details')).length;
  }

  override dispose(): void {
    this.cancel();
    this.end.dispose();
    this.look.renderer.dispose();
    super.dispose();
  }

  /** Draw this text, the same as before up to `changed`, as soon as the page has rested from the last time. */
  draw(text: string, changed: number): void {
    this.changed = Math.min(this.changed, changed);
    this.text_ = text;
    if (!this.timer && !this.frame) {
      const wait = this.next - performance.now();
      if (wait > 0) {
        this.timer = window.setTimeout(() => this.request(), wait);
      } else {
        this.request();
      }
    }
  }

  /** Draw this text now, once all that was to be drawn before is; `isLive`: the reader may be at its end. */
  async set(text: string, isLive: boolean): Promise<void> {
    this.changed = Math.min(this.changed, common(text, this.text_));
    this.text_ = text;
    this.cancel();
    await (isLive ? this.paintAtEnd() : this.paint());
  }

  /** Nothing more comes: leave the view to the reader, once the last formulas are set. */
  rest(): void {
    window.setTimeout(() => this.end.dispose(), MOST_MS);
  }

  private cancel(): void {
    window.clearTimeout(this.timer);
    window.cancelAnimationFrame(this.frame);
    this.timer = this.frame = 0;
  }

  private request(): void {
    this.timer = 0;
    this.frame = window.requestAnimationFrame(begun => {
      this.frame = 0;
      this.next = Infinity;
      void this.paintAtEnd();
      // Layout and painting come after the frame's callbacks, and a task after those.
      window.setTimeout(() => {
        const now = performance.now();
        this.next = now + Math.min(MOST_MS, Math.max(LEAST_MS, REST * (now - begun)));
      });
    });
  }

  private paintAtEnd(): Promise<void> {
    return this.look.followsEnd() ? this.end.keep(() => this.paint()) : this.paint();
  }

  private paint(): Promise<void> {
    this.painting = this.painting.then(() => this.paintNow()).catch(reason => console.error(reason));
    return this.painting;
  }

  private async paintNow(): Promise<void> {
    if (this.isDisposed || this.changed === Infinity) {
      return;
    }
    const first = this.blocks.update(this.text_, this.changed);
    this.changed = Infinity;
    let begun = performance.now();
    for (let index = first; index < this.blocks.length; index++) {
      if (performance.now() - begun > SLICE_MS) {
        this.typeset();
        await new Promise(resolve => window.setTimeout(resolve));
        begun = performance.now();
      }
      await this.drawBlock(index, this.blocks.at(index));
    }
    while (this.drawn.length > this.blocks.length) {
      const { marker, live } = this.drawn.pop() as Drawn;
      removeAll([marker, ...live], this.node);
    }
    this.typeset();
    this.dressAll(first);
  }

  /** Dress the blocks from `first` on; a line on what the turn is doing does not end the block above it. */
  dressAll(first = 0): void {
    let last = this.drawn.length - 1;
    while (last > 0 && this.drawn[last]?.text.startsWith(QUIET)) {
      last--;
    }
    for (let index = first; index < this.drawn.length; index++) {
      for (const each of this.drawn[index]?.live ?? []) {
        if (each instanceof HTMLElement) {
          this.dress(each, index >= last);
        }
      }
    }
  }

  private async drawBlock(index: number, text: string): Promise<void> {
    const block = (this.drawn[index] ??= { text: '', marker: this.mark(), live: [], source: [] });
    if (block.text === text) {
      return;
    }
    block.text = text;
    const { renderer } = this.look;
    await renderer.renderModel(new MimeModel({ trusted: false, data: { 'text/markdown': text } }));
    for (const each of renderer.node.querySelectorAll('a[href="#_"]:empty')) {
      each.removeAttribute('href'); // it keeps a dollar that is money apart, and leads nowhere
    }
    drawSteps(renderer.node);
    const source = Array.from(renderer.node.childNodes, each => each.cloneNode(true)) as ChildNode[];
    const changed = exchange(this.node, block, [...renderer.node.childNodes]);
    block.source = source;
    for (const each of changed) {
      if (each instanceof HTMLElement && each.localName !== 'pre' && MATH.test(each.textContent ?? '')) {
        this.unset.add(each);
      }
    }
    if (this.unset.size >= MOST_SET) {
      this.typeset();
    }
  }

  private mark(): Comment {
    return this.node.appendChild(document.createComment(''));
  }

  /** Set the formulas in what is new, which is measured in the page: of more than one block in one go. */
  private typeset(): void {
    if (!this.isAttached || !this.unset.size) {
      return;
    }
    const blocks = [...this.unset];
    this.unset.clear();
    const node = blocks.length === 1 ? (blocks[0] as HTMLElement) : this.node;
    void Promise.resolve(this.look.typesetter?.typeset(node)).then(() =>
      blocks.forEach(each => hardenAnchorLinks(each))
    );
  }

  protected override onAfterAttach(): void {
    this.typeset();
  }

  private readonly end = new End(() => this.parent?.node ?? this.node);
  private readonly blocks = new Blocks();
  private readonly drawn: Drawn[] = [];
  private readonly unset = new Set<HTMLElement>();
  private text_ = '';
  private changed = Infinity;
  private next = 0;
  private timer = 0;
  private frame = 0;
  private painting = Promise.resolve();
}

/** Put fresh nodes in the place of a block's, and leave those that have not changed; return what is new. */
function exchange(body: HTMLElement, block: Drawn, fresh: ChildNode[]): Node[] {
  const { live, source } = block;
  let same = sameAtStart(source, fresh);
  const changed: Node[] = [];
  const [mine, before, after] = [live[same], source[same], fresh[same]];
  if (mine && before && after && grow(mine, before, after)) {
    changed.push(mine);
    same++;
  }
  removeAll(live.splice(same), body);
  const added = fresh.slice(same);
  const last = within(live.at(-1) ?? block.marker, body);
  last.after(...added);
  live.push(...added);
  return [...changed, ...added];
}

/**
 * Change what a node held `before` into what it holds `after`; return whether that could be done inside of it.
 *
 * A formula that was set stands in other nodes than its source, which ends as they do.
 */
function grow(live: ChildNode, before: ChildNode, after: ChildNode): boolean {
  if (live instanceof Text && before instanceof Text && after instanceof Text) {
    const set = before.length - live.length;
    const same = common(before.data, after.data);
    const added = after.data.slice(same);
    if (!before.data.endsWith(live.data) || same < set || (set > 0 && MATH.test(added))) {
      return false;
    }
    live.replaceData(same - set, live.length, added);
    return true;
  }
  const [mine, old, fresh] = [[...live.childNodes], [...before.childNodes], [...after.childNodes]];
  if (!isAlike(before, after)) {
    return false;
  }
  let same = sameAtStart(old, fresh);
  const hasFormulas = mine.length !== old.length;
  if (hasFormulas && same < old.length - 1) {
    return false;
  }
  const [first, was, is] = [hasFormulas ? mine.at(-1) : mine[same], old[same], fresh[same]];
  if (first && was && is && grow(first, was, is)) {
    same++;
  }
  if (hasFormulas && same < old.length) {
    return false;
  }
  (hasFormulas ? [] : mine.slice(same)).forEach(each => each.remove());
  (live as ParentNode & ChildNode).append(...fresh.slice(same));
  return true;
}

/** How many characters two texts have in common at their beginnings. */
function common(one: string, other: string): number {
  let same = 0;
  while (same < one.length && one.charCodeAt(same) === other.charCodeAt(same)) {
    same++;
  }
  return same;
}

function sameAtStart(nodes: ChildNode[], others: ChildNode[]): number {
  const first = others.findIndex((each, index) => !nodes[index] || !each.isEqualNode(nodes[index]));
  return first < 0 ? others.length : first;
}

/** Whether two elements are the same but for what they hold. */
function isAlike(one: Node, other: Node): boolean {
  return one instanceof Element && one.cloneNode().isEqualNode(other.cloneNode());
}

/** Return the child of `body` that holds this node, or is it. */
function within(node: ChildNode, body: HTMLElement): ChildNode {
  let at = node;
  while (at.parentNode && at.parentNode !== body) {
    at = at.parentNode as unknown as ChildNode;
  }
  return at;
}

function removeAll(nodes: ChildNode[], body: HTMLElement): void {
  nodes.forEach(each => within(each, body).remove());
}
