import { Clipboard, Dialog, InputDialog } from '@jupyterlab/apputils';
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { isCodeCellModel } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { MimeModel } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { Menu, Widget } from '@lumino/widgets';
import * as React from 'react';

import { Cards } from './cards';
import { Chat } from './chat';
import { keepKeys } from './element';
import { Icon } from './glyph';
import type { Stroke } from './icon';
import { insist } from './link';
import { List } from './list';
import { outputsOf } from './notebook';
import { indexOf, insertAt, numberOf, runCell, show } from './place';
import {
  type ActReply,
  type Bundle,
  MIME,
  type PanelRequest,
  type Running,
  type SentReply,
  type SentTurn,
  type ThreadInfo,
  type TurnReply,
  type TurnRow,
  type TurnsReply,
  type Waiting,
  steerRequest,
  stopRequest
} from './protocol';
import { duration, itemsOf, titleOf } from './shelf';
import { Threads } from './threads';
import type { ICodexModel } from './tokens';

const h = React.createElement;

/** What the panel needs of its page. */
export interface IShelf {
  app: JupyterFrontEnd;
  model: ICodexModel;
  trans: TranslationBundle;
}

type View = { name: 'threads' } | { name: 'thread'; id: string } | ({ name: 'sent' } & SentTurn);

/** The panel: what waits and runs, all threads, one thread's turns, and a place to ask. It approves nothing. */
export class CodexPanel extends ReactWidget {
  constructor(private readonly shelf: IShelf) {
    super();
    this.addClass('cdx-panel');
    keepKeys(this.node);
    this.chat = new Chat(shelf.model);
    this.threads = new Threads(shelf.model);
    this.shown = shelf.model.panel;
    shelf.model.threadsChanged.connect(this.onThreads, this);
    shelf.model.changed.connect(this.onChanged, this);
    void this.threads.load();
  }

  /** Begin to sign in, by a code that any browser takes. */
  signIn(): void {
    void this.chat.run('%codex login device');
  }

  /** Show what a turn was sent with. */
  showSent(turn: SentTurn): void {
    this.go({ name: 'sent', ...turn });
  }

  private readonly go = (view: View): void => {
    this.view = view;
    this.update();
  };

  /** Another notebook has threads of its own. */
  private onChanged(): void {
    const { panel } = this.shelf.model;
    if (panel !== this.shown) {
      this.shown = panel;
      this.go({ name: 'threads' });
    }
  }

  protected override onActivateRequest(): void {
    void this.renderPromise?.then(this.goOn);
  }

  /** Go on by keys where somebody would: at what waits, else at the box to ask in, else at what is offered. */
  private readonly goOn = (): void => {
    const first = ['section .cdx-b', '.cdx-sent', 'textarea', '.cdx-b']
      .map(each => this.node.querySelector<HTMLElement>(each))
      .find(each => each !== null);
    first?.focus();
  };

  private onThreads(): void {
    if (this.isVisible) {
      void this.threads.load();
    }
  }

  protected override onAfterShow(): void {
    void this.threads.load();
  }

  protected render(): React.ReactElement {
    const { shelf, chat, threads } = this;
    return (
      <UseSignal signal={shelf.model.changed}>
        {() => (
          <Shelf
            {...shelf}
            chat={chat}
            threads={threads}
            node={this.node}
            view={this.view}
            go={this.go}
            signIn={() => this.signIn()}
            goOn={this.goOn}
          />
        )}
      </UseSignal>
    );
  }

  private readonly chat: Chat;
  private readonly threads: Threads;
  private view: View = { name: 'threads' };
  private shown: NotebookPanel | null;
}

type Props = IShelf & {
  chat: Chat;
  threads: Threads;
  node: HTMLElement;
  view: View;
  go(view: View): void;
  signIn(): void;
  goOn(): void;
};

function Shelf(props: Props): React.ReactElement {
  const { model, trans, chat, view, go } = props;
  const [problem, setProblem] = React.useState('');
  const { state, status } = model;
  // What has the focus goes when the kernel says something new, and takes it along.
  const hadFocus = props.node.contains(document.activeElement);
  React.useLayoutEffect(() => {
    if (hadFocus && !props.node.contains(document.activeElement)) {
      props.goOn();
    }
  });
  const act = async (content: PanelRequest): Promise<ActReply | null> => {
    const reply = await model.ask<ActReply>(content);
    setProblem(reply?.ok ? '' : (reply?.error ?? trans.__('The kernel did not answer. Try again.')));
    await model.refresh();
    await props.threads.load();
    return reply;
  };
  const startNew = async (): Promise<void> => {
    await act({ op: 'thread', act: 'new', thread: '' });
    go({ name: 'threads' });
  };
  if (state !== 'ready' || !status) {
    return (
      <>
        <Header title={trans.__('Codex')} />
        <NotReady {...props} />
      </>
    );
  }
  const ask = async (text: string): Promise<void> => {
    const id = status.thread;
    if (id) {
      go({ name: 'thread', id });
    }
    const isAnswer = await chat.ask(text);
    const now = model.status?.thread;
    if (now) {
      go({ name: 'thread', id: now });
    }
    if (isAnswer) {
      chat.clear(); // it is one of the thread's turns now
    }
  };
  const top = (
    <>
      {problem && (
        <p className="cdx-problem" role="alert">
          {problem}
        </p>
      )}
      {status.account.kind === 'none' && !chat.area && (
        <Empty title={trans.__('Not signed in')} reason={trans.__('Takes a one-time code and any browser.')}>
          <button type="button" className="cdx-b cdx-pri" onClick={() => props.signIn()}>
            {trans.__('Sign in')}
          </button>
        </Empty>
      )}
      <Waits {...props} />
      <Runs {...props} />
    </>
  );
  return (
    <>
      {view.name === 'threads' && (
        <ThreadsView
          {...props}
          act={act}
          top={top}
          open={id => go({ name: 'thread', id })}
          start={() => void startNew()}
          peek={() => go({ name: 'sent', thread: '', turn: '' })}
        />
      )}
      {view.name === 'thread' && <ThreadView {...props} key={view.id} id={view.id} act={act} top={top} />}
      {view.name === 'sent' && (
        <SentView {...props} {...view} top={top} back={() => go({ name: 'threads' })} />
      )}
      <UseSignal signal={chat.changed}>
        {() => (
          <>
            {chat.area && (
              <div className="cdx-live">
                <Hosted widget={chat.area} />
                <UseSignal signal={chat.area.model.changed}>
                  {() =>
                    chat.isRunning && !chat.area?.model.length ? (
                      <span className="cdx-quietline">{trans.__('Waiting for the kernel …')}</span>
                    ) : null
                  }
                </UseSignal>
                {!chat.isRunning && (
                  <button type="button" className="cdx-g" onClick={() => chat.clear()}>
                    {trans.__('Close')}
                  </button>
                )}
              </div>
            )}
            <Ask {...props} ask={text => void ask(text)} />
          </>
        )}
      </UseSignal>
    </>
  );
}

function Header({
  title,
  back,
  children
}: {
  title: string;
  back?: React.ReactNode;
  children?: React.ReactNode;
}): React.ReactElement {
  return (
    <div className="cdx-header">
      {back}
      <h3 title={title}>{title}</h3>
      {children}
    </div>
  );
}

function Tool({ icon, label, act }: { icon: Stroke; label: string; act(): void }): React.ReactElement {
  return (
    <button type="button" className="cdx-g" aria-label={label} title={label} onClick={() => act()}>
      <Icon name={icon} />
    </button>
  );
}

function Empty(props: { title: string; reason: string; children?: React.ReactNode }): React.ReactElement {
  return (
    <div className="cdx-empty">
      <b>{props.title}</b>
      <p>{props.reason}</p>
      {props.children}
    </div>
  );
}

/** Why there is nothing to show, and what to do about it. */
function NotReady({ app, model, trans }: Props): React.ReactElement {
  const [problem, setProblem] = React.useState('');
  const { panel, state } = model;
  const kernel = panel?.sessionContext.session?.kernel;
  React.useEffect(() => setProblem(''), [state]);
  const load = async (): Promise<void> => {
    const reply = await kernel?.requestExecute({ code: '%load_ext codex_magic', store_history: false }).done;
    if (reply?.content.status === 'error') {
      setProblem(reply.content.evalue);
    }
    await model.refresh();
  };
  const says = {
    none: [
      trans.__('No notebook is open'),
      trans.__('Threads belong to notebooks.'),
      trans.__('New notebook'),
      (): unknown => app.commands.execute('notebook:create-new')
    ],
    'no kernel': [
      trans.__('No kernel is running'),
      trans.__('Threads and answers come from the kernel.'),
      trans.__('Start kernel'),
      (): unknown => panel?.sessionContext.startKernel()
    ],
    unloaded: [
      trans.__('codex_magic is not loaded'),
      problem || trans.__('This notebook’s kernel has not loaded it.'),
      trans.__('Load it'),
      (): unknown => load()
    ],
    older: [
      trans.__('codex_magic is too old'),
      trans.__(
        'This kernel’s version does not fit the page. Update codex-magic there, then restart the kernel.'
      ),
      trans.__('Restart kernel'),
      (): unknown => app.commands.execute('notebook:restart-kernel')
    ],
    newer: [
      trans.__('The page is too old'),
      trans.__(
        'codex_magic in this kernel is newer. Reload the page, or update codex-magic where Jupyter is installed.'
      ),
      trans.__('Reload'),
      (): unknown => window.location.reload()
    ],
    asking: [
      trans.__('Waiting for the kernel'),
      trans.__('It has not answered yet.'),
      trans.__('Ask again'),
      (): unknown => model.refresh()
    ]
  } as const;
  const [title, reason, label, act] = says[state === 'ready' ? 'asking' : state];
  return (
    <Empty title={title} reason={reason}>
      <button type="button" className="cdx-b cdx-pri" onClick={() => void act()}>
        {label}
      </button>
    </Empty>
  );
}

/** The questions that wait. They are answered where all of them is shown, and never here. */
function Waits({ model, trans }: Props): React.ReactElement | null {
  const waiting = model.status?.waiting ?? [];
  if (!waiting.length) {
    return null;
  }
  return (
    <section aria-label={trans.__('Needs your approval')}>
      <h4>{trans.__('Needs your approval (%1)', waiting.length)}</h4>
      {waiting.map(each => (
        <div key={each.number} className="cdx-line">
          <Icon name="question" />
          <span className="cdx-t">
            <code>{each.about}</code>
            <span className="cdx-m">{each.title}</span>
          </span>
          <button
            type="button"
            className="cdx-b"
            aria-label={trans.__('Review: %1', each.title)}
            onClick={() => void review(model, each, trans)}
          >
            {trans.__('Review')}
          </button>
        </div>
      ))}
    </section>
  );
}

/** Go to the card of a question: below its answer, or in a dialog where no cell has that answer. */
async function review(model: ICodexModel, { id, number }: Waiting, trans: TranslationBundle): Promise<void> {
  const { panel } = model;
  const kernel = panel?.sessionContext.session?.kernel;
  const found = outputsOf(panel ?? undefined, id).next();
  if (panel && !found.done) {
    const index = indexOf(panel, found.value[0].id);
    await show(panel, index);
    const node = panel.content.widgets[index]?.node;
    for (let frames = 0; frames < 120 && node; frames++) {
      const title = node.querySelector<HTMLElement>('.jp-codex-card .jp-codex-title');
      if (title) {
        title.scrollIntoView({ block: 'center' });
        title.focus();
        return;
      }
      await new Promise(requestAnimationFrame);
    }
  }
  if (!kernel) {
    return;
  }
  const cards = new Cards(trans);
  const dialog = new Dialog({
    title: trans.__('Codex asks'),
    body: cards,
    buttons: [Dialog.cancelButton({ label: trans.__('Close') })]
  });
  const leave = (): void => {
    if (!model.status?.waiting.some(each => each.number === number)) {
      dialog.reject();
    }
  };
  cards.follow(kernel, id, true);
  model.changed.connect(leave);
  await dialog.launch();
  model.changed.disconnect(leave);
}

/** The turns that run, each with its stop, and a field for what is to be added. */
function Runs(props: Props): React.ReactElement | null {
  const { model, trans } = props;
  const running = model.status?.running ?? [];
  if (!running.length) {
    return null;
  }
  return (
    <section aria-label={trans.__('Running')}>
      <h4>{trans.__('Running (%1)', running.length)}</h4>
      {running.map(each => (
        <Run key={each.id} {...props} turn={each} />
      ))}
    </section>
  );
}

function Run({ model, trans, turn }: Props & { turn: Running }): React.ReactElement {
  const [words, setWords] = React.useState<string | null>(null);
  const [note, setNote] = React.useState('');
  const field = React.useRef<HTMLInputElement>(null);
  React.useEffect(() => field.current?.focus(), [words === null]);
  const kernel = model.panel?.sessionContext.session?.kernel;
  const stop = async (): Promise<void> => {
    setNote(trans.__('Stopping …'));
    const reply = kernel && (await insist(kernel, stopRequest(turn.id)));
    setNote(reply ? '' : trans.__('The kernel did not answer. Try again.'));
    await model.refresh();
  };
  const steer = async (event: React.FormEvent): Promise<void> => {
    event.preventDefault();
    if (!kernel || !words?.trim()) {
      return;
    }
    const reply = await insist(kernel, steerRequest(turn.id, words, crypto.randomUUID()));
    setWords(reply?.ok ? null : words);
    setNote(
      reply?.ok ? trans.__('Sent to the running answer.') : trans.__('This answer takes nothing more.')
    );
  };
  const where = cellWords(model.panel, turn.cell, trans).replace('[ ]', '[*]'); // as its prompt says
  return (
    <div className="cdx-line">
      <span className="cdx-dot cdx-runs" />
      <span className="cdx-t">
        <span>{turn.text}</span>
        <span className="cdx-m">{[where, note || duration(turn.seconds)].filter(Boolean).join(' · ')}</span>
        {words !== null && (
          <form onSubmit={event => void steer(event)}>
            <input
              ref={field}
              className="cdx-in"
              aria-label={trans.__('Add to the running answer')}
              value={words}
              onChange={event => setWords(event.target.value)}
              onKeyDown={event => event.key === 'Escape' && setWords(null)}
            />
          </form>
        )}
      </span>
      <Tool icon="steer" label={trans.__('Steer')} act={() => setWords(words === null ? '' : null)} />
      <Tool icon="stop" label={trans.__('Stop')} act={() => void stop()} />
    </div>
  );
}

/** `cell [7]`, as the notebook shows it; nothing where that cell is not in it. */
function cellWords(panel: NotebookPanel | null, id: string | null, trans: TranslationBundle): string {
  const cell = id === null ? undefined : panel?.content.widgets.find(({ model }) => model.id === id);
  return cell ? trans.__('cell %1', numberOf(cell.model)) : '';
}

type Act = (content: PanelRequest) => Promise<ActReply | null>;

type ThreadsProps = Props & {
  act: Act;
  top: React.ReactNode;
  open(id: string): void;
  start(): void;
  peek(): void;
};

function ThreadsView(props: ThreadsProps): React.ReactElement {
  const { model, trans, threads, act, top, open, start, peek } = props;
  const [words, setWords] = React.useState('');
  const find = (search: string): void => {
    setWords(search);
    void threads.find(search);
  };
  return (
    <>
      <Header title={trans.__('Codex')}>
        <Tool icon="sent" label={trans.__('What was sent last')} act={peek} />
        <Tool icon="add" label={trans.__('New thread')} act={start} />
      </Header>
      {top}
      <div className="cdx-sr">
        <input
          className="cdx-in"
          type="search"
          aria-label={trans.__('Search threads')}
          placeholder={trans.__('Search threads')}
          value={words}
          onChange={event => find(event.target.value)}
        />
      </div>
      <UseSignal signal={threads.changed}>
        {() => {
          const { here, others, search, archived, isPart } = threads;
          const number = `${others.length}${isPart ? '+' : ''}`;
          const results = number === '1' ? trans.__('1 result') : trans.__('%1 results', number);
          const rest = here.length ? trans.__('Other notebooks') : trans.__('All notebooks');
          const titles = { here: trans.__('This notebook'), others: search.trim() ? results : rest };
          if (!threads.isLoaded) {
            return <div className="cdx-list" />;
          }
          if (!here.length && !others.length) {
            return (
              <div className="cdx-list">
                {search.trim() ? (
                  <Empty
                    title={trans.__('No thread contains “%1”', search.trim())}
                    reason={
                      archived
                        ? trans.__('Archived threads were searched too.')
                        : trans.__('Archived threads are not searched.')
                    }
                  >
                    {!archived && (
                      <button type="button" className="cdx-b" onClick={() => void threads.find(search, true)}>
                        {trans.__('Search archived too')}
                      </button>
                    )}
                  </Empty>
                ) : (
                  <Empty
                    title={trans.__('No threads yet')}
                    reason={trans.__('Start a cell with %1, or ask below.', '%%codex')}
                  />
                )}
              </div>
            );
          }
          return (
            <Rows
              {...{ here, others, titles, search, trans, act, open, threads }}
              current={model.status?.thread ?? null}
            />
          );
        }}
      </UseSignal>
    </>
  );
}

type RowsProps = Pick<Threads, 'here' | 'others' | 'search'> & {
  titles: { here: string; others: string };
  trans: TranslationBundle;
  current: string | null;
  act: Act;
  open(id: string): void;
  threads: Threads;
};

function Rows({
  here,
  others,
  titles,
  search,
  trans,
  current,
  act,
  open,
  threads
}: RowsProps): React.ReactElement {
  const items = React.useMemo(
    () => itemsOf(here, others, titles),
    [here, others, titles.here, titles.others]
  );
  return (
    <List
      {...{ items, trans, current, search }}
      open={({ id }) => open(id)}
      menu={(thread, button) => showMenu({ thread, current, trans, act }, button)}
      more={() => void threads.more()}
    />
  );
}

type OfThread = { thread: ThreadInfo; current: string | null; trans: TranslationBundle; act: Act };

/** Offer what can be done to a thread, below a button, which has the focus again afterwards. */
function showMenu({ thread, current, trans, act }: OfThread, button: HTMLElement): void {
  const commands = new CommandRegistry();
  const menu = new Menu({ commands });
  const { id } = thread;
  const add = (label: string, execute: () => unknown): void => {
    commands.addCommand(label, { label, execute, describedBy: { args: { type: 'object', properties: {} } } });
    menu.addItem({ command: label });
  };
  if (id !== current) {
    add(trans.__('Continue Here'), () => act({ op: 'thread', act: 'resume', thread: id }));
  }
  add(trans.__('Fork'), () => act({ op: 'thread', act: 'fork', thread: id, turn: null }));
  add(trans.__('Rename …'), () => rename(thread, trans, act));
  if (thread.archived) {
    add(trans.__('Unarchive'), () => act({ op: 'thread', act: 'unarchive', thread: id }));
  } else {
    add(trans.__('Archive'), () => act({ op: 'thread', act: 'archive', thread: id }));
  }
  menu.aboutToClose.connect(() => {
    button.focus();
    window.setTimeout(() => menu.dispose());
  });
  const { left, bottom } = button.getBoundingClientRect();
  menu.open(left, bottom);
}

async function rename(thread: ThreadInfo, trans: TranslationBundle, act: Act): Promise<void> {
  const { value } = await InputDialog.getText({
    title: trans.__('Rename thread'),
    label: trans.__('Name'),
    text: titleOf(thread, trans),
    okLabel: trans.__('Rename')
  });
  if (value?.trim()) {
    await act({ op: 'thread', act: 'rename', thread: thread.id, name: value });
  }
}

/** One thread: its turns, what was forked at each, and what can be done with them. */
type ThreadProps = Props & { id: string; act: Act; top: React.ReactNode };

function ThreadView(props: ThreadProps): React.ReactElement {
  const { model, trans, id, act, top, go } = props;
  const [reply, setReply] = React.useState<TurnsReply | null>(null);
  const [earlier, setEarlier] = React.useState<TurnRow[]>([]);
  const end = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    let isHere = true;
    const load = async (): Promise<void> => {
      const turns = await model.ask<TurnsReply>({ op: 'turns', thread: id, before: null });
      if (isHere) {
        setReply(turns);
        end.current?.scrollIntoView({ block: 'end' });
      }
    };
    const again = (): void => void load();
    model.threadsChanged.connect(again);
    void load();
    return () => {
      isHere = false;
      model.threadsChanged.disconnect(again);
    };
  }, [id]);
  const back = <Tool icon="back" label={trans.__('Back to threads')} act={() => go({ name: 'threads' })} />;
  const { thread, turns: latest = [] } = reply ?? {};
  if (!reply?.ok || !thread) {
    return (
      <>
        <Header title={reply?.error ?? ''} back={back} />
        {top}
        <div className="cdx-list" />
      </>
    );
  }
  const turns = [...earlier, ...latest];
  const current = model.status?.thread ?? null;
  const more = async (): Promise<void> => {
    const before = turns[0]?.position ?? null;
    const page = await model.ask<TurnsReply>({ op: 'turns', thread: id, before });
    setEarlier([...(page?.turns ?? []), ...earlier]);
    setReply({ ...reply, more: page?.more ?? false });
  };
  const doAndGo = async (content: PanelRequest): Promise<void> => {
    const done = await act(content);
    if (done?.thread) {
      go({ name: 'thread', id: done.thread });
    }
  };
  return (
    <>
      <Header title={titleOf(thread, trans)} back={back}>
        {id !== current && (
          <button
            type="button"
            className="cdx-g"
            onClick={() => void act({ op: 'thread', act: 'resume', thread: id })}
          >
            {trans.__('Continue here')}
          </button>
        )}
        <Tool
          icon="fork"
          label={trans.__('Fork')}
          act={() => void doAndGo({ op: 'thread', act: 'fork', thread: id, turn: null })}
        />
        <button
          type="button"
          className="cdx-g"
          aria-label={trans.__('Rename, archive')}
          title={trans.__('Rename, archive')}
          onClick={event => showMenu({ thread, current, trans, act }, event.currentTarget)}
        >
          <Icon name="more" />
        </button>
      </Header>
      {top}
      <div className="cdx-list" tabIndex={0} role="region" aria-label={trans.__('Turns')}>
        {thread.forked_from && (
          <button
            type="button"
            className="cdx-lnk"
            onClick={() => go({ name: 'thread', id: thread.forked_from ?? '' })}
          >
            {trans.__('Forked from another thread at turn %1', thread.forked_at ?? 0)}
          </button>
        )}
        {reply.more && (
          <button type="button" className="cdx-g" onClick={() => void more()}>
            {trans.__('Earlier turns')}
          </button>
        )}
        {turns.map((turn, index) => (
          <Turn
            key={turn.id}
            {...props}
            turn={turn}
            isLast={index === turns.length - 1}
            fork={() => void doAndGo({ op: 'thread', act: 'fork', thread: id, turn: turn.id })}
            open={fork => go({ name: 'thread', id: fork })}
          />
        ))}
        {!turns.length && (
          <Empty
            title={trans.__('This thread is empty')}
            reason={trans.__('Start a cell with %1, or ask below.', '%%codex')}
          />
        )}
        <div ref={end} />
      </div>
    </>
  );
}

type TurnProps = Props & {
  id: string;
  turn: TurnRow;
  isLast: boolean;
  fork(): void;
  open(fork: string): void;
};

/** Return what has become of a turn, unless it ended as it should. */
function stateWords(state: string, trans: TranslationBundle): string {
  switch (state) {
    case 'completed':
      return '';
    case 'interrupted':
      return trans.__('Interrupted');
    case 'failed':
      return trans.__('Failed');
    case 'inProgress':
      return trans.__('Running');
    default:
      return state;
  }
}

function Turn({ model, trans, id, turn, isLast, fork, open }: TurnProps): React.ReactElement {
  const [shown, setShown] = React.useState<TurnReply | null>(null);
  const { panel } = model;
  const expand = async (): Promise<TurnReply | null> => {
    const reply = await model.ask<TurnReply>({ op: 'turn', thread: id, turn: turn.id });
    setShown(reply);
    return reply;
  };
  React.useEffect(() => {
    if (turn.running === null && (isLast || shown)) {
      void expand();
    }
  }, [turn.state]);
  const where = cellWords(panel, turn.cell, trans);
  const goToCell = (): void => {
    if (panel && turn.cell !== null) {
      void show(panel, indexOf(panel, turn.cell));
    }
  };
  const text = async (): Promise<string> => {
    const { bundle } = shown ?? (await expand()) ?? {};
    const markdown = bundle?.['text/markdown'];
    return typeof markdown === 'string' ? markdown : '';
  };
  const toCell = async (): Promise<void> => {
    const markdown = await text();
    if (panel) {
      insertAt(panel, panel.content.activeCellIndex + 1, markdown, 'markdown');
    }
  };
  const state = stateWords(turn.state, trans);
  const times = turn.versions > 1 ? trans.__('asked %1 times', turn.versions) : '';
  return (
    <article className="cdx-turn">
      <div className="cdx-you">{shown?.question || turn.question}</div>
      {shown?.bundle && panel ? (
        <Answer bundle={shown.bundle} panel={panel} />
      ) : (
        turn.answer && (
          <button
            type="button"
            className="cdx-head"
            onClick={() => void expand()}
            title={trans.__('Show all of it')}
          >
            {turn.answer}
          </button>
        )
      )}
      <div className="cdx-foot">
        {turn.running === null && (
          <>
            <button type="button" className="cdx-g" onClick={() => void toCell()}>
              <Icon name="insert" />
              {trans.__('To a cell')}
            </button>
            <button
              type="button"
              className="cdx-g"
              onClick={() => void text().then(markdown => Clipboard.copyToSystem(markdown))}
            >
              <Icon name="copy" />
              {trans.__('Copy')}
            </button>
            <button type="button" className="cdx-g" onClick={fork}>
              <Icon name="fork" />
              {trans.__('Fork here')}
            </button>
          </>
        )}
        {where && (
          <button type="button" className="cdx-lnk" onClick={goToCell}>
            {where}
          </button>
        )}
        <span className="cdx-quietline">{[state, times].filter(Boolean).join(' · ')}</span>
      </div>
      {turn.forks.map(each => (
        <button key={each.id} type="button" className="cdx-row cdx-fork" onClick={() => open(each.id)}>
          <Icon name="fork" />
          <span className="cdx-t">
            <span>{titleOf(each, trans)}</span>
          </span>
        </button>
      ))}
    </article>
  );
}

/** An answer as its output in the notebook would be drawn. */
function Answer({ bundle, panel }: { bundle: Bundle; panel: NotebookPanel }): React.ReactElement {
  const widget = React.useMemo(() => {
    const renderer = panel.content.rendermime.createRenderer(MIME);
    void renderer.renderModel(new MimeModel({ trusted: true, data: bundle as MimeModel.IOptions['data'] }));
    return renderer;
  }, [bundle]);
  React.useEffect(() => () => widget.dispose(), [widget]);
  return <Hosted widget={widget} />;
}

/** A Lumino widget in a React tree; whoever made it disposes of it. */
function Hosted({ widget }: { widget: Widget }): React.ReactElement {
  const host = React.useRef<HTMLDivElement>(null);
  React.useLayoutEffect(() => {
    if (host.current && !widget.isDisposed) {
      Widget.attach(widget, host.current);
    }
    return () => {
      if (widget.isAttached) {
        Widget.detach(widget);
      }
    };
  }, [widget]);
  return <div className="cdx-hosted" ref={host} />;
}

type SentProps = Props & SentTurn & { top: React.ReactNode; back(): void };

/** What a question was sent with: that of an answer, or the last one. */
function SentView({ model, trans, top, back, thread, turn }: SentProps): React.ReactElement {
  const [sent, setSent] = React.useState<SentReply | null>(null);
  const list = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    let isHere = true;
    setSent(null);
    list.current?.focus();
    void model.ask<SentReply>({ op: 'sent', thread, turn }).then(reply => {
      if (isHere) {
        setSent(reply ?? { ok: false, error: trans.__('The kernel did not answer. Try again.') });
      }
    });
    return () => {
      isHere = false;
    };
  }, [thread, turn]);
  const { rows = [], texts = [], whole = true, error } = sent ?? {};
  const title = turn ? trans.__('Sent with this answer') : trans.__('What was sent last');
  const why = turn
    ? [
        trans.__('Not known any more'),
        trans.__(
          'Neither this kernel nor its store has this question. It was asked on another computer, or in a conversation that was not saved.'
        )
      ]
    : [trans.__('Nothing was sent yet'), trans.__('This kernel has asked nothing since it started.')];
  const [name = '', reason = ''] = error === undefined ? why : [trans.__('Not shown'), error];
  return (
    <>
      <Header title={title} back={<Tool icon="back" label={trans.__('Back to threads')} act={back} />} />
      {top}
      <div ref={list} className="cdx-list cdx-sent" tabIndex={0} role="region" aria-label={title}>
        {sent && !rows.length && (
          <Empty title={name} reason={reason}>
            <button type="button" className="cdx-b" onClick={back}>
              {trans.__('Back to threads')}
            </button>
          </Empty>
        )}
        {rows.length > 0 && (
          <table>
            <thead>
              <tr>
                <th>{trans.__('Part')}</th>
                <th>{trans.__('Tokens')}</th>
                <th>{trans.__('About')}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map(([part, tokens, about]) => (
                <tr key={part}>
                  <td>{part}</td>
                  <td>{tokens}</td>
                  <td>{about}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {!whole && rows.length > 0 && (
          <p className="cdx-quietline">
            {trans.__('From the store, as it was sent. Instructions and tools are not kept there.')}
          </p>
        )}
        {texts
          .filter(([, text]) => text)
          .map(([name, text]) => (
            <details key={name}>
              <summary>{name}</summary>
              <pre tabIndex={0}>{text}</pre>
            </details>
          ))}
      </div>
    </>
  );
}

/** The box in which the notebook's thread is asked, or a cell is made of the question. */
function Ask({ model, trans, chat, ask }: Props & { ask(text: string): void }): React.ReactElement {
  const [words, setWords] = React.useState('');
  const { status, panel } = model;
  const text = words.trim();
  const send = (): void => {
    if (text && !chat.isRunning) {
      setWords('');
      ask(text);
    }
  };
  const sendAsCell = (): void => {
    if (!text || !panel) {
      return;
    }
    setWords('');
    const cell = insertAt(panel, panel.content.activeCellIndex + 1, `%%codex\n${text}`);
    if (cell && isCodeCellModel(cell.model)) {
      void runCell(panel, cell);
    }
  };
  return (
    <div className="cdx-chat">
      <div className="cdx-bx">
        <textarea
          aria-label={trans.__('Ask Codex')}
          placeholder={trans.__('Ask in this thread')}
          value={words}
          onChange={event => setWords(event.target.value)}
          onKeyDown={event => {
            if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
              event.preventDefault();
              send();
            }
          }}
        />
        <div className="cdx-lo">
          <span className="cdx-quietline">{[status?.model, status?.effort].filter(Boolean).join(' · ')}</span>
          <Tool icon="insert" label={trans.__('Send as a cell')} act={sendAsCell} />
          <button
            type="button"
            className="cdx-b cdx-pri"
            aria-label={trans.__('Send')}
            title={trans.__('Send')}
            disabled={!text || chat.isRunning}
            onClick={send}
          >
            <Icon name="send" />
          </button>
        </div>
      </div>
    </div>
  );
}
