/** The hosts that send metrics. */
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useHosts, useServices } from '../../api/queries';
import { useT } from '../../i18n';
import { seconds } from '../../model/format';
import { exact, hourMinuteSecond, ms } from '../../model/time';
import { Failure } from '../../ui/Failure';
import { Mark } from '../../ui/Icon';
import { useKeys } from '../../ui/keys';
import { useStatusSlot } from '../../ui/StatusBar';
import { carry, useUrl, useZone } from '../../ui/url';
import './hosts.css';

const SERVICES = 6,
  SKELETON = 4;

export default function HostsPage() {
  const t = useT(),
    [url] = useUrl(),
    zone = useZone(),
    navigate = useNavigate(),
    book = useServices(),
    { data, error, dataUpdatedAt, isPending } = useHosts(),
    [selected, select] = useState(-1);
  const hosts = data?.hosts ?? [],
    search = carry(url) as never,
    open = (name: string) => void navigate({ to: '/hosts/$name', params: { name }, search });
  const move = (d: number) => {
    if (!hosts.length) return false;
    select(Math.max(0, Math.min(hosts.length - 1, selected + d)));
    return true;
  };
  useKeys({
    next: () => move(1),
    prev: () => move(-1),
    open: () => (hosts[selected] ? open(hosts[selected].name) : false),
    escape: () => (selected >= 0 ? select(-1) : false),
  });
  useStatusSlot([
    [['next', 'prev'], t.move],
    [['open'], t.open],
  ]);
  if (data && hosts.length === 0)
    return (
      <div className="empty">
        <h1 className="h2">{t.noHosts}</h1>
        <p>{t.noHostsBody}</p>
      </div>
    );
  return (
    <div className="pg" aria-busy={isPending}>
      {error && <Failure error={error} loadedAt={dataUpdatedAt} />}
      <div className="ph">
        <h1>{t.hosts}</h1>
        {data && <span className="dim num">{hosts.length}</span>}
      </div>
      <div data-rows tabIndex={0} role="region" aria-label={t.hosts}>
        <table className="tt hosts">
          <thead>
            <tr>
              <th>{t.host}</th>
              <th>{t.os}</th>
              <th>{t.services}</th>
              <th className="r">{t.lastSeen}</th>
            </tr>
          </thead>
          <tbody>
            {hosts.map((h, i) => (
              <tr key={h.name} className={i === selected ? 'sel' : undefined} onClick={() => open(h.name)}>
                <td>
                  <Link to="/hosts/$name" params={{ name: h.name }} search={search}>
                    <b>{h.name}</b>
                  </Link>
                </td>
                <td className="dim">{h.os}</td>
                <td title={h.services.join('\n')}>
                  {h.services.slice(0, SERVICES).map(s => (
                    <span className="hs" key={s}>
                      <Mark color={book.color(s)} />
                      {book.short(s)}
                    </span>
                  ))}
                  {h.services.length > SERVICES && (
                    <span className="dim num">+{h.services.length - SERVICES}</span>
                  )}
                </td>
                <td className="r num" title={exact(h.lastSeen)}>
                  {hourMinuteSecond(ms(h.lastSeen), zone)}{' '}
                  <span className="dim">{t.ago(seconds(Date.now() - ms(h.lastSeen)))}</span>
                </td>
              </tr>
            ))}
            {isPending &&
              Array.from({ length: SKELETON }, (_, i) => (
                <tr key={i} className="skel" aria-hidden="true">
                  <td colSpan={4}>
                    <i style={{ width: `${70 - i * 12}%` }} />
                  </td>
                </tr>
              ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
