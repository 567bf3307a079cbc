/** What is loaded when somebody opens the panel, or what the status bar offers, for the first time. */

export { CodexPanel } from './panel';
export { openPopup } from './popup';
