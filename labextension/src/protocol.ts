/** The shapes that page and kernel exchange over the control channel; `fixtures/` holds one of each. Pure. */

/** Raised with every change that the other side must know. */
export const PROTOCOL = 1;

/** The types of the messages, and of their replies. */
export const REQUEST = 'codex_request';
export const REPLY = 'codex_reply';

/** Characters of sources in one message: the nearest cells above the running one come first, then those below. */
const MOST_CHARS = 200_000;

/** The same where it is sent with each pause of whoever types. */
const MOST_NEAR_CHARS = 20_000;

/** Answers that are told of in one message, those of the nearest cells. */
const MOST_TURNS = 1000;

/** A cell as it stands in the page, saved or not. */
export type PageCell = {
  id: string;
  kind: 'code' | 'markdown' | 'raw';
  /** Left out where it would be too much. */
  source?: string;
  /** The turns whose answers stand in its outputs: they tell a cell that was cut and pasted from one that is gone. */
  turns?: string[];
};

/** What a cell that asks Codex says of its notebook. */
export type RunRequest = {
  op: 'run';
  protocol: number;
  /** The id of the cell that runs. */
  cell: string;
  /** Below the server's folder. */
  path: string;
  /** The id in the notebook's metadata. */
  notebook: string | null;
  /** Who sends the cell to the kernel. */
  executor: 'browser' | 'server';
  /** Whether it is one of several cells that were run in one go. */
  together: boolean;
  /** Tells this run from others of the cell: one that is sent twice counts once. */
  once: string;
  /** All of the notebook's, in its order. */
  cells: PageCell[];
  /** The text selected in the cell that was active last. */
  selection: string;
  /** What came of the cells that ran since the page restarted the kernel for Codex, to be told to it. */
  restarted?: Ran[];
};

/** What a page says of a notebook besides its cells. */
export type About = Pick<RunRequest, 'path' | 'notebook' | 'executor' | 'selection'>;

/** A cell that is to run, unless it holds something else than `source` by then. `name`: as Codex knows it. */
export type Step = { cell: string; name: string; source: string };

/** `changed`: it held something else; `none`: it did not run, or is gone. `text`: of the error. */
export type Ran = { name: string; outcome: 'ran' | 'failed' | 'changed' | 'none'; text: string };

/** Asks for an answer as it is so far, and to hear the rest. */
export type AttachRequest = { op: 'attach'; protocol: number; id: string };

/** Asks which answers no page is known to have whole. */
export type AnswersRequest = { op: 'answers'; protocol: number };

/** Says that the notebook has the whole of an answer. */
export type KeptRequest = { op: 'kept'; protocol: number; id: string };

/** An output as it stands in the notebook file. */
export type Bundle = Record<string, unknown>;

/** The type of the facts of an answer, beside its texts. */
export const MIME = 'application/vnd.codex-magic.v1+json';

/** Asks what the turn of an answer wants to know; what is returned counts as shown. */
export type ApprovalsRequest = { op: 'approvals'; protocol: number; id: string };

/** Answers the question of exactly this id; the same answer once more changes nothing. */
export type DecideRequest = {
  op: 'decide';
  protocol: number;
  question: string;
  choice: string;
  /** What Codex should do instead, where the choice takes that. */
  reason: string;
};

/** Stops the turn of an answer. */
export type StopRequest = { op: 'stop'; protocol: number; id: string };

/** Adds to the question of a turn; one with the same `once` is taken once. */
export type SteerRequest = { op: 'steer'; protocol: number; id: string; text: string; once: string };

/** Asks for an errand, for a page that says with `once` which it is: the first that asks has it. */
export type ErrandRequest = { op: 'errand'; protocol: number; id: string; once: string };

/** What to do in the notebook. A cell that holds something else than `base` by now is left alone. */
export type Work =
  | { kind: 'look'; runs?: boolean }
  | { kind: 'interrupt'; runs?: boolean }
  /** To be done when it is told to go: then `code` continues the answer in its cell. */
  | { kind: 'restart'; cell: string; steps: Step[]; code: string; runs?: boolean }
  | { kind: 'add'; text: string; cell_type: 'code' | 'markdown'; below: string; runs: boolean }
  | { kind: 'edit'; cell: string; base: string; text: string; runs: boolean }
  | { kind: 'run'; cell: string; base: string; runs: boolean }
  | { kind: 'move'; cell: string; base: string; below: string; runs: boolean }
  | { kind: 'delete'; cell: string; base: string; runs: boolean };

export type ErrandReply = Reply & { work?: Work };

/** `conflict`: the cell holds something else; `gone`: there is none; `refused`: this page can't. */
export type Outcome = 'done' | 'conflict' | 'gone' | 'refused';

/** Says what became of an errand: of its cell, and how the cells stand now. */
export type ErrandDoneRequest = {
  op: 'errand_done';
  protocol: number;
  id: string;
  once: string;
  outcome: Outcome;
  cell: string;
  source: string;
  path: string;
  cells: PageCell[];
};

/** Asks what to mark in the words of a question. */
export type MarksRequest = { op: 'marks'; protocol: number; text: string };

/** A mention, in UTF-16 units of the text; `note` says what is wrong with one that names nothing. */
export type Mark = { begin: number; end: number; note: string | null };

export type MarksReply = Reply & { marks?: Mark[] };

/** Asks whether this run of a cell failed in the kernel. */
export type FailureRequest = { op: 'failure'; protocol: number; cell: string; number: number };

/** `last`: no other has failed since; `null`: the kernel knows nothing of it. */
export type FailureReply = Reply & { failure?: 'last' | 'earlier' | null };

/** What the panel and the status bar ask and do; only the kernel knows it. */
export type PanelRequest =
  | { op: 'status' | 'usage' | 'models' | 'sign-out' }
  | ({ op: 'sent' } & SentTurn)
  /** Empty stands for the default. */
  | { op: 'choose'; model: string; effort: string }
  /** This notebook's threads, or a page of all. */
  | { op: 'threads'; here: boolean; search: string; archived: boolean; cursor: string | null; limit: number }
  /** A thread's last turns, or those before a position. */
  | { op: 'turns'; thread: string; before: number | null }
  | { op: 'turn'; thread: string; turn: string }
  | { op: 'thread'; act: 'new' | 'resume' | 'archive' | 'unarchive'; thread: string }
  | { op: 'thread'; act: 'rename'; thread: string; name: string }
  | { op: 'thread'; act: 'fork'; thread: string; turn: string | null };

/** A turn, which the id of its answer names too while that is written; both empty for the last one. */
export type SentTurn = { thread: string; turn: string };

/** Says what the notebook holds, before anything is asked of it. */
export type HereRequest = Omit<RunRequest, 'op'> & { op: 'here' };

/** Asks how the code at a cursor may continue; the answer is a `Suggestion` of the same id. */
export type SuggestRequest = {
  op: 'suggest';
  protocol: number;
  id: string;
  /** The id of the cell with the cursor, the last one of `cells`. */
  cell: string;
  before: string;
  after: string;
  cells: PageCell[];
  /** Empty: a small one that the kernel chooses. */
  model: string;
  /** Tokens that suggestions may cost in a day. */
  budget: number;
};

/** Closes a request for a suggestion that nobody wants any more. */
export type DropRequest = { op: 'drop'; protocol: number; id: string };

/** Brings a part of an output that somebody marked, before a question names it as `@region:ID`. */
export type RegionRequest = {
  op: 'region';
  protocol: number;
  id: string;
  /** The cell with the output. */
  cell: string;
  /** A data URL, or nothing. */
  picture: string;
  /** What is written there; of a table the rows, with tabs between. */
  text: string;
};

export type Request =
  | (PanelRequest & { protocol: number })
  | HereRequest
  | RunRequest
  | RegionRequest
  | SuggestRequest
  | DropRequest
  | AttachRequest
  | AnswersRequest
  | KeptRequest
  | ApprovalsRequest
  | DecideRequest
  | StopRequest
  | SteerRequest
  | ErrandRequest
  | ErrandDoneRequest
  | MarksRequest
  | FailureRequest;

/** One of the answers to a question. Those of the side `more` are one fold away. */
export type Choice = {
  key: string;
  label: string;
  /** What its key does, in a word or two. */
  short: string;
  side: 'no' | 'yes' | 'more';
  reason: boolean;
};

/** Text that would take effect as it stands; what is not seen is written as `[U+202E]`. */
export type Passage = { title: string; text: string; language: string; hint: string };

/** A change of a cell that held `base`: `new` in the place of `old`, which makes it `text`. */
export type CellChange = { cell: string; base: string; text: string; old: string; new: string };

/** A question, of whatever kind: all texts come from the kernel, and none of them is Markdown or HTML. */
export type Card = {
  question: string;
  number: number;
  title: string;
  passages: Passage[];
  facts: [string, string][];
  /** Pictures that code made when it was tried, as `data:` addresses. */
  images: string[];
  choices: Choice[];
  /** How many questions of this answer wait, with this one. */
  waiting: number;
  /** The title of the next one, or nothing. */
  following: string;
  /** Where a cell would be changed: what is compared with it as it stands in the page. */
  edit?: CellChange;
};

/** What of the facts matters here. */
export type Facts = { id?: string; state?: string; thread?: string; turn?: string };

/** What the kernel answers. `error`, `hint`: why it refuses, for people. */
export type Reply = { ok: boolean; protocol?: number; version?: string; error?: string; hint?: string };

/** How a kernel differs that speaks another version of the messages than this page; `null`: it speaks ours, or none. */
export function misfit({ protocol = PROTOCOL }: Reply): 'older' | 'newer' | null {
  return protocol === PROTOCOL ? null : protocol < PROTOCOL ? 'older' : 'newer';
}

/** How a provider is signed in to. */
export type Account = { kind: 'chatgpt' | 'key' | 'local' | 'other' | 'none'; text: string };

/** A window of the plan: percent left, and when it begins anew, in words. */
export type Limit = { name: string; left: number; resets: string };

/** A turn that runs; `id` is its answer's. */
export type Running = {
  id: string;
  text: string;
  cell: string | null;
  number: number;
  thread: string | null;
  turn: string | null;
  seconds: number;
};

/** A question that waits below the answer of this id. */
export type Waiting = { id: string; number: number; title: string; about: string; cell: string | null };

export type Status = {
  account: Account;
  problem: string;
  provider: string;
  /** Empty where only the service knows its default. */
  model: string;
  effort: string;
  engine: string;
  /** The one that stops you first in front. */
  limits: Limit[];
  thread: string | null;
  notebook: string | null;
  /** The number of the turn that began last: it tells of turns that begin and end between two looks. */
  newest: number;
  running: Running[];
  waiting: Waiting[];
};

export type StatusReply = Reply & Partial<Status>;

export type ModelsReply = Reply & { models?: { name: string; efforts: string[]; effort: string }[] };

/** A thread in a list. `used`: Unix seconds; `forked_at`: the number of the last turn that it shares. */
export type ThreadInfo = {
  id: string;
  name: string;
  about: string;
  used: number;
  archived: boolean;
  forked_from: string | null;
  forked_at: number | null;
};

export type ThreadRow = ThreadInfo & { turns: number; notebook: string };

export type ThreadsReply = Reply & { threads?: ThreadRow[]; cursor?: string | null; current?: string | null };

/** A turn in the tree. `running`: the id of its answer while it runs; `versions`: how often it was asked. */
export type TurnRow = {
  id: string;
  position: number;
  question: string;
  answer: string;
  state: string;
  cell: string | null;
  running: string | null;
  versions: number;
  forks: ThreadInfo[];
};

export type TurnsReply = Reply & { thread?: ThreadInfo; turns?: TurnRow[]; more?: boolean };

export type TurnReply = Reply & { bundle?: Bundle; question?: string };

/** Which thread is the notebook's now. */
export type ActReply = Reply & { thread?: string };

/** The parts of a request: their sizes, and their texts. `whole`: with what only its own kernel knows. */
export type SentReply = Reply & { rows?: string[][]; texts?: [string, string][]; whole?: boolean };

/** What it answers when it is asked for answers. */
export type AnswersReply = Reply & { answers?: { id: string; cell: string }[] };

/** What it answers to an attach: `bundle` once the answer is over, before that the text after piece `n`. */
export type AttachReply = Reply & {
  cell?: string | null;
  /** Whose cell it is: the output comes to that page by itself. */
  client?: string | null;
  n?: number;
  text?: string;
  bundle?: Bundle | null;
  asks?: boolean;
  notebook?: string | null;
};

/** What it answers to `approvals`: the question that waits longest. */
export type ApprovalsReply = Reply & { card?: Card | null };

/** What it answers to a decision: whether that is the one that holds. */
export type DecideReply = Reply & { holds?: boolean };

/** The type of the messages that bring the rest. */
export const DELTA = 'codex_delta';

/**
 * A piece of an answer, or its end. From `o` on, in UTF-16 units, the text is now `t`. `asks`: whether its turn asks
 * something now, which may be another question than before.
 */
export type Delta = {
  id: string;
  n: number;
  o?: number;
  t?: string;
  asks?: boolean;
  /** The id of something to do in the notebook, for the first page that asks for it. */
  errand?: string;
  /** The id of the errand whose cell has run to its end. */
  ran?: string;
  failed?: boolean;
  /** The id of the errand that is to be done now: the answer that wanted it is kept as far as it came. */
  go?: string;
  /** The end; `null` where the output has just brought it, and whoever lacks it attaches. */
  bundle?: Bundle | null;
  /** With the end: the id for the notebook's metadata. */
  notebook?: string | null;
};

/** The type of the message that comes when the kernel begins to read ours. */
export const READY = 'codex_ready';

/** The type of the messages that bring suggestions. */
export const SUGGESTION = 'codex_suggestion';

/** Text to insert at the cursor, empty where nothing fits. */
export type Suggestion = {
  id: string;
  text: string;
  /** `spent`: the budget of the day is. */
  state: 'ready' | 'spent' | 'failed';
  /** What failed, in words. */
  note: string;
  /** Tokens of this day so far. */
  spent: number;
};

/** Of the notebook's metadata; the kernel reads it in the file. */
export const METADATA = 'codex_magic';

export function answersRequest(): AnswersRequest {
  return { op: 'answers', protocol: PROTOCOL };
}

export function keptRequest(id: string): KeptRequest {
  return { op: 'kept', protocol: PROTOCOL, id };
}

export function approvalsRequest(id: string): ApprovalsRequest {
  return { op: 'approvals', protocol: PROTOCOL, id };
}

export function decideRequest(question: string, choice: string, reason: string): DecideRequest {
  return { op: 'decide', protocol: PROTOCOL, question, choice, reason };
}

export function stopRequest(id: string): StopRequest {
  return { op: 'stop', protocol: PROTOCOL, id };
}

export function steerRequest(id: string, text: string, once: string): SteerRequest {
  return { op: 'steer', protocol: PROTOCOL, id, text, once };
}

export function errandRequest(id: string, once: string): ErrandRequest {
  return { op: 'errand', protocol: PROTOCOL, id, once };
}

export function marksRequest(text: string): MarksRequest {
  return { op: 'marks', protocol: PROTOCOL, text };
}

export function failureRequest(cell: string, number: number): FailureRequest {
  return { op: 'failure', protocol: PROTOCOL, cell, number };
}

export function panelRequest(content: PanelRequest): PanelRequest & { protocol: number } {
  return { ...content, protocol: PROTOCOL };
}

/** Return what there is to say of the notebook while nothing runs in it. */
export function hereRequest(cells: readonly (PageCell & { source: string })[], about: About): HereRequest {
  return { ...runRequest(cells, cells.length - 1, about), op: 'here', cell: '' };
}

export function suggestRequest(
  cells: readonly (PageCell & { source: string })[],
  about: Pick<SuggestRequest, 'id' | 'before' | 'after' | 'model' | 'budget'>
): SuggestRequest {
  const { id, before, after, model, budget } = about;
  const index = cells.length - 1;
  const place = {
    cell: cells[index]?.id ?? '',
    before,
    after,
    cells: nearest(cells, index, MOST_NEAR_CHARS)
  };
  return { op: 'suggest', protocol: PROTOCOL, id, ...place, model, budget };
}

/** Characters of a region's text; the kernel cuts it by its tokens. */
const MOST_REGION_CHARS = 20_000;

export function regionRequest(about: Pick<RegionRequest, 'id' | 'cell' | 'picture' | 'text'>): RegionRequest {
  const { id, cell, picture, text } = about;
  return { op: 'region', protocol: PROTOCOL, id, cell, picture, text: text.slice(0, MOST_REGION_CHARS) };
}

/** Return the ids of the regions that a question names. */
export function regionsIn(question: string): string[] {
  return [...question.matchAll(/@region:([\w-]+)/g)].map(([, id = '']) => id);
}

export function dropRequest(id: string): DropRequest {
  return { op: 'drop', protocol: PROTOCOL, id };
}

/** Return the cells, with the sources and turns of those nearest to the one at `index`. */
function nearest(
  cells: readonly (PageCell & { source: string })[],
  index: number,
  chars: number
): PageCell[] {
  let left = chars;
  let turnsLeft = MOST_TURNS;
  const told = new Map<number, Pick<PageCell, 'source' | 'turns'>>();
  const places = [...cells.keys()];
  for (const at of [...places.slice(0, index + 1).reverse(), ...places.slice(index + 1)]) {
    const { source = '', turns = [] } = cells[at] ?? {};
    left -= source.length;
    turnsLeft -= turns.length;
    told.set(at, { ...(left < 0 ? {} : { source }), ...(turns.length && turnsLeft >= 0 ? { turns } : {}) });
  }
  return cells.map(({ id, kind }, at) => ({ id, kind, ...told.get(at) }));
}

/** Return the message for the cell at `index`. */
export function runRequest(
  cells: readonly (PageCell & { source: string })[],
  index: number,
  about: About
): RunRequest {
  return {
    op: 'run',
    protocol: PROTOCOL,
    cell: cells[index]?.id ?? '',
    path: about.path,
    notebook: about.notebook,
    executor: about.executor,
    together: false,
    once: '',
    cells: nearest(cells, index, MOST_CHARS),
    selection: about.selection
  };
}

/** Return what became of an errand; the cells nearest to `index` are told whole. */
export function errandDoneRequest(
  id: string,
  once: string,
  about: Pick<ErrandDoneRequest, 'outcome' | 'cell' | 'source' | 'path'>,
  cells: readonly (PageCell & { source: string })[],
  index: number
): ErrandDoneRequest {
  const { outcome, cell, source, path } = about;
  return {
    op: 'errand_done',
    protocol: PROTOCOL,
    id,
    once,
    outcome,
    cell,
    source,
    path,
    cells: nearest(cells, index, MOST_CHARS)
  };
}

/** Whether a cell may ask Codex, in whole or in one of its lines. */
export function asksCodex(source: string): boolean {
  return /(^|[^\w%])%%?codex(?=\s|$)/m.test(source);
}
