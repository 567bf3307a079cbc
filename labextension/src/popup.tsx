import { type Popup, showPopup } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { Widget } from '@lumino/widgets';
import * as React from 'react';

import type { Limit, ModelsReply, Reply, StatusReply } from './protocol';
import type { ICodexModel } from './tokens';

const h = React.createElement;

/** The service's own page about limits and credits. */
const USAGE = 'https://chatgpt.com/codex/settings/usage';

type Place = { model: ICodexModel; trans: TranslationBundle; anchor: Widget; signIn: () => unknown };
type Models = NonNullable<ModelsReply['models']>;

/** Show account, model, effort and limits above the status bar, to be changed there. */
export function openPopup(place: Place): Popup {
  const body = ReactWidget.create(
    <UseSignal signal={place.model.changed}>
      {() => <Choices {...place} close={() => popup.dispose()} />}
    </UseSignal>
  );
  body.addClass('cdx-pop');
  body.node.role = 'dialog';
  body.node.setAttribute('aria-label', place.trans.__('Codex'));
  const popup = showPopup({ body, anchor: place.anchor, align: 'right' });
  const observer = new ResizeObserver(() => popup.update()); // it grows upwards
  observer.observe(body.node);
  popup.disposed.connect(() => {
    observer.disconnect();
    if (body.node.contains(document.activeElement)) {
      place.anchor.node.querySelector('button')?.focus();
    }
  });
  return popup;
}

function Choices({ model, trans, signIn, close }: Place & { close: () => void }): React.ReactElement {
  const [models, setModels] = React.useState<Models>([]);
  const [problem, setProblem] = React.useState('');
  React.useEffect(() => {
    void model.ask<ModelsReply>({ op: 'models' }).then(reply => {
      setModels(reply?.models ?? []);
      setProblem(reply?.error ?? '');
    });
    void model.ask<Reply>({ op: 'usage' }).then(reply => (reply?.ok ? model.refresh() : undefined));
  }, []);
  const first = React.useRef<HTMLSelectElement>(null);
  React.useEffect(() => first.current?.focus(), []);
  const { status } = model;
  if (!status) {
    return <p>{trans.__('The kernel has ended.')}</p>;
  }
  const choose = async (name: string, effort: string): Promise<void> => {
    const reply = await model.ask<StatusReply>({ op: 'choose', model: name, effort });
    setProblem(reply?.ok ? '' : (reply?.error ?? trans.__('The kernel did not answer. Try again.')));
    await model.refresh();
  };
  const signOut = async (): Promise<void> => {
    await model.ask({ op: 'sign-out' });
    await model.refresh();
    close();
  };
  const names = [...new Set([...(status.model ? [status.model] : []), ...models.map(each => each.name)])];
  const known = models.find(each => each.name === status.model);
  const efforts = [...new Set([...(status.effort ? [status.effort] : []), ...(known?.efforts ?? [])])];
  const standard = known?.effort ? trans.__('default (%1)', known.effort) : trans.__('default');
  return (
    <>
      <dl>
        <dt>{trans.__('Account')}</dt>
        <dd>{status.account.text || trans.__('not signed in')}</dd>
        <dt>
          <label htmlFor="cdx-model">{trans.__('Model')}</label>
        </dt>
        <dd>
          <select
            id="cdx-model"
            ref={first}
            value={status.model}
            onChange={event => void choose(event.target.value, status.effort)}
          >
            {!status.model && <option value="">{trans.__('default')}</option>}
            {names.map(name => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </dd>
        <dt>
          <label htmlFor="cdx-effort">{trans.__('Effort')}</label>
        </dt>
        <dd>
          <select
            id="cdx-effort"
            value={status.effort}
            onChange={event => void choose(status.model, event.target.value)}
          >
            <option value="">{standard}</option>
            {efforts.map(name => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </dd>
      </dl>
      {status.limits.map(limit => (
        <Gauge key={limit.name} limit={limit} trans={trans} />
      ))}
      {problem && <p role="alert">{problem}</p>}
      <div className="cdx-acts">
        {status.account.kind === 'chatgpt' && (
          <a className="cdx-b" href={USAGE} target="_blank" rel="noopener noreferrer">
            {trans.__('Open usage')}
          </a>
        )}
        {status.account.kind === 'chatgpt' || status.account.kind === 'key' ? (
          <button type="button" className="cdx-b" onClick={() => void signOut()}>
            {trans.__('Sign out')}
          </button>
        ) : (
          <button type="button" className="cdx-b cdx-pri" onClick={() => (close(), signIn())}>
            {trans.__('Sign in')}
          </button>
        )}
      </div>
    </>
  );
}

function Gauge({ limit, trans }: { limit: Limit; trans: TranslationBundle }): React.ReactElement {
  return (
    <div className="cdx-lim">
      {trans.__('%1: %2 % left', limit.name, limit.left)}
      <progress max={100} value={limit.left} aria-label={limit.name} />
      <span className="cdx-quietline">{limit.resets}</span>
    </div>
  );
}
