import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { type Cell, CodeCell } from '@jupyterlab/cells';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';

import { codexIcon } from './icon';
import { EMPTY_QUESTION, isQuestion, mentionOf } from './magic';
import { indexOf, insertAt } from './place';
import { regionRequest } from './protocol';
import { selections } from './selection';

/** Of a region's id. */
const ID_DIGITS = 10;

type Place = { panel: NotebookPanel; cell: Cell };

/** Insert a question that begins with these words below a cell, and go on writing there; nothing is sent. */
async function ask({ panel, cell }: Place, words: string, selection = ''): Promise<void> {
  const question = insertAt(panel, indexOf(panel, cell.model.id) + 1, `${EMPTY_QUESTION}${words}`);
  if (!question) {
    return;
  }
  if (selection) {
    selections.set(question.model.id, selection);
  }
  await question.ready;
  question.editor?.setCursorPosition({ line: 1, column: words.length });
  panel.content.mode = 'edit';
  while (!question.isAttached && !question.isDisposed) {
    await new Promise(requestAnimationFrame);
  }
  question.editor?.focus(); // what is not in the page yet takes no focus
}

/** Ask about a part of the output that a person marks; nothing where they mark none. */
async function askRegion(here: Place, trans: TranslationBundle): Promise<void> {
  const { panel, cell } = here;
  const kernel = panel.sessionContext.session?.kernel;
  const area = cell instanceof CodeCell ? cell.outputArea.node : null;
  if (!kernel || !area) {
    return;
  }
  const [{ markRegion }, { pictureOf, textOf }, { regions }] = await Promise.all([
    import('./region'),
    import('./capture'),
    import('./regions')
  ]);
  const box = await markRegion(area, trans);
  if (!box) {
    return;
  }
  const id = crypto.getRandomValues(new Uint32Array(1)).join('').padStart(ID_DIGITS, '0');
  const [picture, text] = [await pictureOf(area, box), textOf(area, box)];
  regions.add(kernel, regionRequest({ id, cell: cell.model.id, picture, text }));
  await ask(here, `@region:${id} `);
}

function mention(what: 'cell' | 'output', { panel, cell }: Place): string {
  const ids = panel.content.widgets.map(({ model }) => model.id);
  return `${mentionOf(what, cell.model.id, ids)} `;
}

/** Return what is selected in the editor of a cell, else in what the notebook shows. */
function selected({ panel, cell }: Place): string {
  const { editor } = cell;
  if (editor) {
    const { start, end } = editor.getSelection();
    const offsets = [editor.getOffsetAt(start), editor.getOffsetAt(end)].sort((one, other) => one - other);
    const text = cell.model.sharedModel.getSource().slice(...offsets);
    if (text) {
      return text;
    }
  }
  const selection = window.getSelection();
  return panel.node.contains(selection?.anchorNode ?? null) ? (selection?.toString() ?? '') : '';
}

/** Questions about an output, a cell or what is selected, from the context menu and the palette. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'codex-magic:menus',
  description: 'Asks Codex about an output, a cell or a selection.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ITranslator, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    translator: ITranslator | null,
    palette: ICommandPalette | null
  ) => {
    const trans = (translator ?? nullTranslator).load('codex_magic');
    // A click of either button makes the cell the active one.
    const place = (): Place | null => {
      const panel = tracker.currentWidget;
      const cell = panel?.content.activeCell;
      return panel && cell ? { panel, cell } : null;
    };
    const add = (
      command: string,
      label: string,
      isPossible: (here: Place) => boolean,
      execute: (here: Place) => Promise<void>
    ): void => {
      const isEnabled = (): boolean => {
        const here = place();
        return here !== null && isPossible(here);
      };
      app.commands.addCommand(command, {
        label,
        icon: codexIcon,
        describedBy: { args: { type: 'object', properties: {} } },
        isEnabled,
        isVisible: isEnabled,
        execute: async () => {
          const here = place();
          await (here && execute(here));
        }
      });
      palette?.addItem({ command, category: trans.__('Codex') });
    };

    add(
      'codex-magic:ask-output',
      trans.__('Ask Codex About This Output'),
      ({ cell }) => cell instanceof CodeCell && cell.model.outputs.length > 0,
      // An answer is in the thread that the question continues.
      here => ask(here, isQuestion(here.cell.model.sharedModel.getSource()) ? '' : mention('output', here))
    );
    add(
      'codex-magic:ask-region',
      trans.__('Ask Codex About a Region of This Output'),
      ({ cell }) => cell instanceof CodeCell && cell.model.outputs.length > 0,
      here => askRegion(here, trans)
    );
    add(
      'codex-magic:ask-cell',
      trans.__('Ask Codex About This Cell'),
      ({ cell }) => !isQuestion(cell.model.sharedModel.getSource()),
      here => ask(here, mention('cell', here))
    );
    add(
      'codex-magic:ask-selection',
      trans.__('Ask Codex About the Selection'),
      here => selected(here) !== '',
      here => ask(here, '@selection ', selected(here))
    );
  }
};

export default plugin;
