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

/** Make a button that does this. */
export function button(
  look: 'cdx-b' | 'cdx-b cdx-pri' | 'cdx-g' | 'cdx-lnk',
  words: string,
  act: () => void,
  icon?: Node
): HTMLButtonElement {
  const label = element('span', { class: 'cdx-lb' }, words);
  const made = element('button', { class: look, type: 'button' }, ...(icon ? [icon] : []), label);
  made.addEventListener('click', act);
  return made;
}
