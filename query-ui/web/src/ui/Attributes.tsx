import type { Attr } from '../api/types';
import { useT } from '../i18n';
import { filterable } from './focused';
import { Icon } from './Icon';
import { copy } from './toast';
import './attributes.css';

const text = (v: unknown): string =>
  typeof v === 'string'
    ? v
    : v === null || v === undefined
      ? 'null'
      : typeof v === 'object'
        ? JSON.stringify(v)
        : String(v);

/** Keys and values; each filters, excludes or copies. Without `filter` a row only copies. */
export function Attributes({
  list,
  filter,
}: {
  list: Attr[];
  filter?: (key: string, value: string, not: boolean) => void;
}) {
  const t = useT();
  return (
    <dl className="kv">
      {list.map((a, i) => {
        const value = text(a.value);
        return (
          <div key={`${a.key}${i}`} {...(filter && filterable(a.key, value))}>
            <dt title={a.key}>{a.key}</dt>
            <dd className="mono">{value}</dd>
            <dd className="act">
              {filter && (
                <>
                  <button
                    className="bare"
                    title={t.filterTo}
                    aria-label={`${t.filterTo}: ${a.key}`}
                    onClick={() => filter(a.key, value, false)}
                  >
                    <Icon name="plus" />
                  </button>
                  <button
                    className="bare"
                    title={t.exclude}
                    aria-label={`${t.exclude}: ${a.key}`}
                    onClick={() => filter(a.key, value, true)}
                  >
                    <Icon name="minus" />
                  </button>
                </>
              )}
              <button
                className="bare"
                title={t.copy}
                aria-label={`${t.copy}: ${a.key}`}
                onClick={() => void copy(value, t.copiedValue)}
              >
                <Icon name="copy" />
              </button>
            </dd>
          </div>
        );
      })}
    </dl>
  );
}
