/** The view follows the end of what grows, while the reader is there. */

/** Pixels by which the end may lie outside of the view, or is brought into it. */
const SLACK = 12;

/** Return what scrolls this element up and down. */
function scrollerOf(node: HTMLElement): HTMLElement | null {
  for (let at = node.parentElement; at; at = at.parentElement) {
    if (/^(auto|scroll)$/.test(getComputedStyle(at).overflowY)) {
      return at;
    }
  }
  return null;
}

/** Let it grow; where its end was in view before, it is after that. What is selected or written in stays in view. */
export async function keepEnd(node: HTMLElement, grow: () => Promise<void>): Promise<void> {
  const scroller = scrollerOf(node);
  const wasThere = scroller !== null && isAtEnd(node, scroller);
  await grow();
  if (!wasThere || !node.isConnected || document.getSelection()?.isCollapsed === false) {
    return;
  }
  const view = scroller.getBoundingClientRect();
  const below = node.getBoundingClientRect().bottom + SLACK - view.bottom;
  if (below > 0 && !wouldHide(scroller, view.top + below)) {
    scroller.scrollTop += below;
  }
}

function isAtEnd(node: HTMLElement, scroller: HTMLElement): boolean {
  const [{ bottom, height }, view] = [node.getBoundingClientRect(), scroller.getBoundingClientRect()];
  return height > 0 && bottom >= view.top && bottom <= view.bottom + SLACK;
}

/** Whether what the reader writes in would leave the view through its top. */
function wouldHide(scroller: HTMLElement, top: number): boolean {
  const editor = document.activeElement?.closest('.cm-editor, input, textarea');
  return (
    editor instanceof HTMLElement && scroller.contains(editor) && editor.getBoundingClientRect().top < top
  );
}
