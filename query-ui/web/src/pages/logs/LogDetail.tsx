import { useLog } from '../../api/queries';
import type { Attr, Log } from '../../api/types';
import { useT } from '../../i18n';
import { severityName } from '../../model/severity';
import { exact } from '../../model/time';
import { Attributes } from '../../ui/Attributes';
import { copy } from '../../ui/toast';

interface Props {
  line: Log;
  filter: (key: string, value: string, not: boolean) => void;
  openTrace: () => void;
  around: () => void;
}
const text = (key: string, value: string): Attr[] => (value ? [{ key, value, type: 'string' }] : []);

/** A line opened in place: whole, with all that is known of it, and where to go from it. */
export function LogDetail({ line, filter, openTrace, around }: Props) {
  const t = useT(),
    { data, error } = useLog(line.id),
    l = data ?? line;
  const facts = [
    ...text('severity', severityName(l.severity)),
    ...text('service', l.service),
    ...text('trace.id', l.traceId),
    ...text('span.id', l.spanId),
    ...l.attributes,
  ];
  // A record and its resource may say the same key, each for itself.
  const resource = (l.resource ?? []).filter(a => a.key !== 'service.name');
  return (
    <div className="ld">
      <pre>{l.body}</pre>
      {l.flags.includes('truncated') && <p className="warn">{t.truncated}</p>}
      <Attributes list={facts} filter={filter} />
      <Attributes
        list={[
          ...text('time', exact(l.time).split('\n')[0]),
          ...text('observed', exact(l.observed).split('\n')[0]),
        ]}
      />
      {resource.length > 0 && (
        <>
          <h3 className="h6">{t.resource}</h3>
          <Attributes list={resource} filter={filter} />
        </>
      )}
      {error && <p className="err">{`${t.failed}: ${error.message}`}</p>}
      <p className="btns">
        {l.traceId && (
          <button className="ctl" onClick={openTrace}>
            {t.openTrace}
          </button>
        )}
        <button className="ctl" onClick={around}>
          {t.around}
        </button>
        <button className="ctl" onClick={() => void copy(l.body, t.copiedValue)}>
          {t.copyLine}
        </button>
      </p>
    </div>
  );
}
