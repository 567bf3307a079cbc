/** The shapes that page and kernel exchange over the control channel; `fixtures/` holds one of each. Pure. */

/** Raised with every change that the other side must know. */
export const PROTOCOL = 1;

/** The type of the messages, and of their replies. */
export const REQUEST = 'codex_request';

/** Characters of sources in one message: the nearest cells above the running one come first, then those below. */
const MOST_CHARS = 200_000;

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
  /** All of the notebook's, in its order. */
  cells: PageCell[];
  /** The text selected in the cell that was active last. */
  selection: string;
};

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

export type Request =
  | RunRequest
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
  choices: Choice[];
  /** How many questions of this answer wait, with this one. */
  waiting: number;
  /** The title of the next one, or nothing. */
  following: string;
  /** Where a cell would be changed: what is compared with it as it stands in the page. */
  edit?: CellChange;
};

/** What of the facts matters here. */
export type Facts = { id?: string; state?: string; turn?: string };

/** What the kernel answers. */
export type Reply = { ok: boolean; protocol?: number; version?: string };

/** What it answers when it is asked for answers. */
export type AnswersReply = Reply & { answers?: { id: string; cell: string }[] };

/** What it answers to an attach: `bundle` once the answer is over, before that the text after piece `n`. */
export type AttachReply = Reply & {
  cell?: string | null;
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
  /** The end; `null` where the output has just brought it, and whoever lacks it attaches. */
  bundle?: Bundle | null;
  /** With the end: the id for the notebook's metadata. */
  notebook?: string | null;
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

/** Return the message for the cell at `index`. */
export function runRequest(
  cells: readonly (PageCell & { source: string })[],
  index: number,
  about: Pick<RunRequest, 'path' | 'notebook' | 'executor' | 'selection'>
): RunRequest {
  return {
    op: 'run',
    protocol: PROTOCOL,
    cell: cells[index]?.id ?? '',
    path: about.path,
    notebook: about.notebook,
    executor: about.executor,
    cells: nearest(cells, index),
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
    cells: nearest(cells, index)
  };
}

/** Return the cells without the sources, and the turns, that are too many: those nearest to `index` come first. */
function nearest(cells: readonly (PageCell & { source: string })[], index: number): PageCell[] {
  let left = MOST_CHARS;
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

/** Whether a cell may ask Codex, in whole or in one of its lines. */
export function asksCodex(source: string): boolean {
  return /(^|[^\w%])%%?codex(?=\s|$)/m.test(source);
}
