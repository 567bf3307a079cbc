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
