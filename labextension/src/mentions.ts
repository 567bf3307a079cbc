import { NotebookActions } from '@jupyterlab/notebook';
import type { Extension, Text } from '@codemirror/state';
import { StateEffect, StateField } from '@codemirror/state';
import {
  Decoration,
  type DecorationSet,
  EditorView,
  ViewPlugin,
  type ViewUpdate,
  WidgetType
} from '@codemirror/view';

import { element } from './element';
import { wordsBegin } from './magic';
import type { Mark } from './protocol';

/** What is typed is looked at once the writer pauses. */
const PAUSE_MS = 300;

/** Says what to mark in the words of a question; nothing where no kernel knows. */
export type Marker = (words: string) => Promise<Mark[]>;

const setMarks = StateEffect.define<Mark[]>();
const setFocus = StateEffect.define<boolean>();

/** The sentences on mentions that name nothing, below the question. */
class Notes extends WidgetType {
  constructor(private readonly notes: string) {
    super();
  }

  override eq(other: Notes): boolean {
    return other.notes === this.notes;
  }

  toDOM(): HTMLElement {
    return element('div', { class: 'cdx-notes cdx-quietline' }, this.notes);
  }
}

function marked(marks: readonly Mark[]): DecorationSet {
  const made = marks.map(({ begin, end, note }) => {
    const about = note ? { class: 'cdx-at cdx-no', attributes: { title: note }, note } : { class: 'cdx-at' };
    return Decoration.mark(about).range(begin, end);
  });
  return Decoration.set(made, true);
}

const inMarks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update: (value, change) => {
    for (const effect of change.effects) {
      if (effect.is(setMarks)) {
        return marked(effect.value);
      }
    }
    return change.docChanged ? value.map(change.changes) : value;
  },
  provide: field => EditorView.decorations.from(field)
});

const hasFocus = StateField.define<boolean>({
  create: () => false,
  update: (value, change) => (change.effects.find(effect => effect.is(setFocus))?.value as boolean) ?? value
});

/** What is being typed is not complained of, as long as the cursor is in it. */
const inNotes = EditorView.decorations.compute([inMarks, hasFocus, 'selection', 'doc'], state => {
  const { head } = state.selection.main;
  const isTyping = state.field(hasFocus);
  const notes = new Set<string>();
  state.field(inMarks).between(0, state.doc.length, (from, to, { spec }) => {
    const { note } = spec as { note?: string };
    if (note && !(isTyping && from <= head && head <= to)) {
      notes.add(note);
    }
  });
  const widget = new Notes([...notes].join(' '));
  const place = Decoration.widget({ widget, side: 2, block: true }).range(state.doc.length);
  return notes.size ? Decoration.set([place]) : Decoration.none;
});

/** Marks the mentions of a question, and again when a cell has run: what they name may be there now. */
export function mentionMarks(marker: Marker): Extension {
  const plugin = ViewPlugin.fromClass(
    class {
      constructor(private readonly view: EditorView) {
        NotebookActions.executed.connect(this.schedule);
        this.schedule();
      }

      update(update: ViewUpdate): void {
        if (update.docChanged) {
          this.schedule();
        }
      }

      destroy(): void {
        window.clearTimeout(this.timer);
        NotebookActions.executed.disconnect(this.schedule);
      }

      private readonly schedule = (): void => {
        window.clearTimeout(this.timer);
        this.timer = window.setTimeout(() => void this.look(), PAUSE_MS);
      };

      private async look(): Promise<void> {
        const { doc } = this.view.state;
        const look = ++this.looks;
        const marks = await marksOf(doc, marker);
        const isMarked = this.view.state.field(inMarks).size > 0;
        // A kernel that is late must not take back what it has said since.
        if (look === this.looks && this.view.state.doc === doc && (marks.length || isMarked)) {
          this.view.dispatch({ effects: setMarks.of(marks) });
        }
      }

      private looks = 0;
      private timer = 0;
    }
  );
  return [
    inMarks,
    hasFocus,
    inNotes,
    plugin,
    EditorView.focusChangeEffect.of((_, focus) => setFocus.of(focus))
  ];
}

async function marksOf(doc: Text, marker: Marker): Promise<Mark[]> {
  const source = doc.toString();
  const from = wordsBegin(source);
  if (from < 0 || !/@|\{\{/.test(source)) {
    return [];
  }
  const marks = await marker(source.slice(from));
  return marks.map(mark => ({ ...mark, begin: mark.begin + from, end: mark.end + from }));
}
