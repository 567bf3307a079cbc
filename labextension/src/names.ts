/** Commands of the panel, which other files call. */
export const PANEL = 'codex-magic:open-panel';
export const SENT = 'codex-magic:show-sent';
export const SIGN_IN = 'codex-magic:sign-in';
