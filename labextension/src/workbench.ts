import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Panel } from '@lumino/widgets';

import { codexIcon } from './icon';
import { PANEL, SENT, SIGN_IN } from './names';
import type { SentTurn } from './protocol';
import type { CodexPanel } from './panel';
import { ICodexModel } from './tokens';

/** The place of the panel, which is loaded when somebody looks at it for the first time. */
class Place extends Panel {
  constructor(private readonly load: () => Promise<CodexPanel>) {
    super();
    this.addClass('cdx-place-of-panel');
  }

  async content(): Promise<CodexPanel> {
    this.loading ??= this.load().then(panel => {
      this.addWidget(panel);
      return panel;
    });
    return await this.loading;
  }

  protected override onBeforeShow(): void {
    void this.content();
  }

  protected override onActivateRequest(): void {
    void this.content().then(panel => panel.activate());
  }

  private loading: Promise<CodexPanel> | null = null;
}

/** Threads, turns and questions beside the notebook, and a place to ask. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'codex-magic:panel',
  description: 'Shows the threads of Codex, what runs and what waits in a panel.',
  autoStart: true,
  requires: [ICodexModel],
  optional: [ITranslator, ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    model: ICodexModel,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    const trans = (translator ?? nullTranslator).load('codex_magic');
    const place = new Place(async () => {
      const { CodexPanel } = await import('./lazy');
      return new CodexPanel({ app, model, trans });
    });
    place.id = 'codex-magic-panel';
    place.title.icon = codexIcon;
    place.title.caption = trans.__('Codex');
    app.shell.add(place, 'left', { rank: 650 });
    restorer?.add(place, place.id);

    const describedBy = { args: { type: 'object', properties: {} } };
    app.commands.addCommand(PANEL, {
      label: trans.__('Show the Codex Panel'),
      icon: codexIcon,
      describedBy,
      execute: async () => {
        app.shell.activateById(place.id);
        await place.content();
      }
    });
    const text = { type: 'string' };
    app.commands.addCommand(SENT, {
      label: trans.__('Show What Was Sent'),
      describedBy: { args: { type: 'object', properties: { thread: text, turn: text } } },
      execute: async args => {
        app.shell.activateById(place.id);
        (await place.content()).showSent(args as SentTurn);
      }
    });
    app.commands.addCommand(SIGN_IN, {
      label: trans.__('Sign In to Codex'),
      describedBy,
      isEnabled: () => model.state === 'ready',
      execute: async () => {
        app.shell.activateById(place.id);
        (await place.content()).signIn();
      }
    });
    for (const command of [PANEL, SIGN_IN]) {
      palette?.addItem({ command, category: trans.__('Codex') });
    }
  }
};

export default plugin;
