/** Make an element; `about` are its attributes, or its class alone. Strings become text in it, never HTML. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  about: string | Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(typeof about === 'string' ? { class: about } : about)) {
    made.setAttribute(name, value);
  }
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

/** Make a button that does this. */
export function button(
  look: 'cdx-b' | 'cdx-b cdx-pri' | 'cdx-g' | 'cdx-lnk',
  words: string,
  act: (event: MouseEvent) => void,
  icon?: Node
): HTMLButtonElement {
  const label = element('span', { class: 'cdx-lb' }, words);
  const made = element('button', { class: look, type: 'button' }, ...(icon ? [icon] : []), label);
  made.addEventListener('click', act);
  return made;
}
