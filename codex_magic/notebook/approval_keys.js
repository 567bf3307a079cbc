/* The keys of a question, only while its card has the focus. Letters that approve need Shift: a bare A, S or D, D is
   JupyterLab's. A key that comes right after the card answers nothing, like a click (widgets.css). The card takes the
   focus when it comes, unless somebody is typing. */
const card = this.closest('.codex-approval');
if (card && !card.dataset.lmSuppressShortcuts) {
  card.dataset.lmSuppressShortcuts = 'true';
  // JupyterLab's selectors name what has the focus, so that it looks for this mark there first.
  card.addEventListener('focusin', event => { event.target.dataset.lmSuppressShortcuts = 'true'; });
  card.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !event.isTrusted) return;
    if (event.target.matches('input')) return;
    if (event.key === 'Escape') return document.activeElement.blur();
    const labels = event.shiftKey ? { S: 'Approve for this session', A: 'Approve' } : { D: 'Decline', W: 'Decline and say why …' };
    const label = labels[event.key.toUpperCase()];
    const button = [...card.querySelectorAll('button')].find(each => label && each.textContent.trim() === label);
    if (!button || getComputedStyle(button).pointerEvents === 'none') return;
    event.preventDefault();
    button.click();
  });
  const active = document.activeElement;
  if (!active || !active.matches('input, textarea, select, [contenteditable=true], [role=textbox]'))
    card.querySelector('.codex-title')?.focus({ preventScroll: true });
}
