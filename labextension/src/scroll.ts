/** The view follows the end of what grows, while the reader is there. */

/** Pixels by which the end may lie outside of the view, or is brought into it. */
const SLACK = 12;

/** Return what scrolls this element up and down. */
function scrollerOf(node: HTMLElement): HTMLElement | null {
  for (let at = node.parentElement; at; at = at.parentElement) {
    if (at.scrollHeight > at.clientHeight && /^(auto|scroll)$/.test(getComputedStyle(at).overflowY)) {
      return at;
    }
  }
  return null;
}

/** The end of what grows: where it was in view before, it is after that, until the reader scrolls. */
export class End {
  constructor(private readonly node: () => HTMLElement) {}

  async keep(grow: () => Promise<void>): Promise<void> {
    const node = this.node();
    const { bottom, height } = node.getBoundingClientRect();
    const top = scrollerOf(node)?.scrollTop ?? 0;
    await grow();
    const scroller = node.isConnected ? scrollerOf(node) : null;
    if (!scroller) {
      return;
    }
    const view = scroller.getBoundingClientRect();
    const isInView = height > 0 && bottom >= view.top && bottom <= view.bottom + SLACK;
    const hasLeft = scroller.scrollTop < top - SLACK; // the reader, while it grew
    if (!hasLeft && (isInView || scroller.scrollTop === this.top)) {
      this.top = scroller.scrollTop;
      this.observer.observe(node); // formulas and pictures grow later than the text
      this.follow(node, scroller);
    }
  }

  dispose(): void {
    this.observer.disconnect();
  }

  /** What is selected or written in stays in view. */
  private follow(node: HTMLElement, scroller: HTMLElement | null): void {
    if (!scroller || scroller.scrollTop !== this.top || document.getSelection()?.isCollapsed === false) {
      return;
    }
    const view = scroller.getBoundingClientRect();
    const below = node.getBoundingClientRect().bottom + SLACK - view.bottom;
    if (below > 0 && !wouldHide(scroller, view.top + below)) {
      scroller.scrollTop += below;
      this.top = scroller.scrollTop;
    }
  }

  private readonly observer = new ResizeObserver(() => this.follow(this.node(), scrollerOf(this.node())));
  private top: number | undefined;
}

/** Whether what the reader writes in would leave the view through its top. */
function wouldHide(scroller: HTMLElement, top: number): boolean {
  const editor = document.activeElement?.closest('.cm-editor, input, textarea');
  return (
    editor instanceof HTMLElement && scroller.contains(editor) && editor.getBoundingClientRect().top < top
  );
}
