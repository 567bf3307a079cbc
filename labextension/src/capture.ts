/** What a region of an output shows: a picture of what is drawn there, and the text of what is written. */

/** A rectangle of the page, in its pixels. */
export type Box = { left: number; top: number; width: number; height: number };

/** What a model reads well, on the longer side. */
const MOST_PIXELS = 768;

const DRAWN = 'img, canvas, svg';

export function overlaps(one: Box, other: Box): boolean {
  return (
    one.left < other.left + other.width &&
    other.left < one.left + one.width &&
    one.top < other.top + other.height &&
    other.top < one.top + one.height
  );
}

/** Return the part of a table below the region: its rows, each with the heads of row and columns. */
export function tableText(table: HTMLTableElement, box: Box): string {
  const rows = [...table.rows].map(row => [...row.cells]);
  const isIn = (cell: Element): boolean => overlaps(cell.getBoundingClientRect(), box);
  const columns = new Set(rows.flatMap(row => row.flatMap((cell, at) => (isIn(cell) ? [at] : []))));
  const isHead = (row: HTMLTableCellElement[]): boolean => row[0]?.closest('thead') !== null;
  return rows
    .filter(row => isHead(row) || row.some(isIn))
    .map(row => row.filter((cell, at) => columns.has(at) || (at === 0 && cell.tagName === 'TH')))
    .map(row => row.map(cell => cell.innerText.trim().replace(/\s+/g, ' ')).join('\t'))
    .join('\n');
}

/** Return what is written below the region besides tables: whole lines. */
function writtenText(area: HTMLElement, box: Box): string {
  const texts = document.createTreeWalker(area, NodeFilter.SHOW_TEXT);
  const lines: string[] = [];
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    if (node.parentElement?.closest('table, svg, script, style, .jp-OutputPrompt')) {
      continue;
    }
    let begin = 0;
    for (const line of (node.nodeValue ?? '').split('\n')) {
      const range = document.createRange();
      range.setStart(node, begin);
      range.setEnd(node, begin + line.length);
      if (line.trim() && [...range.getClientRects()].some(rect => overlaps(rect, box))) {
        lines.push(line);
      }
      begin += line.length + 1;
    }
  }
  return lines.join('\n');
}

/** Return what is written below the region, tables with their heads. */
export function textOf(area: HTMLElement, box: Box): string {
  const tables = [...area.querySelectorAll('table')].filter(each =>
    overlaps(each.getBoundingClientRect(), box)
  );
  return [...tables.map(table => tableText(table, box)), writtenText(area, box)].filter(Boolean).join('\n\n');
}

/** Return an image of a drawing as it can be drawn again. */
async function drawable(drawn: Element): Promise<CanvasImageSource> {
  if (!(drawn instanceof SVGSVGElement)) {
    return drawn as HTMLImageElement | HTMLCanvasElement;
  }
  const { width, height } = drawn.getBoundingClientRect();
  const copy = drawn.cloneNode(true) as SVGSVGElement;
  copy.setAttribute('width', `${width}`);
  copy.setAttribute('height', `${height}`);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  await image.decode();
  return image;
}

/** Return a picture of what is drawn below the region, as a data URL; nothing where nothing is. */
export async function pictureOf(area: HTMLElement, box: Box): Promise<string> {
  const all = [...area.querySelectorAll(DRAWN)].filter(
    each => !each.parentElement?.closest('svg, .jp-OutputPrompt')
  );
  const drawn = all.filter(each => overlaps(each.getBoundingClientRect(), box));
  if (!drawn.length) {
    return '';
  }
  const scale = Math.min(window.devicePixelRatio || 1, MOST_PIXELS / Math.max(box.width, box.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(box.width * scale));
  canvas.height = Math.max(1, Math.round(box.height * scale));
  const context = canvas.getContext('2d');
  if (!context) {
    return '';
  }
  context.fillStyle = getComputedStyle(document.body).getPropertyValue('--jp-layout-color0') || 'white';
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const each of drawn) {
    const { left, top, width, height } = each.getBoundingClientRect();
    const place = [
      (left - box.left) * scale,
      (top - box.top) * scale,
      width * scale,
      height * scale
    ] as const;
    try {
      context.drawImage(await drawable(each), ...place);
    } catch {
      continue; // it can't be read again: the others are
    }
  }
  try {
    return canvas.toDataURL('image/png');
  } catch {
    return ''; // it holds a picture of another site, which no page may read
  }
}
