import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import {
  PROTOCOL,
  type PageCell,
  answersRequest,
  approvalsRequest,
  asksCodex,
  decideRequest,
  dropRequest,
  errandDoneRequest,
  errandRequest,
  keptRequest,
  failureRequest,
  hereRequest,
  marksRequest,
  misfit,
  type PanelRequest,
  panelRequest,
  regionRequest,
  regionsIn,
  runRequest,
  steerRequest,
  stopRequest,
  suggestRequest
} from '../src/protocol';

function fixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8'));
}

const FIXTURE = fixture('run') as { cells: (PageCell & { source: string })[]; notebook: string };

describe('runRequest', () => {
  it('says what the fixture says', () => {
    const { cells, notebook } = FIXTURE;
    const about = { path: 'work/Untitled.ipynb', notebook, executor: 'browser', selection: '' } as const;
    expect(runRequest(cells, 3, about)).toEqual(FIXTURE);
  });
  it('leaves out the sources too far away, and never the order', () => {
    const cells = ['far', 'near', 'asking', 'below'].map(id => ({
      id,
      kind: 'code' as const,
      source: 'x'.repeat(90_000)
    }));
    const about = { path: '', notebook: null, executor: 'browser', selection: '' } as const;
    const sent = runRequest(cells, 2, about).cells;
    expect(sent.map(cell => cell.id)).toEqual(['far', 'near', 'asking', 'below']);
    expect(sent.map(cell => 'source' in cell)).toEqual([false, true, true, false]);
  });
  it('names the answers that stand in the cells, the nearest first', () => {
    const cells = ['far', 'near', 'asking', 'below'].map(id => ({
      id,
      kind: 'code' as const,
      source: '',
      turns: id === 'asking' ? [] : Array.from({ length: 600 }, (_, number) => `${id}-${number}`)
    }));
    const about = { path: '', notebook: null, executor: 'browser', selection: '' } as const;
    const sent = runRequest(cells, 2, about).cells;
    expect(sent.map(cell => cell.turns?.length)).toEqual([undefined, 600, undefined, undefined]);
  });
});

describe('misfit', () => {
  it('tells an older kernel from a newer one, and neither from one that says nothing', () => {
    const protocols = [undefined, PROTOCOL, PROTOCOL - 1, PROTOCOL + 1];
    expect(protocols.map(protocol => misfit({ ok: false, protocol }))).toEqual([
      null,
      null,
      'older',
      'newer'
    ]);
  });
});

describe('suggestRequest', () => {
  it('says what the fixture says', () => {
    const { cells, ...about } = fixture('suggest') as Parameters<typeof suggestRequest>[1] & typeof FIXTURE;
    expect(suggestRequest(cells, about)).toEqual(fixture('suggest'));
    expect(dropRequest(about.id)).toEqual(fixture('drop'));
  });
});

describe('regionRequest', () => {
  it('says what the fixture says, and its id is found in the question', () => {
    const about = fixture('region') as Parameters<typeof regionRequest>[0];
    expect(regionRequest(about)).toEqual(fixture('region'));
    expect(regionsIn(`Why? @region:${about.id} and @region:2, not @region`)).toEqual([about.id, '2']);
  });
});

describe('what a click sends', () => {
  it('is what the fixtures say', () => {
    expect(marksRequest('😀 Why @df and @df2?')).toEqual(fixture('marks'));
    expect(failureRequest('4f2a9c01', 3)).toEqual(fixture('failure'));
    expect(answersRequest()).toEqual(fixture('answers'));
    expect(keptRequest('answer-1')).toEqual(fixture('kept'));
    expect(approvalsRequest('answer-1')).toEqual(fixture('approvals'));
    expect(decideRequest('question-1', 'w', 'Use uv, not pip')).toEqual(fixture('decide'));
    expect(errandRequest('errand-1', '1-2-3-4')).toEqual(fixture('errand'));
    const done = {
      outcome: 'conflict',
      cell: '4f2a9c01',
      source: 'x = 2',
      path: 'work/Untitled.ipynb'
    } as const;
    const cells = [{ id: '4f2a9c01', kind: 'code', source: 'x = 2' }] as const;
    expect(errandDoneRequest('errand-1', '1-2-3-4', done, cells, 0)).toEqual(fixture('errand-done'));
    expect(stopRequest('answer-1')).toEqual(fixture('stop'));
    expect(steerRequest('answer-1', 'Talk about tea only', '1-2-3-4')).toEqual(fixture('steer'));
  });
});

describe('what the panel asks', () => {
  it('is what the fixture says', () => {
    const requests: PanelRequest[] = [
      { op: 'status' },
      { op: 'usage' },
      { op: 'models' },
      { op: 'sent', thread: 'thread-1', turn: 'turn-1' },
      { op: 'sign-out' },
      { op: 'choose', model: 'gpt-5.5', effort: 'high' },
      { op: 'threads', here: false, search: 'tax', archived: false, cursor: null, limit: 100 },
      { op: 'turns', thread: 'thread-1', before: null },
      { op: 'turn', thread: 'thread-1', turn: 'turn-1' },
      { op: 'thread', act: 'new', thread: '' },
      { op: 'thread', act: 'resume', thread: 'thread-1' },
      { op: 'thread', act: 'archive', thread: 'thread-1' },
      { op: 'thread', act: 'unarchive', thread: 'thread-1' },
      { op: 'thread', act: 'rename', thread: 'thread-1', name: 'Sales analysis' },
      { op: 'thread', act: 'fork', thread: 'thread-1', turn: null }
    ];
    expect(requests.map(panelRequest)).toEqual(fixture('panel'));
  });
  it('begins with all cells of the notebook', () => {
    const { cells, notebook } = FIXTURE;
    const about = { path: 'work/Untitled.ipynb', notebook, executor: 'browser', selection: '' } as const;
    const here = hereRequest(cells, about);
    expect(here).toMatchObject({ op: 'here', cell: '', notebook });
    expect(here.cells.map(each => each.source)).toEqual(cells.map(each => each.source));
  });
});

describe('asksCodex', () => {
  it.each(['%%codex\nWhy?', '%codex status', 'x = %codex why?', 'for a in b:\n    %codex {a}'])(
    '%j does',
    source => {
      expect(asksCodex(source)).toBe(true);
    }
  );
  it.each(['', 'x = 1', 'codex', '%codexes', '%%codex_magic'])('%j does not', source => {
    expect(asksCodex(source)).toBe(false);
  });
});
