/** Make an element of ours; strings become text in it, never HTML. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

/**
 * Keep JupyterLab's shortcuts from the keys that are pressed within `node`: a bare A, S or D, D is its own.
 *
 * Its selectors name what has the focus, so that it looks for this mark there first, and not around it.
 */
export function keepKeys(node: HTMLElement): void {
  node.addEventListener('focusin', event => {
    (event.target as HTMLElement).dataset.lmSuppressShortcuts = 'true';
  });
  node.dataset.lmSuppressShortcuts = 'true';
}
