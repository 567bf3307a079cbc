import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStatusBar, type Popup } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import * as React from 'react';

import { executorOf } from './executor';
import { Icon } from './glyph';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- the item shows what it says from the start
import { CodexModel } from './model';
import { PANEL, SIGN_IN } from './names';
import { type BarItem, barItem } from './shelf';
import { ICodexModel } from './tokens';

const h = React.createElement;

/** Account, model and limits of the notebook's Codex in one line, and what they can be changed to a click away. */
const plugin: JupyterFrontEndPlugin<ICodexModel> = {
  id: 'codex-magic:status',
  description: 'Shows model, limits and waiting questions of Codex in the status bar.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [IStatusBar, ITranslator],
  provides: ICodexModel,
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    bar: IStatusBar | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('codex_magic');
    const model = new CodexModel(tracker, executorOf(app));
    let popup: Popup | null = null;
    const open = async (anchor: StatusWidget): Promise<void> => {
      const { status } = model;
      if (!status || status.waiting.length) {
        await app.commands.execute(PANEL);
      } else if (status.account.kind === 'none') {
        await app.commands.execute(SIGN_IN);
      } else {
        const { openPopup } = await import('./lazy');
        popup?.dispose();
        popup = openPopup({ model, trans, anchor, signIn: () => app.commands.execute(SIGN_IN) });
      }
    };

    /** The item; its button opens what it is about. */
    class StatusWidget extends ReactWidget {
      constructor() {
        super();
        this.addClass('cdx-sb');
      }
      protected render(): React.ReactElement {
        return (
          <UseSignal signal={model.changed}>
            {(): React.ReactElement | null => {
              const item = barItem(model.state, model.status, trans);
              return item && <Item item={item} open={() => void open(this)} />;
            }}
          </UseSignal>
        );
      }
    }

    bar?.registerStatusItem(plugin.id, {
      item: new StatusWidget(),
      align: 'right',
      rank: 10,
      priority: 1,
      isActive: () => barItem(model.state, model.status, trans) !== null,
      activeStateChanged: model.changed
    });
    return model;
  }
};

function Item({ item, open }: { item: BarItem; open: () => void }): React.ReactElement {
  const { sign, words, short, gauge, left } = item;
  const all = [words, left].filter(Boolean).join(', ');
  return (
    <button
      type="button"
      className="cdx-sb-i"
      aria-label={`Codex: ${all.replace(/^Codex: /, '')}`}
      title={all}
      onClick={open}
    >
      {sign === 'runs' ? <span className="cdx-dot cdx-runs" /> : <Icon name={sign} />}
      <span className="cdx-sb-w">{sign === 'waits' ? <b>{words}</b> : words}</span>
      {gauge !== undefined && (
        <span className="cdx-gauge" aria-hidden="true">
          <i style={{ width: `${gauge}%` }} />
        </span>
      )}
      {left && <span className="cdx-sb-w">{left}</span>}
      <span className="cdx-sb-s">{short}</span>
    </button>
  );
}

export default plugin;
