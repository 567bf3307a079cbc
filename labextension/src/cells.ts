import { type ICellModel, type ICodeCellModel, isCodeCellModel } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';

import { type Bundle, type Facts, MIME, type PageCell } from './protocol';

export function factsOf(data: unknown): Facts {
  return (data as Bundle | undefined)?.[MIME] ?? {};
}

/** The outputs of that answer, with the cells they stand in. */
export function* outputsOf(
  panel: NotebookPanel | undefined,
  id: string
): Generator<[ICodeCellModel, number, Facts]> {
  for (const cell of panel?.content.model?.cells ?? []) {
    for (let index = 0; isCodeCellModel(cell) && index < cell.outputs.length; index++) {
      const facts = factsOf(cell.outputs.get(index).data);
      if (facts.id === id) {
        yield [cell, index, facts];
      }
    }
  }
}

/** The turns whose answers stand in a cell. */
function turnsIn(cell: ICellModel): string[] {
  const turns: string[] = [];
  for (let index = 0; isCodeCellModel(cell) && index < cell.outputs.length; index++) {
    const { turn } = factsOf(cell.outputs.get(index).data);
    if (typeof turn === 'string') {
      turns.push(turn);
    }
  }
  return turns;
}

/** The cells of a notebook as they stand in the page. */
export function cellsOf(panel: NotebookPanel): (PageCell & { source: string })[] {
  return panel.content.widgets.map(({ model }) => ({
    id: model.sharedModel.getId(),
    kind: model.type as 'code' | 'markdown' | 'raw',
    source: model.sharedModel.getSource(),
    turns: turnsIn(model)
  }));
}
