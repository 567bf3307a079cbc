import { LabIcon } from '@jupyterlab/ui-components';

/** Return a thin icon of these paths in the colour of the text around it. */
function lineIcon(name: string, path: string): LabIcon {
  return new LabIcon({
    name: `codex-magic:${name}`,
    svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16"><path d="${path}" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round"/></svg>`
  });
}

export const askIcon = lineIcon('question', 'M2.5 3h11v10h-11zM5 6.5L7 8.2 5 10M8.5 10.2h2.5');
export const stopIcon = lineIcon('stop', 'M4.5 4.5h7v7h-7z');
export const steerIcon = lineIcon('steer', 'M3 12.500l1-3 7-7 2 2-7 7zM10 4l2 2');
export const endIcon = lineIcon('end', 'M8 3v7M5 7l3 3 3-3M3 13h10');
export const goOnIcon = lineIcon('continue', 'M4.500 3l8 5-8 5z');
export const retryIcon = lineIcon('retry', 'M12.500 6A5 5 0 1 0 13 9M13 2.500V6H9.500');
export const copyIcon = lineIcon('copy', 'M5.500 5.500h7v8h-7zM3.500 10.500v-8h7');

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
