import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ICompletionProviderManager, type IInlineCompletionProvider } from '@jupyterlab/completer';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { button } from './element';
import { codexIcon } from './icon';
import type { Suggestion } from './protocol';
import type { Settings, State, Suggestions } from './suggestions';

/** Off until somebody turns them on: they send what is typed. */
const DEFAULTS = {
  enabled: false,
  autoFillInMiddle: false,
  debouncerDelay: 300,
  timeout: 8000,
  model: '',
  tokens: 200_000
};

/** What is said where there is no status bar. */
const SHOWN_MS = 10_000;

const SETTINGS = 'settingeditor:open';

/** Says what becomes of suggestions, as long as they are turned on. */
class StateItem extends Widget {
  constructor(
    private readonly trans: TranslationBundle,
    open: () => void
  ) {
    super();
    this.addClass('jp-codex-suggest');
    this.node.append(button('cdx-g', '', open));
  }

  /** Whether suggestions are turned on. */
  get isOn(): boolean {
    return this.on;
  }

  set isOn(on: boolean) {
    this.on = on;
    this.turned.emit();
  }

  readonly turned = new Signal<this, void>(this);

  set(state: State, { tokens }: Settings, suggestion?: Suggestion): void {
    const { trans } = this;
    this.spent = suggestion?.spent || this.spent;
    const words: Record<State, string> = {
      ready: trans.__('Suggestions on'),
      asking: trans.__('Suggesting …'),
      spent: trans.__('Suggestions off for today'),
      failed: trans.__('Suggestions failed'),
      unloaded: trans.__('Suggestions need codex_magic')
    };
    const about = trans.__('%1 of %2 tokens of today', this.spent.toLocaleString(), tokens.toLocaleString());
    const notes: Partial<Record<State, string>> = {
      failed: suggestion?.note,
      unloaded: trans.__('Run %load_ext codex_magic in this notebook.')
    };
    const [made] = this.node.children as unknown as [HTMLElement];
    made.dataset.state = state;
    made.replaceChildren(words[state]);
    made.title = notes[state] ?? about;
  }

  private on = false;
  private spent = 0;
}

/** Continues code while it is typed, through JupyterLab's own inline completer. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'codex-magic:suggest',
  description: 'Suggests how code continues while it is typed, once that is turned on.',
  autoStart: true,
  requires: [ICompletionProviderManager],
  optional: [IStatusBar, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    manager: ICompletionProviderManager,
    statusBar: IStatusBar | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('codex_magic');
    let settings: Settings = DEFAULTS;
    let suggestions: Promise<Suggestions> | null = null;
    const item = new StateItem(trans, () => {
      if (app.commands.hasCommand(SETTINGS)) {
        void app.commands.execute(SETTINGS, { query: 'Inline Completer' });
      }
    });
    statusBar?.registerStatusItem('codex-magic:suggest', {
      item,
      align: 'right',
      rank: 90,
      isActive: () => item.isOn,
      activeStateChanged: item.turned
    });
    let last: State = 'ready';
    const show = (state: State, suggestion?: Suggestion): void => {
      item.set(state, settings, suggestion);
      if (!statusBar && state === 'spent' && last !== 'spent') {
        const words = trans.__(
          'Suggestions by Codex are off for today: the budget of %1 tokens is spent.',
          settings.tokens.toLocaleString()
        );
        Notification.info(words, { autoClose: SHOWN_MS });
      }
      last = state === 'asking' ? last : state;
    };
    const loaded = (): Promise<Suggestions> =>
      (suggestions ??= import('./suggestions').then(module => new module.Suggestions(show)));
    const provider: IInlineCompletionProvider = {
      identifier: 'codex-magic',
      name: trans.__('Codex'),
      icon: codexIcon,
      schema: {
        default: DEFAULTS,
        properties: {
          model: {
            title: trans.__('Model'),
            description: trans.__('Empty: a small one of those that are offered.'),
            type: 'string'
          },
          tokens: {
            title: trans.__('Budget of a day'),
            description: trans.__('Tokens; when so many are spent, there are no suggestions until tomorrow.'),
            type: 'number',
            multipleOf: 1,
            minimum: 0
          }
        }
      },
      configure: given => {
        settings = { ...DEFAULTS, ...given };
        item.isOn = given?.enabled === true;
        show(last);
        if (item.isOn) {
          void loaded(); // the first suggestion does not wait for it
        }
      },
      fetch: async (request, context) => {
        const insertText = await (await loaded()).at(request, context, settings);
        return { items: insertText ? [{ insertText }] : [] };
      }
    };
    manager.registerInlineProvider(provider);
  }
};

export default plugin;
