import * as React from 'react';

import { STROKES, type Stroke } from './icon';

const h = React.createElement;

/** An icon in lines of the text's own colour. */
export function Icon({ name }: { name: Stroke }): React.ReactElement {
  return (
    <svg className={`cdx-ic cdx-ic-${name}`} viewBox="0 0 16 16" aria-hidden="true">
      <path d={STROKES[name]} />
    </svg>
  );
}
