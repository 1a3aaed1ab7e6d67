import { memo } from 'react';
import { useT } from '../../i18n';
import { count, duration, offset } from '../../model/format';
import { message } from '../../model/lines';
import { beside } from '../../model/names';
import type { Row } from '../../model/rows';
import { level } from '../../model/severity';
import { FLAG, callee, operationOf, serviceOf, type Trace } from '../../model/trace';
import { Icon } from '../../ui/Icon';

interface Props {
  t: Trace;
  r: Row;
  i: number;
  top: number;
  height: number;
  indent: number;
  selected: boolean;
  focused: boolean;
  logsOpen: boolean;
  short: (n: string) => string;
  setsize: number;
  posinset: number;
}
const PAD = 10;

export const SpanRow = memo(function SpanRow({
  t,
  r,
  i,
  top,
  height,
  indent,
  selected,
  focused,
  logsOpen,
  short,
  setsize,
  posinset,
}: Props) {
  const m = useT(),
    style = { top, height },
    pad = PAD + r.depth * indent,
    guides = <i className="gd" style={{ width: r.depth * indent, ['--ind' as string]: `${indent}px` }} />;
  const row = {
    role: 'row',
    id: `row-${i}`,
    'data-i': i,
    style,
    'aria-level': r.depth + 1,
    'aria-rowindex': i + 1,
  } as const;
  if (r.kind === 'log') {
    const at = Number(BigInt(r.log.time) - t.start);
    return (
      <div {...row} className={`wr log s-${level(r.log.severity)}`}>
        {guides}
        <span className="lt" role="gridcell" style={{ paddingLeft: pad + 16 }}>
          <i className={`lm l-${level(r.log.severity)}`} />
          <span className="num">{offset(at)}</span>
        </span>
        <span className="msg" role="gridcell" title={r.log.body.slice(0, 600)}>
          {message(r.log)}
        </span>
      </div>
    );
  }
  if (r.kind === 'fold')
    return (
      <div {...row} aria-expanded={false} className="wr fold">
        {guides}
        <span className="wt" role="gridcell" style={{ paddingLeft: pad }}>
          <button className="tw" tabIndex={-1} aria-label={m.expandRow}>
            <Icon name="right" />
          </button>
          <span className="op">
            {r.rows.length} × {r.names.join(', ')}
          </span>
        </span>
      </div>
    );
  const n = r.row,
    service = serviceOf(t, n),
    op = operationOf(t, n),
    parent = t.spans.parent[n],
    kids = t.childCount[n] > 0,
    to = callee(t, n),
    logs = t.spans.logs[n],
    flags = t.spans.flags[n],
    critical = t.criticalNs.has(n),
    tag = beside(t.spans.tag[n], op);
  const made =
      flags & FLAG.joined ? '' : flags & FLAG.observed ? ' observed' : flags & FLAG.derived ? ' derived' : '',
    starts = parent < 0 || t.spans.service[parent] !== t.spans.service[n],
    error = t.spans.status[n] === 2;
  const label =
    m.spanLabel(
      service.name,
      op,
      duration(t.spans.durationNs[n]),
      offset(t.spans.startNs[n]),
      duration(t.spans.selfNs[n]),
    ) +
    (critical ? `, ${m.onCriticalPath}` : '') +
    (error ? `, ${m.error}` : '') +
    (logs ? `, ${m.showLines(count(logs))}` : '');
  return (
    <div
      {...row}
      className={`wr span${selected ? ' sel' : ''}${focused ? ' foc' : ''}${r.dim ? ' dim' : ''}${r.hit ? ' hit' : ''}`}
      aria-expanded={kids ? r.open : undefined}
      aria-selected={selected}
      aria-label={label}
      aria-setsize={setsize}
      aria-posinset={posinset}
    >
      {guides}
      <span className="wt" role="gridcell" style={{ paddingLeft: pad }}>
        {kids ? (
          <button className="tw" tabIndex={-1} aria-label={r.open ? m.collapseRow : m.expandRow}>
            <Icon name={r.open ? 'chev' : 'right'} />
          </button>
        ) : (
          <i className="tw" />
        )}
        <i className={`mk${made}`} style={{ ['--c' as string]: `var(--svc-${service.color})` }} />
        {starts && (
          <b className="sv" title={service.name}>
            {service.name}
          </b>
        )}
        <span className={`op${op.startsWith('/') ? ' path' : ''}${error ? ' bad' : ''}`} title={op}>
          <bdi>{op}</bdi>
        </span>
        {to ? (
          <span className="to">→ {short(to)}</span>
        ) : tag ? (
          <span className="to tag" title={t.spans.tag[n]}>
            {tag}
          </span>
        ) : null}
        {!r.open && kids && <span className="cnt">{count(t.end[n] - n - 1)}</span>}
      </span>
      {logs > 0 && (
        <span className="lcc" role="gridcell">
          <button
            className={`lc${t.spans.errorLogs[n] ? ' err' : ''}${logsOpen ? ' on' : ''}`}
            tabIndex={-1}
            title={m.showLines(count(logs))}
            aria-label={m.showLines(count(logs))}
            aria-expanded={logsOpen}
          >
            {count(logs)}
          </button>
        </span>
      )}
    </div>
  );
});
