import { LabIcon } from '@jupyterlab/ui-components';

/** Return a thin icon of these paths in the colour of the text around it. */
function lineIcon(name: string, path: string): LabIcon {
  return new LabIcon({
    name: `codex-magic:${name}`,
    svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16"><path d="${path}" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round"/></svg>`
  });
}

export const endIcon = lineIcon('end', 'M8 3v7M5 7l3 3 3-3M3 13h10');
export const retryIcon = lineIcon('retry', 'M12.500 6A5 5 0 1 0 13 9M13 2.500V6H9.500');

/** A speech bubble around a prompt, in the colour of the toolbar's own icons. */
export const codexIcon = new LabIcon({
  name: 'codex-magic:codex',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">
  <g class="jp-icon3" fill="none" stroke="#616161" stroke-width="1.3" stroke-linecap="round" stroke-linejoin="round">
    <path d="M2 3.2h12v8H7.2L4.2 14v-2.8H2z"/>
    <path d="M5 5.6l1.8 1.6L5 8.8M8.4 8.8h2.6"/>
  </g>
</svg>`
});

export const STROKES = {
  add: 'M8 3v10M3 8h10',
  back: 'M10 4L6 8l4 4',
  check: 'M3.5 8.5l3 3 6-7',
  copy: 'M5.5 5.5h7v8h-7zM3.5 10.5v-8h7',
  edit: 'M3 5h9l-2-2M13 11H4l2 2',
  fork: 'M4 3v10M4 9c5 0 7-1 7-5',
  insert: 'M8 3v7M5 7l3 3 3-3M3 13h10',
  more: 'M3.5 8h.1M8 8h.1M12.5 8h.1',
  no: 'M8 2.5a5.5 5.5 0 1 0 .01 0zM4.2 4.2l7.6 7.6',
  prompt: 'M3 4l4 4-4 4M8.5 12H13',
  question: 'M2.5 3h11v10h-11zM5 6.5L7 8.2 5 10M8.5 10.2h2.5',
  right: 'M6 4l4 4-4 4',
  run: 'M4.5 3l8 5-8 5z',
  send: 'M8 13V3M4 7l4-4 4 4',
  sent: 'M2.5 8s2-4 5.5-4 5.5 4 5.5 4-2 4-5.5 4-5.5-4-5.5-4zM8 6.5a1.5 1.5 0 1 0 .01 0z',
  steer: 'M3 13l1-3.5 7-7L13.5 5l-7 7z',
  stop: 'M4 4h8v8H4z',
  waits: 'M8 2.5a5.5 5.5 0 1 0 .01 0zM8 5v3.2l2 1.3',
  warns: 'M8 2.5L14 13H2zM8 6.5v3M8 11.2v.1'
};

export type Stroke = keyof typeof STROKES;

export const askIcon = lineIcon('question', STROKES.question);
export const copyIcon = lineIcon('copy', STROKES.copy);
export const goOnIcon = lineIcon('continue', STROKES.run);
export const steerIcon = lineIcon('steer', STROKES.steer);
export const stopIcon = lineIcon('stop', STROKES.stop);

const SVG = 'http://www.w3.org/2000/svg';

/** Draw an icon in lines of the text's own colour. */
export function drawn(name: Stroke): SVGElement {
  const icon = document.createElementNS(SVG, 'svg');
  icon.setAttribute('class', `cdx-ic cdx-ic-${name}`);
  icon.setAttribute('viewBox', '0 0 16 16');
  icon.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', STROKES[name]);
  icon.append(path);
  return icon;
}
