/** What a block of code is for a notebook. Pure. */

const PYTHON = new Set(['', 'python', 'py', 'python3', 'ipython', 'ipython3']);
const MARKDOWN = new Set(['markdown', 'md']);

/** Return the language in the class of a block: the first word after its fence, as R Markdown writes it too. */
export function languageOf(className: string): string {
  return /language-\{?\.?([^\s{},]+)/.exec(className)?.[1]?.toLowerCase() ?? '';
}

/** Whether the kernel can run it; a block without a language is taken for one. */
export function isOfKernel(language: string): boolean {
  return PYTHON.has(language);
}

export function cellKind(language: string): 'code' | 'markdown' {
  return MARKDOWN.has(language) ? 'markdown' : 'code';
}

/** Return a notebook with this one cell, for the kernel that `metadata` names. */
export function notebookOf(
  source: string,
  kind: 'code' | 'markdown',
  metadata: Record<string, unknown>
): object {
  const { kernelspec, language_info } = metadata;
  const cell = { cell_type: kind, metadata: {}, source };
  return {
    cells: [kind === 'code' ? { ...cell, execution_count: null, outputs: [] } : cell],
    metadata: JSON.parse(JSON.stringify({ kernelspec, language_info })) as object,
    nbformat: 4,
    nbformat_minor: 4
  };
}

/** Characters that hide, or move what is around them; not those that emoji are made of, in their place. */
export const UNSEEN =
  /(?<!\p{Emoji}|\ufe0f)(?:\ufe0f|\u200d)|(?!\n|\t|\ufe0f|\u200d)[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Zl}\p{Zp}\u2800\ufffc]/gu;

/** Return the name of a character, as the kernel writes those that do not show. */
export function nameOf(char: string): string {
  const code = (char.codePointAt(0) ?? 0).toString(16).toUpperCase();
  return `U+${code.padStart(4, '0')}`;
}

/** Return the names of what does not show in a text, each once. */
export function unseenIn(text: string): string[] {
  return [...new Set(text.match(UNSEEN) ?? [])].map(nameOf);
}
