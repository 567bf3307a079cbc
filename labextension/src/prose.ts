import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import { EditorExtensionRegistry, IEditorExtensionRegistry } from '@jupyterlab/codemirror';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { Extension, Text } from '@codemirror/state';
import { StateField } from '@codemirror/state';
import { Decoration, type DecorationSet, EditorView, WidgetType } from '@codemirror/view';

// eslint-disable-next-line jupyter/prefer-lazy-imports -- every page has it, for its answers
import { request } from './link';
import { isEmptyQuestion, isQuestion, lineKinds } from './magic';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- an editor's extensions can't wait
import { mentionMarks } from './mentions';
import { type Mark, type MarksReply, marksRequest } from './protocol';

/** GitHub's Markdown with formulas, the type of JupyterLab's own Markdown cells. */
const PROSE = 'text/x-ipythongfm';

const LINES = {
  magic: Decoration.line({ class: 'jp-codex-magic' }),
  prose: Decoration.line({ class: 'jp-codex-prose' }),
  code: Decoration.line({ class: 'jp-codex-code' })
};

/** What an empty question says of itself. */
class Hint extends WidgetType {
  constructor(private readonly words: string) {
    super();
  }

  override eq(other: Hint): boolean {
    return other.words === this.words;
  }

  toDOM(): HTMLElement {
    const hint = document.createElement('span');
    hint.className = 'cm-placeholder';
    hint.textContent = this.words;
    hint.ariaHidden = 'true';
    return hint;
  }

  override ignoreEvent(): boolean {
    return false;
  }
}

function decorated(doc: Text, hint: Decoration): DecorationSet {
  const source = doc.toString();
  if (!isQuestion(source)) {
    return Decoration.none;
  }
  const lines = lineKinds(source).map((kind, index) => LINES[kind].range(doc.line(index + 1).from));
  const hints = isEmptyQuestion(source) ? [hint.range(doc.length)] : [];
  return Decoration.set([...lines, ...hints], true);
}

/** Set the lines of a question, and wrap them: prose is not scrolled sideways. */
function proseExtension(words: string): Extension {
  const hint = Decoration.widget({ widget: new Hint(words), side: 1 });
  const lines = StateField.define<DecorationSet>({
    create: state => decorated(state.doc, hint),
    update: (value, change) => (change.docChanged ? decorated(change.newDoc, hint) : value),
    provide: field => EditorView.decorations.from(field)
  });
  const wrapping = EditorView.contentAttributes.of(view => {
    const isProse = view.state.field(lines) !== Decoration.none;
    return isProse ? { class: 'cm-lineWrapping', spellcheck: 'true' } : null;
  });
  return [lines, wrapping];
}

/** Give the cell the type of its text while it is a question, and its own again after that. */
function followType(model: CodeEditor.IModel): void {
  let own = model.mimeType;
  const follow = (): void => {
    if (model.mimeType !== PROSE) {
      own = model.mimeType;
    }
    const wanted = isQuestion(model.sharedModel.getSource()) ? PROSE : own;
    if (model.mimeType !== wanted) {
      model.mimeType = wanted;
    }
  };
  model.sharedModel.changed.connect(follow);
  model.mimeTypeChanged.connect(follow); // the kernel says its language late
  follow();
}

/** `%%codex` cells read as what they are: words, highlighted as Markdown, with no linter of code on them. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'codex-magic:prose',
  description: 'Shows %%codex cells as prose.',
  autoStart: true,
  requires: [IEditorExtensionRegistry],
  optional: [ITranslator, INotebookTracker],
  activate: (
    _,
    registry: IEditorExtensionRegistry,
    translator: ITranslator | null,
    tracker: INotebookTracker | null
  ) => {
    const trans = (translator ?? nullTranslator).load('codex_magic');
    const prose = proseExtension(trans.__('Ask Codex. Type @ to add a variable, a cell or a file.'));
    const marks = (model: CodeEditor.IModel): Extension =>
      mentionMarks(async (text): Promise<Mark[]> => {
        const panel = tracker?.find(each => each.content.widgets.some(cell => cell.model === model));
        const kernel = panel?.sessionContext.session?.kernel;
        const reply = kernel && (await request<MarksReply>(kernel, marksRequest(text)));
        return reply?.marks ?? [];
      });
    const followed = new WeakSet<CodeEditor.IModel>();
    registry.addExtension({
      name: 'codex-magic:prose',
      factory: ({ model }) => {
        if (!/^text\/x-(i?python|ipythongfm)$/.test(model.mimeType) && model.mimeType !== 'text/plain') {
          return null;
        }
        if (!followed.has(model)) {
          followed.add(model);
          followType(model);
        }
        return EditorExtensionRegistry.createImmutableExtension([prose, marks(model)]);
      }
    });
  }
};

export default plugin;
