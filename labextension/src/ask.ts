import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { codexIcon } from './icon';
import { isQuestion, toggled } from './magic';

const ASK = 'codex-magic:ask';

/** A cell becomes a question, and a question a cell again: from the toolbar, the palette or the keyboard. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'codex-magic:ask',
  description: 'Turns a cell into a question to Codex.',
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
    app.commands.addCommand(ASK, {
      label: trans.__('Turn Into a Question for Codex'),
      caption: trans.__('Turn into a question for Codex, or into code again'),
      icon: codexIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      isEnabled: () => tracker.activeCell?.model.type === 'code',
      execute: () => {
        const cell = tracker.activeCell;
        if (cell?.model.type !== 'code') {
          return;
        }
        const { sharedModel } = cell.model;
        const source = toggled(sharedModel.getSource());
        sharedModel.setSource(source);
        cell.editor?.setCursorPosition({ line: isQuestion(source) ? 1 : 0, column: 0 });
        cell.editor?.focus();
      }
    });
    palette?.addItem({ command: ASK, category: trans.__('Codex') });
  }
};

export default plugin;
