import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Icon } from './glyph';
import type { ThreadRow } from './protocol';
import { HEIGHTS, type Item, ago, marked, seen, titleOf, topsOf } from './shelf';

const h = React.createElement;

/** So many lines before the end more are asked for. */
const AHEAD = 30;

type Rows = {
  items: readonly Item[];
  trans: TranslationBundle;
  current: string | null;
  search: string;
  open(thread: ThreadRow): void;
  menu(thread: ThreadRow, button: HTMLElement): void;
  /** The end comes into view. */
  more(): void;
};

/** A list of any length: only what is in view is in the page. One stop of the Tab key; the arrows move in it. */
export function List({ items, trans, current, search, open, menu, more }: Rows): React.ReactElement {
  const box = React.useRef<HTMLDivElement>(null);
  const [view, setView] = React.useState({ top: 0, height: 600 });
  const [active, setActive] = React.useState<string | null>(null);
  const wantsFocus = React.useRef(false);
  const tops = React.useMemo(() => topsOf(items), [items]);
  React.useLayoutEffect(() => {
    const node = box.current;
    if (!node) {
      return;
    }
    const measure = (): void => setView({ top: node.scrollTop, height: node.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(node);
    measure();
    return () => observer.disconnect();
  }, []);
  const [first, end] = seen(tops, view.top, view.height);
  React.useEffect(() => {
    if (end > items.length - AHEAD) {
      more();
    }
  }, [end, items]);
  const rows = items.flatMap((item, index) => (item.kind === 'row' ? [index] : []));
  const idOf = (index: number): string | undefined => {
    const item = items[index];
    return item?.kind === 'row' ? item.thread.id : undefined;
  };
  const stop =
    rows.find(index => idOf(index) === active) ?? rows.find(index => idOf(index) === current) ?? rows[0];
  React.useLayoutEffect(() => {
    if (wantsFocus.current) {
      wantsFocus.current = false;
      box.current
        ?.querySelector<HTMLElement>(`[data-index="${stop}"] > button`)
        ?.focus({ preventScroll: true });
    }
  });
  const move = (event: React.KeyboardEvent): void => {
    const at = rows.indexOf(stop ?? -1);
    const page = Math.max(1, Math.floor(view.height / HEIGHTS.row) - 1);
    const to = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: rows.length - 1
    }[event.key];
    const index = to === undefined ? undefined : rows[Math.max(0, Math.min(rows.length - 1, to))];
    const node = box.current;
    if (index === undefined || !node) {
      return;
    }
    event.preventDefault();
    const [top, bottom] = [tops[index] ?? 0, tops[index + 1] ?? 0];
    if (top < node.scrollTop) {
      node.scrollTop = top;
    } else if (bottom > node.scrollTop + node.clientHeight) {
      node.scrollTop = bottom - node.clientHeight;
    }
    wantsFocus.current = true;
    setActive(idOf(index) ?? null);
    setView({ top: node.scrollTop, height: node.clientHeight });
  };
  // The line that the Tab key stops at stays in the page, wherever somebody has scrolled to.
  const shown = [...Array(Math.max(0, end - first)).keys()].map(step => first + step);
  const all =
    stop === undefined || (stop >= first && stop < end) ? shown : [stop, ...shown].sort((a, b) => a - b);
  const now = Date.now() / 1000;
  return (
    <div
      className="cdx-list"
      ref={box}
      onScroll={event =>
        setView({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight })
      }
      onKeyDown={move}
    >
      <div style={{ height: tops.at(-1) }} role="list" aria-label={trans.__('Threads')}>
        {all.map(index => {
          const item = items[index];
          const style = { top: tops[index], height: item && HEIGHTS[item.kind] };
          if (item?.kind !== 'row') {
            return (
              <div key={`head ${item?.title}`} className="cdx-place" style={style} role="listitem">
                <h4>{item?.title}</h4>
              </div>
            );
          }
          const { thread, isFork } = item;
          const isCurrent = thread.id === current;
          const classes = ['cdx-place', 'cdx-line', isFork ? 'cdx-fork' : '', isCurrent ? 'cdx-sel' : ''];
          const tab = index === stop ? 0 : -1;
          return (
            <div
              key={thread.id}
              data-index={index}
              className={classes.filter(Boolean).join(' ')}
              style={style}
              role="listitem"
              aria-setsize={rows.length}
              aria-posinset={rows.indexOf(index) + 1}
              onFocus={() => setActive(thread.id)}
            >
              <button
                type="button"
                className="cdx-row"
                tabIndex={tab}
                aria-current={isCurrent || undefined}
                onClick={() => open(thread)}
              >
                <Icon name={isFork ? 'fork' : 'right'} />
                <span className="cdx-t">
                  <span>
                    {marked(titleOf(thread, trans), search).map((part, n) =>
                      n % 2 ? <mark key={n}>{part}</mark> : <React.Fragment key={n}>{part}</React.Fragment>
                    )}
                  </span>
                  <span className="cdx-m">{about(thread, isFork, now, trans)}</span>
                </span>
              </button>
              <button
                type="button"
                className="cdx-g"
                tabIndex={tab}
                aria-label={trans.__('Rename, fork, archive: %1', titleOf(thread, trans))}
                title={trans.__('Rename, fork, archive')}
                onClick={event => menu(thread, event.currentTarget)}
              >
                <Icon name="more" />
              </button>
            </div>
          );
        })}
      </div>
    </div>
  );
}

function about(thread: ThreadRow, isFork: boolean, now: number, trans: TranslationBundle): string {
  const turns = thread.turns === 1 ? trans.__('1 turn') : trans.__('%1 turns', thread.turns);
  const fork = isFork && thread.forked_at !== null ? trans.__('fork at turn %1', thread.forked_at) : turns;
  return [thread.notebook, fork, ago(thread.used, now, trans)].filter(Boolean).join(' · ');
}
