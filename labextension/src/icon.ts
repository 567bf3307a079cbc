import { LabIcon } from '@jupyterlab/ui-components';

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

const STROKES = {
  check: 'M3.5 8.5l3 3 6-7',
  copy: 'M5.5 5.5h7v8h-7zM3.5 10.5v-8h7',
  edit: 'M3 5h9l-2-2M13 11H4l2 2',
  insert: 'M8 3v7M5 7l3 3 3-3M3 13h10',
  more: 'M3.5 8h.1M8 8h.1M12.5 8h.1',
  no: 'M8 2.5a5.5 5.5 0 1 0 .01 0zM4.2 4.2l7.6 7.6',
  prompt: 'M3 4l4 4-4 4M8.5 12H13',
  run: 'M4.5 3l8 5-8 5z'
};

export type Stroke = keyof typeof STROKES;

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
